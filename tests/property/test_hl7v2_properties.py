"""Whatever arrives, the HL7 v2 reader answers with a bundle that validates or an Hl7Error: no other exception, no hang."""
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from healthlab.fhir.hl7v2 import Hl7Error, ack, check, from_bundle, iter_messages, parse, split_batch, to_bundle
from healthlab.fhir.model import references, validate

SEEDS = [
    "MSH|^~\\&|A|GH|||20260101120000+0100||ADT^A01^ADT_A01|1|P|2.5\rEVN|A01|20260101\rPID|1||77^^^GH^MR||Doe^Jane||19700102|F|||1 St^^T||1^PRN^PH\rNK1|1|Doe^J|SPO\rPV1|1|I|W^1^2||||4711^W^M||||||||||||V1|||||||||||||||||||||||||20260101080000\rDG1|1||I50^HF^I10||20260101|A\rAL1|1|DA|7^P^L|SV|H\rIN1|1|P|I|B\rPR1|1||1^x^C4||20260101\rMRG|9",
    "MSH|^~\\&|L|GH|||20260103||ORU^R01|2|P|2.5\rPID|1||77\rORC|RE|P1|F1||CM\rOBR|1|P1|F1|1^C^LN|||20260103080000||||||||||||||||||F\rOBX|1|NM|2^G^LN||5.4~5|mmol/L^^UCUM|3-5|H|||F\rNTE|1||n\rOBX|2|SN|1^C||^1^:^2\rOBX|3|TX|R||a\rOBX|4|TX|R||b\rOBX|5|ED|R||^application^pdf^Base64^AAAA\rSPM|1|a^b||BLD|||||||1^mL|||||20260101^20260102",
    "MSH|^~\\&|L|GH|||20260103||MDM^T02|3|P|2.5\rPID|1||77\rTXA|1|DS|TX|20260103101500+0100||||4^W|||D1\rOBX|1|TX|X||t",
    "MSH|^~\\&|L|GH|||20260103||SIU^S12|4|P|2.5\rSCH|1|2|||||||30|min|^^^20260109100000+0100^20260109103000+0100\rPID|1||77\rAIS|1||1^V\rAIP|1||4^W\rAIL|1||W^1\rAIG|1||E",
    "MSH|^~\\&|L|GH|||20260103||RDE^O11|5|P|2.5\rPID|1||77\rORC|NW|R1\rTQ1|1||BID||||20260105|20260115\rRXE||1^A^RXNORM|1|2|mg||x||G|3|t|2\rRXR|PO\rRXA|0|1|20260104||08^H^CVX|1|mL\rFT1|1|T||20260101||CG|1^x|||1|1&USD\rPRB|AD|20260101|1^x^SCT\rRF1|A|R|X|||1||20260101",
]
# pieces that matter to the reader: delimiters, escapes, framing, extreme dates and numbers
PIECES = st.sampled_from(["|", "^", "~", "&", "\\", "\r", "\n", "\\X", "\\.br\\", "\x0b", "\x1c\r", '""', "99999999", "20261301", "0000", "1e999", "-", "<5", "\ud800", "\u2028", "MSH|", "\x00", "é", "9" * 40, "MR", "NM", "OBX|", "PID|"])
LOOSE = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def mutated(draw):
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 6))):
        at, cut, piece = draw(st.integers(0, len(text))), draw(st.integers(0, 6)), draw(st.one_of(PIECES, st.text(max_size=4)))
        text = text[:at] + piece + text[at + cut:]
    return text


def survives(message):
    check(message)
    try: b = to_bundle(message, timezone="UTC")
    except Hl7Error as e:
        assert e.code.isdigit()
        assert parse(ack(message, "AE", e)).value("MSA-1") == "AE"
        return None
    errors = [i for i in validate(json.dumps(b)) if i.severity in ("fatal", "error")]
    assert not errors, errors[:3]
    known = {e["request"]["url"] for e in b["entry"]}
    assert {text for e in b["entry"] for _, text in references(e["resource"])} <= known
    return b


@LOOSE
@given(mutated())
def test_mutated_messages(text):
    survives(text)


@LOOSE
@given(st.binary(max_size=400))
def test_arbitrary_bytes(data):
    survives(data)
    try: split_batch(data)
    except Hl7Error: pass
    assert all(isinstance(m, (bytes, Hl7Error)) for _, m in iter_messages([data], 100))


@LOOSE
@given(st.binary(max_size=200), st.sampled_from(SEEDS), st.integers(0, 400))
def test_bytes_inside_a_message(junk, seed, at):
    data = seed.encode()
    survives(data[:at] + junk + data[at:])


@LOOSE
@given(mutated())
def test_back_and_forth(text):
    "What converts can be written back, and what is written is read again as the same patient."
    try: b = to_bundle(text, timezone="UTC")
    except Hl7Error: return
    for event in ("ADT^A08", "ORU^R01"):
        try: back = from_bundle(b, event)
        except Hl7Error: continue
        assert parse(back).type == tuple(event.split("^"))


@LOOSE
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda c: st.lists(c, max_size=3) | st.dictionaries(st.sampled_from(["entry", "resource", "resourceType", "id", "name", "identifier", "value"]), c, max_size=4), max_leaves=12))
def test_converting_is_deterministic_and_never_quotes(junk):
    "Errors never carry what was in the message."
    try: parse("MSH|^~\\&|\r" + str(junk))
    except Hl7Error as e: assert str(junk) not in str(e) or len(str(junk)) < 9
