"""The scan fails closed: what it cannot open, cannot decode or finds too large is held; and it says where without quoting."""
import codecs
import gzip
import io
import json
import os
import random
import zipfile

import pytest

from healthlab.core.errors import InputError
from healthlab.release import scan, words
from healthlab.release.known import Known, known_in


def codes(found): return {f.code for f in found.findings}


def zipped(**members):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in members.items(): z.writestr(name, data)
    return b.getvalue()


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setenv("HEALTHLAB_RELEASE_MAX_MB", "2")
    monkeypatch.setenv("HEALTHLAB_RELEASE_MAX_MEMBERS", "50")
    monkeypatch.setenv("HEALTHLAB_RELEASE_MAX_DEPTH", "4")
    words._public.cache_clear()  # settings are looked up every five seconds
    yield
    words._public.cache_clear()


# what                     how it is made                                                          why it stays
BOMBS = {
    "gzip bomb": (lambda: gzip.compress(bytes(40 << 20)), "limit"),
    "gzip in gzip bomb": (lambda: gzip.compress(gzip.compress(bytes(200 << 20))), "limit"),
    "zip bomb": (lambda: zipped(a=bytes(40 << 20)), "limit"),
    "many members": (lambda: zipped(**{f"m{i}": b"ok" for i in range(200)}), "limit"),
    "large file": (lambda: b"a " * (3 << 20), "limit"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_held_after_bounded_work(small, name):
    make, why = BOMBS[name]
    found = scan(make(), name="a.bin2")
    assert why in codes(found) and found.bytes < 20 << 20


def test_deep_nesting_is_held(small):
    raw = b"ok"
    for _ in range(8): raw = zipped(inner=raw)
    assert "limit" in codes(scan(raw, name="deep.zip"))


UNREADABLE = {
    "random bytes": os.urandom(4000),
    "cut-off zip": zipped(a=b"hello " * 100)[:-30],
    "cut-off gzip": gzip.compress(os.urandom(2000))[:-200],
    "cut-off png": b"\x89PNG\r\n\x1a\n" + b"\0\0\1\0IHDR12",
    "sqlite": b"SQLite format 3\0" + bytes(200) + os.urandom(300),
    "pickle": b"\x80\x04\x95\x05\0\0\0\0\0\0\0\x8c\x01a\x94.",
    "7z": b"7z\xbc\xaf\x27\x1c" + os.urandom(300),
    "rar": b"Rar!\x1a\x07\x01\x00" + os.urandom(300),
    "dicom": bytes(128) + b"DICM" + os.urandom(200),
    "damaged parquet": b"PAR1" + os.urandom(300) + b"PAR1",
    "encrypted parquet": b"PARE" + os.urandom(300) + b"PARE",
    "encrypted pdf": b"%PDF-1.4\ntrailer <</Encrypt 5 0 R>>\n%%EOF",
    "pdf with letters by number": b"%PDF-1.4\n1 0 obj <</Type/Font/Subtype/Type0/Encoding/Identity-H>> endobj\n%%EOF",
    "ebcdic": "Mary Johnson, MRN 4821937, born in March".encode("cp037"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_held(name):
    assert scan(UNREADABLE[name], name="a.dat").decision == "hold"


def test_encrypted_zip_is_held():
    raw = bytearray(zipped(a=b"ok"))
    for sign, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)): raw[raw.index(sign) + at] |= 1
    assert codes(scan(bytes(raw), name="a.zip")) == {"opaque"}


def test_bytes_between_the_members_of_a_zip_are_held():
    raw = zipped(a=b"ok")
    hidden = os.urandom(200)
    at = raw.index(b"PK\1\2")
    moved = raw[:at] + hidden + raw[at:-22] + raw[-22:-6] + (at + len(hidden)).to_bytes(4, "little") + b"\0\0"
    assert scan(raw, name="a.zip").decision == "pass"
    assert "opaque" in codes(scan(moved, name="a.zip"))


def test_a_picture_with_something_behind_it_is_held():
    from PIL import Image
    for form in ("PNG", "JPEG", "GIF", "WEBP"):
        b = io.BytesIO()
        Image.new("RGB", (9, 9)).save(b, form)
        assert scan(b.getvalue(), name="a." + form.lower()).decision == "pass"
        assert scan(b.getvalue() + os.urandom(64), name="a." + form.lower()).decision == "hold"


def test_an_empty_file_passes(): assert scan(b"", name="a.txt").decision == "pass"


@pytest.mark.parametrize("name", ["mary_johnson.csv", "Mary Johnson.csv", "MaryJohnson.csv", "mrn-4821937.csv", "johnson,mary.csv", "555-010-4477.csv", "4821937_19510314.csv"])
def test_a_name_that_identifies_is_held_and_not_repeated(name):
    found = scan(b"band,n\n40-49,120\n", name=name)
    assert found.decision == "hold" and all("file 1" in f.where for f in found.findings)


@pytest.mark.parametrize("name", ["report.html", "table_1.csv", "cohort-summary.csv", "figure_2.png.csv", "run.json.csv", "age_bands_2024.csv"])
def test_ordinary_names_pass(name): assert scan(b"band,n\n40-49,120\n", name=name).decision == "pass"


def test_a_folder_is_read_whole_and_links_are_held(tmp_path):
    (tmp_path / "out/.hidden").mkdir(parents=True)
    (tmp_path / "out/a.csv").write_text("band,n\n40-49,120\n")
    assert scan(tmp_path / "out").decision == "pass"
    (tmp_path / "secret.txt").write_text("ok")
    (tmp_path / "out/link.txt").symlink_to(tmp_path / "secret.txt")
    assert {(f.where, f.code) for f in scan(tmp_path / "out").findings} == {("link.txt", "format")}
    (tmp_path / "out/link.txt").unlink()
    (tmp_path / "out/.hidden/n").write_text("Mrs. Mary Johnson")
    assert scan(tmp_path / "out").decision == "hold"
    (tmp_path / "out/.hidden/n").unlink()
    os.mkfifo(tmp_path / "out/pipe")
    assert scan(tmp_path / "out").decision == "hold"
    (tmp_path / "out/pipe").unlink()
    (tmp_path / "out/mary_johnson").mkdir()
    assert {f.where for f in scan(tmp_path / "out").findings} == {"folder 2 › name"}


def test_nothing_to_check_is_an_input_error(tmp_path):
    with pytest.raises(InputError) as e: scan(tmp_path / "mary_johnson_none")
    assert e.value.exit_code == 2


def test_models_stay_unless_declared():
    raw = (120).to_bytes(8, "little") + json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).ljust(120).encode() + bytes(16)
    assert codes(scan(raw, name="risk.safetensors")) == {"model"}
    declared = scan(raw, name="risk.safetensors", declared=["risk.safetensors"])
    assert declared.decision == "pass" and [f.kind for f in declared.looks]
    assert scan(b"\x80\x04\x95\x05\0\0\0\0\0\0\0\x8c\x01a\x94.", name="risk.csv").decision == "hold"


@pytest.fixture
def lake_knows():
    k = Known(b"test")
    k.patient({"resourceType": "Patient", "id": "p-81", "name": [{"given": ["Wren"], "family": "Ocampoli"}], "birthDate": "1951-03-14", "identifier": [{"value": "QX77-1093"}],
               "telecom": [{"value": "wren.o@mail.test"}, {"value": "+1 555 010 4477"}], "address": [{"line": ["12 Harbour Street"]}]})
    return k


@pytest.mark.parametrize("text", ["ocampoli wren seen", "qx 77 1093", "QX771093", "wren.o@mail.test", "5550104477", "seen at 12 harbour street", "OCAMPOLI", "3901-77xq", "7744 010 555"])
def test_the_lakes_own_patients_are_found_by_what_is_known(lake_knows, text):
    found = scan(f"group A: {text}".encode(), name="a.txt", known=lake_knows)
    assert "known" in codes(found)


def test_surrogates_of_deidentification_are_no_findings(lake_knows):
    row = b"patient,date,seen by\n0123456789abcdef0123456789abcdef,2019-04-02,Dr. Alan Whitfield\n"
    assert scan(row, name="a.csv", known=lake_knows).decision == "hold"
    lake_knows.surrogates.add(lake_knows.hash("date", "2019-04-02"))
    lake_knows.pairs(["alan", "whitfield"])
    assert scan(row, name="a.csv", known=lake_knows).decision == "pass"
    lake_knows.pairs(["alan", "brown"])
    assert scan(row.replace(b"Alan Whitfield", b"Whitfield Brown"), name="a.csv", known=lake_knows).decision == "hold", "words of surrogates, but no surrogate together"


def test_fillers_and_short_counts_are_nobodys_number():
    from healthlab.release.known import Known, known_in
    k = Known(b"k" * 32)
    for n in ("000000", "999-99-9999", "10035", "4821937", "MRN-0048213"): k.patient({"resourceType": "Patient", "identifier": [{"value": n}]})
    assert known_in("stroke: #000000; tel 999-99-9999; 10035 rows", k) == []
    assert len(known_in("number 4821937 and 0048213", k)) == 2


def test_the_index_is_asked_in_ascii_as_in_any_text():
    from healthlab.release.known import HEADS, PLAIN_HEADS, PLAIN_WORDS, WORDS
    rng = random.Random(4)
    for _ in range(4000):
        text = "".join(rng.choice("ab12 -_.'/") for _ in range(rng.randrange(30)))
        assert PLAIN_WORDS.findall(text) == WORDS.findall(text)
        assert set(HEADS.findall(text)) <= set(PLAIN_HEADS.findall(text)), text


def test_numbers_are_found_at_every_place_where_one_can_begin():
    from healthlab.release.known import HEADS, PIECES
    k, rng, many = Known(b"test"), random.Random(5), 0
    for n in ("ab12ab1", "1212 1b1", "2a1b2a1b"): k.patient({"resourceType": "Patient", "identifier": [{"value": n}]})
    for _ in range(3000):
        wanted, text = set(), " ".join("".join(c + rng.choice(["", "", "-", ". "]) for c in rng.choice(["ab12ab1", "12121b1", "2a1b2a1b", "b1212", "7"])) for _ in range(3)).replace("  ", rng.choice(["", " "]))
        for m in HEADS.finditer(text):
            joined, end = "", m.start()
            for piece in list(PIECES.finditer(text, m.start()))[:5]:
                if piece.start() - end > 2: break
                joined, end = joined + piece[0], piece.end()
                if len(joined) > 4 and not joined.isalpha() and k.hash("number", joined) in k.strong: wanted.add((m.start(), end))
        many += len(wanted)
        assert {(a, b) for a, b, kind, _ in known_in(text, k) if kind == "ID"} == wanted, text
    assert many > 20


def test_the_index_finds_numbers_and_names_however_they_are_written():
    k = Known(b"test")
    k.patient({"resourceType": "Patient", "id": "p1", "name": [{"given": ["Tadhg"], "family": "O'Malley"}], "identifier": [{"value": "MRN00131679"}], "telecom": [{"value": "+1 978 555 0128"}], "address": [{"line": ["12 Oak Street"]}]})
    for text, kinds in (("seen: Tadhg O'Malley's chart", {"NAME"}), ("O'MALLEY, TADHG", {"NAME"}), ("(978) 555-0128", {"ID"}), ("mrn-00 13 16 79", {"ID"}), ("patient00131679", {"ID"}), ("at 12 oak street", {"LOCATION"}), ("été 00131679", {"ID"}), ("é Tadhg O'Malley", {"NAME"}), ("MRN 131670, Oak 12", set())):
        assert {kind for _, _, kind, sure in known_in(text, k) if sure} == kinds, text
        if text.startswith("patient"): continue # a number that runs on into letters is not taken apart backwards
        for other in (text[::-1], codecs.encode(text, "rot13")): assert {kind for _, _, kind, sure in known_in(other, k) if sure} == kinds, other


def test_mail_and_codes_with_letters_are_known_backwards_and_rotated():
    k = Known(b"test")
    k.patient({"resourceType": "Patient", "identifier": [{"value": "AB12-CD34"}], "telecom": [{"value": "Tadhg@Example.net"}], "address": [{"line": ["12 Oak Street Flat"]}]})
    text = "write to tadhg@example.net, ab12cd34, of 12 Oak Street Flat"
    for other in (text, text[::-1], codecs.encode(text, "rot13")):
        found = {kind: other[a:b] for a, b, kind, _ in known_in(other, k)}
        assert set(found) == {"EMAIL", "ID", "LOCATION"}
        assert sorted(found["EMAIL"]) in (sorted("tadhg@example.net"), sorted(codecs.encode("tadhg@example.net", "rot13"))) and len(found["LOCATION"]) == 13
    assert not known_in("12 street oak; cd34 ab12; example@tadhg.net", k)


def test_who_is_added_after_a_question_is_known():
    k = Known(b"test")
    assert not known_in("Tadhg Malley 00131679", k)
    k.patient({"resourceType": "Patient", "name": [{"given": ["Tadhg"], "family": "Malley"}], "identifier": [{"value": "00131679"}]})
    assert {kind for _, _, kind, sure in known_in("Tadhg Malley 00131679", k) if sure} == {"NAME", "ID"}
