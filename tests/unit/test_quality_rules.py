"One small table a kind of check: what is in the lake, what must be found, what must not."
import datetime

import msgspec, pyarrow as pa, pytest

from healthlab.quality import assess, checks

NOW = datetime.datetime(2024, 6, 1, tzinfo=datetime.timezone.utc)
SCHEMA = pa.schema([("id", pa.string()), ("patient", pa.string()), ("last_updated", pa.timestamp("us", "UTC")), ("hash", pa.string()), ("run_id", pa.string()), ("source", pa.string()), ("resource", pa.string())])
LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"


class MemoryLake:
    "The part of Lake's interface that assess reads, over tables in memory."
    def __init__(self, resources, rejects=()):
        tables = {}
        for n, r in enumerate(resources):
            patient = r["id"] if r["resourceType"] == "Patient" else ((r.get("subject") or r.get("patient") or {}).get("reference") or "").removeprefix("Patient/") or None
            tables.setdefault(r["resourceType"], []).append(dict(id=r["id"], patient=patient, last_updated=None, hash="", run_id="r0", source=f"file.json#{n}", resource=msgspec.json.encode(r).decode()))
        self.t = {k: pa.Table.from_pylist(v, SCHEMA) for k, v in tables.items()}
        if rejects: self.t["reject"] = pa.table({"code": ["structure"] * len(rejects), "raw": pa.array([msgspec.json.encode(r) for r in rejects], pa.binary())})
    def tables(self, zone): return list(self.t)
    def version(self, zone, table): return 0
    def batches(self, zone, table, columns=None, where=None, version=None): return (self.t[table].select(columns) if columns else self.t[table]).to_batches()
    def read(self, zone, table, columns=None, where=None, version=None): return self.t[table]
    def write(self, zone, table, data, *, run_id, mode="append", key=("id",)): self.t[table] = pa.concat_tables([self.t[table], data]) if table in self.t else data


def coded(system, code, display=None): return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}], **({"text": display} if display else {})}
def patient(id="p1", **more): return {"resourceType": "Patient", "id": id, "identifier": [{"system": "urn:mrn", "value": f"MRN-{id}"}], "name": [{"family": f"Okafor-{id}", "given": ["Ada"]}], "gender": "female", "birthDate": "1960-04-05", **more}
def visit(id="e1", p="p1", start="2020-03-01T09:00:00Z", end="2020-03-01T10:00:00Z", **more):
    return {"resourceType": "Encounter", "id": id, "status": "finished", "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}, "type": [coded(SNOMED, "185349003")], "subject": {"reference": f"Patient/{p}"}, "period": {"start": start, "end": end}, **more}
def result(id="o1", code="2345-7", value=100.0, unit="mg/dL", p="p1", e="e1", at="2020-03-01T09:30:00Z", **more):
    return {"resourceType": "Observation", "id": id, "status": "final", "code": coded(LOINC, code), "subject": {"reference": f"Patient/{p}"}, "encounter": {"reference": f"Encounter/{e}"}, "effectiveDateTime": at,
            "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit}, **more}
def problem(id="c1", code="44054006", display="Diabetes mellitus type 2", p="p1", e="e1", at="2020-03-01", system=SNOMED, status="active", **more):
    return {"resourceType": "Condition", "id": id, "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", status), "code": coded(system, code, display), "subject": {"reference": f"Patient/{p}"}, "encounter": {"reference": f"Encounter/{e}"}, "onsetDateTime": at, **more}
def without(r, *names): return {k: v for k, v in r.items() if k not in names}

def found(*resources, rejects=(), zone="identified"):
    report = assess(MemoryLake(resources, rejects), zone, now=NOW, workers=1)
    assert report.problems == ()
    return {(f["check"], f["id"]) for f in report.findings.to_pylist() if f["severity"] != "information"}

BASE = [patient(), visit()]


def test_a_clean_record_has_no_findings():
    assert found(*BASE, result(), problem(), result("o2", "8867-4", 72, "/min")) == set()


@pytest.mark.parametrize("row, check", [
    (without(result(), "subject"), "observation-subject-present"),
    (without(result(), "effectiveDateTime"), "observation-effective-present"),
    (without(result(), "valueQuantity"), "observation-value-present"),
    (without(problem(), "code"), "condition-code-present"),
    (result(effectiveDateTime="2031-01-01"), "observation-not-future"),
    (result(effectiveDateTime="1955-01-01"), "observation-after-birth"),
    (result(issued="2019-01-01T00:00:00Z"), "observation-recorded-after"),
    (result(effectiveDateTime="2021-09-01"), "observation-within-visit"),
    (problem(abatementDateTime="2019-01-01", clinicalStatus=coded("x", "resolved")), "condition-start-before-end"),
    (problem(abatementDateTime="2021-01-01"), "condition-active-without-abatement"),
    (result(value=-5), "value-range"),
    (result(value=99999), "value-range"),
    (result("o1", "8310-5", 98.6, "Cel"), "value-range"),
    (result(valueQuantity={"value": 100, "unit": "kg", "system": UCUM, "code": "kg"}), "unit-for-code"),
    (result(code="2345-8"), "code-format"),
    (problem(code="44054007"), "code-format"),
    (problem(code="ZZZ", system="http://hl7.org/fhir/sid/icd-10-cm"), "code-format"),
    (problem(code="254900004", display="Carcinoma of prostate"), "sex-specific-code"),
    (result(encounter={"reference": "Encounter/nowhere"}), "reference-resolves"),
    (result(encounter={"reference": "urn:uuid:0a0a"}), "reference-resolves"),
    (result(encounter={"reference": "Patient/p1"}), "resource-encounter-type"),
    (visit("e2", end="2019-01-01T00:00:00Z"), "encounter-start-before-end"),
    (visit("e2", status="done"), "encounter-status-code"),
    (patient("p2", birthDate="2031-01-01"), "patient-birth-not-future"),
    (patient("p2", birthDate="1850-01-01"), "patient-age"),
    (patient("p2", deceasedDateTime="1950-01-01"), "patient-birth-before-death"),
    (patient("p2", name=[{"family": "TEST", "given": ["A"]}]), "patient-name-family-placeholder"),
    (patient("p2", identifier=[{"system": "urn:mrn", "value": "MRN-p1"}]), "identifier-unique"),
    (patient("p2", name=[{"family": "Okafor-p1", "given": ["Ada"]}]), "person-unique"),
    (patient("p2", gender="F"), "patient-gender-code"),
    (result(valueQuantity={"value": "high", "unit": "mg/dL"}), "resource-structure"),
])
def test_each_defect_is_found(row, check):
    assert (check, row["id"]) in found(*BASE, row)


def test_wrong_patient_is_laid_at_the_row_that_moved():
    others = [result(f"o{n}", value=90 + n, at=f"2020-03-01T09:{10 + n}:00Z") for n in range(2, 6)]
    assert found(patient("p2"), *BASE, *others, result("o1", p="p2")) == {("reference-same-patient", "o1")}

def test_an_encounter_that_moved_answers_for_its_rows():
    others = [result(f"o{n}", value=90 + n, at=f"2020-03-01T09:{10 + n}:00Z") for n in range(5)]
    assert found(patient("p1"), patient("p2"), visit(p="p2"), *others) == {("reference-same-patient", "e1")}

def test_a_wrong_birth_date_is_one_finding():
    visits = [visit(f"e{n}", start=f"201{n}-03-01T09:00:00Z", end=f"201{n}-03-01T10:00:00Z") for n in range(6)]
    rows = [result(f"o{n}", e=f"e{n}", value=90 + n, at=f"201{n}-03-01T09:30:00Z") for n in range(6)]
    assert found(patient(birthDate="2022-01-01"), *visits, *rows) == {("patient-life-covers-events", "p1")}

def test_a_visit_in_the_wrong_century_is_one_finding():
    rows = [result(f"o{n}", value=90 + n, at=f"2099-03-01T09:{10 + n}:00Z") for n in range(6)]
    got = found(patient(), visit(start="2099-03-01T09:00:00Z", end="2099-03-01T10:00:00Z"), *rows)
    assert {i for _, i in got} == {"e1"}

def test_a_wrong_gender_is_one_finding():
    rows = [problem("c1", "72892002", "Normal pregnancy"), problem("c2", "198992004", "Antepartum eclampsia"), problem("c3", "19169002", "Miscarriage in first trimester")]
    assert found(patient(gender="male"), visit(), *rows) == {("patient-gender-fits", "p1")}

def test_of_two_equal_rows_the_later_is_the_copy():
    got = found(*BASE, problem("c1"), problem("c2"), result("o9"))
    assert got == {("content-unique", "c2")}

def test_of_two_equal_rows_the_referenced_one_is_the_original():
    report = {"resourceType": "DiagnosticReport", "id": "d1", "status": "final", "code": coded(LOINC, "58410-2"), "subject": {"reference": "Patient/p1"}, "encounter": {"reference": "Encounter/e1"}, "effectiveDateTime": "2020-03-01T09:40:00Z", "result": [{"reference": "Observation/o2"}]}
    assert found(*BASE, result("o1"), result("o2"), report) == {("content-unique", "o1")}

def test_systolic_below_diastolic():
    part = lambda c, v: {"code": coded(LOINC, c), "valueQuantity": {"value": v, "unit": "mm[Hg]", "system": UCUM, "code": "mm[Hg]"}}
    panel = {**without(result("o1", "85354-9"), "valueQuantity"), "component": [part("8480-6", 70), part("8462-4", 120)]}
    assert found(*BASE, panel) == {("blood-pressure-order", "o1")}

def test_pounds_under_kilograms_show_in_the_series_and_both_ways():
    visits = [visit(f"e{n}", start=f"20{10 + n}-03-01T09:00:00Z", end=f"20{10 + n}-03-01T10:00:00Z") for n in range(6)]
    weights = lambda **odd: [result(f"o{n}", "29463-7", odd.get(f"o{n}", 80.0 + n), "kg", e=f"e{n}", at=f"20{10 + n}-03-01T09:30:00Z") for n in range(6)]
    assert found(patient(), *visits, *weights(o2=180.8)) == {("unit-mixup", "o2")}
    relabelled = weights()
    relabelled[3]["valueQuantity"] |= {"unit": "[lb_av]", "code": "[lb_av]"}
    assert found(patient(), *visits, *relabelled) == {("unit-mixup", "o3")}
    converted = weights()
    converted[3]["valueQuantity"] |= {"value": 83 * 2.2046, "unit": "[lb_av]", "code": "[lb_av]"}
    assert found(patient(), *visits, *converted) == set()

def test_body_mass_index_must_follow():
    rows = [result("w", "29463-7", 80, "kg"), result("h", "8302-2", 180, "cm"), result("b", "39156-5", 41, "kg/m2")]
    assert found(*BASE, *rows) == {("bmi-agrees", "b")}
    rows[2] = result("b", "39156-5", 24.7, "kg/m2")
    assert found(*BASE, *rows) == set()

def test_a_whole_source_speaking_wrongly_is_told_once():
    rows = [problem(f"c{n}", "112141AAAA", "Tuberculosis", at=f"2020-03-0{1 + n % 9}", extension=[{"url": "urn:n", "valueInteger": n}]) for n in range(30)]
    report = assess(MemoryLake([*BASE, *rows]), now=NOW, workers=1)
    assert report.findings.num_rows == 0 and ("code-format", 30) in {(s["check"], s["rows"]) for s in report.shared.to_pylist()}

def test_an_extract_without_a_table_is_told_once():
    rows = [result(f"o{n}", value=90 + n, performer=[{"reference": f"Practitioner/{n}"}]) for n in range(30)]
    report = assess(MemoryLake([*BASE, *rows]), now=NOW, workers=1)
    assert report.findings.num_rows == 0 and ("reference-target-absent", 30) in {(s["check"], s["rows"]) for s in report.shared.to_pylist()}

def test_references_to_rejected_rows_are_not_findings():
    row = {"resourceType": "DiagnosticReport", "id": "d1", "status": "final", "code": coded(LOINC, "58410-2"), "subject": {"reference": "Patient/p1"}, "encounter": {"reference": "Encounter/e1"}, "effectiveDateTime": "2020-03-01T09:40:00Z", "result": [{"reference": "Observation/o7"}]}
    assert found(*BASE, row) and not found(*BASE, row, rejects=[result("o7", value="x")])

def test_partial_dates_claim_nothing_they_do_not_say():
    assert found(patient(birthDate="2020"), visit(), result(), problem(at="2020-02")) == set()
    assert ("condition-after-birth", "c1") in found(patient(birthDate="2021"), without(problem(at="2020-02"), "encounter"))

def test_names_are_not_asked_of_the_deidentified_zone():
    assert found(without(patient(), "name", "identifier"), visit(), zone="deidentified") == set()

def test_threshold_decides_pass_and_fail():
    strict = assess(MemoryLake([*BASE, result(value=-5), result("o2", at="2020-03-01T09:31:00Z")]), now=NOW, workers=1)
    lax = tuple(msgspec.structs.replace(c, threshold=0.6) if c.name == "value-range" else c for c in checks())
    loose = assess(MemoryLake([*BASE, result(value=-5), result("o2", at="2020-03-01T09:31:00Z")]), now=NOW, workers=1, checks=lax)
    status = lambda r: next(x["status"] for x in r.results.to_pylist() if x["check"] == "value-range")
    assert (status(strict), status(loose)) == ("failed", "passed")
