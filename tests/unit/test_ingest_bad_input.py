"""What must not stop an ingest: damaged, wrong, huge and unreadable input; and what must, clearly."""
import gzip
import json
import os
import subprocess
import sys

import pytest
from healthlab.core.errors import Busy, InputError, KeyUnavailable, StorageError
from healthlab.ingest import ingest
from healthlab.ingest.detect import detect_file
from healthlab.ingest.run import rejects
from healthlab.lake import Lake

GOOD = '{"resourceType":"Patient","id":"good"}'


@pytest.fixture
def landing(tmp_path):
    folder = tmp_path / "landing"
    folder.mkdir()
    (folder / "zz_good.json").write_text(GOOD)
    return folder


def run(landing, workers=1): return ingest(landing, Lake(), workers=workers)


def ids(): return set(Lake().read("identified", "Patient", columns=["id"])["id"].to_pylist())


ENTRY = '{"fullUrl":"urn:uuid:%d","resource":{"resourceType":"Patient","id":"b%d"}}'
BUNDLE = '{"resourceType":"Bundle","type":"collection","entry":[' + ",".join(ENTRY % (i, i) for i in range(5)) + "]}"
DEEP = '{"resourceType":"Patient","id":"d","extension":[' + '{"url":"u","extension":[' * 5000 + "]}" * 5000 + "]}"


@pytest.mark.parametrize("name, content, code, position", [
    ("bundle.json", BUNDLE[:-150].encode(), "json-truncated", "entry 2"), ("patient.json", b'{"resourceType":"Patient","id":"x', "fhir-json", ""),
    ("line.ndjson", f'{GOOD}\n{{"resourceType":"Pati\n{GOOD}\n'.encode(), "fhir-json", "line 2"),
    ("latin.json", '{"resourceType":"Patient","id":"x","name":[{"family":"Müller"}]}'.encode("latin-1"), "encoding", ""),
    ("latin.txt", "Herr Müller klagt über Husten.".encode("latin-1"), "encoding", "byte 6"),
    ("latin.csv", "patient,start,stop,code,description\n7,2020-01-01,,44054006,Müller\n".encode("latin-1"), "encoding", "line 2"),
    ("deep.json", DEEP.encode(), None, ""), ("unknown.json", b'{"resourceType":"Pateint","id":"x"}', "fhir-not-supported", ""),
    ("notfhir.json", b'{"a":1}', "fhir-structure", ""), ("wrongtype.json", b'{"resourceType":"Patient","active":"yes"}', "fhir-structure", ""), ("value.json", b'{"resourceType":"Patient","birthDate":"soon"}', "fhir-value", ""),
    ("binary.json", os.urandom(4096), "format-unsupported", ""), ("empty.json", b"", "file-empty", ""), ("blank.csv", b"\n\n", "file-empty", ""),
    ("zip.json", b"PK\x03\x04" + os.urandom(100), "format-unsupported", ""), ("cut.gz", gzip.compress(BUNDLE.encode())[:-20], None, ""), ("bad.gz", b"\x1f\x8b" + os.urandom(100), "gzip-damaged", ""),
    ("other.xml", b"<Patient xmlns='http://hl7.org/fhir'/>", "format-unsupported", ""),
    ("delete.json", b'{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient/1"}}]}', "delete-unsupported", "entry 0"),
])
def test_bad_content_is_named_with_its_place_and_the_rest_goes_on(landing, name, content, code, position):
    (landing / name).write_bytes(content)
    report, found = run(landing), rejects(Lake())
    assert report.files == 2 and report.rejected >= 1 and "good" in ids()
    assert set(found.file) == {name} and all(found.reason.str.len() > 10)
    if code: assert (found.code[0], found.position[0]) == (code, position)


def test_what_is_whole_in_a_truncated_bundle_is_kept(landing):
    (landing / "bundle.json").write_text(BUNDLE[:-150])
    run(landing)
    assert ids() == {"good", "b0", "b1"}


def test_utf16_and_byte_order_marks_are_read(landing):
    (landing / "a.json").write_bytes('{"resourceType":"Patient","id":"u16"}'.encode("utf-16"))
    (landing / "b.json").write_bytes(b"\xef\xbb\xbf" + b'{"resourceType":"Patient","id":"bom"}')
    assert run(landing).rejected == 0 and ids() == {"good", "u16", "bom"}


def test_files_that_cannot_be_read(landing):
    (landing / "dangling.json").symlink_to(landing / "nowhere")
    os.mkfifo(landing / "pipe.json")
    (landing / "ioerror.json").symlink_to("/proc/self/mem")
    report, found = run(landing), rejects(Lake())
    assert set(found.file) == {"dangling.json", "pipe.json", "ioerror.json"} and set(found.code) <= {"file-unreadable", "file-empty"}
    assert report.files == 4 and ids() == {"good"}


def test_a_line_and_an_entry_beyond_the_limit_are_named_and_not_held(landing, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_INGEST_MAX_RESOURCE_MB", "1")
    big = '{"resourceType":"Patient","id":"big","name":[{"text":"' + "x" * (3 << 20) + '"}]}'
    (landing / "a.ndjson").write_text(f"{GOOD.replace('good', 'before')}\n{big}\n{GOOD.replace('good', 'after')}\n")
    run(landing)
    found = rejects(Lake())
    assert ids() == {"good", "before", "after"} and (found.code[0], found.position[0]) == ("ndjson-too-long", "line 2")


def test_ndjson_whose_first_line_is_longer_than_the_sample(landing):
    long = '{"resourceType":"Patient","id":"long","name":[{"text":"' + "x" * 200_000 + '"}]}'
    (landing / "a.ndjson").write_text(f"{long}\n{GOOD.replace('good', 'after')}\n")
    assert run(landing).rejected == 0 and ids() == {"good", "long", "after"}


def test_a_gzip_bomb_is_not_unpacked(landing):
    whole = gzip.compress(b'{"resourceType":"Patient","id":"' + b"0" * (400 << 20), 9)
    (landing / "bomb.json.gz").write_bytes(whole[:-4] + (1000).to_bytes(4, "little"))  # states a size that is not its own
    run(landing)
    assert rejects(Lake()).code.tolist() == ["gzip-too-large"] and ids() == {"good"}


def test_rejects_are_kept_once_however_often_the_folder_is_read(landing):
    (landing / "unknown.json").write_text('{"resourceType":"Pateint"}')
    first, second = run(landing), run(landing)
    assert first.rejected == second.rejected == 1 and len(rejects(Lake())) == 1


def test_reports_name_no_file(landing):
    (landing / "Jane_Doe_1970.json").write_text('{"resourceType":"Patient","id":"x","gender":"Jane"}')
    report = run(landing)
    assert "Jane" not in str(report) + report._repr_markdown_() + repr(report.figures())
    assert not any("gender\":\"Jane" in r for r in rejects(Lake()).reason)


def test_a_missing_source(tmp_path):
    with pytest.raises(InputError, match="does not exist"): ingest(tmp_path / "nothing", Lake())


def test_a_missing_and_a_wrong_key(landing, workbench, monkeypatch):
    run(landing)
    first, key = Lake().url, os.environ["HEALTHLAB_KEYS_FILE"]
    os.rename(key, key + ".away")
    with pytest.raises(KeyUnavailable, match="missing"): run(landing)
    monkeypatch.setenv("HEALTHLAB_LAKE_URL", str(workbench / "other")), monkeypatch.setenv("HEALTHLAB_AUDIT_PATH", str(workbench / "otheraudit"))
    run(landing)  # a fresh lake makes a key of its own
    with pytest.raises(KeyUnavailable): ingest(landing, Lake(first), workers=1)


def test_two_runs_at_once(landing):
    lake = Lake()
    run(landing)
    with lake.lock("ingest"):
        code = "import sys\nfrom healthlab.ingest import ingest\nfrom healthlab.lake import Lake\ntry: ingest(sys.argv[1], Lake(), workers=1)\nexcept Exception as e: print(type(e).__name__, e)"
        done = subprocess.run([sys.executable, "-c", code, str(landing)], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("Busy"), done.stderr
    assert Busy.exit_code == 4 and run(landing).duplicates == 1


FULL = """
import resource, signal, sys
from healthlab.core.errors import StorageError
from healthlab.ingest import ingest
from healthlab.lake import Lake
lake = Lake()
lake.ring
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try: ingest(sys.argv[1], lake, workers=1)
except StorageError as e: print("StorageError", e)
"""


def test_a_disk_that_takes_no_more_and_the_run_after(landing):
    import random
    words = random.Random(0)
    (landing / "a.ndjson").write_text("\n".join(json.dumps({"resourceType": "Patient", "id": f"p{i}", "name": [{"text": "%x" % words.getrandbits(4000)}]}) for i in range(1500)))
    done = subprocess.run([sys.executable, "-c", FULL, str(landing)], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("StorageError"), done.stdout + done.stderr
    report = run(landing)
    assert len(ids()) == 1501 == Lake().rows("identified", "Patient") and report.rejected == 0 and StorageError.exit_code


@pytest.mark.parametrize("text,kind", [
    ("Dear Dr. Lund, thank you for seeing her.\nShe has diabetes, well controlled.\n", "note"),
    ("Patient: Ann, 45 years\nBP 120/80, pulse 70\n", "note"),
    ("Seen today, feels better.\nLungs clear, heart regular.\nPlan unchanged, return in May.\nSigned, the doctor.\n", "note"),
    ("2024-01-01,glucose,5.1\n2024-01-02,glucose,5.3\n2024-01-03,glucose,5.2\n", "csv"),
    ("id;birth date;sex\n1;1950-01-01;F\n", "csv"),
])
def test_prose_with_commas_is_a_note(text, kind, tmp_path):
    (tmp_path / "x.txt").write_text(text)
    assert detect_file(tmp_path / "x.txt").name == kind
