"""FHIR back to v2 (ADT, ORU), acknowledgements, and the conformance report on what comes in."""
import datetime

import pytest

from healthlab.fhir.hl7v2 import Hl7Error, ack, check, from_bundle, parse, to_bundle

ADT = ("MSH|^~\\&|ADT1|GH|HUB|X|20260101120000+0100||ADT^A01^ADT_A01|1|P|2.5\rEVN|A01|20260101120000+0100\r"
       "PID|1||77^^^GH&1.2.3&ISO^MR~123456789^^^SSA^SS||O\\T\\Hara^Jane^Q||19700102|F|||1 High St^Apt 2^Town^ST^12345^US^H||5551234^PRN^PH~j@x.org^^Internet||eng^English^HL70296|M^Married^HL70002\r"
       "NK1|1|Doe^John|SPO^Spouse^HL70063||5550000^PRN^PH\rPV1|1|I|W^389^1^GH|E|||4711^Welby^Marcus^^^Dr||||||||||||V1^^^GH&1.2.3&ISO^VN|||||||||||||||||||||||||20260101080000+0100|20260103\r"
       "AL1|1|DA|70618^Penicillin^RXNORM|SV|Hives\rDG1|1||I50.9^Heart failure^I10C||20260101|A\r")
ORU = ("MSH|^~\\&|LAB|GH|HUB|X|20260103081500+0100||ORU^R01^ORU_R01|2|P|2.5\rPID|1||77^^^GH&1.2.3&ISO^MR||Doe^Jane||19700102|F\rORC|RE|P1^APP|F1^LAB||CM|||||||4711^Welby^Marcus\r"
       "OBR|1|P1^APP|F1^LAB|24323-8^CMP^LN|||20260103080000+0100|||||||||||||||||CH|F\rOBX|1|NM|2345-7^Glucose^LN||5.4|mmol/L^^UCUM|3.9-5.6|H^High^HL70078|||F|||20260103075500+0100\rNTE|1||fasting \\T\\ resting\r"
       "OBX|2|SN|1^CRP^L||<^5|mg/L|||||P\rOBX|3|CWE|2^Culture^L||260385009^Negative^SCT||||||F\rOBX|4|ST|3^Comment^L||line one\\.br\\line two||||||F\r"
       "OBX|5|ED|R^Report^L||^application^pdf^Base64^JVBERi0=||||||F\r")


def resources(text):
    return {e["request"]["url"]: e["resource"] for e in to_bundle(text, timezone="UTC")["entry"] if e["resource"]["resourceType"] not in ("MessageHeader", "Provenance")}


@pytest.mark.parametrize("text, event", [(ADT, "ADT^A01"), (ORU, "ORU^R01")])
def test_round_trip(text, event):
    "A message made of the bundle of a message converts to the same resources with the same ids."
    first = resources(text)
    back = from_bundle(to_bundle(text, timezone="UTC"), event)
    assert parse(back).type == tuple(event.split("^")) and not [i for i in check(back) if i.severity in ("fatal", "error")]
    second = resources(back)
    for url, resource in first.items():
        if url.split("/")[0] in ("Patient", "Encounter", "DiagnosticReport", "Observation", "AllergyIntolerance"): assert second[url] == resource, url
        if url.split("/")[0] == "Condition": assert [r["code"] for u, r in second.items() if u.startswith("Condition")] == [resource["code"]]


def test_merge_goes_back():
    text = "MSH|^~\\&|A|GH|||20260101||ADT^A40|1|P|2.5\rPID|||1^^^GH^MR||Doe\rMRG|2^^^GH^MR\r"
    again = resources(from_bundle(to_bundle(text, timezone="UTC"), "ADT^A40"))
    assert resources(text).keys() == again.keys()


def test_delimiters_in_values_are_escaped():
    b = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "p", "name": [{"family": "A|B^C&D~E\\F\nG\rMSH|x"}], "identifier": [{"value": "7"}]}}]}
    m = parse(from_bundle(b, "ADT^A08", when="2026-01-01T00:00:00Z"))
    assert m.value("PID-5") == "A|B^C&D~E\\F\nGMSH|x" and len(m.segments) == 3


@pytest.mark.parametrize("bundle, event, code", [({"resourceType": "Bundle"}, "ADT^A08", "101"), ({"entry": [{"resource": {"resourceType": "Patient"}}]}, "SIU^S12", "200")])
def test_what_cannot_be_written(bundle, event, code):
    with pytest.raises(Hl7Error) as e: from_bundle(bundle, event)
    assert e.value.code == code


WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)


def test_ack_accepts():
    a = parse(ack(ADT, when=WHEN))
    assert [a.value(p) for p in ("MSH-3", "MSH-4", "MSH-5", "MSH-6", "MSH-7", "MSH-9.1", "MSH-9.2", "MSA-1", "MSA-2")] == ["HUB", "X", "ADT1", "GH", "20260102030405+0000", "ACK", "A01", "AA", "1"]
    assert a.first("ERR") is None


@pytest.mark.parametrize("error, err3, location", [
    (Hl7Error("101", "PID-3"), "101", ["PID", "1", "3"]), (Hl7Error("102", "OBX(2)-5"), "102", ["OBX", "2", "5"]), (Hl7Error("100", "line 3"), "100", ["", "", ""]), (ValueError("Jane Doe"), "207", ["", "", ""]), (None, "207", ["", "", ""])])
def test_ack_refuses(error, err3, location):
    text = ack(ADT, "AE", error, WHEN)
    a = parse(text)
    assert (a.value("MSA-1"), a.value("ERR-3"), a.value("ERR-3.3"), a.value("ERR-4")) == ("AE", err3, "HL70357", "E") and [a.value(f"ERR-2.{n}") for n in (1, 2, 3)] == location
    assert "Jane" not in text


@pytest.mark.parametrize("junk", [b"", b"\x00", b"PID|1", "MSH", b"\xff" * 100])
def test_ack_of_what_is_no_message(junk):
    a = parse(ack(junk, "AE", when=WHEN))
    assert a.value("MSA-1") == "AE" and a.value("ERR-3") in ("100", "102")


@pytest.mark.parametrize("text, found", [
    ("MSH|^~\\&|A|B|||20260101||ADT^A01||P|2.5\rEVN|A01|20260101\rPID|1||7||D\rPV1|1|I", ("error", "required", "MSH-10")),
    ("MSH|^~\\&|A|B|||20260101||ADT^A01|1|P|2.5\rPID|1||7||D\rPV1|1|I", ("error", "required", "EVN")),
    ("MSH|^~\\&|A|B|||20260101||ADT^A01|1|P|2.5\rEVN|A01|20260101\rPID|1||||D\rPV1|1|I", ("error", "required", "PID-3")),
    ("MSH|^~\\&|A|B|||20260101||ADT^A01|1|P|2.5\rEVN|A01|20260101\rPID|1||7||D||20261301\rPV1|1|I", ("error", "value", "PID-7")),
    ("MSH|^~\\&|A|B|||20260101||ADT^A01|1|P|2.5\rEVN|A01|20260101\rPID|1||7||D||soon\rPV1|1|I", ("error", "value", "PID-7")),
    ("MSH|^~\\&|A|B|||20260101||ADT^A01|1|P|2.5\rEVN|A01|20260101\rPID|x||7||D\rPV1|1|I", ("error", "value", "PID-1")),
    ("MSH|^~\\&|A|B|||20260101||ADT^A01|1|P|9.9\rEVN|A01|20260101\rPID|1||7||D\rPV1|1|I", ("warning", "value", "MSH-12")),
    ("MSH|^~\\&|A|B|||20260101||^ADT_A01|1|P|2.5\rPID|1||7||D\rPV1|1|I", ("error", "value", "MSH-9")),
    ("MSH|^~\\&|A|B|||20260101||ADT^A01|1|P|2.5\rEVN|A01|20260101\rPID|1||7||D\rPV1|1|I\rZXX|1", ("information", "informational", "ZXX")),
    ("MSH|^~\\&|A|B|||20260101||ORU^R01|1|P|2.5\rPID|1||7||D\rOBR|1||F|1^x\rOBX|1|NM|1^x||1||||||F\rOBX|2|NM|1^x||1||||||F|||99999999", ("error", "value", "OBX(2)-14")),
    ("garbage", ("fatal", "structure", "line 1")),
])
def test_conformance(text, found):
    issues = [(i.severity, i.code, i.path) for i in check(text)]
    assert found in issues


def test_a_message_in_order_has_no_errors():
    assert [i for i in check(ADT) if i.severity in ("fatal", "error")] == [] and [i for i in check(ORU) if i.severity in ("fatal", "error")] == []


def test_issues_quote_no_value():
    text = "MSH|^~\\&|A|B|||Whitman||ADT^A01|1|P|2.5\rPID|Walt||7||Whitman||Whitman\rPV1|1|I"
    assert "Whitman" not in repr(check(text)) and "Walt" not in repr(check(text))
