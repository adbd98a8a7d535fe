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


def test_rows_like_those_of_a_research_table(api):
    import pyarrow as pa

    from healthlab.lake import Lake
    rows = [dict(gender=g, age=30 + n % 40, stays=n % 4) for n in range(200) for g in ("female", "male")]
    Lake().write("research", "patient", pa.Table.from_pylist(rows), run_id="t")
    job = done(api, kind="table", table="patient", size=50, method="marginals", epsilon=2.0, format="csv")
    assert job["state"] == "done", job
    assert job["result"]["rows"] == 50 and len(job["result"]["preview"]) == 5 and job["result"]["about"]["epsilon"] == 2.0
    assert len(api.get(f"/v1/jobs/{job['id']}/files/patient.csv").text.splitlines()) == 51
    assert done(api, kind="table", table="nothing", size=5)["code"] == "table-missing"


@pytest.mark.parametrize("body", [dict(kind="hospital", format="csv"), dict(kind="table"), dict(kind="table", table="patient", method="magic"), dict(kind="table", table="patient", epsilon=-1), dict(kind="hospital", format="fhir", size=10**7), dict(kind="other")])
def test_what_cannot_be_made_is_refused_before_a_job_starts(api, body):
    assert api.ask("POST", "/v1/synthetic-data", body, "application/json").status_code == 422 and api.get("/v1/jobs").json == []


def test_the_route_adds_little_to_the_function(api):
    "CPU time in one process: at the median at most 3 ms over healthlab.nlp.analyze."
    import statistics

    from healthlab.nlp import analyze
    def spent(f):
        start = time.thread_time()
        f()
        return time.thread_time() - start
    read(api, "entities"), analyze([NOTE])
    over, alone = [spent(lambda: read(api, "entities")) for _ in range(15)], [spent(lambda: analyze([NOTE])) for _ in range(15)]
    assert statistics.median(over) - statistics.median(alone) < 0.003
