"""A folder of files in their own forms: names hide nobody, what cannot be treated stays behind, the trail knows."""
import gzip

import pytest

from healthlab.core import audit
from healthlab.core.errors import AccessDenied, InputError
from healthlab.deid.files import deidentify_files

MESSAGE = "MSH|^~\\&|LAB|MERCY|||20240105101500||ORU^R01|{n}|P|2.5.1\rPID|1||77409{n}||Quillfeather^Zenobia\rOBX|1|NM|4548-4^HbA1c^LN||7.1|%\r"


@pytest.fixture
def landing(tmp_path, monkeypatch):
    for k, v in {"KEYS_FILE": tmp_path / "keys/k.key", "AUDIT_PATH": tmp_path / "audit", "ACCESS_ROLE": "steward"}.items(): monkeypatch.setenv(f"HEALTHLAB_{k}", str(v))
    folder = tmp_path / "landing"
    (folder / "Quillfeather").mkdir(parents=True)
    (folder / "Quillfeather" / "Zenobia.hl7").write_text(MESSAGE.format(n=13) + MESSAGE.format(n=14) + MESSAGE.format(n=15).replace("PID|1||7740915", "PID|1||1\rPID|2||2"))
    (folder / "labs.csv.gz").write_bytes(gzip.compress(b"PATIENT,DATE,CODE,DESCRIPTION,VALUE,UNITS\np-1,2024-01-05,4548-4,HbA1c,7.1,%\n"))
    (folder / "bundle.json").write_text('{"resourceType":"Patient","id":"1","name":[{"family":"Quillfeather"}]}')
    (folder / "note.txt").write_text("Mrs. Quillfeather is well and will be seen again in spring. She takes her tablets.")
    (folder / "empty").write_bytes(b"")
    (folder / "cut.xml").write_text("<?xml version='1.0'?><ClinicalDocument xmlns='urn:hl7-org:v3'><recordTarget>")
    return folder


def test_a_folder(landing, tmp_path):
    report = deidentify_files(landing, tmp_path / "out")
    made = {f.name: f.read_bytes() for f in (tmp_path / "out").iterdir()}
    assert report.forms == {"hl7v2": 1, "csv": 1, "note": 1} and len(report.held) == 3 and report.parts == 1 and len(made) == 3
    assert all(len(why.split(". ")) == 2 for why in report.held.values()) and "healthlab ingest" in str(report)  # what to do is said of each
    said = str(report) + str(report.figures()) + "".join(made) + repr(made)
    assert not [w for w in ("Quillfeather", "Zenobia", "77409", "2024-01-05", "20240105") if w in said]
    assert next(v for k, v in made.items() if k.endswith(".hl7")).count(b"MSH|") == 2
    again = deidentify_files(landing, tmp_path / "again")
    assert {f.name: f.read_bytes() for f in (tmp_path / "again").iterdir()} == made and again.held == report.held
    assert audit.verify().ok and audit.entries("deidentify.end", run_id=report.run_id).num_rows == 1


def test_a_note_is_read_in_the_light_of_the_one_patient_whose_number_is_in_it():
    from healthlab.deid.carrier import People
    from healthlab.deid.files import deidentify_note
    ruth, rose = ({"resourceType": "Patient", "id": i, "identifier": [{"value": n}], "name": [{"family": w, "given": ["Hill"]}]} for i, n, w in (("p-1", "88412077", "Ferrous"), ("p-2", "90155231", "Sulfate")))
    text, how = "MRN 88412077. Ferrous was seen on 03/14/2021; Ferrous is well.", dict(people=People.of([ruth, rose]), key=b"k" * 32)
    made, nobody = deidentify_note(text.encode(), **how).data.decode(), deidentify_note(b"Ferrous was seen; \xff\xfe Ferrous is well.", **how).data.decode()
    assert "Ferrous" not in made and "88412077" not in made and nobody.count("Ferrous") == 2  # without a record it is iron
    assert "Ferrous" in deidentify_note((text + " MRN 90155231").encode(), **how).data.decode()  # of two, nobody's


def test_what_is_refused(landing, tmp_path, monkeypatch):
    with pytest.raises(InputError): deidentify_files(landing, landing / "inside")
    with pytest.raises(InputError): deidentify_files(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(InputError): deidentify_files(landing, tmp_path / "out", policy="none")
    monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", "researcher")
    with pytest.raises(AccessDenied): deidentify_files(landing, tmp_path / "out")
    assert not (tmp_path / "out").exists()
