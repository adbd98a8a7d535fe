"""Ingest: formats by content, duplicates and versions, references, CSV, HL7 v2, notes, C-CDA, and running it again."""
import base64
import gzip
import json

import pytest
from healthlab.ingest import ingest
from healthlab.ingest.detect import detect
from healthlab.ingest.run import rejects
from healthlab.lake import Lake


def patient(i, **more): return {"resourceType": "Patient", "id": f"p{i}", "gender": "female", **more}


def heart_rate(i, subject="Patient/p1", value=70):
    return {"resourceType": "Observation", "id": f"o{i}", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            "subject": {"reference": subject}, "valueQuantity": {"value": value, "unit": "/min"}}


def bundle(*resources, kind="collection"):
    return {"resourceType": "Bundle", "type": kind, "entry": [{"fullUrl": f"urn:uuid:{r['id']}", "resource": r} for r in resources]}


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else json.dumps(content).encode()
    path.write_bytes(data)
    return path


@pytest.fixture
def landing(tmp_path):
    folder = tmp_path / "landing"
    folder.mkdir()
    return folder


def table(lake, name): return {r["id"]: r for r in lake.read("identified", name).to_pylist()}


def resource(lake, name, id): return json.loads(table(lake, name)[id]["resource"])


def run(landing, lake=None): return ingest(landing, lake or Lake(), workers=1)


MESSAGE = "\r".join(["MSH|^~\\&|LAB|HOSP|EHR|HOSP|20240102030405||ADT^A01^ADT_A01|1|P|2.5.1", "EVN|A01|20240102030405", "PID|1||123456^^^HOSP^MR||Doe^Jane||19700102|F", "PV1|1|I|W^1^1"])


# --- formats, told by content ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("content, name", [
    (json.dumps(bundle(patient(1))), "fhir-json"), (json.dumps(bundle(patient(1)), indent=2), "fhir-json"), (json.dumps(patient(1), indent=1), "fhir-json"),
    (json.dumps(patient(1)) + "\n" + json.dumps(patient(2)) + "\n", "ndjson"),
    (json.dumps(patient(1, name=[{"text": "odd { brace"}])) + "\n" + json.dumps(patient(2)), "ndjson"),
    ('{"resourceType":"Patient","id":"cut\n' + json.dumps(patient(2)), "ndjson"),
    ('{"resourceType":"Bundle","type":"collection","entry":[\n{"resource":{"resourceType":"Patient"}},\n{"resource":{"resourceType":"Patient"}}]}', "fhir-json"),
    (MESSAGE, "hl7v2"), ("FHS|^~\\&|LAB\r" + MESSAGE, "hl7v2"), ("\x0b" + MESSAGE + "\x1c\r", "hl7v2"),
    ('<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"/>', "ccda"), ("<html></html>", "xml"),
    ("a,b,c\n1,2,3\n4,5,6\n", "csv"), ("patient_id;code\r\n", "csv"), ("1,1,?\n2,1,3\n4,5,6\n7,8,9\n8,9,1\n9,1,2\n", "csv"), ("Stable, eating, home tomorrow", "note"),
    ("Seen today with a cough.\nLungs clear.\n", "note"), ("", "empty"), ("   \n", "empty"),
])
def test_formats_are_told_by_content(content, name):
    data = content.encode()
    assert detect(data, whole=True).name == name
    if data.strip(): assert (detect(gzip.compress(data)).name, detect(gzip.compress(data)).gzip) == (name, True)


@pytest.mark.parametrize("content, name", [(b"PK\x03\x04rest", "zip"), (b"%PDF-1.7", "pdf"), (b"\x89PNG\r\n", "png image"), (b"\xff\xd8\xff\xe0", "jpeg image"), (b"\0" * 128 + b"DICM", "dicom"), (bytes(range(256)) * 4, "binary")])
def test_what_is_not_read_is_named_with_a_remedy(content, name):
    f = detect(content, whole=True)
    assert (f.name, f.code) == (name, "format-unsupported") and f.remedy


# --- FHIR -----------------------------------------------------------------------------------------------------------------------

def test_bundle_ndjson_single_resource_array_and_gzip(landing):
    put(landing, "a.json", bundle(patient(1), heart_rate(1)))
    put(landing, "b.dat", json.dumps(patient(2)) + "\n\n" + json.dumps(heart_rate(2)) + "\n")
    put(landing, "c.txt", patient(3))
    put(landing, "d.json", [patient(4), patient(5)])
    put(landing, "e.bin", gzip.compress(json.dumps(bundle(patient(6))).encode()))
    lake = Lake()
    report = run(landing, lake)
    assert (report.resources, report.written, report.rejected, report.files) == (8, 8, 0, 5)
    assert set(table(lake, "Patient")) == {f"p{i}" for i in range(1, 7)}
    row = table(lake, "Observation")["o1"]
    assert (row["patient"], row["source"], row["run_id"]) == ("p1", "a.json#entry 1", report.run_id)


def test_the_columns_are_the_agreed_ones_and_numbers_keep_their_digits(landing):
    text = '{"resourceType":"Observation", "id":"o1","meta":{"lastUpdated":"2024-01-02T03:04:05Z"},"status":"final","code":{"text":"x"},"valueQuantity":{"value":1.50}}'
    put(landing, "o.json", text)
    lake = Lake()
    run(landing, lake)
    t = lake.read("identified", "Observation")
    assert t.schema.names == ["id", "patient", "last_updated", "hash", "run_id", "source", "resource"]
    assert t["resource"][0].as_py() == text.replace(" ", "") and t["last_updated"][0].as_py().isoformat() == "2024-01-02T03:04:05+00:00" and len(t["hash"][0].as_py()) == 32


def test_references_inside_a_bundle_are_resolved(landing):
    a, b = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
    put(landing, "t.json", {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": f"urn:uuid:{b}", "resource": {**heart_rate(1, f"urn:uuid:{a}"), "id": b}, "request": {"method": "POST", "url": "Observation"}},
        {"fullUrl": f"urn:uuid:{a}", "resource": {"resourceType": "Patient", "gender": "male"}, "request": {"method": "POST", "url": "Patient"}}]})
    lake = Lake()
    assert run(landing, lake).rejected == 0
    assert resource(lake, "Observation", b)["subject"] == {"reference": f"Patient/{a}"} and table(lake, "Observation")[b]["patient"] == a
    assert resource(lake, "Patient", a)["id"] == a


def test_conditional_references_are_resolved_from_files_and_lake_and_the_rest_counted(landing, tmp_path):
    npi = "http://hl7.org/fhir/sid/us-npi"
    def seen_by(i, value): return {"resourceType": "Encounter", "id": f"e{i}", "status": "finished", "class": {"code": "AMB"}, "participant": [{"individual": {"reference": f"Practitioner?identifier={npi}|{value}"}}]}
    put(landing, "a_visit.json", bundle(seen_by(1, "1"), seen_by(2, "9")))
    put(landing, "z_people.json", bundle({"resourceType": "Practitioner", "id": "dr1", "identifier": [{"system": npi, "value": "1"}]}))
    lake = Lake()
    report = run(landing, lake)
    assert resource(lake, "Encounter", "e1")["participant"][0]["individual"]["reference"] == "Practitioner/dr1"
    assert resource(lake, "Encounter", "e2")["participant"][0]["individual"]["reference"].startswith("Practitioner?") and report.unresolved == 1
    put(tmp_path / "later", "c.json", bundle(seen_by(3, "1")))
    run(tmp_path / "later", lake)
    assert resource(lake, "Encounter", "e3")["participant"][0]["individual"]["reference"] == "Practitioner/dr1"


def test_a_resource_without_id_gets_the_same_one_every_time(landing, tmp_path):
    put(landing, "a.ndjson", '{"resourceType":"Patient","gender":"male"}\n{"resourceType":"Patient","gender":"female"}\n')
    put(tmp_path / "again", "b.ndjson", '{"resourceType":"Patient","gender":"male"}\n{"resourceType":"Patient","gender":"unknown"}\n')
    lake = Lake()
    assert run(landing, lake).written == 2
    again = run(tmp_path / "again", lake)
    assert (again.written, again.duplicates) == (1, 1) and len(table(lake, "Patient")) == 3


# --- duplicates and versions ------------------------------------------------------------------------------------------------------

def test_same_file_twice_same_resource_in_two_files_and_a_second_run(landing):
    put(landing, "a.json", bundle(patient(1), patient(2)))
    put(landing, "b.json", bundle(patient(1), patient(2)))
    put(landing, "c.json", json.dumps(bundle(patient(2), patient(3)), indent=3))
    lake = Lake()
    first = run(landing, lake)
    assert (first.resources, first.written, first.duplicates) == (6, 3, 3)
    version = lake.version("identified", "Patient")
    second = run(landing, lake)
    assert (second.resources, second.written, second.duplicates, second.skipped) == (6, 0, 6, 3)
    assert lake.version("identified", "Patient") == version


def versioned(gender, **meta): return patient(1, gender=gender, **({"meta": meta} if meta else {}))


@pytest.mark.parametrize("older, newer", [
    (dict(lastUpdated="2024-01-01T00:00:00Z"), dict(lastUpdated="2024-02-01T00:00:00Z")), (dict(lastUpdated="2024-01-01T10:00:00+05:00"), dict(lastUpdated="2024-01-01T06:00:00Z")),
    (dict(versionId="9"), dict(versionId="10")), (dict(), dict(lastUpdated="2024-01-01T00:00:00Z")),
])
@pytest.mark.parametrize("files", ["one file", "newer first", "older first", "two runs", "two runs, newer first"])
def test_the_newer_version_is_the_one_kept(landing, tmp_path, older, newer, files):
    old, new, lake = versioned("male", **older), versioned("female", **newer), Lake()
    if files == "one file": put(landing, "a.ndjson", json.dumps(new) + "\n" + json.dumps(old))
    elif files == "newer first": put(landing, "a.json", new), put(landing, "b.json", old)
    elif files == "older first": put(landing, "a.json", old), put(landing, "b.json", new)
    else:
        put(tmp_path / "first", "a.json", new if "newer" in files else old)
        run(tmp_path / "first", lake)
        put(landing, "a.json", old if "newer" in files else new)
    assert run(landing, lake).superseded == 1
    assert resource(lake, "Patient", "p1")["gender"] == "female" and len(table(lake, "Patient")) == 1


@pytest.mark.parametrize("first, second", [("male", "female"), ("female", "male")])
def test_without_version_or_date_the_later_ingest_wins(landing, first, second):
    lake = Lake()
    for gender in (first, second):
        put(landing, "a.json", patient(1, gender=gender))
        run(landing, lake)
    assert resource(lake, "Patient", "p1")["gender"] == second


def test_the_index_is_rebuilt_from_the_lake(landing):
    put(landing, "a.ndjson", "\n".join(json.dumps(patient(i, meta={"versionId": "5"})) for i in range(20)))
    put(landing, "b.json", '{"resourceType":"Patient","id":"x","birthDate":"soon"}')
    lake = Lake()
    run(landing, lake)
    from healthlab.ingest.index import index_path
    for f in index_path(lake).parent.iterdir(): f.unlink()
    again = run(landing, lake)
    assert (again.written, again.duplicates, again.rejected) == (0, 20, 1) and lake.rows("identified", "Patient") == 20 and lake.rows("identified", "reject") == 1


def test_the_index_holds_nothing_readable(landing):
    put(landing, "Jane_Doe.json", bundle(patient("-jane-doe-secret"), heart_rate(1, "Patient/p-jane-doe-secret")))
    lake = Lake()
    run(landing, lake)
    from healthlab.ingest.index import index_path
    held = b"".join(f.read_bytes() for f in index_path(lake).parent.iterdir())
    assert b"jane-doe" not in held and b"Jane" not in held


# --- HL7 v2, C-CDA, notes ---------------------------------------------------------------------------------------------------------

def test_hl7v2_messages_single_and_batch_and_the_later_message_wins(landing):
    later = MESSAGE.replace("20240102030405", "20240202030405").replace("A01", "A08").replace("Doe^Jane", "Doe^Janet")
    put(landing, "a.hl7", "FHS|^~\\&\rBHS|^~\\&\r" + later + "\r" + MESSAGE + "\rBTS|2\rFTS|1\r")
    lake = Lake()
    report = run(landing, lake)
    assert report.formats == {"hl7v2": 1} and report.rejected == 0
    (row,) = table(lake, "Patient").values()
    assert json.loads(row["resource"])["name"][0]["given"] == ["Janet"]


def test_messages_that_cannot_be_used_are_rejected_by_name_and_the_rest_goes_on(landing):
    put(landing, "a.hl7", MESSAGE + "\rMSH|^~\\&|A|B|C|D|20240101||ZZZ^Z99|2|P|2.5\rZZZ|1\r")
    report, found = run(landing), rejects(Lake())
    assert report.resources > 0 and report.rejected == 1
    assert found.code[0].startswith("hl7-") and "line 5" in found.position[0]


def test_a_note_becomes_a_document(landing):
    put(landing, "n.txt", "Progress note.\nNo fever.\n")
    lake = Lake()
    run(landing, lake)
    (row,) = table(lake, "DocumentReference").values()
    doc = json.loads(row["resource"])
    assert base64.b64decode(doc["content"][0]["attachment"]["data"]).decode() == "Progress note.\nNo fever.\n" and row["patient"] is None and "subject" not in doc


def test_ccda(landing):
    put(landing, "d.xml", '<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2.3"/><code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/><effectiveTime value="20240101"/>'
        '<recordTarget><patientRole><id root="1.2.3.4" extension="77"/><patient><name><given>Eve</given><family>Smith</family></name><administrativeGenderCode code="F"/><birthTime value="19600102"/></patient></patientRole></recordTarget></ClinicalDocument>')
    lake = Lake()
    assert run(landing, lake).formats == {"ccda": 1} and len(table(lake, "Patient")) == 1


def test_a_folder_after_messages_that_were_refused_on_the_wire(landing):
    from healthlab.ingest.mllp import lake_commit
    lake = Lake()
    bad = b"MSH|^~\\&|A|B|C|D|20240101||ZZZ^Z99|2|P|2.5\rZZZ|1\r"
    assert lake_commit(lake)([bad])[0] is not None
    put(landing, "a.hl7", bad)
    assert run(landing, lake).rejected == 1 and sorted(rejects(lake).file) == ["a.hl7", "mllp"]


# --- CSV --------------------------------------------------------------------------------------------------------------------------

def test_csv_kinds_by_their_columns(landing):
    put(landing, "people.csv", "PatientID,BirthDate,Sex,LastName,FirstName\n7,1970-01-02,F,Doe,Jane\n8,1980-02-03,M,Roe,Rick\n")
    put(landing, "labs.csv", "MRN,CollectionDate,LOINC,TestName,Result,Units\n7,2024-01-02,2345-7,Glucose,5.60,mmol/L\n7,2024-01-03,2345-7,Glucose,<2,mmol/L\n")
    put(landing, "dx.csv", "patient,start,stop,code,description\n7,2020-01-01,,44054006,Diabetes mellitus type 2\n")
    lake = Lake()
    report = run(landing, lake)
    assert (report.rejected, report.types) == (0, {"Patient": 2, "Observation": 2, "Condition": 1})
    values = sorted((json.loads(r["resource"])["valueQuantity"].get("comparator", ""), r["patient"]) for r in table(lake, "Observation").values())
    assert values == [("", "7"), ("<", "7")] and "5.60" in "".join(r["resource"] for r in table(lake, "Observation").values())


def test_a_bad_row_is_rejected_with_its_line_and_the_others_are_kept(landing):
    put(landing, "dx.csv", "patient,start,stop,code,description\n7,2020-01-01,,44054006,ok\n7,not a date,,44054006,bad\n7,2020-01-01\n7,2021-01-01,,38341003,\"two\nlines\"\n,2021-01-01,,38341003,nobody\n")
    lake = Lake()
    report, found = run(landing, lake), rejects(lake)
    assert len(table(lake, "Condition")) == 2 and report.rejects == {"csv-value": 1, "csv-width": 1, "csv-missing": 1}
    assert list(found.position) == ["line 3", "line 4", "line 7"]


def test_a_mapping_declared_later_is_used(landing):
    put(landing, "x.csv", "who,what,when\n7,2345-7,2024-01-02\n")
    lake = Lake()
    assert run(landing, lake).rejects == {"csv-unmapped": 1}
    put(landing, "x.csv.mapping.json", {"kind": "conditions", "columns": {"patient": "who", "code": "what", "start": "when"}})
    assert run(landing, lake).rejected == 0 and len(table(lake, "Condition")) == 1


def test_a_table_without_column_names_is_rejected_for_that(landing):
    put(landing, "export.csv", "17,17,F\n18,18,M\n19,,F\n20,20,M\n21,21,F\n")
    assert run(landing).rejects == {"csv-unmapped": 1} and "no column names" in rejects(Lake()).reason[0]


def test_an_export_that_found_nothing_is_an_empty_table_and_no_note(landing):
    put(landing, "labs.csv", "patient_id,loinc,value,unit,collected\n")
    report = run(landing)
    assert (report.written, report.rejects) == (0, {})


def test_notes_in_a_csv(landing):
    put(landing, "notes.csv", "row,category,text\n1,Discharge,\"HISTORY:, a man of 60, with cough\"\n2,Progress,Better today.\n")
    lake = Lake()
    assert run(landing, lake).rejected == 0 and len(table(lake, "DocumentReference")) == 2


# --- the simulated hospital -----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    from healthlab.hospital import Hospital
    folder = tmp_path_factory.mktemp("hospital")
    Hospital(patients=4, seed=3).emit(folder, progress=False)
    return folder


def test_everything_the_hospital_emits_is_taken_in(emitted):
    lake = Lake()
    report = run(emitted, lake)
    assert report.rejected == 0, rejects(lake)[["file", "code", "reason"]].to_string()
    assert {"fhir-json", "ndjson", "hl7v2", "csv", "note"} >= set(report.formats) >= {"fhir-json", "csv", "hl7v2"} and report.duplicates > 0


# --- public data --------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, rows", [("patients", 27), ("encounters", None), ("conditions", None), ("observations", None), ("medications", None), ("procedures", None), ("allergies", None), ("immunizations", None)])
def test_synthea_tables_are_taken_in_whole(public_data, landing, name, rows):
    source = public_data / "landing/csv" / f"{name}.csv"
    (landing / source.name).symlink_to(source)
    report = run(landing)
    assert report.rejected == 0 and report.resources == (rows or source.read_text().rstrip().count("\n"))


def test_synthea_tables_that_are_not_mapped_are_rejected_by_name(public_data, landing):
    (landing / "x.csv").symlink_to(public_data / "landing/csv/claims.csv")
    assert run(landing).rejects == {"csv-unmapped": 1} and "claims" in rejects(Lake()).reason[0]


def test_synthea_bundles_in_two_processes(public_data, landing):
    for f in sorted((public_data / "landing/fhir_bundles/msft").rglob("*.json*"))[:4]: (landing / f.name).symlink_to(f)
    lake = Lake()
    report = ingest(landing, lake, workers=2)
    assert report.rejected == 0 and report.resources == report.written + report.duplicates + report.superseded > 500
    assert sum(lake.rows("identified", t) for t in lake.tables("identified")) == report.written
    assert not any("urn:uuid" in r["resource"] for r in table(lake, "Encounter").values())
