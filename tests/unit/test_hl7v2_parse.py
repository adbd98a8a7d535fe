"""Reading HL7 v2: delimiters, escapes, line ends, framing, charsets, batches, message types."""
import io

import pytest

from healthlab.fhir.hl7v2 import Hl7Error, iter_messages, parse, split_batch
from healthlab.fhir.v2message import Delimiters

MSH = "MSH|^~\\&|APP|FAC|||20260101120000||ADT^A01^ADT_A01|1|P|2.5"


@pytest.mark.parametrize("written, read", [
    (r"a\F\b", "a|b"), (r"a\S\b", "a^b"), (r"a\T\b", "a&b"), (r"a\R\b", "a~b"), (r"a\E\b", "a\\b"), (r"\X48\\X69\ ", "Hi "),
    (r"\X4869\!", "Hi!"), (r"a\.br\b", "a\nb"), (r"a\.sp2\b", "a\n\nb"), (r"a\.sk3\b", "a   b"), (r"a\.in+4\b", "ab"), (r"\H\bold\N\ ", "bold "),
    (r"\Zlocal\ ", r"\Zlocal\ "), (r"\X4G\ ", r"\X4G\ "), ("a\\b", "a\\b"), (r"\C2842\x", "x"), ("", ""), (r"\X\ ", r"\X\ "),
])
def test_escapes(written, read):
    assert Delimiters().unescape(written) == read


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r", "\n\r"])
def test_line_ends(end):
    m = parse(end.join([MSH, "PID|1||7", "PV1|1|I", ""]))
    assert [s.name for s in m.segments] == ["MSH", "PID", "PV1"]


def test_framing_bom_and_blank_lines():
    m = parse(b"\xef\xbb\xbf\x0b" + MSH.encode() + b"\r\n\r\nPID|1||7\r\x1c\r")
    assert m.value("PID-3") == "7" and m.control_id == "1"


def test_own_delimiters_repetitions_subcomponents():
    m = parse("MSH$*!?@$A$B$$$2026$$ADT*A08$1$P$2.3\rPID$1$$1*2*3*4@5@6!9***X$$Doe?F?x")
    assert (m.value("PID-3.4.2"), m.value("PID-3(2).4"), m.value("PID-5"), m.type) == ("5", "X", "Doe$x", ("ADT", "A08"))


def test_paths():
    m = parse(MSH + "\rOBX|1|NM|A\rOBX|2|NM|B^x\rZPI|1|local")
    assert m.value("OBX(2)-3.2") == "x" and m.value("ZPI-2") == "local" and m.value("OBX(3)-1") == "" and m.value("PID-3") == ""
    with pytest.raises(ValueError): m.value("nonsense")


def test_null_is_no_value():
    m = parse(MSH + '\rPID|1||7||""|""^x')
    assert m.value("PID-5") == "" and m.value("PID-6") == "" and m.value("PID-6.2") == "x"


def test_continued_lines_are_joined_and_noted():
    m = parse(MSH + "\rOBX|1|TX|A||first\nsecond line\nthird|x\rOBX|2|TX|B")
    assert m.value("OBX-5") == "first\nsecond line\nthird" and m.value("OBX-6") == "x" and len(m.notes) == 2 and len(m.all("OBX")) == 2


@pytest.mark.parametrize("named, codec", [("8859/1", "latin-1"), ("UNICODE UTF-8", "utf-8"), ("", "cp1252"), ("", "utf-8"), ("NOBODY KNOWS", "utf-8"), ("8859/2", "iso8859-2"), ("UNICODE", "utf-8")])
def test_character_sets(named, codec):
    text = MSH + "||||||" + named + "\rPID|1||7||Müller"
    assert parse(text.encode(codec)).value("PID-5") == "Müller"


def test_utf16():
    assert parse((MSH + "\rPID|1||7||Müller").encode("utf-16")).value("PID-5") == "Müller"


@pytest.mark.parametrize("header, segments, expected", [
    ("ADT^A01^ADT_A01", [], ("ADT", "A01")), ("^MDM_T02", ["TXA|1"], ("MDM", "T02")), ("ORU", ["PID|1", "OBR|1", "OBX|1"], ("ORU", "R01")), ("ADT^^ADT_A05", [], ("ADT", "A05")),
    ("", ["EVN|A03", "PID|1"], ("ADT", "A03")), ("", ["PID|1", "SCH|1"], ("SIU", "S12")), ("", ["PID|1", "PRB|AD"], ("PPR", "PC1")), ("", ["PID|1", "ORC|RE", "RXE|1"], ("RDE", "O11")),
    ("", ["PID|1", "RXA|0"], ("VXU", "V04")), ("", ["EVN|T02", "PID|1", "TXA|1"], ("MDM", "T02")), ("", ["PID|1", "MRG|2"], ("ADT", "A40")), ("", [], ("", "")),
])
def test_message_type_given_or_inferred(header, segments, expected):
    assert parse("\r".join([f"MSH|^~\\&|A|B|||2026||{header}|1|P|2.5", *segments])).type == expected


@pytest.mark.parametrize("data, code, position", [
    (b"", "100", "line 1"), (b"PID|1", "100", "line 1"), (b"MSH", "102", "MSH-1"), (b"MSHxyz", "102", "MSH-1"), (b"MSH|", "101", "MSH-2"), (b"MSH|abcd|", "102", "MSH-2"),
    (b"MSH|^^~&|", "102", "MSH-2"), (MSH.encode() + b"\rMSH|^~\\&|", "100", "line 2"), (b"\x00\xff\xfe", "100", "line 1"),
])
def test_what_is_no_message(data, code, position):
    with pytest.raises(Hl7Error) as e: parse(data)
    assert (e.value.code, e.value.position) == (code, position)


def test_error_text_holds_no_value():
    with pytest.raises(Hl7Error) as e: parse("Mary Poppins")
    assert "Mary" not in str(e.value) and "Mary" not in repr(parse(MSH + "\rPID|||1||Mary").segments)


BATCH = b"FHS|^~\\&|X\rBHS|^~\\&|X\r" + MSH.encode() + b"\rPID|1\r\n" + MSH.encode() + b"\nPID|2\n\x1c\r\x0b" + MSH.encode() + b"\rPID|3\rBTS|3\rFTS|1\r"


def test_split_batch():
    assert [parse(m).value("PID-1") for m in split_batch(BATCH)] == ["1", "2", "3"]
    with pytest.raises(Hl7Error): split_batch(b"hello")
    with pytest.raises(Hl7Error): split_batch(b"junk\r" + MSH.encode())
    with pytest.raises(Hl7Error): split_batch(b"")


@pytest.mark.parametrize("block", [1, 2, 7, 64, 10_000])
def test_streaming_is_the_same_whatever_the_blocks(block):
    blocks = [BATCH[i:i + block] for i in range(0, len(BATCH), block)]
    assert [m for _, m in iter_messages(blocks)] == split_batch(BATCH)


def test_streaming_refuses_what_is_too_long_and_goes_on():
    data = MSH.encode() + b"\rOBX|1|TX|||" + b"x" * 5000 + b"\r" + MSH.encode() + b"\rPID|2\r"
    got = [m for _, m in iter_messages(io.BytesIO(data), 1000)]
    assert isinstance(got[0], Hl7Error) and parse(got[1]).value("PID-1") == "2"
