"""HL7 v2, C-CDA and CSV de-identified in their own form: what is known is treated by the policy, what is not is dropped, what cannot be treated is held."""
import json

import pytest

from healthlab.core.errors import HealthlabError, InputError
from healthlab.deid.carrier import People, context, moment, number
from healthlab.deid.ccda import deidentify_document
from healthlab.deid.csv import deidentify_table
from healthlab.deid.hl7v2 import deidentify_message
from healthlab.deid.policy import load_policy
from healthlab.fhir.cda import read_xml
from healthlab.fhir.v2message import parse

KEY = b"k" * 32
MSH = r"MSH|^~\&|LAB|MERCY|EHR|MERCY|20240105101500-0500||ORU^R01^ORU_R01|MSG00417|P|2.5.1"
PID = "PID|1||7740913^^^MERCY^MR||Quillfeather^Zenobia^M||19610517|F||2106-3^White^HL70005|48 Larkspur Hollow Road^^Thistlewick^MA^02139^USA||617-555-0188"


def said(*segments, head=MSH, pid=PID, **more): return deidentify_message("\r".join([head, pid, *segments]), key=KEY, **more).data.decode()


def line(text, name): return next((x for x in text.split("\r") if x.startswith(name)), None)


@pytest.mark.parametrize("segment,kept", [
    ("OBX|1|NM|2093-3^Cholesterol^LN||182|mg/dL|<200|N|||F|||20240104", "182|mg/dL|<200|N|||F"), ("OBX|1|CWE|X^Y^L||44054006^Diabetes mellitus type 2^SCT||||||F", "44054006^Diabetes mellitus type 2^SCT"),
    ("OBX|1|SN|X^Y^L||>^100^/^2|||||||", ">^100^/^2"), ("AL1|1|DA^Drug allergy^HL70127|70618^Penicillin^RXNORM|SV|Hives", "70618^Penicillin^RXNORM|SV|Hives"), ("RXR|PO^Oral^HL70162", "PO^Oral^HL70162")])
def test_clinical_content_of_a_message_stays(segment, kept): assert kept in said(segment)


@pytest.mark.parametrize("segment", ["ZPI|1|Zenobia", "NK1|1|Quillfeather^Barnaby|HUS^Husband^HL70063|48 Larkspur Hollow Road|617-555-0188", "GT1|1||Quillfeather^Zenobia", "PD1|||MERCY CLINIC^^55512",
    "OBX|1|TX|X^Y^L||Zenobia Quillfeather, 617-555-0188", "OBX|1|ST|X^Zenobia Quillfeather^L||7740913", "OBX|1|NM|X^Y^L||7740913", "OBX|1|CWE|X^Y^L||Q^Mrs. Quillfeather called^L", "OBX|1|XX|X^Y^L||Zenobia", "OBX|1|RP|X^Y^L||//server/Quillfeather.pdf",
    "NTE|1||Quill\\.br\\ Seen with Zenobia \\T\\ Barnaby Quillfeather; SSN 123-45-6789", "OBX|1|ED|X^Y^L||MERCY^TEXT^PLAIN^Base64^U2VlbjogWmVub2JpYSBRdWlsbGZlYXRoZXIsIDYxNy01NTUtMDE4OA==", "OBX|1|ED|X^Y^L||MERCY^AP^PDF^Base64^JVBERi0xLjQ=", "PV1|1|I|3W^301^A^MERCY||||1234567893^Holbrook^Ann"])
def test_nothing_of_anybody_comes_out_of_a_message(segment):
    import base64
    import re
    text = said(segment).lower()
    text += "".join(base64.b64decode(x).decode("utf-8", "replace").lower() for x in re.findall(r"base64\^([a-z0-9+/=]+)", said(segment), re.I))
    assert not [w for w in ("quillfeather", "zenobia", "barnaby", "7740913", "555-0188", "larkspur", "thistlewick", "02139", "19610517", "123-45-6789", "holbrook", "1234567893", "mercy", "%pdf", "msg00417") if w in text]


def test_a_message_stays_a_message():
    m = parse(said("OBX|1|TX|X^Y^L||line one\\.br\\tab \\T\\ rest", "NTE|1||5 \\S\\ 3"))
    assert m.type == ("ORU", "R01") and m.first("OBX").value(5) == "line one\ntab & rest" and m.first("NTE").value(3) == "5 ^ 3" and m.value("PID-3.5") == "MR" and m.value("PID-11.4") == "MA" and m.value("PID-11.5") == "021"


def test_an_age_over_89_becomes_90_in_every_form():
    assert "||90|a^" in said("OBX|1|NM|30525-0^Age^LN||93|a^year^UCUM|") and "||88|a^" in said("OBX|1|NM|30525-0^Age^LN||88|a^year^UCUM|")


def test_what_a_message_needs_to_be_read_is_short_and_no_word():
    m = parse(said("OBX|1|NM|X^Y^L|Larkin|1||||||F", head=MSH.replace("|P|", "|Larkin|")))
    assert m.value("OBX-4") == "" and m.value("MSH-11") == "" and m.value("MSH-9.3") == "ORU_R01" and m.value("MSH-12") == "2.5.1"


@pytest.mark.parametrize("message", [b"", b"PID|1", "\r".join([MSH, PID, PID.replace("7740913", "5550001")]), "MSH|^~\\&"])
def test_a_message_that_cannot_be_treated_is_held(message):
    with pytest.raises(HealthlabError) as e: deidentify_message(message, key=KEY)
    assert "7740913" not in str(e.value)


def test_the_policy_may_say_otherwise_for_a_path(tmp_path):
    own = json.loads((__import__("importlib").resources.files("healthlab.deid") / "policies/safe-harbor.json").read_text())
    own |= {"name": "own", "hl7v2": {"PID-8": ["drop", "R"], "ZPI-1": "string"}}
    (tmp_path / "own.json").write_text(json.dumps(own))
    text = said("ZPI|well and walking", policy=load_policy(str(tmp_path / "own.json")))
    assert line(text, "ZPI") == "ZPI|well and walking" and "|F|" not in line(text, "PID")
    (tmp_path / "bad.json").write_text(json.dumps(own | {"hl7v2": {"PID-8": "nothing"}}))
    with pytest.raises(InputError): load_policy(str(tmp_path / "bad.json"))


def test_the_projects_policy_is_the_settings(monkeypatch):
    monkeypatch.setenv("HEALTHLAB_DEID_POLICY", "limited-data-set")
    assert load_policy().name == "limited-data-set"
    assert "19610517" in said() and "Thistlewick" in said() and "Quillfeather" not in said()


@pytest.mark.parametrize("text", ["20240229", "20240229143000.123-0500", "202402", "2024"])
def test_times_keep_their_notation(text):
    c = context({"resourceType": "Patient", "id": "p"}, key=KEY)
    got = moment(c, text)
    assert len(got) == len(text) and got[8:] == text[8:] and (got != text or len(text) == 4)


def test_a_patient_the_lake_knows_by_number_is_that_patient():
    people = People.of([{"resourceType": "Patient", "id": "p-1", "identifier": [{"value": "7740913"}], "name": [{"family": "Quillfeather"}]}, {"resourceType": "Patient", "id": "p-2", "identifier": [{"value": "5550001"}]}])
    asked = lambda *ids: context({"resourceType": "Patient", "id": "m", "identifier": [{"value": v} for v in ids]}, people=people, key=KEY).patient
    assert [asked("774-0913"), asked("none"), asked("7740913", "5550001"), asked("7740913", "none")] == ["p-1", "m", "m", "p-1"]


DOC = """<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/><effectiveTime value="20240105"/>
<recordTarget><patientRole><id root="1.2.3.5" extension="7740913"/><patient><name><given>Zenobia</given><family>Quillfeather</family></name><birthTime value="19610517"/></patient></patientRole></recordTarget>
<component><structuredBody><component><section><code code="11450-4" codeSystem="2.16.840.1.113883.6.1"/><text>{text}</text>{entry}</section></component></structuredBody></component></ClinicalDocument>"""


def document(text="", entry="", **more): return deidentify_document(DOC.format(text=text, entry=entry), key=KEY, **more).data.decode()


@pytest.mark.parametrize("text", ["<list><item>Zenobia</item><item>Mrs. <content styleCode='Bold'>Quillfeather</content></item></list>", "<paragraph>MRN 7740913, 617-555-0188</paragraph>", "<linkHtml href='http://x/Quillfeather'>chart</linkHtml>", "<script>Zenobia</script>", "<renderMultiMedia referencedObject='Quillfeather'/>", "<content ID='Quillfeather'>x</content>"])
def test_narrative_keeps_markup_and_loses_people(text):
    out = document(text)
    assert not [w for w in ("Quillfeather", "Zenobia", "7740913", "617-555", "script", "19610517") if w in out] and read_xml(out.encode()).tag == "ClinicalDocument"


@pytest.mark.parametrize("entry", ["<entry><act classCode='ACT' moodCode='EVN'><unknownThing>Zenobia</unknownThing><text>Zenobia Quillfeather</text></act></entry>", "<entry><observation classCode='OBS' moodCode='EVN'><value xsi:type='ST'>Zenobia Quillfeather</value></observation></entry>",
    "<entry><observationMedia classCode='OBS' moodCode='EVN'><value mediaType='image/jpeg' representation='B64'>WmVub2JpYQ==</value></observationMedia></entry>", "<entry><observation classCode='OBS' moodCode='EVN'><value xsi:type='INT' value='7740913'/><author><assignedAuthor><id root='2.16.840.1.113883.4.6' extension='1234567893'/><assignedPerson><name>Ann Holbrook</name></assignedPerson></assignedAuthor></author></observation></entry>"])
def test_entries_lose_people(entry): assert not [w for w in ("Quillfeather", "Zenobia", "7740913", "Holbrook", "1234567893", "WmVub2JpYQ", "unknownThing") if w in document("x", entry)]


def test_numbers_and_codes_of_a_document_stay():
    out = document("BP 120/80", "<entry><observation classCode='OBS' moodCode='EVN'><code code='8480-6' codeSystem='2.16.840.1.113883.6.1' displayName='Systolic blood pressure'/><value xsi:type='PQ' value='120' unit='mm[Hg]'/></observation></entry>")
    assert 'code="8480-6"' in out and 'displayName="Systolic blood pressure"' in out and 'xsi:type="PQ" value="120" unit="mm[Hg]"' in out and "BP 120/80" in out


def test_staff_have_one_number_in_every_form():
    c, d = (context({"resourceType": "Patient", "id": i}, key=KEY) for i in ("p-1", "p-2"))
    assert number(c, "1234567893", staff=True) == number(d, "1234567893", staff=True) and number(c, "1234567893") != number(d, "1234567893")
    assert number(c, "1234567893", staff=True) in said("PV1|1|I|||||1234567893^Holbrook") and number(c, "1234567893", staff=True) in document("", "<entry><act classCode='ACT' moodCode='EVN'><performer><assignedEntity><id root='2.16.840.1.113883.4.6' extension='1234567893'/></assignedEntity></performer></act></entry>")


@pytest.mark.parametrize("xml", [b"<ClinicalDocument", b"<section/>", DOC.replace("<recordTarget>", "<x>").replace("</recordTarget>", "</x>").encode(), b"<!DOCTYPE a><ClinicalDocument/>"])
def test_a_document_that_cannot_be_treated_is_held(xml):
    with pytest.raises(HealthlabError) as e: deidentify_document(xml, key=KEY)
    assert "Quillfeather" not in str(e.value)


def test_columns_nobody_knows_are_dropped_with_their_names():
    out = deidentify_table(b"PATIENT,DATE,CODE,DESCRIPTION,VALUE,UNITS,NICKNAME\np-1,2024-01-05,4548-4,HbA1c,7.1,%,Zenny\np-1,bad\n", key=KEY)
    assert b"Zenny" not in out.data and b"NICKNAME" not in out.data and out.held == 1 and b"4548-4,HbA1c,7.1,%" in out.data
    with pytest.raises(InputError): deidentify_table(b"a,b\n1,2\n", key=KEY)
    with pytest.raises(InputError): deidentify_table(b"", key=KEY)


def test_a_table_of_the_projects_own(tmp_path):
    own = json.loads((__import__("importlib").resources.files("healthlab.deid") / "policies/safe-harbor.json").read_text())
    (tmp_path / "own.json").write_text(json.dumps(own | {"csv": {"chart": "Identifier", "seen": "dateTime", "remark": "string"}}))
    out = deidentify_table(b"chart,seen,remark,who\n7740913,2024-01-05,no change,Zenobia\n", key=KEY, policy=load_policy(str(tmp_path / "own.json"))).data.decode()
    assert out.startswith("chart,seen,remark\n") and "7740913" not in out and "2024-01-05" not in out and "no change" in out
