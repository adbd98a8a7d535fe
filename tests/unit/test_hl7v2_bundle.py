"""HL7 v2 to FHIR: what each message family becomes, ids, time zones, merges; every bundle validates."""
import base64

import pytest

from healthlab.fhir.hl7v2 import Hl7Error, to_bundle
from healthlab.fhir.model import validate

HEAD = "MSH|^~\\&|APP|GH|||20260101120000+0100||{}|1|P|2.5\r"
PID = "PID|1||77^^^GH&1.2.3&ISO^MR||Doe^Jane^Q^III^Dr||19700102|F|||1 High St^Apt 2^Town^ST^12345^US^H||5551234^PRN^PH|5559876^WPN^PH||M^Married^HL70002\r"


def made(kind, *segments, timezone="UTC", pid=PID, **kw):
    "Resources by type of a message; asserts that the bundle validates without an error."
    b = to_bundle(HEAD.format(kind) + pid + "\r".join(segments), timezone=timezone, **kw)
    assert [i for i in validate(b) if i.severity in ("error", "fatal")] == []
    urls = [e["request"]["url"] for e in b["entry"]]
    assert len(set(urls)) == len(urls) and all(e["request"]["method"] == "PUT" and e["fullUrl"] == "urn:uuid:" + e["resource"]["id"] for e in b["entry"])
    out = {}
    for e in b["entry"]: out.setdefault(e["resource"]["resourceType"], []).append(e["resource"])
    return out


def text_of(attachment): return base64.b64decode(attachment["data"]).decode()


def test_patient():
    p = made("ADT^A28")["Patient"][0]
    assert p["identifier"][0] == {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR", "display": "Medical record number"}]},
                                  "system": "urn:oid:1.2.3", "value": "77", "assigner": {"display": "GH"}}
    assert p["name"][0] == {"family": "Doe", "given": ["Jane", "Q"], "prefix": ["Dr"], "suffix": ["III"]}
    assert (p["gender"], p["birthDate"]) == ("female", "1970-01-02")
    assert p["address"][0] == {"use": "home", "line": ["1 High St", "Apt 2"], "city": "Town", "state": "ST", "postalCode": "12345", "country": "US"}
    assert [(t["use"], t["value"]) for t in p["telecom"]] == [("home", "5551234"), ("work", "5559876")]
    assert p["maritalStatus"]["coding"][0] == {"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M", "display": "Married"}


def test_same_patient_same_id_whatever_the_order():
    a = made("ADT^A01", pid="PID|||77^^^GH^MR~123-45-6789^^^^SS\r")["Patient"][0]["id"]
    b = made("ORU^R01", pid="PID|||123-45-6789^^^^SS~77^^^GH^MR||Other^Name\r")["Patient"][0]["id"]
    c = made("ORU^R01", pid="PID|||78^^^GH^MR\r")["Patient"][0]["id"]
    d = made("ADT^A01", pid="PID|||77^^^GH^MR\r", namespace="other")["Patient"][0]["id"]
    assert a == b and len({a, c, d}) == 3


@pytest.mark.parametrize("event, end, status", [("A01", "", "in-progress"), ("A03", "20260102", "finished"), ("A03", "", "finished"), ("A05", "", "planned"), ("A11", "", "cancelled"), ("A08", "20260103", "finished"), ("A08", "", "in-progress"), ("A04", "", "in-progress")])
def test_encounter_status(event, end, status):
    e = made(f"ADT^{event}", f"EVN|{event}|20260101", f"PV1|1|I|W^389^1|E|||4711^Welby^Marcus{'|' * 12}V1{'|' * 25}20260101080000|{end}")["Encounter"][0]
    assert e["status"] == status and e["class"]["code"] == "IMP"


def test_encounter():
    r = made("ADT^A01", f"PV1|1|I|W^389^1^GH|E|||4711^Welby^Marcus^^^Dr^MD^^&1.9&ISO{'|' * 12}V1{'|' * 25}20260101080000", "PV2|||R07.9^Chest pain^I10C", "DG1|1||I50.9^Heart failure^I10C|||A|||||||||1")
    e, c = r["Encounter"][0], r["Condition"][0]
    assert e["period"] == {"start": "2026-01-01T08:00:00+01:00"} and e["identifier"][0]["value"] == "V1"
    assert e["participant"][0]["type"][0]["coding"][0]["code"] == "ATND" and e["participant"][0]["individual"]["display"] == "Dr Marcus Welby"
    assert e["reasonCode"][0]["coding"][0]["system"] == "http://hl7.org/fhir/sid/icd-10-cm"
    assert e["diagnosis"][0]["condition"]["reference"] == f"Condition/{c['id']}" and e["diagnosis"][0]["rank"] == 1
    assert c["encounter"]["reference"] == f"Encounter/{e['id']}" and {x["name"] for x in r["Location"]} == {"GH", "W", "389", "1"}


OBR = "OBR|1|P1^APP|F1^LAB|24323-8^CMP^LN|||20260103080000||||||||||||||||||F"


@pytest.mark.parametrize("obx, element, value", [
    ("NM|2345-7^Glucose^LN||5.4|mmol/L^^UCUM", "valueQuantity", {"value": 5.4, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"}),
    ("NM|1^x^L||5", "valueQuantity", {"value": 5}), ("NM|1^x^L||>200|mg/dL", "valueQuantity", {"value": 200, "comparator": ">", "unit": "mg/dL"}), ("NM|1^x^L||neg", "valueString", "neg"),
    ("SN|1^x^L||<^5", "valueQuantity", {"value": 5, "comparator": "<"}), ("SN|1^x^L||^1^:^128", "valueRatio", {"numerator": {"value": 1}, "denominator": {"value": 128}}),
    ("SN|1^x^L||^2^-^4", "valueRange", {"low": {"value": 2}, "high": {"value": 4}}), ("SN|1^x^L||^2^+", "valueString", "2 +"),
    ("ST|1^x^L||a\\T\\b", "valueString", "a&b"), ("TX|1^x^L||one~two", "valueString", "one\ntwo"), ("CWE|1^x^L||260385009^Negative^SCT", "valueCodeableConcept", {"coding": [{"system": "http://snomed.info/sct", "code": "260385009", "display": "Negative"}], "text": "Negative"}),
    ("DT|1^x^L||20260102", "valueDateTime", "2026-01-02"), ("TM|1^x^L||0830", "valueTime", "08:30:00"), ("TS|1^x^L||202601020830", "valueDateTime", "2026-01-02T08:30:00+01:00"),
    ("NM|1^x^L||1e400", "valueString", "1e400"), ("DT|1^x^L||20261345", "valueString", "20261345"),
])
def test_observation_values(obx, element, value):
    r = made("ORU^R01", OBR, f"OBX|1|{obx}" + "|" * (11 - obx.count("|") - 2) + "F")
    o = r["Observation"][0]
    got = o.get(element)
    assert got == value


def test_report_and_order():
    r = made("ORU^R01", "ORC|RE|P1^APP|F1^LAB||CM", OBR, "OBX|1|NM|2345-7^Glucose^LN||5.4|mmol/L^^UCUM|3.9-5.6|H^High^HL70078|||F|||20260103075500", "NTE|1||fasting", "OBX|2|NM|2160-0^Creat^LN||1|mg/dL^^UCUM|<1.2||||P")
    report, (glucose, creatinine), order = r["DiagnosticReport"][0], r["Observation"], r["ServiceRequest"][0]
    assert report["status"] == "final" and report["effectiveDateTime"] == "2026-01-03T08:00:00+01:00" and report["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]
    assert [x["reference"] for x in report["result"]] == [f"Observation/{glucose['id']}", f"Observation/{creatinine['id']}"]
    assert glucose["referenceRange"] == [{"low": {"value": 3.9}, "high": {"value": 5.6}, "text": "3.9-5.6"}] and glucose["interpretation"][0]["coding"][0]["code"] == "H"
    assert glucose["effectiveDateTime"] == "2026-01-03T07:55:00+01:00" and glucose["note"] == [{"text": "fasting"}]
    assert creatinine["status"] == "preliminary" and creatinine["effectiveDateTime"] == report["effectiveDateTime"] and creatinine["referenceRange"][0]["high"] == {"value": 1.2}
    assert {i["value"] for i in order["identifier"]} == {"P1", "F1"} and order["status"] == "completed"


def test_correction_is_the_same_observation():
    first, second = (made("ORU^R01", OBR, f"OBX|1|NM|2345-7^Glucose^LN||{v}|mmol/L|||||{s}")["Observation"][0] for v, s in (("5.4", "F"), ("5.5", "C")))
    assert first["id"] == second["id"] and second["status"] == "corrected"


def test_repeated_value_becomes_components():
    o = made("ORU^R01", OBR, "OBX|1|NM|8480-6^BP^LN||120~80|mm[Hg]|||||F")["Observation"][0]
    assert [c["valueQuantity"]["value"] for c in o["component"]] == [120, 80] or "valueString" not in o


def test_narrative_report():
    r = made("ORU^R01", OBR, *(f"OBX|{n}|TX|18748-4^Report^LN||{t}||||||F" for n, t in enumerate(("FINDINGS:", "clear lungs", "", "no effusion"), 1)))
    assert text_of(r["DiagnosticReport"][0]["presentedForm"][0]) == "FINDINGS:\nclear lungs\n\nno effusion" and "Observation" not in r


def test_document():
    data = base64.b64encode(b"%PDF-1.4 x").decode()
    r = made("MDM^T02", "EVN|T02|20260101", "PV1|1|I", "TXA|1|DS^Discharge summary|TEXT|20260103101500|||||4711^Welby^Marcus|||D1^APP|||||AU||AV", "OBX|1|TX|X||Line one||||||F", "OBX|2|FT|X||Line\\.br\\two||||||F", f"OBX|3|ED|X||^application^pdf^Base64^{data}||||||F")
    d = r["DocumentReference"][0]
    assert text_of(d["content"][0]["attachment"]) == "Line one\nLine\ntwo" and d["content"][1]["attachment"] == {"contentType": "application/pdf", "data": data}
    assert d["docStatus"] == "final" and d["date"] == "2026-01-03T10:15:00+01:00" and d["masterIdentifier"]["value"] == "D1" and d["author"][0]["display"] == "Marcus Welby"


@pytest.mark.parametrize("obx5", ["^application^pdf^Base64^not base64!", "^text^plain^A^plain words", "^^^Hex^zz"])
def test_embedded_data_that_is_not_what_it_says(obx5):
    a = made("MDM^T02", "TXA|1|DS", f"OBX|1|ED|X||{obx5}")["DocumentReference"][0]["content"][0]["attachment"]
    assert a["contentType"] == "text/plain" and text_of(a)


def test_document_without_text():
    assert made("MDM^T01", "TXA|1|DS|TX")["DocumentReference"][0]["content"] == [{"attachment": {"contentType": "text/plain"}}]


def test_order():
    r = made("ORM^O01", "ORC|NW|P9^APP||||||||||4711^Welby", "OBR|1|P9^APP||2345-7^Glucose^LN|S", "NTE|1||urgent")
    s = r["ServiceRequest"][0]
    assert (s["status"], s["intent"], s["note"]) == ("active", "order", [{"text": "urgent"}]) and s["requester"]["display"] == "Welby"


@pytest.mark.parametrize("control, state, status", [("NW", "", "active"), ("CA", "", "revoked"), ("DC", "", "revoked"), ("XX", "", "active"), ("NW", "HD", "on-hold"), ("NW", "CM", "completed"), ("", "", "active")])
def test_order_status(control, state, status):
    assert made("ORM^O01", f"ORC|{control}|P9^APP|||{state}", "OBR|1|P9^APP||1^x^L")["ServiceRequest"][0]["status"] == status


def test_vaccination():
    r = made("VXU^V04", "ORC|RE||IZ1^APP", "RXA|0|1|20260104||08^HepB^CVX|0.5|mL^^UCUM||00^New^NIP001||||||L123|20270101|MSD^Merck^MVX|||CP|A", "RXR|IM^Intramuscular^HL70162|LD^Left deltoid^HL70163", "OBX|1|CE|64994-7^Eligibility^LN||V02^VFC^HL70064||||||F")
    i = r["Immunization"][0]
    assert (i["status"], i["occurrenceDateTime"], i["lotNumber"], i["expirationDate"], i["primarySource"]) == ("completed", "2026-01-04", "L123", "2027-01-01", True)
    assert i["doseQuantity"]["value"] == 0.5 and i["manufacturer"]["display"] == "Merck" and i["route"] and i["site"] and r["Observation"][0]["partOf"] == [{"reference": f"Immunization/{i['id']}"}]


@pytest.mark.parametrize("rxa20, rxa21, status", [("CP", "A", "completed"), ("RE", "A", "not-done"), ("", "", "completed"), ("CP", "D", "entered-in-error")])
def test_vaccination_status(rxa20, rxa21, status):
    assert made("VXU^V04", "ORC|RE||IZ1", f"RXA|0|1|20260104||08^HepB^CVX|999{'|' * 14}{rxa20}|{rxa21}")["Immunization"][0]["status"] == status


def test_prescription():
    r = made("RDE^O11", "ORC|NW|RX1^APP", "TQ1|1||BID||||20260105|20260115", "RXE||197361^Amlodipine 5 MG^RXNORM|1|2|{tablet}||^take with food||G|30|{tablet}|2", "RXR|PO^Oral^HL70162")
    m = r["MedicationRequest"][0]
    d = m["dosageInstruction"][0]
    assert (m["status"], m["intent"], d["text"], m["dispenseRequest"]["quantity"]["value"], m["dispenseRequest"]["numberOfRepeatsAllowed"]) == ("active", "order", "take with food", 30, 2)
    assert d["doseAndRate"][0]["doseRange"]["high"]["value"] == 2 and d["timing"]["repeat"] == {"boundsPeriod": {"start": "2026-01-05", "end": "2026-01-15"}, "frequency": 2, "period": 1, "periodUnit": "d"} and d["route"]


@pytest.mark.parametrize("event, status", [("S12", "booked"), ("S15", "cancelled"), ("S17", "entered-in-error"), ("S26", "noshow")])
def test_appointment(event, status):
    b = to_bundle(HEAD.format(f"SIU^{event}") + "SCH|A1|A2||||R^Routine|||30|min|^^^20260109100000^20260109103000\r" + PID + "AIS|1||11^Visit^L\rAIP|1||4711^Welby\rAIL|1||W^1", timezone="UTC")
    assert [i for i in validate(b) if i.severity in ("error", "fatal")] == []
    a = next(e["resource"] for e in b["entry"] if e["resource"]["resourceType"] == "Appointment")
    assert (a["status"], a["start"], a["end"]) == (status, "2026-01-09T10:00:00+01:00", "2026-01-09T10:30:00+01:00") and len(a["participant"]) == 3


def test_problems_charges_allergies():
    r = made("PPR^PC1", "PRB|AD|20260101|84114007^Heart failure^SCT|P1|||||||||C^Confirmed|A^Active||20200101", "PRB|DE|20260101|38341003^HTN^SCT|P2", "AL1|1|DA|70618^Penicillin^RXNORM|SV|Hives~Rash", "IN1|1|PLAN1|77^^^INS|Blue||||||||20260101|20261231", "FT1|1|T1||20260102|20260102|CG|99213^Visit^C4|||1|100&USD")
    first, second = r["Condition"]
    assert first["clinicalStatus"]["coding"][0]["code"] == "active" and first["verificationStatus"]["coding"][0]["code"] == "confirmed" and first["onsetDateTime"] == "2020-01-01"
    assert second["verificationStatus"]["coding"][0]["code"] == "entered-in-error" and "clinicalStatus" not in second
    a = r["AllergyIntolerance"][0]
    assert (a["category"], a["criticality"], a["reaction"][0]["severity"], len(a["reaction"][0]["manifestation"])) == (["medication"], "high", "severe", 2)
    assert r["Coverage"][0]["payor"][0]["display"] == "Blue" and r["Coverage"][0]["period"] == {"start": "2026-01-01", "end": "2026-12-31"}
    assert r["ChargeItem"][0]["priceOverride"] == {"value": 100, "currency": "USD"} and r["ChargeItem"][0]["quantity"] == {"value": 1}


def test_merge():
    new, old = made("ADT^A40", "MRG|88^^^GH&1.2.3&ISO^MR||||||Doe^Jane")["Patient"]
    assert old["active"] is False and old["link"] == [{"other": {"reference": f"Patient/{new['id']}"}, "type": "replaced-by"}]
    assert new["link"] == [{"other": {"reference": f"Patient/{old['id']}"}, "type": "replaces"}]
    assert old["id"] == made("ADT^A01", pid="PID|||88^^^GH&1.2.3&ISO^MR\r")["Patient"][0]["id"]


@pytest.mark.parametrize("value, timezone, msh7, expected", [
    ("20260701100000", "Europe/Berlin", "20260701", "2026-07-01T10:00:00+02:00"), ("20260101100000", "Europe/Berlin", "20260701", "2026-01-01T10:00:00+01:00"),
    ("20260701100000", "Europe/Berlin", "20260701120000-0500", "2026-07-01T10:00:00-05:00"), ("20260701100000+0900", "Europe/Berlin", "20260701120000-0500", "2026-07-01T10:00:00+09:00"),
    ("20260701100000", "", "20260701", "2026-07-01"), ("202607", "UTC", "2026", "2026-07"), ("20260701100000.25Z", "UTC", "2026", None), ("20260230", "UTC", "2026", None), ("2026070110", "UTC", "2026", "2026-07-01T10:00:00+00:00"),
])
def test_time_zones(value, timezone, msh7, expected):
    b = to_bundle(f"MSH|^~\\&|A|B|||{msh7}||ADT^A01|1|P|2.5\rPID|||1\rPV1|1|I{'|' * 42}{value}", timezone=timezone)
    e = next(e["resource"] for e in b["entry"] if e["resource"]["resourceType"] == "Encounter")
    assert e.get("period", {}).get("start") == expected


def test_nothing_is_made_up_without_a_patient():
    b = to_bundle("MSH|^~\\&|A|B|||2026||ORM^O01|1|P|2.5\rORC|NW|1\rRXO|1^x^L", timezone="UTC")
    m = next(e["resource"] for e in b["entry"] if e["resource"]["resourceType"] == "MedicationRequest")
    assert m["subject"]["extension"][0]["valueCode"] == "unknown" and "reference" not in m["subject"] and not [i for i in validate(b) if i.severity == "error"]


@pytest.mark.parametrize("text", ["MSH|^~\\&|A|B|||2026||ACK|1|P|2.5\rMSA|AA|1", "MSH|^~\\&|A|B|||2026||MFN^M02|1|P|2.5\rMFI|1"])
def test_what_does_not_map(text):
    with pytest.raises(Hl7Error) as e: to_bundle(text)
    assert e.value.code == "200"


def test_bytes_text_and_repetition_give_the_same_bundle():
    text = HEAD.format("ADT^A01") + PID + "PV1|1|I"
    assert to_bundle(text, timezone="UTC") == to_bundle(text.encode(), timezone="UTC") == to_bundle(b"\x0b" + text.encode() + b"\x1c\r", timezone="UTC")


def test_fields_of_the_guide_that_are_met_less_often():
    r = made("ADT^A01", "EVN|A01|20260101120000||||20260101110000|North Wing^1.2.9^ISO", "PV1|1|I|W^1^1|||||||||||||||||||||||||||||||||||||||||||||||||||EP7^^^GH&1.2.3&ISO",
             "PV2||||||||||||Fell < from ladder", "ROL|1|AD|CON^Consultant^HL70443|4711^Welby^Marcus|20260101|20260103", "IAM|1|DA||||||||||||Jones^Mary|||A^Active^X||||||||||70618^Penicillin^RXNORM",
             "IN1|1|P1|C1|Insurer|||||||Big Employer Ltd", pid="PID|1||77^^^GH^MR||Doe^Jane||19700102|F|||||||||||||99^^^GH&1.2.3&ISO^MR\r")
    e, a = r["Encounter"][0], r["AllergyIntolerance"][0]
    assert e["episodeOfCare"][0]["identifier"]["value"] == "EP7" and "Fell &lt; from ladder" in e["text"]["div"]
    assert {"start": "2026-01-01", "end": "2026-01-03"} in [p.get("period") for p in e["participant"]]
    assert a["recorder"]["display"] == "Mary Jones" and a["clinicalStatus"]["coding"][0]["code"] == "active" and a["code"]["coding"][0]["code"] == "70618"
    assert r["RelatedPerson"][0]["relationship"][0]["coding"][0]["code"] == "MTH" and r["RelatedPerson"][0]["identifier"][0]["value"] == "99"
    assert r["Coverage"][0]["policyHolder"]["display"] == "Big Employer Ltd"
    assert r["Provenance"][0]["location"]["display"] == "North Wing" and "North Wing" in [p["name"] for p in r["Location"]]


def test_who_answers_for_a_message_and_when_medicine_is_taken():
    head = "MSH|^~\\&|APP|GH|LAB|LH|20260101120000+0100||RDE^O11|1|P|2.5||||||||||Trust A^L^^^^^^^^A1|Trust B^L^^^^^^^^B1\r"
    b = to_bundle(head + PID + "ORC|NW|P1\rTQ1|1|2^tab||0800~2000||10^d\rRXE||313782^Tylenol^RXNORM|2||tab", timezone="UTC")
    assert [i for i in validate(b) if i.severity in ("error", "fatal")] == []
    by = {e["resource"]["resourceType"]: e["resource"] for e in b["entry"]}
    assert by["MessageHeader"]["responsible"]["display"] == "Trust A" and by["MessageHeader"]["destination"][0]["receiver"]["display"] == "Trust B"
    repeat = by["MedicationRequest"]["dosageInstruction"][0]["timing"]["repeat"]
    assert repeat["timeOfDay"] == ["08:00:00", "20:00:00"] and repeat["boundsDuration"]["value"] == 10
    r = made("ORU^R01", "ORC|RE|P1", "OBR|1|P1|F1|2345-7^Glucose^LN|||20260101|||||||||^^^^^1^555^1234", "OBX|1|NM|2345-7^Glucose^LN||5|mmol/L^^UCUM|||||F||||||||||||||||||||||S9&LAB")
    assert r["Observation"][0]["specimen"] == {"type": "Specimen", "identifier": r["Observation"][0]["specimen"]["identifier"]} and r["Observation"][0]["specimen"]["identifier"]["value"] == "S9"
