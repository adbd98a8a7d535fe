"""Tokens the service did not make: of OIDC issuers, verified by the keys they publish, and of the JupyterHub it runs under, asked of a real hub."""
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from flask import Flask, jsonify, request
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from healthlab.service import tokens
from healthlab.service.scopes import AuthError
from healthlab.service.tokens import authenticate, verify

AUDIENCE = "api://healthlab"


class Issuer:
    "An OIDC issuer on a port of this machine: discovery, keys, tokens."
    def __init__(self):
        self.keys, self.asked, self.documents = [RSAKey.generate_key(2048, auto_kid=True), ECKey.generate_key("P-256", auto_kid=True)], [], {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                found = issuer.documents.get(self.path)
                self.send_response(200 if found is not None else 404)
                self.end_headers()
                if found is not None: self.wfile.write(found if isinstance(found, bytes) else json.dumps(found).encode())
            def log_message(self, *a): pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/tenant/v2.0"
        self.documents["/tenant/v2.0/.well-known/openid-configuration"] = dict(issuer=self.url, jwks_uri=self.url.replace("/tenant/v2.0", "/keys"))
        self.publish()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def publish(self):
        self.documents["/keys"] = {"keys": [dict(k.as_dict(private=False), kid=k.kid, use="sig") for k in self.keys]}

    def token(self, n=0, alg=None, header=None, key=None, **claims):
        now, k = int(time.time()), key or self.keys[n]
        alg = alg or ("RS256" if k.key_type == "RSA" else "ES256")
        body = dict(iss=self.url, aud=AUDIENCE, sub="u1", oid="object-1", azp="app-1", scp="nlp search", roles=["researcher"], iat=now, nbf=now, exp=now + 300) | claims
        return jwt.encode({"alg": alg, "kid": k.kid, "typ": "JWT"} | (header or {}), {k: v for k, v in body.items() if v is not None}, k, algorithms=[alg])


@pytest.fixture
def oidc(monkeypatch):
    made = Issuer()
    monkeypatch.setenv("HEALTHLAB_OIDC_ISSUERS", made.url)
    monkeypatch.setenv("HEALTHLAB_OIDC_AUDIENCE", AUDIENCE)
    for cached in (tokens._discovered, tokens.key_source): cached.cache_clear()
    tokens._known.clear()
    yield made
    made.server.shutdown()


def refused(token):
    with pytest.raises(AuthError) as e: verify(token)
    return e.value.status, e.value.code


@pytest.mark.parametrize("n", [0, 1], ids=["RS256", "ES256"])
def test_a_token_of_a_named_issuer(oidc, n):
    caller = verify(oidc.token(n))
    assert (caller.client_id, caller.subject, caller.role, caller.issuer) == ("app-1", "object-1", "researcher", oidc.url)
    assert caller.allows("nlp") and caller.allows("search") and not caller.allows("ingest") and not caller.allows("system/Patient.r")


def test_application_permissions_come_as_roles(oidc):
    caller = verify(oidc.token(scp=None, roles=["ingest", "steward", "system/*.rs"], oid=None, sub="service-principal"))
    assert caller.role == "steward" and caller.allows("ingest") and caller.allows("system/Observation.rs") and caller.subject == "service-principal"


def test_groups_give_roles_by_the_settings(oidc, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_OIDC_ROLES", "1111-2222 = steward, hospital=staff = researcher")
    assert verify(oidc.token(roles=None, groups=["1111-2222"])).role == "steward"
    assert verify(oidc.token(roles=None, groups=["hospital=staff"])).role == "researcher"
    assert verify(oidc.token(roles=["steward"], groups=["x"], jti="other")).role == "stakeholder" # not one of the settings': the least


@pytest.mark.parametrize("what, claims", [("expired", dict(exp=1)), ("no end", dict(exp=None)), ("not yet", dict(nbf=4e9)), ("from the future", dict(iat=4e9)), ("end as text", dict(exp="4000000000")), ("end as true", dict(exp=True)),
                                          ("other audience", dict(aud="api://other")), ("no audience", dict(aud=None)), ("audience of objects", dict(aud=[{}])), ("other issuer", dict(iss="https://evil.example")),
                                          ("longer issuer", dict(iss="{url}/")), ("nobody", dict(azp=None, sub=None, oid=None))])
def test_claims_that_are_refused(oidc, what, claims):
    claims = {k: v.replace("{url}", oidc.url) if isinstance(v, str) else v for k, v in claims.items()}
    assert refused(oidc.token(**claims)) == (401, "invalid_token")


def test_an_unknown_issuer_is_not_even_asked(oidc):
    other = Issuer()
    assert refused(other.token()) == (401, "invalid_token") and other.asked == []
    other.server.shutdown()


def test_without_issuers_in_the_settings_no_such_token_is_accepted(oidc, monkeypatch):
    monkeypatch.delenv("HEALTHLAB_OIDC_ISSUERS")
    assert refused(oidc.token()) == (401, "invalid_token") and oidc.asked == []


def test_a_key_that_the_issuer_does_not_publish(oidc):
    stranger = RSAKey.generate_key(2048, auto_kid=True)
    assert refused(oidc.token(key=stranger)) == (401, "invalid_token")
    assert refused(oidc.token(key=stranger, header=dict(kid=oidc.keys[0].kid))) == (401, "invalid_token")
    assert refused(oidc.token(key=stranger, header=dict(jwk=stranger.as_dict(private=False)))) == (401, "invalid_token")
    assert refused(oidc.token(key=stranger, header=dict(jku=oidc.url))) == (401, "invalid_token")


def test_a_public_key_is_no_shared_secret(oidc):
    pem = oidc.keys[0].as_pem(private=False)
    import base64, hmac # by hand: no library signs this way any more
    part = lambda d: base64.urlsafe_b64encode(json.dumps(d).encode()).rstrip(b"=")
    head = part(dict(alg="HS256", kid=oidc.keys[0].kid, typ="JWT"))
    body = part(dict(iss=oidc.url, aud=AUDIENCE, sub="u", scp="nlp", exp=int(time.time()) + 300))
    mac = base64.urlsafe_b64encode(hmac.digest(pem, head + b"." + body, "sha256")).rstrip(b"=")
    assert refused(b".".join((head, body, mac)).decode()) == (401, "invalid_token")


def test_keys_rotate_and_an_invented_kid_is_not_asked_for_again_and_again(oidc):
    verify(oidc.token())
    asked = oidc.asked.count("/keys")
    oidc.keys.insert(0, RSAKey.generate_key(2048, auto_kid=True))
    oidc.publish()
    for _ in range(5): assert refused(oidc.token()) == (401, "invalid_token")
    assert oidc.asked.count("/keys") == asked
    tokens.key_source(oidc.url.replace("/tenant/v2.0", "/keys"))._at -= 61
    assert verify(oidc.token()).client_id == "app-1" and oidc.asked.count("/keys") == asked + 1


def test_keys_already_known_last_while_the_issuer_is_away(oidc):
    token = oidc.token()
    verify(oidc.token(jti="first"))
    del oidc.documents["/keys"]
    tokens.key_source(oidc.url.replace("/tenant/v2.0", "/keys"))._at -= 3601
    assert verify(token).client_id == "app-1"


def test_an_issuer_that_cannot_be_reached_is_said_so(oidc, monkeypatch):
    del oidc.documents["/tenant/v2.0/.well-known/openid-configuration"]
    assert refused(oidc.token()) == (503, "temporarily_unavailable")


@pytest.mark.parametrize("document", [dict(issuer="https://evil.example", jwks_uri="{base}/keys"), dict(issuer="{url}", jwks_uri="http://127.0.0.1.evil.example/keys"), dict(issuer="{url}", jwks_uri="file:///etc/passwd"), [], b"{" * 10_000, b'{"a": "' + b"x" * 300_000 + b'"}'])
def test_a_discovery_document_that_does_not_fit(oidc, document):
    fill = lambda v: v.replace("{url}", oidc.url).replace("{base}", oidc.url.removesuffix("/tenant/v2.0")) if isinstance(v, str) else v
    oidc.documents["/tenant/v2.0/.well-known/openid-configuration"] = {k: fill(v) for k, v in document.items()} if isinstance(document, dict) else document
    assert refused(oidc.token())[0] == 503


def test_a_key_set_with_strange_keys_serves_the_others(oidc):
    oidc.documents["/keys"]["keys"] = [{"kty": "OKP", "crv": "none"}, {"nonsense": 1}, dict(OctKey.generate_key(256).as_dict(private=True), kid="s")] + oidc.documents["/keys"]["keys"]
    assert verify(oidc.token()).client_id == "app-1"


HUB = '''
from jupyterhub.proxy import Proxy

class NoProxy(Proxy):
    "The hub's own API is all that is asked here."
    should_start = False
    async def add_route(self, routespec, target, data): pass
    async def delete_route(self, routespec): pass
    async def get_all_routes(self): return {}
    async def get_route(self, routespec): return None

c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.hub_port, c.JupyterHub.bind_url = PORT, "http://127.0.0.1:BIND"
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.custom_scopes = {f"custom:healthlab:{n}": {"description": n} for n in ("nlp", "pipelines-run", "fhir-read", "ingest", "audit-write")}
c.JupyterHub.services = [dict(name="healthlab", api_token="SERVICE"), dict(name="another", api_token="ANOTHER"), dict(name="admin", api_token="ADMIN")]
c.JupyterHub.load_groups = {"healthlab-researcher": dict(users=["ada"]), "healthlab-steward": dict(users=["grace"])}
c.JupyterHub.load_roles = [
    dict(name="admin-service", services=["admin"], scopes=["admin:users", "tokens", "admin:auth_state"]),
    dict(name="reads-users", services=["healthlab"], scopes=["read:users:groups"]),
    dict(name="user", scopes=["self", "access:services!service=healthlab"]),
    dict(name="may-use", groups=["healthlab-researcher", "healthlab-steward"], scopes=["custom:healthlab:nlp", "custom:healthlab:pipelines-run", "custom:healthlab:audit-write"]),
    dict(name="may-read", groups=["healthlab-steward"], scopes=["custom:healthlab:fhir-read"]),
    dict(name="stays-out", users=["mallory"], scopes=["custom:healthlab:nlp"]),
]
'''


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    "A JupyterHub in a process of its own: (address of its API, its services' tokens)."
    folder, port = tmp_path_factory.mktemp("hub"), free_port()
    made = {n: secrets.token_hex(16) for n in ("SERVICE", "ANOTHER", "ADMIN")}
    text = HUB.replace("PORT", str(port)).replace("BIND", str(free_port()))
    for n, t in made.items(): text = text.replace(f'"{n}"', f'"{t}"')
    (folder / "config.py").write_text(text)
    log = open(folder / "log", "wb")
    process = subprocess.Popen([sys.executable, "-m", "jupyterhub", "-f", "config.py"], cwd=folder, stdout=log, stderr=log, env=os.environ | {"JUPYTERHUB_CRYPT_KEY": secrets.token_hex(32)})
    url, until = f"http://127.0.0.1:{port}/hub/api", time.monotonic() + 60
    while True:
        try:
            if requests.get(url, timeout=2).status_code == 200: break
        except requests.RequestException: pass
        assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()[-3000:]
        time.sleep(0.2)
    yield url, made
    process.terminate()
    process.wait(20)


@pytest.fixture
def as_service(hub, monkeypatch):
    url, made = hub
    for k, v in dict(API_URL=url, API_TOKEN=made["SERVICE"], SERVICE_NAME="healthlab").items(): monkeypatch.setenv(f"JUPYTERHUB_{k}", v)
    tokens._known.clear()
    tokens._hub_auth.cache_clear()
    return hub


def hub_token(hub, user, **wanted):
    url, made = hub
    as_admin = {"Authorization": f"token {made['ADMIN']}"}
    requests.post(f"{url}/users/{user}", headers=as_admin, timeout=10)
    r = requests.post(f"{url}/users/{user}/tokens", headers=as_admin, json=dict(note="test", **wanted), timeout=10)
    assert r.status_code == 201, r.text
    return r.json()["token"]


def test_a_hub_user_has_the_scopes_and_the_role_of_the_groups(as_service):
    ada = verify(hub_token(as_service, "ada"))
    assert (ada.client_id, ada.subject, ada.role) == ("hub", "ada", "researcher") and ada.allows("nlp") and ada.allows("pipelines.run") and ada.allows("audit.write")
    assert not ada.allows("ingest") and not ada.allows("system/Patient.r")
    grace = verify(hub_token(as_service, "grace"))
    assert grace.role == "steward" and grace.allows("system/Patient.rs") and not grace.allows("system/Patient.c")


def test_a_hub_token_with_less_gives_less(as_service):
    caller = verify(hub_token(as_service, "ada", scopes=["access:services!service=healthlab", "custom:healthlab:nlp"]))
    assert caller.allows("nlp") and not caller.allows("pipelines.run")


def test_hub_tokens_that_do_not_open_this_service(as_service):
    assert refused(hub_token(as_service, "ada", scopes=["custom:healthlab:nlp"])) == (403, "insufficient_scope") # not for this service
    assert refused("0" * 32) == (401, "invalid_token") # the hub does not know it
    assert refused(as_service[1]["ANOTHER"]) == (403, "insufficient_scope") # another service of the hub


def test_a_hub_token_taken_back_stops_within_its_minute(as_service):
    token = hub_token(as_service, "ada")
    assert verify(token)
    url, made = as_service
    as_admin = {"Authorization": f"token {made['ADMIN']}"}
    for t in requests.get(f"{url}/users/ada/tokens", headers=as_admin, timeout=10).json()["api_tokens"]: requests.delete(f"{url}/users/ada/tokens/{t['id']}", headers=as_admin, timeout=10)
    tokens._known.clear()
    tokens._hub_auth.cache_clear() # as a minute later
    assert refused(token) == (401, "invalid_token")


def test_a_hub_that_is_down_is_said_so(as_service, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_URL", f"http://127.0.0.1:{free_port()}/hub/api")
    assert refused("1" * 32) == (503, "temporarily_unavailable")


def test_outside_of_a_hub_such_tokens_are_nothing(monkeypatch):
    for k in ("API_URL", "API_TOKEN", "SERVICE_NAME"): monkeypatch.delenv(f"JUPYTERHUB_{k}", raising=False)
    assert refused("1" * 32) == (401, "invalid_token")


def test_the_door_takes_a_hub_token_like_any_other(as_service):
    app = Flask("door")
    app.add_url_rule("/who", view_func=lambda: jsonify(authenticate(request).subject))
    app.register_error_handler(AuthError, lambda e: (e.code, e.status, e.headers))
    assert app.test_client().get("/who", headers={"Authorization": f"Bearer {hub_token(as_service, 'ada')}"}).json == "ada"
    assert app.test_client().get("/who", headers={"Authorization": f"token {hub_token(as_service, 'ada')}"}).status_code == 401
