"""C-CDA to FHIR: header, entries by template, negation, null flavors, narrative references, fragments, hardened XML."""
import base64
import json

import pytest

from healthlab.fhir.ccda import CcdaError, sections, to_bundle
from healthlab.fhir.cda import Reading, address, concept, human_name, identifier, moment, narrative, quantity, read_xml, telecom, value_of
from healthlab.fhir.model import validate

T = "2.16.840.1.113883.10.20.22.4."
SCT, LOINC = "2.16.840.1.113883.6.96", "2.16.840.1.113883.6.1"
HEADER = """<id root="2.16.840.1.113883.19.5" extension="doc1"/><code code="34133-9" codeSystem="2.16.840.1.113883.6.1" displayName="Summary"/><title>CCD</title><effectiveTime value="20260105101500+0100"/>
<recordTarget><patientRole><id nullFlavor="UNK"/><id root="2.16.840.1.113883.4.1" extension="111-22-3333"/><addr use="HP"><streetAddressLine>1 High St</streetAddressLine><city>Town</city><state>ST</state></addr><telecom value="tel:+1(555)555-1003" use="HP"/>
<patient><name use="L"><prefix>Dr</prefix><given>Ellen</given><given>M</given><family>Ross</family></name><administrativeGenderCode code="F"/><birthTime value="19750501"/><maritalStatusCode code="M" codeSystem="2.16.840.1.113883.5.2"/>
<raceCode code="2106-3" codeSystem="2.16.840.1.113883.6.238" displayName="White"/><ethnicGroupCode code="2186-5" codeSystem="2.16.840.1.113883.6.238" displayName="Not Hispanic"/><languageCommunication><languageCode code="en"/><preferenceInd value="true"/></languageCommunication></patient>
<providerOrganization><name>Clinic</name></providerOrganization></patientRole></recordTarget>
<author><time value="20260105"/><assignedAuthor><id root="2.16.840.1.113883.4.6" extension="1234567893"/><assignedPerson><name><given>Adam</given><family>Good</family></name></assignedPerson></assignedAuthor></author>
<custodian><assignedCustodian><representedCustodianOrganization><id root="1.2.3" extension="c"/><name>Good Health</name></representedCustodianOrganization></assignedCustodian></custodian>"""


def document(*parts, header=HEADER):
    body = "".join(f'<component><section><code code="{code}" codeSystem="{LOINC}"/><title>{title}</title><text>{text}</text>{"".join(f"<entry>{e}</entry>" for e in entries)}</section></component>' for code, title, text, *entries in parts)
    return f'<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:sdtc="urn:hl7-org:sdtc">{header}<component><structuredBody>{body}</structuredBody></component></ClinicalDocument>'


def made(xml):
    b = to_bundle(xml, timezone="UTC")
    assert [i for i in validate(b) if i.severity in ("error", "fatal")] == []
    out = {}
    for e in b["entry"]: out.setdefault(e["resource"]["resourceType"], []).append(e["resource"])
    return out


def node(xml): return read_xml(xml)


X = Reading(node("<x><text><content ID='c1'>Asthma, <b>mild</b></content></text></x>"))


@pytest.mark.parametrize("xml, expected", [
    (f'<v code="1" codeSystem="{SCT}" displayName="A"/>', {"coding": [{"system": "http://snomed.info/sct", "code": "1", "display": "A"}], "text": "A"}),
    ('<v nullFlavor="OTH"><originalText>seen</originalText><translation code="2" codeSystem="2.16.840.1.113883.6.90"/></v>', {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "2"}], "text": "seen"}),
    ('<v code="1" codeSystem="1.9.9"><originalText><reference value="#c1"/></originalText></v>', {"coding": [{"system": "urn:oid:1.9.9", "code": "1"}], "text": "Asthma, mild"}),
    ('<v nullFlavor="UNK"/>', None), ('<v><originalText><reference value="#nowhere"/></originalText></v>', None),
])
def test_concepts(xml, expected):
    assert concept(node(xml), X) == expected


def test_required_concept_keeps_the_null_flavor():
    assert concept(node('<v nullFlavor="NI"/>'), X, True)["coding"][0]["code"] == "NI" and concept(node("<v/>"), X, True)["coding"][0]["code"] == "UNK"


@pytest.mark.parametrize("xml, expected", [
    ('<v xsi:type="PQ" value="5.4" unit="mmol/L"/>', {"valueQuantity": {"value": 5.4, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"}}), ('<v xsi:type="PQ" value="5" unit="1"/>', {"valueQuantity": {"value": 5}}),
    ('<v xsi:type="PQ" nullFlavor="UNK"/>', {}), ('<v xsi:type="INT" value="7"/>', {"valueInteger": 7}), ('<v xsi:type="BL" value="true"/>', {"valueBoolean": True}), ('<v xsi:type="TS" value="202601"/>', {"valueDateTime": "2026-01"}),
    ('<v xsi:type="ST">yellow</v>', {"valueString": "yellow"}), ('<v xsi:type="IVL_PQ"><low value="1" unit="g"/><high value="2" unit="g"/></v>', {"valueRange": {"low": {"value": 1, "unit": "g", "system": "http://unitsofmeasure.org", "code": "g"}, "high": {"value": 2, "unit": "g", "system": "http://unitsofmeasure.org", "code": "g"}}}),
    ('<v xsi:type="IVL_PQ"><high value="2" inclusive="false"/></v>', {"valueQuantity": {"value": 2, "comparator": "<"}}), ('<v xsi:type="ED"><reference value="#c1"/></v>', {"valueString": "Asthma, mild"}), ('<v xsi:type="PQ" value="1e999"/>', {}), ('<v xsi:type="BL" value="maybe"/>', {}),
])
def test_values(xml, expected):
    assert value_of(node(xml), X) == expected


@pytest.mark.parametrize("xml, expected", [
    ('<id root="2.16.840.1.113883.4.6" extension="12"/>', {"system": "http://hl7.org/fhir/sid/us-npi", "value": "12"}), ('<id root="1.2.3"/>', {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"}),
    ('<id root="D11275E7-67AE-11DB-BD13-0800200C9A66"/>', {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:d11275e7-67ae-11db-bd13-0800200c9a66"}), ('<id nullFlavor="UNK"/>', None), ("<id/>", None),
])
def test_identifiers(xml, expected):
    assert identifier(node(xml)) == expected


def test_times():
    assert moment(node('<t value="20260102"/>'), X, "onset") == {"onsetDateTime": "2026-01-02"}
    assert moment(node('<t><low value="2026"/><high value="2027"/></t>'), X, "performed") == {"performedPeriod": {"start": "2026", "end": "2027"}}
    assert moment(node('<t><low nullFlavor="UNK"/></t>'), X, "onset") == {} and moment(node('<t><low value="2027"/><high value="2026"/></t>'), X, "p") == {"pPeriod": {"start": "2027"}}
    assert quantity(node('<q value="abc"/>')) is None and telecom(node('<t value="mailto:a@b.c" use="WP"/>')) == {"system": "email", "value": "a@b.c", "use": "work"}
    assert human_name(node("<n>Jane Doe</n>"), X) == {"text": "Jane Doe"} and address(node('<a nullFlavor="UNK"/>'), X) is None


def test_narrative_keeps_lines_and_cells():
    n = node("<text><paragraph>One<br/>two</paragraph><table><thead><tr><th>Drug</th><th>Dose</th></tr></thead><tbody><tr><td>Aspirin</td><td>81 mg</td></tr></tbody></table><list><item>a</item><item>b</item></list></text>")
    assert narrative(n).split("\n") == ["One", "two", "Drug | Dose", "Aspirin | 81 mg", "- a", "- b"]


def test_header():
    r = made(document(("11450-4", "Problems", "none")))
    p, d = r["Patient"][0], r["DocumentReference"][0]
    assert (p["gender"], p["birthDate"], p["name"][0]["family"], p["identifier"][0]["system"]) == ("female", "1975-05-01", "Ross", "http://hl7.org/fhir/sid/us-ssn")
    assert [e["url"].rsplit("-", 1)[-1] for e in p["extension"]] == ["race", "ethnicity"] and p["communication"] == [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en"}]}, "preferred": True}]
    assert d["author"][0]["display"] == "Adam Good" and d["custodian"]["display"] == "Good Health" and d["date"] == "2026-01-05T10:15:00+01:00" and d["masterIdentifier"]["value"] == "doc1"


def test_document_and_section_text_are_kept():
    xml = document(("11450-4", "Problems", "<list><item>Asthma</item></list>"), ("10164-2", "HPI", "<paragraph>Coughs.</paragraph>"))
    d = made(xml)["DocumentReference"][0]
    whole, *rest = [c["attachment"] for c in d["content"]]
    assert base64.b64decode(whole["data"]).decode() == xml
    assert [(a["title"], base64.b64decode(a["data"]).decode()) for a in rest] == [("Problems", "- Asthma"), ("HPI", "Coughs.")] and [s[1] for s in sections(read_xml(xml))] == ["Problems", "HPI"]


def problem(value, extra="", neg="", when='<effectiveTime><low value="20200102"/></effectiveTime>', state="active", act="3"):
    return (f'<act classCode="ACT" moodCode="EVN"><templateId root="{T}{act}"/><statusCode code="{state}"/><entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN"{neg}><templateId root="{T}4"/><id root="1.2" extension="p1"/>'
            f'<code code="29308-4"/>{when}<value xsi:type="CD" {value}/>{extra}</observation></entryRelationship></act>')


HF = f'code="84114007" codeSystem="{SCT}" displayName="Heart failure"'


@pytest.mark.parametrize("entry, expected", [
    (problem(HF), ("active", None, "84114007", None)),
    (problem(HF, when='<effectiveTime><low value="2020"/><high value="2021"/></effectiveTime>'), ("resolved", None, "84114007", "2021")),
    (problem(HF, when='<effectiveTime><low value="2020"/><high nullFlavor="UNK"/></effectiveTime>'), ("resolved", None, "84114007", None)),
    (problem(HF, state="completed"), ("inactive", None, "84114007", None)),
    (problem(HF, neg=' negationInd="true"'), ("active", "refuted", "84114007", None)),
    (problem(f'code="55607006" codeSystem="{SCT}"', neg=' negationInd="true"'), ("active", None, "160245001", None)),
    (problem(HF, f'<entryRelationship typeCode="REFR"><observation><templateId root="{T}6"/><value xsi:type="CD" code="413322009"/></observation></entryRelationship>'), ("resolved", None, "84114007", None)),
])
def test_problems(entry, expected):
    c = made(document(("11450-4", "Problems", "", entry)))["Condition"][0]
    assert (c["clinicalStatus"]["coding"][0]["code"], c.get("verificationStatus", {}).get("coding", [{}])[0].get("code"), c["code"]["coding"][0]["code"], c.get("abatementDateTime")) == expected
    assert c["category"][0]["coding"][0]["code"] == "problem-list-item" and c["subject"]["reference"].startswith("Patient/")


def allergen(code, neg="", inner=""):
    return (f'<act classCode="ACT" moodCode="EVN"><templateId root="{T}30"/><statusCode code="active"/><entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN"{neg}><templateId root="{T}7"/><id root="1.2" extension="a1"/>'
            f'<value xsi:type="CD" code="416098002" codeSystem="{SCT}"/><participant typeCode="CSM"><participantRole><playingEntity>{code}</playingEntity></participantRole></participant>{inner}</observation></entryRelationship></act>')


PENICILLIN = '<code code="70618" codeSystem="2.16.840.1.113883.6.88" displayName="Penicillin"/>'
REACTION = f'<entryRelationship typeCode="MFST" inversionInd="true"><observation><templateId root="{T}9"/><value xsi:type="CD" code="247472004" codeSystem="{SCT}" displayName="Hives"/><entryRelationship typeCode="SUBJ"><observation><templateId root="{T}8"/><value xsi:type="CD" code="24484000"/></observation></entryRelationship></observation></entryRelationship>'


@pytest.mark.parametrize("entry, code, verification, severity", [
    (allergen(PENICILLIN, inner=REACTION), "70618", None, "severe"), (allergen(PENICILLIN, ' negationInd="true"'), "70618", "refuted", None), (allergen('<code nullFlavor="NA"/>', ' negationInd="true"'), "409137002", None, None)])
def test_allergies(entry, code, verification, severity):
    a = made(document(("48765-2", "Allergies", "", entry)))["AllergyIntolerance"][0]
    assert a["code"]["coding"][0]["code"] == code and a.get("verificationStatus", {}).get("coding", [{}])[0].get("code") == verification and a["category"] == ["medication"] and a["type"] == "allergy"
    assert (a.get("reaction") or [{}])[0].get("severity") == severity


def drug(mood="EVN", status="active", neg="", inner="", times='<effectiveTime xsi:type="IVL_TS"><low value="20260101"/></effectiveTime><effectiveTime xsi:type="PIVL_TS" operator="A"><period value="12" unit="h"/></effectiveTime>', template="16"):
    return (f'<substanceAdministration classCode="SBADM" moodCode="{mood}"{neg}><templateId root="{T}{template}"/><id root="1.2" extension="m1"/><statusCode code="{status}"/>{times}<routeCode code="C38288" codeSystem="2.16.840.1.113883.3.26.1.1" displayName="Oral"/>'
            f'<doseQuantity value="1"/><consumable><manufacturedProduct><manufacturedMaterial><code code="197361" codeSystem="2.16.840.1.113883.6.88" displayName="Amlodipine 5 MG"/><lotNumberText>L1</lotNumberText></manufacturedMaterial></manufacturedProduct></consumable>{inner}</substanceAdministration>')


def test_medications():
    r = made(document(("10160-0", "Medications", "", drug(), drug("INT").replace("m1", "m2"), drug(status="completed", neg=' negationInd="true"').replace("m1", "m3"))))
    taken, refused = r["MedicationStatement"]
    assert (taken["status"], taken["effectivePeriod"], taken["medicationCodeableConcept"]["coding"][0]["code"]) == ("active", {"start": "2026-01-01"}, "197361") and refused["status"] == "not-taken"
    d = taken["dosage"][0]
    assert d["timing"]["repeat"] == {"frequency": 1, "period": 12, "periodUnit": "h"} and d["doseAndRate"][0]["doseQuantity"] == {"value": 1} and d["route"]["text"] == "Oral"
    m = r["MedicationRequest"][0]
    assert (m["status"], m["intent"]) == ("active", "plan") and m["dosageInstruction"][0]["timing"]["repeat"]["boundsPeriod"] == {"start": "2026-01-01"}


@pytest.mark.parametrize("neg, status", [("", "completed"), (' negationInd="true"', "not-done")])
def test_immunisations(neg, status):
    refusal = f'<entryRelationship typeCode="RSON"><observation><templateId root="{T}53"/><code code="PATOBJ" codeSystem="2.16.840.1.113883.5.8"/></observation></entryRelationship>'
    i = made(document(("11369-6", "Immunizations", "", drug(neg=neg, times='<effectiveTime value="20260104"/>', template="52", inner=refusal))))["Immunization"][0]
    assert (i["status"], i["occurrenceDateTime"], i["lotNumber"]) == (status, "2026-01-04", "L1") and ("statusReason" in i) == bool(neg)


def lab(value, n=1, status="completed", neg="", template="2", extra=""):
    return f'<component><observation classCode="OBS" moodCode="EVN"{neg}><templateId root="{T}{template}"/><id root="1.2" extension="o{n}"/><code code="2345-7" codeSystem="{LOINC}" displayName="Glucose"/><statusCode code="{status}"/><effectiveTime value="20260105"/>{value}{extra}</observation></component>'


def organizer(template, *inner): return f'<organizer classCode="BATTERY" moodCode="EVN"><templateId root="{T}{template}"/><id root="1.2" extension="org"/><code code="24323-8" codeSystem="{LOINC}"/><statusCode code="completed"/>{"".join(inner)}</organizer>'


def test_results():
    ranges = '<interpretationCode code="H" codeSystem="2.16.840.1.113883.5.83"/><referenceRange><observationRange><value xsi:type="IVL_PQ"><low value="3.9" unit="mmol/L"/><high value="5.6" unit="mmol/L"/></value></observationRange></referenceRange>'
    r = made(document(("30954-2", "Results", "", organizer("1", lab('<value xsi:type="PQ" value="6.1" unit="mmol/L"/>', extra=ranges), lab('<value xsi:type="CD" nullFlavor="NASK"/>', 2, "active")))))
    report, (done, awaited) = r["DiagnosticReport"][0], r["Observation"]
    assert report["status"] == "final" and len(report["result"]) == 2 and report["effectiveDateTime"] == "2026-01-05"
    assert done["valueQuantity"]["value"] == 6.1 and done["referenceRange"][0]["high"]["value"] == 5.6 and done["interpretation"][0]["coding"][0]["code"] == "H" and done["category"][0]["coding"][0]["code"] == "laboratory"
    assert awaited["status"] == "registered" and awaited["dataAbsentReason"]["coding"][0]["code"] == "not-asked"


def test_vital_signs():
    o = made(document(("8716-3", "Vital signs", "", organizer("26", lab('<value xsi:type="PQ" value="120" unit="mm[Hg]"/>', 1, template="27"), lab('<value xsi:type="PQ" value="80" unit="mm[Hg]"/>', 2, template="27")))))["Observation"]
    assert [x["category"][0]["coding"][0]["code"] for x in o] == ["vital-signs"] * 3 and len(o[2]["hasMember"]) == 2


def test_a_negated_observation_is_never_a_plain_statement():
    o = made(document(("47420-5", "Function", "", lab(f'<value xsi:type="CD" code="1" codeSystem="{SCT}" displayName="Impaired"/>', neg=' negationInd="true"', template="67").replace("<component>", "").replace("</component>", ""))))["Observation"][0]
    assert o["valueString"] == "not: Impaired" and "valueCodeableConcept" not in o


def act(tag, template, mood="EVN", status="completed", neg="", inner=""):
    return f'<{tag} classCode="PROC" moodCode="{mood}"{neg}><templateId root="{T}{template}"/><id root="1.2" extension="x{template}{mood}"/><code code="73761001" codeSystem="{SCT}" displayName="Colonoscopy"/><statusCode code="{status}"/><effectiveTime value="20260102"/>{inner}</{tag}>'


@pytest.mark.parametrize("entry, kind, status", [
    (act("procedure", "14"), "Procedure", "completed"), (act("act", "12", status="aborted"), "Procedure", "stopped"), (act("procedure", "14", neg=' negationInd="true"'), "Procedure", "not-done"),
    (act("procedure", "41", "RQO", "active"), "ServiceRequest", "active"), (act("observation", "44", "INT", "active"), "ServiceRequest", "active"), (act("procedure", "99999"), "Procedure", "completed"),
    (act("encounter", "49"), "Encounter", "finished"), (act("encounter", "40", "INT", "active"), "Encounter", "planned")])
def test_procedures_and_encounters(entry, kind, status):
    r = made(document(("47519-4", "Procedures", "", entry)))[kind][0]
    assert r["status"] == status and (r.get("code") or r["type"][0])["coding"][0]["code"] == "73761001"


def test_smoking_family_goal_note_coverage():
    smoking = lab(f'<value xsi:type="CD" code="8517006" codeSystem="{SCT}" displayName="Former smoker"/>', template="78").replace("<component>", "").replace("</component>", "")
    family = f'<organizer classCode="CLUSTER" moodCode="EVN"><templateId root="{T}45"/><id root="1.2" extension="f"/><statusCode code="completed"/><subject><relatedSubject classCode="PRS"><code code="FTH" codeSystem="2.16.840.1.113883.5.111" displayName="Father"/><subject><administrativeGenderCode code="M"/></subject></relatedSubject></subject><component><observation><templateId root="{T}46"/><value xsi:type="CD" {HF}/></observation></component></organizer>'
    goal = f'<observation classCode="OBS" moodCode="GOL"><templateId root="{T}121"/><id root="1.2" extension="g"/><code code="3141-9" codeSystem="{LOINC}" displayName="Weight"/><statusCode code="active"/><value xsi:type="PQ" value="70" unit="kg"/></observation>'
    note = f'<act classCode="ACT" moodCode="EVN"><templateId root="{T}202"/><code code="34109-9" codeSystem="{LOINC}"/><text><reference value="#n1"/></text></act>'
    cover = f'<act classCode="ACT" moodCode="EVN"><templateId root="{T}60"/><entryRelationship typeCode="COMP"><act><templateId root="{T}61"/><id root="1.2" extension="pol"/><performer typeCode="PRF"><templateId root="{T}87"/><assignedEntity><id root="1.2" extension="ins"/><code code="PAYOR"/><representedOrganization><name>Good Insurance</name></representedOrganization></assignedEntity></performer></act></entryRelationship></act>'
    r = made(document(("29762-2", "Social", "", smoking), ("10157-6", "Family", "", family), ("61146-7", "Goals", "", goal), ("34109-9", "Notes", "<paragraph ID='n1'>Seen today.</paragraph>", note), ("48768-6", "Payers", "", cover)))
    assert r["Observation"][0]["category"][0]["coding"][0]["code"] == "social-history" and r["Observation"][0]["valueCodeableConcept"]["text"] == "Former smoker"
    assert r["FamilyMemberHistory"][0]["relationship"]["text"] == "Father" and r["FamilyMemberHistory"][0]["condition"][0]["code"]["text"] == "Heart failure"
    assert r["Goal"][0]["target"][0]["detailQuantity"]["value"] == 70 and r["Coverage"][0]["payor"][0]["display"] == "Good Insurance"
    assert base64.b64decode(r["DocumentReference"][0]["content"][0]["attachment"]["data"]) == b"Seen today."


def test_same_patient_same_id_and_same_bytes_same_bundle():
    first, second = document(("11450-4", "A", "")), document(("48765-2", "B", "")).replace("doc1", "doc2")
    patient = lambda xml, **kw: next(e["request"]["url"] for e in to_bundle(xml, timezone="UTC", **kw)["entry"] if e["resource"]["resourceType"] == "Patient")
    assert patient(first) == patient(second) != patient(first, namespace="ours") and to_bundle(first, timezone="UTC") == to_bundle(first.encode(), timezone="UTC")


def test_two_entries_with_one_id_are_both_kept():
    c = made(document(("11450-4", "Problems", "", problem(HF), problem(f'code="38341003" codeSystem="{SCT}" displayName="HTN"'))))["Condition"]
    assert len({x["id"] for x in c}) == 2


@pytest.mark.parametrize("xml, kind", [
    (f'<section><code code="11450-4"/><title>P</title><text>Asthma</text><entry>{problem(HF)}</entry></section>', "Condition"), (problem(HF), "Condition"), (f"<entry>{drug()}</entry>", "MedicationStatement"),
    ('<custodian><assignedCustodian><representedCustodianOrganization><name>GH</name></representedCustodianOrganization></assignedCustodian></custodian>', "Organization"),
    ('<author><assignedAuthor><id root="1.2" extension="3"/><assignedPerson><name><family>X</family></name></assignedPerson></assignedAuthor></author>', "Practitioner"), ("<inFulfillmentOf><order/></inFulfillmentOf>", "DocumentReference"),
    ("<section><text>only words</text></section>", "DocumentReference")])
def test_fragments(xml, kind):
    r = made(xml)
    assert kind in r
    for x in r.get("Condition", []): assert x["subject"]["extension"][0]["valueCode"] == "unknown"


@pytest.mark.parametrize("xml, code", [("<html/>", "empty"), ("<a><b></a>", "xml"), ("<!DOCTYPE a><a/>", "dtd"), ("<a>" * 400 + "</a>" * 400, "too-large"), ("<?xml version='1.0' encoding='nope'?><a/>", "xml")])
def test_errors(xml, code):
    with pytest.raises(CcdaError) as e: to_bundle(xml)
    assert e.value.code in (code, "encoding")


def test_unstructured_body():
    body = "<component><nonXMLBody><text mediaType='application/pdf' representation='B64'>JVBERi0=</text></nonXMLBody></component>"
    d = made(f'<ClinicalDocument>{HEADER}{body}</ClinicalDocument>')["DocumentReference"][0]
    assert d["content"][1]["attachment"] == {"contentType": "application/pdf", "data": "JVBERi0="}


def test_composition_keeps_the_order_and_the_narrative():
    from healthlab.deid.policy import load_policy
    from healthlab.deid.resource import Context, transform
    body = """<component><structuredBody>
      <component><section><code code="48765-2" codeSystem="2.16.840.1.113883.6.1" displayName="Allergies"/><title>Allergies</title>
        <text><table><tr><td onclick="x()">Penicillin &amp; <content ID="a1">co</content></td></tr></table></text>
        <entry><act classCode="ACT" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.30"/><statusCode code="active"/><entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN">
          <templateId root="2.16.840.1.113883.10.20.22.4.7"/><code code="ASSERTION" codeSystem="2.16.840.1.113883.5.4"/><value code="416098002" codeSystem="2.16.840.1.113883.6.96"/>
          <participant typeCode="CSM"><participantRole><playingEntity><code code="70618" codeSystem="2.16.840.1.113883.6.88" displayName="Penicillin"/></playingEntity></participantRole></participant>
        </observation></entryRelationship></act></entry></section></component>
      <component><section><title>Plan</title><text><list listType="ordered"><item>walk</item></list></text><component><section><title>Diet</title><text>fish</text></section></component></section></component>
      <component><section><title>Empty</title></section></component></structuredBody></component>"""
    bundle = to_bundle(f"<ClinicalDocument>{HEADER}{body}</ClinicalDocument>", timezone="UTC")
    resources = {k: [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == k] for k in ("Composition", "AllergyIntolerance", "DocumentReference")}
    (c,) = resources["Composition"]
    assert [s["title"] for s in c["section"]] == ["Allergies", "Plan"] and [s["title"] for s in c["section"][1]["section"]] == ["Diet"]
    assert c["section"][0]["entry"] == [{"reference": f"AllergyIntolerance/{resources['AllergyIntolerance'][0]['id']}"}]
    assert c["section"][1]["section"][0]["entry"] == [{"reference": f"DocumentReference/{resources['DocumentReference'][0]['id']}"}]
    assert "Penicillin &amp; <span>co</span>" in c["section"][0]["text"]["div"] and "onclick" not in str(c) and "<ol><li>walk</li></ol>" in c["section"][1]["text"]["div"]
    assert not [i for i in validate(bundle) if i.stops]
    kept = transform(json.dumps(c).encode(), Context(load_policy("safe-harbor"), b"k" * 32, patient="p"))
    assert b"fish" not in kept and not [i for i in validate(kept) if i.stops]
