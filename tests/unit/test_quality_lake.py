"The checks over a real lake: encrypted tables in, stored results and safe outputs out."
import json

import pytest

from healthlab.quality import assess, dqd_json, profile, score, inject
from healthlab.core.errors import InputError

import sys, pathlib
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from test_quality_rules import NOW, MemoryLake, patient, problem, result, visit  # noqa: E402


@pytest.fixture
def lake(tmp_path, monkeypatch):
    for k, v in dict(LAKE_URL=tmp_path / "lake", KEYS_FILE=tmp_path / "key", AUDIT_PATH=tmp_path / "audit").items(): monkeypatch.setenv(f"HEALTHLAB_{k}", str(v))
    from healthlab.lake import Lake
    lake = Lake()
    memory = MemoryLake([patient("p1", name=[{"family": "Quetzalcoatl", "given": ["Ada"]}]), visit(), result(value=-54321.5), result("o2", value=101.0, at="2020-03-01T09:31:00Z"), problem()], rejects=[result("o7", value="x")])
    for name, table in memory.t.items():
        if name != "reject": lake.write("identified", name, table, run_id="r0")
    return lake


def test_results_are_stored_and_drift_is_watched(lake):
    first = assess(lake, now=NOW)
    assert {"quality_result", "quality_finding", "quality_completeness"} <= set(lake.tables("identified"))
    assert [f["id"] for f in lake.read("identified", "quality_finding").to_pylist()] == ["o1"]
    lake.write("identified", "Observation", lake.read("identified", "Observation").slice(0, 1), run_id="r1", mode="overwrite")
    lake.write("identified", "Condition", lake.read("identified", "Condition").slice(0, 0), run_id="r1", mode="overwrite")
    second = assess(lake, now=NOW)
    assert second.run_id != first.run_id
    assert any(r["check"] == "drift-rows" and r["violations"] for r in second.results.to_pylist())
    assert len(set(lake.read("identified", "quality_result")["run_id"].to_pylist())) == 2


def test_nothing_shown_or_exported_holds_a_value_of_the_data(lake):
    report = assess(lake, now=NOW)
    shown = "".join([repr(report), report._repr_html_(), report.to_json(), dqd_json(report), json.dumps(report.figures())])
    for secret in ("Quetzalcoatl", "MRN-p1", '"o1"', "Patient/p1", "54321.5"): assert secret not in shown


def test_an_empty_zone_is_an_error_with_a_remedy(tmp_path, monkeypatch):
    for k, v in dict(LAKE_URL=tmp_path / "lake", KEYS_FILE=tmp_path / "key", AUDIT_PATH=tmp_path / "audit").items(): monkeypatch.setenv(f"HEALTHLAB_{k}", str(v))
    from healthlab.lake import Lake
    with pytest.raises(InputError, match="no resource tables"): assess(Lake())


def test_many_processes_find_what_one_finds():
    people = [patient(f"p{n}", birthDate=f"19{50 + n % 40}-01-01") for n in range(120)]
    visits = [visit(f"e{n}-{k}", f"p{n}", f"20{10 + k}-03-01T09:00:00Z", f"20{10 + k}-03-01T10:00:00Z") for n in range(120) for k in range(6)]
    results = [result(f"o{n}-{k}-{j}", code, value + n / 10 + j / 7, unit, f"p{n}", f"e{n}-{k}", f"20{10 + k}-03-01T09:{10 + j}:00Z") for n in range(120) for k in range(6)
               for j in range(7) for code, value, unit in [("2345-7", 90, "mg/dL"), ("29463-7", 70, "kg"), ("8867-4", 65, "/min"), ("718-7", 13, "g/dL")]]
    dirty, labels = inject([*people, *visits, *results], rate=0.01, seed=5)
    assert len(dirty) > 20_000
    lake = MemoryLake(dirty)
    one, two = (assess(lake, now=NOW, workers=w, store=False) for w in (1, 2))
    key = lambda r: sorted((f["check"], f["id"], f["path"]) for f in r.findings.to_pylist())
    assert key(one) == key(two)
    s = score(one.findings, labels, natural=())
    assert s.recall >= 0.95 and s.fdr <= 0.05, s


def test_profile_is_one_file_without_rows(lake, tmp_path):
    import pyarrow as pa
    lake.write("research", "patient", pa.table({"id": [f"p{n}" for n in range(60)], "family": ["Quetzalcoatl"] * 60, "gender": ["female"] * 40 + ["male"] * 20, "weight": [50.0 + n for n in range(60)]}), run_id="r1")
    page = profile(lake, "research", "patient", tmp_path / "profile.html").read_text()
    assert "Quetzalcoatl" not in page and ">p17<" not in page and "weight" in page
    assert 'src="http' not in page and '<link rel="stylesheet" href="http' not in page
    with pytest.raises(InputError): profile(lake, "identified", "Patient", tmp_path / "x.html")
    with pytest.raises(InputError, match="no such table"): profile(lake, "research", "nothing", tmp_path / "x.html")
