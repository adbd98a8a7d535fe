"""FHIR interactions over HTTP: what is answered, what is kept, what is recorded, and how refusals are told."""
import json

import pytest

from healthlab.fhir.model import validate
from healthlab.service.indexing import rows

ANN = dict(resourceType="Patient", active=True, name=[dict(family="Example", given=["Ann"])])


def made(http, resource=ANN, **headers):
    answer = http.post(f"/fhir/{resource['resourceType']}", resource, **headers)
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"].split("/fhir/")[1].split("/_history")[0]


def trail(http, **search):
    return [e["resource"] for e in http.get("/fhir/AuditEvent?" + "&".join(f"{k}={v}" for k, v in search.items())).json.get("entry", [])]


def test_create_read_update_delete(http):
    at = made(http)
    first = http.get(f"/fhir/{at}")
    assert first.json["name"] == ANN["name"] and first.headers["ETag"] == 'W/"1"' and first.content_type.startswith("application/fhir+json")
    changed = http.put(f"/fhir/{at}", first.json | dict(active=False), If_Match='W/"1"')
    assert changed.status_code == 200 and changed.headers["ETag"] == 'W/"2"' and changed.json["active"] is False
    assert http.put(f"/fhir/{at}", first.json, If_Match='W/"1"').status_code == 412
    assert http.get(f"/fhir/{at}/_history/1").json["active"] is True
    assert http.delete(f"/fhir/{at}").status_code == 204
    assert [http.get(f"/fhir/{at}{tail}").status_code for tail in ("", "/_history/1", "/_history/3", "/_history/9")] == [410, 200, 410, 404]
    assert http.delete(f"/fhir/{at}").status_code == 204 and http.get("/fhir/Patient/nobody").status_code == 404
    history = http.get(f"/fhir/{at}/_history").json
    assert [e["request"]["method"] for e in history["entry"]] == ["DELETE", "PUT", "POST"] and history["total"] == 3 and not [i for i in validate(history) if i.stops]


def test_an_id_of_ones_own_by_put(http):
    assert http.put("/fhir/Patient/mine", ANN | dict(id="mine")).status_code == 201
    assert http.put("/fhir/Patient/mine", ANN | dict(id="other")).status_code == 400
    assert http.put("/fhir/Patient/mine", ANN).status_code == 400
    assert http.put("/fhir/Patient/not_an_id", ANN | dict(id="not_an_id")).status_code in (400, 422)


def test_what_has_not_changed_is_not_sent_again(http):
    at = made(http)
    again = http.get(f"/fhir/{at}", If_None_Match='W/"1"')
    assert again.status_code == 304 and again.data == b""
    modified = http.get(f"/fhir/{at}").headers["Last-Modified"]
    assert http.get(f"/fhir/{at}", If_Modified_Since=modified).status_code == 304


def test_prefer_decides_what_a_write_answers(http):
    assert http.post("/fhir/Patient", ANN, Prefer="return=minimal").data == b""
    assert http.post("/fhir/Patient", ANN, Prefer="return=OperationOutcome").json["resourceType"] == "OperationOutcome"
    assert http.post("/fhir/Patient", ANN).json["resourceType"] == "Patient"


def test_conditional_create_update_delete(http):
    known = ANN | dict(identifier=[dict(system="urn:mrn", value="7")])
    first = http.post("/fhir/Patient", known, If_None_Exist="identifier=urn:mrn|7")
    again = http.post("/fhir/Patient", known, If_None_Exist="identifier=urn:mrn|7")
    assert (first.status_code, again.status_code) == (201, 200) and first.json["id"] == again.json["id"]
    changed = http.put("/fhir/Patient?identifier=urn:mrn|7", known | dict(gender="female"))
    assert changed.status_code == 200 and changed.json["id"] == first.json["id"] and changed.json["meta"]["versionId"] == "2"
    assert http.put("/fhir/Patient?identifier=urn:mrn|8", known).status_code == 201
    assert http.put("/fhir/Patient?name=example", known).status_code == 412
    assert http.delete("/fhir/Patient?name=example").status_code == 412
    assert http.delete("/fhir/Patient?identifier=urn:mrn|7&gender=female").status_code == 204 and http.get(f"/fhir/Patient/{first.json['id']}").status_code == 410
    assert http.delete("/fhir/Patient").status_code == 412


@pytest.mark.parametrize("body, status, path", [
    (b"{", 400, None), (b"[]", 422, None), (b'{"resourceType":"Patient","birthDate":"5 May"}', 422, "Patient.birthDate"), (b'{"resourceType":"Patient","colour":"red"}', 422, "Patient"),
    (b'{"resourceType":"Basic","code":{"text":"x"}}', 400, None), (b'{"resourceType":"Patient","gender":"male","gender":"female"}', 422, "Patient"), (b"", 400, None),
    (b'{"resourceType":"Patient","id":' + b"[" * 200000, 400, None), (b'{"resourceType":"Patient","multipleBirthInteger":1e999}', None, None)])
def test_what_is_not_valid_is_refused_and_not_repeated(http, body, status, path):
    answer = http.post("/fhir/Patient", body)
    assert answer.status_code == status if status else answer.status_code in (400, 422)
    assert answer.json["resourceType"] == "OperationOutcome" and "5 May" not in answer.text and "red" not in answer.text
    if path: assert any(i.get("expression") == [path] for i in answer.json["issue"]), answer.text
    assert http.get("/fhir/Patient").json["total"] == 0


def test_formats(http):
    assert http.get("/fhir/Patient", Accept="application/fhir+xml").status_code == 406
    assert http.get("/fhir/Patient?_format=xml").status_code == 406
    assert http.get("/fhir/Patient?_format=json").status_code == 200
    assert http.ask("POST", "/fhir/Patient", "<Patient/>", "application/fhir+xml").status_code == 415
    assert b"\n  " in http.get("/fhir/metadata?_pretty=true").data


def test_every_access_is_an_audit_event_and_every_change_has_its_provenance(http):
    at = made(http)
    http.get(f"/fhir/{at}", X_Request_ID="request-of-the-reader")
    http.get("/fhir/Patient?name=example")
    http.get("/fhir/Patient/nobody")
    http.put(f"/fhir/{at}", ANN | dict(id=at.split("/")[1]))
    http.delete(f"/fhir/{at}")
    events = trail(http)
    assert [(e["action"], e["subtype"][0]["code"], e["outcome"]) for e in reversed(events)] == [
        ("C", "create", "0"), ("R", "read", "0"), ("E", "search-type", "0"), ("R", "read", "4"), ("U", "update", "0"), ("D", "delete", "0")]
    assert not [i for e in events for i in validate(e) if i.stops]
    assert trail(http, entity=at, action="R")[0]["agent"][0]["altId"] == http.client["client_id"]
    assert {e["action"] for e in trail(http, patient=at)} == set("CREUD")
    provenance = [e["resource"] for e in http.get(f"/fhir/Provenance?target={at}&_sort=recorded").json["entry"]]
    assert [p["activity"]["coding"][0]["code"] for p in provenance] == ["CREATE", "UPDATE", "DELETE"] and not [i for p in provenance for i in validate(p) if i.stops]
    assert http.app.extensions["healthlab.store"].verify() == []


def test_a_provenance_written_by_the_service_has_the_index_rows_of_any_other(http):
    made(http)
    value = http.get("/fhir/Provenance").json["entry"][0]["resource"]
    store = http.app.extensions["healthlab.store"]
    held = {t: store.db.reader().execute(f"select count(*) from {t} i join version v on v.seq = i.seq where v.type = 'Provenance'").get for t in ("token", "date", "reference")}
    wanted = {t: len({(r.name, r.values[0], r.values[1]) for r in rows(value) if r.kind == t}) for t in held}
    assert held == wanted
    http.delete(f"/fhir/Provenance/{value['id']}")
    assert not any(store.db.reader().execute(f"select count(*) from {t} i join version v on v.seq = i.seq where v.type = 'Provenance'").get for t in held)


def test_audit_events_cannot_be_written_changed_or_deleted(http):
    made(http)
    event = trail(http)[0]
    assert http.post("/fhir/AuditEvent", event).status_code == 405
    assert http.put(f"/fhir/AuditEvent/{event['id']}", event).status_code == 405
    assert http.delete(f"/fhir/AuditEvent/{event['id']}").status_code == 405
    assert http.get(f"/fhir/AuditEvent/{event['id']}").json["id"] == event["id"]


@pytest.mark.parametrize("scopes, role, method, path, status", [
    ("system/Patient.rs", "steward", "GET", "/fhir/Patient", 200), ("system/Patient.rs", "steward", "GET", "/fhir/Observation", 403), ("system/Patient.r", "steward", "GET", "/fhir/Patient", 403),
    ("system/Patient.rs", "steward", "POST", "/fhir/Patient", 403), ("system/Patient.c", "steward", "POST", "/fhir/Patient", 201), ("system/*.cruds", "researcher", "GET", "/fhir/Patient", 403),
    ("system/*.cruds", "stakeholder", "POST", "/fhir/Patient", 403), ("system/Patient.rs", "steward", "GET", "/fhir/_history", 403), ("system/*.s", "steward", "GET", "/fhir/_history", 200),
    ("system/Patient.rs", "steward", "GET", "/fhir/AuditEvent", 403), ("system/Patient.s", "steward", "GET", "/fhir/Patient?_revinclude=Observation:patient", 403)])
def test_scopes_and_roles(as_client, scopes, role, method, path, status):
    answer = as_client(scopes, role).ask(method, path, ANN if method == "POST" else None)
    assert answer.status_code == status, answer.text
    if status == 403: assert answer.json["issue"][0]["code"] == "forbidden"


def test_what_a_caller_may_not_read_does_not_come_along(http, as_client):
    http.add(resourceType="Patient", id="ann")
    http.add(resourceType="Condition", id="c", subject=dict(reference="Patient/ann"), code=dict(text="Fever"))
    page = as_client("system/Patient.r").get("/fhir/Patient/ann/$everything").json
    assert [e["resource"]["resourceType"] for e in page["entry"]] == ["Patient"]


def test_the_public_routes_and_no_other_answer_without_a_token(http):
    for path in ("/fhir/metadata", "/health/live", "/health/ready", "/openapi.json", "/docs", "/docs/assets/swagger-ui.css"): assert http.raw.get(path).status_code == 200, path
    for rule in http.app.url_map.iter_rules():
        view = http.app.view_functions[rule.endpoint]
        if getattr(view, "public", False): continue
        path = rule.rule
        for name in rule.arguments: path = path.replace(f"<fhir:{name}>", "Patient").replace(f"<{name}>", "x1")
        answer = http.raw.open(path, method=sorted(rule.methods - {"HEAD", "OPTIONS"})[0])
        assert answer.status_code in (401, 429), (rule.rule, answer.status_code)


def test_the_capability_statement_is_valid_and_names_what_is_there(http):
    said = http.raw.get("/fhir/metadata").json
    assert not [i for i in validate(said) if i.stops]
    patient = next(r for r in said["rest"][0]["resource"] if r["type"] == "Patient")
    assert {i["code"] for i in patient["interaction"]} >= {"read", "vread", "update", "delete", "create", "search-type", "history-instance"}
    assert {p["name"] for p in patient["searchParam"]} >= {"name", "birthdate", "identifier", "general-practitioner"}


def test_answers_carry_their_headers(http, monkeypatch):
    answer = http.get("/fhir/Patient", X_Request_ID="a-request-of-mine")
    assert answer.headers["X-Request-ID"] == "a-request-of-mine" and answer.headers["Cache-Control"] == "no-store" and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert http.get("/fhir/Patient", X_Request_ID="<script>").headers["X-Request-ID"] != "<script>"
    assert "Access-Control-Allow-Origin" not in http.get("/fhir/Patient", Origin="https://elsewhere.example").headers


def test_cross_origin_calls_are_for_the_origins_of_the_settings(workbench, monkeypatch):
    from healthlab.service.app import create_app
    monkeypatch.setenv("HEALTHLAB_SERVICE_CORS_ORIGINS", "https://dash.example")
    client = create_app().test_client()
    pre = client.options("/fhir/Patient", headers={"Origin": "https://dash.example", "Access-Control-Request-Method": "GET"})
    assert pre.headers["Access-Control-Allow-Origin"] == "https://dash.example" and "Authorization" in pre.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in client.options("/fhir/Patient", headers={"Origin": "https://evil.example"}).headers


def test_log_lines_hold_no_ids_names_or_searches(http, capsys):
    import io

    from healthlab.service.telemetry import log_as_json
    out = io.StringIO()
    log_as_json(out)
    http.add(resourceType="Patient", id="secret-id", name=[dict(family="Secretname")])
    http.get("/fhir/Patient?name=Secretname"), http.get("/fhir/Patient/secret-id"), http.get("/fhir/nothing/here/at/all/Secretname")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [x["route"] for x in lines[-3:]] == ["/fhir/<fhir:type>", "/fhir/<fhir:type>/<id>", "none"] and lines[-1]["status"] == 404
    assert "ecret" not in out.getvalue()


def test_a_mistake_of_ours_tells_nothing(http, monkeypatch):
    import io

    from healthlab.service import gateway
    from healthlab.service.telemetry import log_as_json
    log_as_json(out := io.StringIO())
    def broken(*_): raise RuntimeError("Ann Example, born 1948")
    monkeypatch.setattr(gateway, "asked", broken)
    answer = http.get("/fhir/Patient/secret-id")
    assert "RuntimeError" in out.getvalue() and "Ann" not in out.getvalue() and "secret-id" not in out.getvalue()
    assert answer.status_code == 500 and "Ann" not in answer.text and answer.json["resourceType"] == "OperationOutcome"


def test_a_binary_is_given_as_it_is_unless_the_resource_is_asked_for(http):
    import base64
    http.add(resourceType="Binary", id="note", contentType="text/plain", data=base64.b64encode(b"note").decode())
    raw = http.get("/fhir/Binary/note", Accept="text/plain")
    assert raw.data == b"note" and raw.content_type.startswith("text/plain") and raw.headers["Content-Disposition"] == "attachment" and raw.headers["X-Content-Type-Options"] == "nosniff"
    assert http.get("/fhir/Binary/note").data == b"note" and http.get("/fhir/Binary/note", Accept="application/fhir+json").json["resourceType"] == "Binary"


def test_json_nested_beyond_all_measure_is_the_clients_mistake(as_client):
    http = as_client("system/*.cruds deidentify")
    deep = b'{"resourceType":"Patient","x":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    for path in ("/fhir/Patient", "/fhir/$validate", "/fhir", "/fhir/$de-identify", "/fhir/$viewdefinition-run"): assert http.post(path, deep).status_code in (400, 422), path
