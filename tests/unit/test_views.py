"""SQL on FHIR: views, their errors, and that generated code and engine agree."""
import json
import pickle

import pyarrow as pa
import pytest

from healthlab.fhir.views import ViewDefinition, ViewError, load_folder, shipped, shipped_tables


def view(select, resource="Patient", **more): return ViewDefinition.from_json({"resource": resource, "select": select, **more})
def column(name, path, type=None, **more): return {"name": name, "path": path, **({"type": type} if type else {}), **more}


PATIENTS = [
    {"resourceType": "Patient", "id": "p1", "active": True, "name": [{"use": "official", "family": "A", "given": ["x", "y"]}, {"family": "B"}],
     "contact": [{"name": {"family": "C"}, "telecom": [{"value": "1"}, {"value": "2"}]}, {"telecom": [{"value": "3"}]}]},
    {"resourceType": "Patient", "id": "p2", "birthDate": "1974"},
    {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "t"}},
]
OBSERVATIONS = [
    {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9", "display": "BP"}]}, "subject": {"reference": "Patient/p1"},
     "effectiveDateTime": "2024-03-01T10:00:00+01:00", "component": [{"code": {"text": "sys"}, "valueQuantity": {"value": 121, "unit": "mm[Hg]"}}, {"code": {"text": "dia"}, "valueQuantity": {"value": 78.5}}]},
    {"resourceType": "Observation", "id": "o2", "status": "final", "code": {"text": "smoking"}, "effectivePeriod": {"start": "2024-03"}, "valueCodeableConcept": {"text": "never"}},
]


def both_ways(v, resources):
    "The table from dicts and from bytes by generated code, and by the engine: they must agree."
    engine = ViewDefinition.from_json(v.json)
    engine._fast = None
    a, b, c = v.run(resources), v.run([json.dumps(r).encode() for r in resources]), engine.run(resources)
    assert a.equals(b) and a.equals(c)
    return a.to_pylist()


def test_columns_and_types():
    v = view([{"column": [column("id", "id"), column("n", "name.count()"), column("active", "active"), column("born", "birthDate", "date"), column("given", "name.given", collection=True)]}])
    assert v.schema.types == [pa.string(), pa.int64(), pa.bool_(), pa.string(), pa.list_(pa.string())]
    assert both_ways(v, PATIENTS) == [{"id": "p1", "n": 2, "active": True, "born": None, "given": ["x", "y"]}, {"id": "p2", "n": 0, "active": None, "born": "1974", "given": []}]


@pytest.mark.parametrize("key, expected", [("forEach", [("p1", 0, "A"), ("p1", 1, "B")]), ("forEachOrNull", [("p1", 0, "A"), ("p1", 1, "B"), ("p2", 0, None)])])
def test_iteration(key, expected):
    v = view([{"column": [column("id", "id")]}, {key: "name", "column": [column("i", "%rowIndex"), column("family", "family")]}])
    assert v._fast and [tuple(r.values()) for r in both_ways(v, PATIENTS)] == expected


def test_nested_iteration_multiplies():
    v = view([{"column": [column("id", "id")]}, {"forEach": "name", "column": [column("family", "family")]}, {"forEach": "contact", "select": [{"forEach": "telecom", "column": [column("v", "value")]}]}])
    assert [(r["family"], r["v"]) for r in both_ways(v, PATIENTS)] == [(f, t) for f in "AB" for t in "123"]


def test_union_and_where():
    v = view([{"column": [column("id", "id")], "unionAll": [{"forEach": "name", "column": [column("f", "family")]}, {"forEach": "contact", "column": [column("f", "name.family")]}]}], where=[{"path": "active = true"}])
    assert [r["f"] for r in both_ways(v, PATIENTS)] == ["A", "B", "C", None]


def test_constants_of_any_type():
    v = view([{"column": [column("a", "name.where(use = %use).family.first()"), column("b", "birthDate < %then", "boolean")]}], constant=[{"name": "use", "valueCode": "official"}, {"name": "then", "valueDate": "1980-01-01"}])
    assert both_ways(v, PATIENTS) == [{"a": "A", "b": None}, {"a": None, "b": True}]


def test_repeat():
    form = {"resourceType": "QuestionnaireResponse", "status": "completed", "item": [{"linkId": "1", "item": [{"linkId": "1.1"}]}, {"linkId": "2"}]}
    v = view([{"repeat": ["item"], "column": [column("i", "%rowIndex"), column("l", "linkId")]}], "QuestionnaireResponse")
    assert [tuple(r.values()) for r in both_ways(v, [form])] == [(0, "1"), (1, "1.1"), (2, "2")]


@pytest.mark.parametrize("tag, text, expected", [("DATE", "2024-03", "2024-03-01"), ("TIMESTAMP", "2024-03-01T10:00:00+01:00", "2024-03-01 09:00:00+00:00"), ("TIMESTAMP", "no date", "None")])
def test_ansi_types(tag, text, expected):
    v = view([{"column": [column("t", "deceased.ofType(dateTime)", "dateTime", tag=[{"name": "ansi/type", "value": tag}])]}])
    assert str(both_ways(v, [{"resourceType": "Patient", "deceasedDateTime": text}])[0]["t"]) == expected


@pytest.mark.parametrize("json_view, where", [
    ({}, "resource"), ({"resource": "Patient"}, "select"), ({"resource": "Patient", "select": []}, "select"), ({"resource": "Patient", "select": [{"forEach": 1}]}, "select[0].forEach"),
    ({"resource": "Patient", "select": [{"column": [{"name": "1x", "path": "id"}]}]}, "select[0].column[0].name"), ({"resource": "Patient", "select": [{"column": [{"name": "x", "path": "id..x"}]}]}, "select[0].column[0].path"),
    ({"resource": "Patient", "select": [{"column": [{"name": "x", "path": "id"}, {"name": "x", "path": "id"}]}]}, "select"),
    ({"resource": "Patient", "constant": [{"name": "c"}], "select": [{"column": [{"name": "x", "path": "id"}]}]}, "constant[0]"),
    ({"resource": "Patient", "select": [{"column": [{"name": "x", "path": "%nope"}]}]}, "select[0].column[0].path"),
    ({"resource": "Patient", "select": [{"forEach": "name", "forEachOrNull": "name", "column": [{"name": "x", "path": "use"}]}]}, "select[0]"),
    ({"resource": "Patient", "select": [{"column": [{"name": "x", "path": "id"}]}], "where": [{"path": "name.family"}]}, "where[0].path"),
    ({"resource": "Patient", "select": [{"unionAll": [{"column": [{"name": "x", "path": "id"}]}, {"column": [{"name": "y", "path": "id"}]}]}]}, "select[0].unionAll"),
    ([], ""), ("{", ""), ({"resource": "Patient", "select": [{"repeat": "item", "column": [{"name": "x", "path": "id"}]}]}, "select[0].repeat"),
])
def test_a_wrong_view_is_named_with_its_place(json_view, where):
    with pytest.raises(ViewError) as e: ViewDefinition.from_json(json_view)
    assert e.value.where.startswith(where)


def test_several_values_in_one_row_are_an_error():
    v = view([{"column": [column("family", "name.family")]}])
    for given in (PATIENTS, [json.dumps(PATIENTS[0])]):
        with pytest.raises(ViewError) as e: v.run(given)
        assert "select[0].column[0]" in e.value.where and "A" not in e.value.what.split()


def test_resources_that_are_not_json_are_an_error():
    with pytest.raises(ViewError): view([{"column": [column("id", "id")]}]).run([b'{"resourceType": "Patient", '])


def test_malformed_elements_fall_back_to_the_engine():
    odd = {"resourceType": "Patient", "id": "p", "name": {"family": "not in a list"}}
    assert both_ways(view([{"column": [column("id", "id"), column("f", "name.family.first()")]}]), [odd]) == [{"id": "p", "f": "not in a list"}]


def test_unknown_elements_are_warnings():
    v = view([{"column": [column("x", "notAnElement")]}])
    assert "Patient has no element notAnElement" in v.warnings[0] and both_ways(v, PATIENTS[:1]) == [{"x": None}]


def test_shipped_views_cover_the_everyday_tables():
    tables = shipped_tables()
    assert set(tables) == {"patient", "encounter", "condition", "observation", "medication", "procedure", "immunization", "allergy", "document", "coverage"}
    assert not [w for views in tables.values() for v in views for w in v.warnings] and all(v._fast for views in tables.values() for v in views)
    assert {v.resource for v in tables["medication"]} == {"MedicationRequest", "MedicationStatement", "MedicationAdministration", "MedicationDispense"}


def test_observations_with_components():
    rows = both_ways(shipped()["observation"], OBSERVATIONS)
    assert [(r["id"], r["is_component"], r["display"], r["value"], r["value_display"]) for r in rows] == [
        ("o1", False, "BP", None, None), ("o1", True, "sys", 121.0, None), ("o1", True, "dia", 78.5, None), ("o2", False, "smoking", None, "never")]
    assert rows[0]["patient"] == "p1" and str(rows[0]["effective"]) == "2024-03-01 09:00:00+00:00" and str(rows[3]["effective"]) == "2024-03-01 00:00:00+00:00"


def test_batches_processes_and_pickles():
    v = shipped()["observation"]
    batch = pa.RecordBatch.from_pylist([{"resource": json.dumps(o)} for o in OBSERVATIONS])
    assert pa.Table.from_batches([v.run_batch(batch)]).equals(v.run(OBSERVATIONS)) and pickle.loads(pickle.dumps(v)).schema == v.schema
    many = [json.dumps(o).encode() for o in OBSERVATIONS] * 8000
    assert v.run(many, workers=2).equals(v.run(many))


def test_views_of_one_table_must_agree(tmp_path):
    for kind, name in (("Patient", "a"), ("Person", "b")): (tmp_path / f"people.{kind}.json").write_text(json.dumps({"resource": kind, "select": [{"column": [{"name": name, "path": "id"}]}]}))
    with pytest.raises(ViewError): load_folder(tmp_path)


def test_the_official_suite_when_it_is_here(public_data, tmp_path, root, monkeypatch):
    monkeypatch.syspath_prepend(root / "tests/spec")
    from conformance_views import run
    report = run(public_data / "sql_on_fhir", tmp_path / "test_report.json")
    assert report["failing"] == []
    assert json.loads((tmp_path / "test_report.json").read_text())["basic.json"]["tests"][0]["result"] == {"passed": True}
