"""Flat tables from resource tables."""
import json

import pyarrow as pa
import pytest

from healthlab.core.audit import entries
from healthlab.core.errors import InputError
from healthlab.core.keys import keys
from healthlab.lake.materialise import materialise
from healthlab.lake.zones import Lake


@pytest.fixture
def lake():
    keys()
    lake = Lake()
    for kind, rows in {"Patient": [{"id": "p1"}, {"id": "p2", "gender": "male"}], "MedicationRequest": [{"id": "m1", "status": "active", "subject": {"reference": "Patient/p1"}}],
                       "MedicationStatement": [{"id": "m2", "status": "active"}]}.items():
        found = [{"id": r["id"], "resource": json.dumps({"resourceType": kind, **r})} for r in rows]
        lake.write("deidentified", kind, pa.Table.from_pylist(found), run_id="t")
    return lake


def test_every_table_is_written(lake):
    counts = materialise(lake, run_id="r1")
    assert counts["patient"] == 2 and counts["medication"] == 2 and counts["coverage"] == 0
    assert set(lake.tables("research")) == set(counts)
    assert sorted((r["id"], r["kind"], r["patient"]) for r in lake.read("research", "medication").to_pylist()) == [("m1", "MedicationRequest", "p1"), ("m2", "MedicationStatement", None)]
    assert "coverage" in counts and lake.read("research", "coverage").num_columns == 13


def test_a_second_run_overwrites(lake):
    materialise(lake, run_id="r1")
    lake.write("deidentified", "Patient", pa.Table.from_pylist([{"id": "p3", "resource": '{"resourceType": "Patient", "id": "p3"}'}]), run_id="t")
    assert materialise(lake, run_id="r2", views=["patient"]) == {"patient": 3}
    assert lake.rows("research", "patient") == 3 and lake.version("research", "patient") == 1
    assert [e["run_id"] for e in entries().to_pylist() if e["event"] == "materialise"] == ["r1", "r2"]


def test_views_of_the_team(lake, tmp_path, monkeypatch):
    (tmp_path / "birth.json").write_text(json.dumps({"resource": "Patient", "select": [{"column": [{"name": "sex", "path": "gender", "type": "code"}]}]}))
    monkeypatch.setenv("HEALTHLAB_VIEWS_FOLDER", str(tmp_path))
    assert materialise(lake, views=["birth"]) == {"birth": 2} and lake.read("research", "birth").to_pylist() == [{"sex": None}, {"sex": "male"}]
    with pytest.raises(InputError): materialise(lake, views=["nothing"])
    monkeypatch.setenv("HEALTHLAB_VIEWS_FOLDER", str(tmp_path / "absent"))
    with pytest.raises(InputError): materialise(lake)
