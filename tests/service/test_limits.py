"""Limits: how often, how large, how long, from where."""
import http.client as http_client
import threading
import time

import pytest
from flask import Flask

from healthlab.core.errors import InputError, SettingsError
from healthlab.service import clients
from healthlab.service.limits import Limits, limits, loads
from served import serving


def test_guessing_from_one_address_is_slowed_and_the_others_are_not(app, http):
    wrong = [app.test_client().get("/fhir/Patient", headers={"Authorization": f"Bearer {'x' * 20}{i}"}, environ_base={"REMOTE_ADDR": "10.0.0.1"}) for i in range(30)]
    assert [r.status_code for r in wrong[:20]] == [401] * 20 and wrong[-1].status_code == 429 and int(wrong[-1].headers["Retry-After"]) >= 1
    assert app.test_client().get("/fhir/Patient", environ_base={"REMOTE_ADDR": "10.0.0.2"}).status_code == 401
    assert http.get("/fhir/Patient").status_code == 200 # who has a token is not counted


def test_guessing_secrets_is_slowed(app, http):
    post = lambda secret, address: app.test_client().post("/oauth/token", data=dict(grant_type="client_credentials", scope="system/*.cruds", client_id=http.client["client_id"], client_secret=secret), environ_base={"REMOTE_ADDR": address}).status_code
    answers = [post(f"guess{i}", "10.0.0.3") for i in range(30)]
    assert answers[0] == 401 and answers[-1] == 429 and post(http.client["client_secret"], "10.0.0.3") == 429 and post(http.client["client_secret"], "10.0.0.4") == 200


def test_behind_a_proxy_an_address_that_is_claimed_does_not_count(app):
    claims = [app.test_client().get("/fhir/Patient", headers={"X-Forwarded-For": f"10.1.0.{i}"}).status_code for i in range(30)]
    assert claims[-1] == 429


def test_passwords_of_one_account_are_tried_slowly_wherever_from(app):
    clients.add_account("ada", "correct horse battery", scopes=["user/*.rs"], role="researcher")
    import base64, hashlib, re
    c = clients.add_client("app", scopes=["user/*.rs"], grants=["authorization_code"], redirect_uris=["https://app.example/back"], public=True)["client_id"]
    query = dict(response_type="code", client_id=c, redirect_uri="https://app.example/back", scope="user/Patient.rs", code_challenge_method="S256", code_challenge=base64.urlsafe_b64encode(hashlib.sha256(b"v" * 43).digest()).decode().rstrip("="))
    def attempt(i, password):
        http = app.test_client()
        page = http.get("/oauth/authorize", query_string=query)
        return http.post("/oauth/authorize", query_string=query, data=dict(seal=re.search(r'value="([0-9a-f]{64})"', page.text)[1], username="ada", password=password, decision="allow"), environ_base={"REMOTE_ADDR": f"10.0.1.{i}"})
    assert attempt(0, "correct horse battery").status_code == 302
    answers = [attempt(i, "wrong horse battery") for i in range(12)]
    assert "Name or password is wrong" in answers[0].text and "Too many attempts" in answers[-1].text
    assert "Too many attempts" in attempt(99, "correct horse battery").text # no oracle while it is locked


def test_one_client_s_requests_a_second(app, as_client, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_LIMITS_CLIENT", "1/5")
    many, other = as_client("system/*.rs", name="many"), as_client("system/*.rs", name="calm")
    answers = [many.get("/fhir/Patient") for _ in range(8)]
    assert [r.status_code for r in answers].count(200) in (5, 6) and answers[-1].status_code == 429 and int(answers[-1].headers["Retry-After"]) >= 1 and answers[-1].json["issue"][0]["code"] == "throttled"
    assert other.get("/fhir/Patient").status_code == 200


def test_a_bucket_is_shared_by_processes_and_threads(workbench):
    a, b = Limits(workbench / "b", 0.001, 50), Limits(workbench / "b", 0.001, 50) # two openings of the file: two processes
    taken = []
    threads = [threading.Thread(target=lambda l=l: taken.extend(l.take("k") == 0 for _ in range(40))) for l in (a, b, a, b)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert sum(taken) == 50 and a.take("k") > 0 and a.take("other") == 0


def test_buckets_fill_again(workbench):
    bucket = Limits(workbench / "b", 20, 1)
    assert bucket.take("k") == 0 and 0 < bucket.take("k") <= 0.05
    time.sleep(0.06)
    assert bucket.take("k") == 0


def test_more_callers_than_the_file_has_lines_are_still_limited(workbench):
    bucket = Limits(workbench / "b", 0.001, 3)
    for i in range(30_000): bucket.take(f"k{i}")
    assert [bucket.take("busy") == 0 for _ in range(5)] == [True, True, True, False, False]


@pytest.mark.parametrize("text", ["", "fast", "1", "0/5", "-1/5", "5/0", "1/x"])
def test_a_limit_that_is_none_is_said(monkeypatch, text):
    monkeypatch.setenv("HEALTHLAB_LIMITS_CLIENT", text or "/")
    with pytest.raises(SettingsError): limits("client")


@pytest.mark.parametrize("data, code", [(b"", "json-syntax"), (b"{", "json-syntax"), (b'{"a":1,"a":2}', "json-duplicate-key"), (b"[NaN]", "json-number"), (b"[1e999]", "json-number"), (b"[" + b"1" * 70 + b"]", "json-number"),
                                        (b"\xff", "json-encoding"), (b"[" * 101 + b"]" * 101, "json-depth"), (b"[" * 100_000, "json-depth"), (b"1 2", "json-syntax")])
def test_json_that_is_refused_without_quoting_it(data, code):
    with pytest.raises(InputError) as e: loads(data)
    assert e.value.code == code


def test_json_that_is_fine():
    assert loads(b'{"a":[1,2.5,null,true,"\\u00e4"]}') == {"a": [1, 2.5, None, True, "ä"]} and loads(b"[" * 100 + b"]" * 100)


def test_hosts_and_sizes_of_the_settings(monkeypatch):
    from healthlab.service import limits as module
    monkeypatch.setenv("HEALTHLAB_LIMITS_HOSTS", "fhir.hospital.example, .inner.example")
    monkeypatch.setenv("HEALTHLAB_SERVICE_MAX_BODY_MB", "0.001")
    app = module.register(Flask("small"))
    app.post("/x")(lambda: (__import__("flask").request.get_data(), "ok")[1])
    http = app.test_client()
    assert http.post("/x", data=b"1", base_url="http://fhir.hospital.example").status_code == 200 and http.post("/x", data=b"1", base_url="http://a.inner.example").status_code == 200
    assert http.post("/x", data=b"1", base_url="http://evil.example").status_code == 400 and http.post("/x", data=b"1" * 2000, base_url="http://a.inner.example").status_code == 413


def test_a_client_that_keeps_its_connection_does_not_keep_the_service_from_ending(workbench):
    with serving(workbench) as (port, process):
        idle = http_client.HTTPConnection("127.0.0.1", port, timeout=60)
        idle.request("GET", "/health/live")
        assert idle.getresponse().read()
        time.sleep(.5) # back with the poller
        start = time.monotonic()
        process.terminate()
        assert process.wait(60) == 0
        assert time.monotonic() - start < 16 # the grace period, for requests under way, is 20 s
        idle.close()
