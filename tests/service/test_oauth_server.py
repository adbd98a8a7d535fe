"""The embedded authorisation server, over HTTP as a client meets it: what it grants, and that what it hands out is used once, ends, and can be taken back."""
import base64
import hashlib
import json
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from healthlab.core.audit import entries
from healthlab.core.errors import InputError
from healthlab.service import clients, oauth
from healthlab.service.tokens import issuer, verify

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
BACK = "https://app.example/back"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


@pytest.fixture
def http():
    return oauth.register(Flask("oauth")).test_client()


def public(key):
    return dict(key.as_dict(private=False), kid=key.kid)


def assertion(key, client, alg="ES384", header=None, **claims):
    now = int(time.time())
    body = {"iss": client, "sub": client, "aud": issuer() + "/oauth/token", "exp": now + 200, "jti": base64.b64encode(now.to_bytes(8, "big") + id(claims).to_bytes(8, "big")).decode(), **claims}
    return jwt.encode({"alg": alg, "kid": key.kid, "typ": "JWT", **(header or {})}, {k: v for k, v in body.items() if v is not None}, key, algorithms=[alg])


def sign_in_by_key(http, text, scope="system/Patient.r", **more):
    return http.post("/oauth/token", data=dict(grant_type="client_credentials", scope=scope, client_assertion_type=ASSERTION, client_assertion=text, **more))


def person(http, client, scope="user/Patient.rs", password="correct horse battery", decision="allow", **query):
    "Opens the page, fills it in, returns the answer."
    args = {"response_type": "code", "client_id": client, "redirect_uri": BACK, "scope": scope, "state": "s1", "code_challenge": CHALLENGE, "code_challenge_method": "S256", **query}
    page = http.get("/oauth/authorize", query_string=args)
    if page.status_code != 200: return page
    seal = re.search(r'name="seal" value="([0-9a-f]+)"', page.text)[1]
    return http.post("/oauth/authorize", query_string=args, data=dict(seal=seal, username="ada", password=password, decision=decision))


def code_of(answer):
    assert answer.status_code == 302, answer.text
    return parse_qs(urlsplit(answer.location).query)["code"][0]


@pytest.fixture
def app_client():
    clients.add_account("ada", "correct horse battery", scopes=["user/*.rs"], role="researcher")
    return clients.add_client("app", scopes=["user/*.rs"], grants=["authorization_code", "refresh_token"], redirect_uris=[BACK], public=True)["client_id"]


def exchange(http, client, code, **more):
    return http.post("/oauth/token", data=dict(grant_type="authorization_code", code=code, redirect_uri=BACK, client_id=client, code_verifier=VERIFIER) | more)


@pytest.mark.parametrize("alg, key", [("RS384", RSAKey.generate_key(2048, auto_kid=True)), ("ES384", ECKey.generate_key("P-384", auto_kid=True))])
def test_backend_services_signs_in_with_either_algorithm(http, alg, key):
    c = clients.add_client("loader", scopes=["system/*.rs"], jwks={"keys": [public(key)]}, role="steward")["client_id"]
    answer = sign_in_by_key(http, assertion(key, c, alg), "system/Patient.rs system/Observation.r")
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    assert answer.json["token_type"] == "Bearer" and 0 < answer.json["expires_in"] <= 300 and "refresh_token" not in answer.json
    caller = verify(answer.json["access_token"])
    assert (caller.client_id, caller.role, caller.allows("system/Observation.r"), caller.allows("system/Observation.s")) == (c, "steward", True, False)


def test_an_assertion_is_accepted_once_even_after_a_restart(http, workbench):
    key = ECKey.generate_key("P-384", auto_kid=True)
    c = clients.add_client("loader", scopes=["system/*.rs"], jwks={"keys": [public(key)]})["client_id"]
    text = assertion(key, c)
    assert sign_in_by_key(http, text).status_code == 200
    code = f"from flask import Flask; from healthlab.service import oauth; h = oauth.register(Flask('x')).test_client(); print(h.post('/oauth/token', data=dict(grant_type='client_credentials', scope='system/Patient.r', client_assertion_type={ASSERTION!r}, client_assertion={text!r})).status_code)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == "401"


def test_keys_by_address_only_from_the_allow_list_and_rotation_is_found(http, monkeypatch):
    keys = [ECKey.generate_key("P-384", auto_kid=True), ECKey.generate_key("P-384", auto_kid=True)]
    served, asked = {"keys": [public(keys[0])]}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path == "/jwks" else 302)
            if self.path != "/jwks": self.send_header("Location", "/jwks")
            self.end_headers()
            if self.path == "/jwks": self.wfile.write(json.dumps(served).encode())
        def log_message(self, *a): pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(InputError) as e: clients.add_client("loader", scopes=["system/*.rs"], jwks_uri=base + "/jwks")
    assert e.value.code == "jwks-uri" and not asked
    monkeypatch.setenv("HEALTHLAB_OAUTH_JWKS_ALLOWED", base)
    c = clients.add_client("loader", scopes=["system/*.rs"], jwks_uri=base + "/jwks")["client_id"]
    assert sign_in_by_key(http, assertion(keys[0], c)).status_code == 200
    served["keys"] = [public(keys[1])]
    assert sign_in_by_key(http, assertion(keys[1], c)).status_code == 401 and len(asked) == 1 # within a minute an unknown kid is not asked for again
    oauth.key_source(base + "/jwks")._at -= 61
    assert sign_in_by_key(http, assertion(keys[1], c)).status_code == 200 and len(asked) == 2
    r = clients.add_client("redirected", scopes=["system/*.rs"], jwks_uri=base + "/elsewhere")["client_id"]
    assert sign_in_by_key(http, assertion(keys[1], r)).status_code == 401 # redirects are not followed
    server.shutdown()


def test_a_secret_signs_in_by_header_or_body(http):
    made = clients.add_client("batch", scopes=["nlp"])
    basic = {"Authorization": "Basic " + base64.b64encode(f"{made['client_id']}:{made['client_secret']}".encode()).decode()}
    assert http.post("/oauth/token", data=dict(grant_type="client_credentials", scope="nlp"), headers=basic).status_code == 200
    assert http.post("/oauth/token", data=dict(grant_type="client_credentials", scope="nlp", **made)).status_code == 200
    assert http.post("/oauth/token", data=dict(grant_type="client_credentials", scope="nlp", client_id=made["client_id"], client_secret="x" * 43)).status_code == 401


def test_code_flow_with_consent_and_refresh(http, app_client):
    answer = person(http, app_client)
    assert parse_qs(urlsplit(answer.location).query)["state"] == ["s1"] and parse_qs(urlsplit(answer.location).query)["iss"] == [issuer()] and answer.location.startswith(BACK)
    got = exchange(http, app_client, code_of(answer)).json
    caller = verify(got["access_token"])
    assert (caller.subject, caller.role, got["scope"]) == ("ada", "researcher", "user/Patient.rs")
    second = http.post("/oauth/token", data=dict(grant_type="refresh_token", refresh_token=got["refresh_token"], client_id=app_client)).json
    assert verify(second["access_token"]).subject == "ada" and second["refresh_token"] != got["refresh_token"]
    less = http.post("/oauth/token", data=dict(grant_type="refresh_token", refresh_token=second["refresh_token"], client_id=app_client, scope="user/Patient.r")).json
    assert less["scope"] == "user/Patient.r"


def test_the_page_holds_no_script_and_cannot_be_framed(http, app_client):
    page = http.get("/oauth/authorize", query_string=dict(response_type="code", client_id=app_client, redirect_uri=BACK, scope="user/Patient.rs", code_challenge=CHALLENGE, code_challenge_method="S256", state='"><script>'))
    assert page.status_code == 200 and "<script" not in page.text and "user/Patient.rs" in page.text
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"] and "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "HttpOnly" in page.headers["Set-Cookie"] and "SameSite=Strict" in page.headers["Set-Cookie"]


def test_saying_no_tells_the_client_so(http, app_client):
    answer = person(http, app_client, decision="deny")
    assert "error=access_denied" in answer.location and "iss=" in answer.location and "code=" not in answer.location


def test_introspection_and_revocation(http, app_client):
    made = clients.add_client("batch", scopes=["nlp"])
    watcher = clients.add_client("watcher", scopes=["introspect"])
    token = http.post("/oauth/token", data=dict(grant_type="client_credentials", scope="nlp", **made)).json["access_token"]
    about = http.post("/oauth/introspect", data=dict(token=token, **made)).json
    assert about["active"] and about["client_id"] == made["client_id"] and about["scope"] == "nlp"
    assert http.post("/oauth/introspect", data=dict(token=token, **watcher)).json["active"]
    assert http.post("/oauth/revoke", data=dict(token=token, **made)).status_code == 200
    assert http.post("/oauth/introspect", data=dict(token=token, **made)).json == {"active": False}
    got = exchange(http, app_client, code_of(person(http, app_client))).json
    assert http.post("/oauth/introspect", data=dict(token=got["refresh_token"], **watcher)).json["username"] == "ada"
    assert http.post("/oauth/revoke", data=dict(token=got["refresh_token"], client_id=app_client)).status_code == 200
    assert http.post("/oauth/introspect", data=dict(token=got["access_token"], **watcher)).json == {"active": False} # the whole sign-in ends


def test_discovery_names_what_is_there(http):
    meta, smart = http.get("/.well-known/oauth-authorization-server").json, http.get("/fhir/.well-known/smart-configuration").json
    assert meta["issuer"] == issuer() and meta["code_challenge_methods_supported"] == ["S256"] and "registration_endpoint" not in meta
    assert set(meta["token_endpoint_auth_signing_alg_values_supported"]) == {"RS384", "ES384"}
    assert {"permission-v2", "client-confidential-asymmetric"} <= set(smart["capabilities"]) and smart["token_endpoint"] == issuer() + "/oauth/token"
    for name in ("authorization", "token", "introspection", "revocation"):
        path = urlsplit(meta[f"{name}_endpoint"]).path
        assert http.get(path).status_code in (400, 401, 405), name
    for k in http.get("/.well-known/jwks.json").json["keys"]: assert "d" not in k and k["kid"]


def test_nothing_secret_is_stored_and_files_are_private(http, app_client, workbench):
    made = clients.add_client("batch", scopes=["nlp"])
    code = code_of(person(http, app_client))
    got = exchange(http, app_client, code).json
    stored = b"".join(p.read_bytes() for p in (workbench / "service/oauth").iterdir())
    for secret in (made["client_secret"], code, got["refresh_token"], "correct horse battery"): assert secret.encode() not in stored
    for p in (workbench / "service/oauth").iterdir(): assert p.stat().st_mode & 0o077 == 0 or p.suffix in (".db-wal", ".db-shm"), p
    assert (workbench / "service/oauth").stat().st_mode & 0o077 == 0
    trail = json.dumps(entries().to_pylist(), default=str)
    for secret in (made["client_secret"], code, got["refresh_token"], got["access_token"], "correct horse"): assert secret not in trail


def test_a_disabled_client_stops_at_once(http):
    made = clients.add_client("batch", scopes=["nlp"])
    token = http.post("/oauth/token", data=dict(grant_type="client_credentials", scope="nlp", **made)).json["access_token"]
    assert verify(token) and clients.disable_client(made["client_id"])
    with pytest.raises(oauth.AuthError): verify(token)
    assert http.post("/oauth/token", data=dict(grant_type="client_credentials", scope="nlp", **made)).status_code == 401


@pytest.mark.parametrize("what, code", [
    (dict(scopes=["everything"]), "scope-unknown"), (dict(scopes=["system/*.rs?x=1"]), "scope-unknown"), (dict(scopes=["patient/*.rs"]), "scope-unknown"),
    (dict(scopes=["nlp"], grants=["authorization_code"], public=True, redirect_uris=["http://app.example/x"]), "redirect-uri"),
    (dict(scopes=["nlp"], grants=["authorization_code"], public=True, redirect_uris=["https://app.example/*"]), "redirect-uri"),
    (dict(scopes=["nlp"], grants=["authorization_code"], public=True, redirect_uris=["javascript:alert(1)"]), "redirect-uri"),
    (dict(scopes=["nlp"], jwks={"keys": [ECKey.generate_key("P-384", auto_kid=True).as_dict(private=True)]}), "jwks-private"),
    (dict(scopes=["nlp"], jwks={"keys": "x"}), "jwks"), (dict(scopes=["nlp"], public=True), "InputError"), (dict(scopes=["nlp"], grants=["password"]), "InputError")])
def test_a_client_that_cannot_be_registered(what, code):
    with pytest.raises(InputError) as e: clients.add_client("x", **what)
    assert e.value.code == code and not clients.list_clients()


def test_tokens_signed_before_a_rotation_stay_valid(http):
    made = clients.add_client("batch", scopes=["nlp"])
    token = http.post("/oauth/token", data=dict(grant_type="client_credentials", scope="nlp", **made)).json["access_token"]
    new = clients.rotate_signing_key()
    assert verify(token) and [k["kid"] for k in http.get("/.well-known/jwks.json").json["keys"]][-1] == new


def test_two_workers_make_one_signing_key(workbench):
    code = "from healthlab.service.clients import signing_keys; print(signing_keys()[-1].kid)"
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({p.communicate()[0] for p in runs}) == 1


@pytest.mark.parametrize("form", [{}, {"grant_type": "password"}, {"grant_type": 'x"y\\z'}, {"grant_type": "client_credentials", "scope": "\x00"}, {"grant_type": "refresh_token"},
                                  {"grant_type": "authorization_code", "client_id": "é\"\\"}])
def test_nonsense_is_answered_with_an_oauth_error(http, form):
    answer = http.post("/oauth/token", data=form)
    assert 400 <= answer.status_code < 500 and set(answer.json) <= {"error", "error_description"}


@pytest.mark.parametrize("query", [{}, {"client_id": 'a"b'}, {"response_type": 'c"', "client_id": "CLIENT"}, {"response_type": "code", "client_id": "CLIENT", "redirect_uri": 'https://evil.example/"\\'}])
def test_nonsense_on_the_page_is_never_redirected(http, app_client, query):
    answer = http.get("/oauth/authorize", query_string={k: v.replace("CLIENT", app_client) for k, v in query.items()})
    assert answer.status_code in (400, 401) and "Location" not in answer.headers and "evil" not in answer.text


def test_under_a_prefix_the_page_comes_back_to_itself(http, app_client):
    query = dict(response_type="code", client_id=app_client, redirect_uri=BACK, scope="user/Patient.rs", code_challenge=CHALLENGE, code_challenge_method="S256")
    page = http.get("/oauth/authorize", query_string=query, base_url="http://localhost/services/healthlab")
    assert 'action="/services/healthlab/oauth/authorize?' in page.text and "Path=/services/healthlab/oauth/authorize" in page.headers["Set-Cookie"]
