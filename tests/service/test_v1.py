"""The plain JSON interface: what each route gives, what it refuses, and that the refusals are problem details without any of the data."""
import json
import time

import pytest

SCOPES = "ingest deidentify search quality pipelines.read pipelines.run jobs audit metrics system/*.cruds"
BUNDLE = dict(resourceType="Bundle", type="collection", entry=[
    dict(resource=dict(resourceType="Patient", id="ann", name=[dict(family="Example", given=["Annabel"])], birthDate="1948-02-01")),
    dict(resource=dict(resourceType="Condition", id="c", subject=dict(reference="Patient/ann"), code=dict(text="Fever"))),
    dict(resource=dict(resourceType="Condition", id="bad", code=dict(text="No subject")))])


@pytest.fixture
def api(as_client): return as_client(SCOPES)


def post(api, path, body, media="application/json"): return api.ask("POST", path, body, media)


def test_ingest_takes_a_bundle_and_keeps_what_is_wrong_with_its_reason(api):
    answer = post(api, "/v1/ingest", BUNDLE, "application/fhir+json")
    assert answer.status_code == 200, answer.text
    assert answer.json["written"] == 2 and answer.json["rejected"] == 1 and answer.json["types"] == {"Condition": 1, "Patient": 1}
    from healthlab.lake import Lake
    assert Lake().read("identified", "Patient")["id"].to_pylist() == ["ann"]
    assert post(api, "/v1/ingest", BUNDLE, "application/fhir+json").json["written"] == 0


def test_ingest_takes_hl7_v2(api):
    message = "MSH|^~\\&|LAB|H|EHR|H|20240101120000||ADT^A01|1|P|2.5\rEVN|A01|20240101120000\rPID|1||007^^^H^MR||Example^Ann||19480201|F\rPV1|1|I|W^1^1\r"
    assert post(api, "/v1/ingest", message, "x-application/hl7-v2+er7").json["types"]["Patient"] == 1


def test_ingest_refuses_what_it_cannot_take(api):
    assert post(api, "/v1/ingest", b"x", "image/png").status_code == 415
    assert post(api, "/v1/ingest", b"", "application/json").status_code == 400


def test_deidentify_gives_offsets_into_what_was_sent(api):
    text = "Seen by Dr. Miller on 2024-05-03, call 555-123-4567."
    answer = post(api, "/v1/deidentify", dict(texts=[text], method="tag"))
    assert answer.status_code == 200, answer.text
    assert "555-123-4567" not in answer.json[0]["text"] and "555-123-4567" in [text[s["start"]:s["end"]] for s in answer.json[0]["spans"]]


@pytest.mark.parametrize("body, where", [(dict(texts=[]), "body.texts"), (dict(texts=["Ann Secretname"], method="hide"), "body.method"), (dict(), "body.texts"), (dict(texts=["x"], colour=1), "body.colour"), (dict(texts=[7]), "body.texts.0")])
def test_a_body_that_does_not_fit_is_told_where_and_not_repeated(api, body, where):
    answer = post(api, "/v1/deidentify", body)
    assert answer.status_code == 422 and answer.content_type == "application/problem+json" and "Secretname" not in answer.text
    assert where in [e["where"] for e in answer.json["errors"]] and answer.json["instance"].endswith(answer.headers["X-Request-ID"])


@pytest.mark.parametrize("body, code", [(b"{", "json-syntax"), (b'{"texts":["a"],"texts":["b"]}', "json-duplicate-key"), (b'{"texts":NaN}', "json-number"), (b"\xff", "json-encoding")])
def test_json_that_readers_disagree_on_is_refused(api, body, code):
    answer = post(api, "/v1/deidentify", body)
    assert answer.status_code == 400 and answer.json["code"] == code


def test_search_finds_words_and_codes_and_is_recorded(api):
    api.add(resourceType="Patient", id="ann", name=[dict(family="Example")])
    api.add(resourceType="Condition", id="c", subject=dict(reference="Patient/ann"), code=dict(coding=[dict(system="http://snomed.info/sct", code="29857009", display="Chest pain")]), note=[dict(text="Worse when walking.")])
    assert api.get("/v1/search?q=chest%20walking").json == dict(total=1, hits=[dict(type="Condition", id="c", patient="ann", updated=api.get("/v1/search?q=chest").json["hits"][0]["updated"], excerpt="Chest pain Worse when walking.")])
    assert api.get("/v1/search?code=http://snomed.info/sct|29857009&type=Condition").json["total"] == 1
    assert api.get('/v1/search?q="pain chest"').json["total"] == 0 and api.get("/v1/search?q=nothing").json["total"] == 0
    assert api.get("/v1/search").status_code == 422
    assert api.get("/fhir/AuditEvent?subtype=search-system&entity=Condition/c").json["total"] >= 1


def wait(api, answer):
    assert answer.status_code == 202, answer.text
    for _ in range(600):
        job = api.get(answer.headers["Location"]).json
        if job["state"] in ("done", "failed", "cancelled"): return job
        time.sleep(0.1)
    raise AssertionError("the job did not end")


def test_quality_is_assessed_by_a_job_and_read_afterwards(api):
    assert api.get("/v1/quality?zone=identified").status_code == 404
    post(api, "/v1/ingest", BUNDLE, "application/fhir+json")
    job = wait(api, post(api, "/v1/quality", dict(zone="identified")))
    assert job["state"] == "done" and job["result"]["resources"] == 2
    rows = api.get("/v1/quality?zone=identified").json
    assert len(rows) > 20 and all("check" in r for r in rows)
    failed = api.get("/v1/quality?zone=identified&failed=true").json
    assert {r["status"] for r in failed} == {"failed"} and len(failed) < len(rows)
    found = {r["check"]: api.get(f"/v1/quality/findings?zone=identified&check={r['check']}&limit=1").json for r in failed}
    assert any(found.values()) and all(f["check"] == check and f["resource_type"] for check, rows in found.items() for f in rows)
    assert api.get("/v1/quality/findings?zone=identified&check=no-such-check").json == [] and api.get("/v1/quality/findings?zone=identified").status_code == 422


@pytest.fixture
def notebooks(workbench, monkeypatch):
    "A folder with one small pipeline and one that cannot run."
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
    folder = workbench / "pipelines"
    folder.mkdir()
    code = "from healthlab.pipelines import Step\nStep().result(total=sum(range(limit + 1)))"
    cells = [new_markdown_cell("# Counts\nCounts up to a limit."), new_code_cell("limit: int = 3  # the last number", metadata={"tags": ["parameters"]}), new_code_cell(code)]
    nbformat.write(new_notebook(cells=cells), folder / "counts.ipynb")
    nbformat.write(new_notebook(cells=[new_code_cell("x = 1", metadata={"tags": ["parameters"]})]), folder / "untyped.ipynb")
    monkeypatch.setenv("HEALTHLAB_PIPELINES_NOTEBOOKS", str(folder))


def test_pipelines_tell_their_parameters_and_refuse_others(api, notebooks):
    found = {p["name"]: p for p in api.get("/v1/pipelines").json}
    assert found["counts"]["parameters"] == [dict(name="limit", type="int", default=3, help="the last number")] and found["untyped"]["problem"]
    assert post(api, "/v1/pipelines/nothing/runs", {}).status_code == 404
    assert post(api, "/v1/pipelines/counts/runs", dict(parameters=dict(colour="red"))).status_code == 422
    assert api.get("/v1/pipelines/counts/runs").json == [] and api.get("/v1/pipelines/counts/runs/20261121T000000Z-000000").status_code == 404


def test_a_pipeline_runs_and_leaves_its_record_and_report(api, notebooks):
    job = wait(api, post(api, "/v1/pipelines/counts/runs", dict(parameters=dict(limit="4"))))
    assert job["state"] == "done", job
    run = api.get(f"/v1/pipelines/counts/runs/{job['result']['run_id']}").json
    assert run["status"] == "ok" and run["parameters"] == dict(limit=4) and run["results"]["total"] == 10
    report = api.get(f"/v1/pipelines/counts/runs/{run['run_id']}/report")
    assert report.status_code == 200 and report.content_type.startswith("text/html") and "sandbox" in report.headers["Content-Security-Policy"]


def test_the_audit_trail_is_told_newest_first_and_proved(api):
    post(api, "/v1/ingest", BUNDLE, "application/fhir+json")
    rows = api.get("/v1/audit?limit=500").json
    assert [r["seq"] for r in rows] == sorted((r["seq"] for r in rows), reverse=True) and any(r["event"] == "ingest.start" for r in rows)
    assert api.get("/v1/audit/proof").json["ok"] is True


def test_an_entry_of_the_trail_is_written_in_the_callers_name(as_client, api):
    hub = as_client("audit.write", role="researcher", name="hub")
    answer = post(hub, "/v1/audit", dict(event="deny", zone="identified", detail=dict(action="read")))
    assert answer.status_code == 200 and answer.json["seq"] > 0
    newest = api.get("/v1/audit?event=deny&limit=1").json[0]
    assert (newest["actor"], newest["role"], newest["seq"]) == (hub.client["client_id"], "researcher", answer.json["seq"])
    assert post(hub, "/v1/audit", dict(event="DROP table")).status_code == 422 and post(api, "/v1/audit", dict(event="deny")).status_code == 403


def test_the_service_can_lie_under_a_prefix(workbench, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_SERVICE_URL", "http://127.0.0.1:8080/services/healthlab")
    from healthlab.service.app import create_app
    client = create_app().test_client()
    for prefix in ("/services/healthlab", ""): assert client.get(f"{prefix}/health/live").status_code == 200 and client.get(f"{prefix}/v1/audit").status_code == 401
    assert client.get("/services/healthlabs/health/live").status_code == 404
    assert client.get("/services/healthlab/fhir/metadata").json["implementation"]["url"] == "http://127.0.0.1:8080/services/healthlab/fhir"


@pytest.mark.parametrize("path", ["/v1/search?q=x", "/v1/pipelines", "/v1/audit", "/v1/jobs", "/v1/quality", "/metrics"])
def test_each_route_asks_for_its_own_scope(as_client, path):
    answer = as_client("ingest").get(path)
    assert answer.status_code == 403 and answer.json["status"] == 403 and "scope" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/v1/search?q=x", "/v1/audit", "/v1/quality?zone=identified", "/v1/quality/findings?zone=identified&check=birth-date"])
def test_roles_decide_as_well(as_client, path):
    assert as_client(SCOPES, role="stakeholder").get(path).status_code == 403


def test_query_parameters_are_checked(api):
    assert api.get("/v1/search?q=x&count=1000").json["errors"][0]["where"] == "query.count"
    assert api.get("/v1/search?q=x&colour=red").json["errors"][0]["where"] == "query.colour"
    assert api.get("/v1/nothing").json["status"] == 404 and api.ask("DELETE", "/v1/audit").headers["Allow"]


def test_metrics_count_by_route(api):
    api.get("/fhir/Patient/secret-id")
    text = api.get("/metrics").text
    assert 'route="/fhir/<fhir:type>/<id>"' in text and "secret-id" not in text


def test_openapi_describes_every_route(api):
    doc = api.raw.get("/openapi.json").json
    assert doc["openapi"].startswith("3.1") and len(doc["paths"]) > 25
    from healthlab.service.app import catalogue
    for r in catalogue(): assert doc["paths"][r.path][r.method.lower()]["summary"] == r.summary
    json.dumps(doc)


def test_traces_reach_a_collector(workbench, monkeypatch):
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from healthlab.service import telemetry
    got = []
    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200), self.end_headers()
        def log_message(self, *_): pass
    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HEALTHLAB_SERVICE_OTLP", f"http://127.0.0.1:{server.server_port}")
    for f in (telemetry.provider, telemetry.tracer): f.cache_clear()
    try:
        from healthlab.service.app import create_app
        create_app().test_client().get("/health/live", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
        telemetry.flush()
    finally:
        for f in (telemetry.provider, telemetry.tracer): f.cache_clear()
        server.shutdown()
    assert got and got[0][0] == "/v1/traces" and b"GET /health/live" in got[0][1]


def test_characters_that_trail_and_search_cannot_hold_are_refused(as_client):
    client = as_client("audit.write search", role="steward", name="odd")
    noted = client.ask("POST", "/v1/audit", '{"run_id": "\\ud998\\uddec\\\\", "event": "jti"}', media="application/json")
    assert (noted.status_code, client.get("/v1/search?q=%00never").status_code) == (422, 422), noted.text
