"""Language and synthetic data over HTTP."""
import json
import time

import pytest

NOTE = "Denies chest pain. Takes metformin 500 mg twice daily. Smokes one pack a day."


@pytest.fixture
def api(as_client): return as_client("nlp synth jobs")


def read(api, part, **body): return api.ask("POST", f"/v1/nlp/{part}", dict(texts=[NOTE], **body), "application/json")


def test_notes_are_read_and_only_the_part_asked_for_is_given(api):
    found = read(api, "entities").json[0]
    assert all(NOTE[e["start"]:e["end"]] == e["text"] for e in found["entities"]) and any("pain" in e["text"] and e["assertion"]["certainty"] == "negative" for e in found["entities"]) and "social" not in found
    import msgspec

    from healthlab.nlp import analyze
    alone = json.loads(msgspec.json.encode(analyze([NOTE])[0]))
    assert read(api, "relations").json[0]["relations"] == alone["relations"] and found["entities"] == alone["entities"]
    assert any(s["kind"].endswith("tobacco") for s in read(api, "social").json[0]["social"])
    assert {"entities", "relations", "timeline", "social", "summary", "sections"} <= set(read(api, "analyze").json[0])


def test_a_note_that_cannot_be_read_does_not_stop_the_others(api):
    answer = api.ask("POST", "/v1/nlp/entities", dict(texts=["", NOTE]), "application/json")
    assert answer.status_code == 200 and answer.json[1]["entities"]


def test_dates_must_fit_the_texts(api):
    assert read(api, "timeline", dates=[]).status_code == 422 and read(api, "timeline", dates=["2024-05-01"]).status_code == 200
    assert read(api, "timeline", dates=["5 May"]).json["errors"][0]["where"].startswith("body.dates")


def done(api, **body):
    answer = api.ask("POST", "/v1/synthetic-data", body, "application/json")
    assert answer.status_code == 202, answer.text
    for _ in range(900):
        job = api.get(answer.headers["Location"]).json
        if job["state"] in ("done", "failed"): return job
        time.sleep(0.1)
    raise AssertionError("the job did not end")


def test_a_simulated_hospital_as_a_job(api):
    job = done(api, kind="hospital", size=2, seed=4, format="fhir")
    assert job["state"] == "done" and job["result"]["types"]["Patient"] == 2 and job["result"]["preview"][0]["resourceType"] == "Patient"
    lines = api.get(f"/v1/jobs/{job['id']}/files/resources.ndjson").text.splitlines()
    assert len(lines) == job["result"]["resources"] and json.loads(lines[-1])["resourceType"]


@pytest.fixture
def ward(monkeypatch, tmp_path):
    "A research table of 1,200 stays of 600 patients."
    import numpy as np
    import pandas as pd

    from healthlab.lake import Lake
    monkeypatch.setenv("HEALTHLAB_SYNTH_SHADOWS", "2")
    monkeypatch.setenv("HEALTHLAB_SYNTH_MODELS", str(tmp_path / "models"))
    r = np.random.default_rng(0)
    age = r.integers(20, 90, 1200)
    Lake().write("research", "encounter", pd.DataFrame({"id": [f"e{i:05d}" for i in range(1200)], "patient": [f"Patient/p{i // 2}" for i in range(1200)], "age": age, "sbp": (100 + age / 2 + r.normal(0, 10, 1200)).round(),
                                                        "ward": r.choice(["medical", "surgical"], 1200)}), run_id="t")


def events():
    from healthlab.core import audit
    return audit.entries().column("event").to_pylist()


@pytest.mark.parametrize("how", [dict(size=50), dict(size=1200, format="parquet"), dict(size=1000, epsilon=3.0, method="marginals")])
def test_rows_like_those_of_a_research_table_are_judged_and_name_nobody(api, ward, how, monkeypatch):
    if "epsilon" in how: # what noise takes from 960 rows is no matter here
        for name in ("ACCURACY_GAP", "DETECTION_MOST"): monkeypatch.setenv(f"HEALTHLAB_SYNTH_{name}", ".9")
    job = done(api, kind="table", table="encounter", **how)
    assert job["state"] == "done" and job["result"]["card"]["passed"], job
    got, name = job["result"], f"encounter.{how.get('format', 'csv')}"
    assert got["rows"] == how["size"] and len(got["preview"]) == 5 and got["about"]["epsilon"] == how.get("epsilon") and {"leak: copies", "values of few"} <= {r["name"] for r in got["card"]["rules"]}
    assert "patient" in got["left_out"] and "patient" not in got["columns"] and not any("patient" in row for row in got["preview"])
    file = api.get(f"/v1/jobs/{job['id']}/files/{name}")
    assert file.status_code == 200 and b"Patient/p" not in file.data and {"synth.ask", "synth.made"} <= set(events())
    assert name.endswith("parquet") or len(file.text.splitlines()) == how["size"] + 1


@pytest.mark.parametrize("epsilon", [None, 3.0])
def test_rows_that_fail_their_card_are_withheld(api, ward, epsilon, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_SYNTH_ACCURACY_GAP", "-1")
    job = done(api, kind="table", table="encounter", size=300, epsilon=epsilon)
    got = job["result"]
    assert job["state"] == "done" and not got["card"]["passed"] and "accuracy" in got["card"]["failed"] and got["rows"] == 0 and got["preview"] == []
    assert api.get(f"/v1/jobs/{job['id']}/files/encounter.csv").status_code == 404 and "synth.withheld" in events() and "synth.made" not in events()
    assert done(api, kind="table", table="nothing", size=5)["code"] == "table-missing"


@pytest.mark.parametrize("body", [dict(kind="hospital", format="csv"), dict(kind="table"), dict(kind="table", table="patient", method="magic"), dict(kind="table", table="patient", epsilon=-1), dict(kind="hospital", format="fhir", size=10**7), dict(kind="other")])
def test_what_cannot_be_made_is_refused_before_a_job_starts(api, body):
    assert api.ask("POST", "/v1/synthetic-data", body, "application/json").status_code == 422 and api.get("/v1/jobs").json == []
