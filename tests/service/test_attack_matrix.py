"""Attacks on the service as it runs in earnest, over sockets: each is refused, tells nothing, and leaves everything as it was."""
import base64
import gzip
import hashlib
import hmac
import http.client
import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import requests
from joserfc import jwe, jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from served import serving

from healthlab.service import clients, tokens
from healthlab.service.jobs import Jobs, kind

ATTACKS = {}
SECRET = "Musterfrau" # in every record: what no answer may hold
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
BACK = "https://app.example/back"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


def attack(f):
    ATTACKS[f.__name__.replace("_", " ")] = f
    return f


class Trap(HTTPServer):
    "An attacker's server: notes who comes."
    def __init__(self):
        self.asked, self.key = [], ECKey.generate_key("P-384", auto_kid=True)
        trap = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                trap.asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": [dict(trap.key.as_dict(private=False), kid=trap.key.kid)]}).encode())
            def log_message(self, *a): pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Target:
    "The service, and what an attacker may have: clients of its own, keys of its own, tokens that were good once."
    def __init__(self, port, trap):
        self.port, self.trap, self.base = port, trap, f"http://127.0.0.1:{port}"
        self.key = ECKey.generate_key("P-384", auto_kid=True)
        made = lambda name, scopes, role="steward", **more: clients.add_client(name, scopes=scopes, role=role, **more)
        self.good = made("good", ["system/*.cruds", "jobs", "nlp"])
        self.reader = made("reader", ["system/Observation.rs", "jobs"])
        self.signer = made("signer", ["system/*.rs"], jwks={"keys": [dict(self.key.as_dict(private=False), kid=self.key.kid)]})["client_id"]
        clients.add_account("ada", "correct horse battery", scopes=["user/*.rs"], role="steward")
        app = dict(scopes=["user/*.rs"], grants=["authorization_code", "refresh_token"], public=True)
        self.app, self.other_app = made("app", redirect_uris=[BACK], **app)["client_id"], made("other", redirect_uris=["https://other.example/back"], **app)["client_id"]

    def token(self, client=None, scope="system/*.cruds jobs nlp", role="steward", seconds=None):
        id = (client or self.good)["client_id"]
        return tokens.issue(id, id, scope, role, "g" + str(time.time()), seconds)[0]

    def forge(self, claims=None, head=None, key=None, alg="ES256"):
        "A token like the service's own, with what the attacker changes."
        key, now, id = key or tokens.signing_keys()[-1], int(time.time()), self.good["client_id"]
        body = dict(iss=self.base, aud=self.base, sub=id, client_id=id, scope="system/*.cruds", role="steward", iat=now, exp=now + 300, jti=f"j{time.time()}", grant="g") | (claims or {})
        return jwt.encode({"typ": "at+jwt", "alg": alg, "kid": tokens.signing_keys()[-1].kid} | (head or {}), {k: v for k, v in body.items() if v is not None}, key, algorithms=[alg])

    def ask(self, method, path, token=None, body=None, form=None, headers=None):
        head = ({"Authorization": f"Bearer {token}"} if token else {}) | (headers or {})
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        if isinstance(body, (dict, list)): head.setdefault("Content-Type", "application/fhir+json")
        return requests.request(method, self.base + path, headers=head, data=form if form is not None else data, timeout=60, allow_redirects=False)

    def patient(self, token): return self.ask("GET", "/fhir/Patient/p1", token)

    def sign_in(self, form): return self.ask("POST", "/oauth/token", form=form)

    def assertion(self, key=None, alg="ES384", head=None, **claims):
        now, k = int(time.time()), key or self.key
        body = dict(iss=self.signer, sub=self.signer, aud=self.base + "/oauth/token", exp=now + 200, jti=f"{time.time()}") | claims
        return jwt.encode({"alg": alg, "kid": self.key.kid, "typ": "JWT"} | (head or {}), {k2: v for k2, v in body.items() if v is not None}, k, algorithms=[alg])

    def by_assertion(self, text): return self.sign_in(dict(grant_type="client_credentials", scope="system/Patient.r", client_assertion_type=ASSERTION, client_assertion=text))

    def code(self, client=None, scope="user/Patient.rs", **query):
        "A code, as a person's consent gives it."
        args = dict(response_type="code", client_id=client or self.app, redirect_uri=BACK, scope=scope, state="s", code_challenge=CHALLENGE, code_challenge_method="S256") | query
        with requests.Session() as s:
            page = s.get(self.base + "/oauth/authorize", params={k: v for k, v in args.items() if v is not None}, timeout=60, allow_redirects=False)
            if page.status_code != 200: return page
            seal = re.search(r'name="seal" value="([0-9a-f]+)"', page.text)[1]
            return s.post(page.url, data=dict(seal=seal, username="ada", password="correct horse battery", decision="allow"), timeout=60, allow_redirects=False)

    def code_text(self): return parse_qs(urlsplit(self.code().headers["Location"]).query)["code"][0]

    def exchange(self, code, **more): return self.sign_in(dict(grant_type="authorization_code", code=code, redirect_uri=BACK, client_id=self.app, code_verifier=VERIFIER) | more)

    def raw(self, data, wait=20):
        "What comes back for these bytes, until the service closes or falls silent."
        out = b""
        with socket.create_connection(("127.0.0.1", self.port), 20) as s:
            s.settimeout(wait)
            s.sendall(data)
            try:
                while chunk := s.recv(65536): out += chunk
            except (TimeoutError, ConnectionResetError): pass
        return out


def refused(answer, *allowed, among=range(400, 500)):
    "An answer that refuses and tells nothing."
    assert answer.status_code in (allowed or among), (answer.status_code, answer.text[:300])
    assert SECRET not in answer.text and "Traceback" not in answer.text and "/healthlab/" not in answer.text
    return answer


@pytest.fixture(scope="module", autouse=True)
def workbench(tmp_path_factory):
    "One workbench for all attacks: what one of them left behind the next would meet."
    from notebooks import scratch
    folder = tmp_path_factory.mktemp("attacked")
    with pytest.MonkeyPatch.context() as patch:
        for k, v in scratch(folder).items(): patch.setenv(k, v)
        for k, v in dict(LIMITS_FAILURES="100000/100000", LIMITS_SLOW_SECONDS="2", SERVICE_MAX_BODY_MB="1", SERVICE_CORS_ORIGINS="https://dashboards.example").items(): patch.setenv(f"HEALTHLAB_{k}", v)
        yield folder


@pytest.fixture(scope="module")
def target(workbench):
    trap = Trap()
    with pytest.MonkeyPatch.context() as patch, serving(workbench) as (port, process):
        patch.setenv("HEALTHLAB_SERVICE_URL", f"http://127.0.0.1:{port}")
        made = Target(port, trap)
        made.process = process
        for r in (dict(resourceType="Patient", id="p1", name=[dict(family=SECRET)]), dict(resourceType="Observation", id="o1", status="final", code=dict(text="pulse"), subject=dict(reference="Patient/p1"))):
            assert made.ask("PUT", f"/fhir/{r['resourceType']}/{r['id']}", made.token(), r).status_code == 201
        yield made
    trap.shutdown()


@pytest.fixture(autouse=True)
def unharmed(target):
    "After every attack the record is as it was, the service answers, and the attacker's server was asked for nothing."
    yield
    answer = target.patient(target.token())
    assert answer.status_code == 200 and answer.json()["meta"]["versionId"] == "1" and answer.json()["name"] == [dict(family=SECRET)]
    assert target.trap.asked == []


def test_there_are_enough():
    assert len(ATTACKS) >= 90


def pytest_generate_tests(metafunc):
    if "attack_name" in metafunc.fixturenames: metafunc.parametrize("attack_name", ATTACKS)


def test_refused(target, attack_name):
    ATTACKS[attack_name](target)


# ---- tokens

@attack
def no_token(t): refused(t.patient(None), 401)

@attack
def a_password_instead_of_a_token(t): refused(t.ask("GET", "/fhir/Patient/p1", headers={"Authorization": "Basic " + base64.b64encode(b"ada:correct horse battery").decode()}), 401)

@attack
def two_tokens_in_one_header(t): refused(t.ask("GET", "/fhir/Patient/p1", headers={"Authorization": f"Bearer {t.token()}, Bearer x"}), 401)

@attack
def two_authorization_headers(t):
    out = t.raw(f"GET /fhir/Patient/p1 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer xxxxxxxxxxxx\r\nAuthorization: Bearer {t.token()}\r\nConnection: close\r\n\r\n".encode())
    assert out.split()[1] in (b"400", b"401") and SECRET.encode() not in out

@attack
def a_token_in_the_address(t): refused(t.ask("GET", f"/fhir/Patient/p1?access_token={t.token()}"), 400, 401)

@attack
def a_token_in_the_body(t): refused(t.ask("POST", "/fhir/Patient/_search", form=dict(access_token=t.token())), 401)

@attack
def a_token_in_a_cookie(t): refused(t.ask("GET", "/fhir/Patient/p1", headers={"Cookie": f"access_token={t.token()}; authorize={t.token()}"}), 401)

@attack
def an_expired_token(t): refused(t.patient(t.forge(dict(iat=1, exp=int(time.time()) - 60))), 401)

@attack
def a_token_that_never_ends(t): refused(t.patient(t.forge(dict(exp=None))), 401)

@attack
def a_token_of_the_future(t): refused(t.patient(t.forge(dict(nbf=int(time.time()) + 600))), 401)

@attack
def a_token_for_another_audience(t): refused(t.patient(t.forge(dict(aud="https://other.example"))), 401)

@attack
def a_token_of_another_issuer(t): refused(t.patient(t.forge(dict(iss=t.trap.url))), 401)

def unsigned(t, alg):
    part = lambda d: base64.urlsafe_b64encode(json.dumps(d).encode()).decode().rstrip("=")
    claims = json.loads(base64.urlsafe_b64decode(t.forge().split(".")[1] + "=="))
    return [f"{part(dict(alg=alg, typ='at+jwt', kid=tokens.signing_keys()[-1].kid))}.{part(claims)}.{s}" for s in ("", "AA")]

@attack
def alg_none(t):
    for alg in ("none", "None", "nOnE", "NONE", "", None):
        for text in unsigned(t, alg): refused(t.patient(text), 401)

@attack
def the_public_key_as_a_shared_secret(t):
    public = tokens.signing_keys()[-1]
    for secret in (public.as_pem(private=False), json.dumps(public.as_dict(private=False)).encode(), json.dumps(requests.get(t.base + "/.well-known/jwks.json", timeout=20).json()).encode()):
        for alg, digest in (("HS256", "sha256"), ("HS512", "sha512")):
            body = unsigned(t, alg)[0].rpartition(".")[0]
            refused(t.patient(body + "." + base64.urlsafe_b64encode(hmac.digest(secret, body.encode(), digest)).decode().rstrip("=")), 401)

@attack
def another_curve_or_algorithm_under_the_same_kid(t):
    for key, alg in ((ECKey.generate_key("P-384"), "ES384"), (RSAKey.generate_key(2048), "RS256"), (ECKey.generate_key("P-256"), "ES256")): refused(t.patient(t.forge(key=key, alg=alg)), 401)

@attack
def a_kid_that_is_a_path(t):
    for kid in ("../../../../dev/null", "/dev/null", "file:///etc/passwd", "signing.json"): refused(t.patient(t.forge(head=dict(kid=kid), key=t.key, alg="ES384")), 401)

@attack
def a_kid_that_is_sql(t):
    for kid in ("' OR '1'='1", "x' UNION SELECT 'key' --", "\x00", "x" * 5000): refused(t.patient(t.forge(head=dict(kid=kid), key=t.key, alg="ES384")), 401)

@attack
def a_kid_that_is_not_text(t):
    for kid in ([], {}, 1, True):
        part = lambda d: base64.urlsafe_b64encode(json.dumps(d).encode()).decode().rstrip("=")
        refused(t.patient(f"{part(dict(alg='ES256', typ='at+jwt', kid=kid))}.{part({'iss': t.base})}.AAAA"), 401)

@attack
def a_key_brought_along(t): refused(t.patient(t.forge(head=dict(jwk=t.trap.key.as_dict(private=False), kid=t.trap.key.kid), key=t.trap.key, alg="ES384")), 401)

@attack
def a_key_to_be_fetched_from_the_attacker(t):
    for name in ("jku", "x5u"): refused(t.patient(t.forge(head={name: t.trap.url + "/jwks.json", "kid": t.trap.key.kid}, key=t.trap.key, alg="ES384")), 401)

@attack
def a_certificate_brought_along(t): refused(t.patient(t.forge(head=dict(x5c=[base64.b64encode(b"certificate").decode()]), key=t.trap.key, alg="ES384")), 401)

@attack
def critical_headers(t): refused(t.patient(raw_signed(t, dict(crit=["exp"]))), 401)

def raw_signed(t, head, body=None):
    "A token signed by the right key by hand, with a header no library would write."
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    from cryptography.hazmat.primitives import hashes
    key = tokens.signing_keys()[-1]
    claims = body if body is not None else base64.urlsafe_b64decode(t.forge().split(".")[1] + "==")
    part = lambda b: base64.urlsafe_b64encode(b).decode().rstrip("=")
    text = part(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": key.kid} | head).encode()) + "." + part(claims)
    r, s = utils.decode_dss_signature(key.private_key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return text + "." + part(r.to_bytes(32, "big") + s.to_bytes(32, "big"))

@attack
def a_claim_given_twice(t):
    claims = base64.urlsafe_b64decode(t.forge().split(".")[1] + "==")
    refused(t.patient(raw_signed(t, {}, claims[:-1] + b', "scope": "system/*.cruds"}')), 401)
    assert t.patient(raw_signed(t, {})).status_code == 200 # the same, once

@attack
def a_token_with_its_claims_changed(t):
    head, body, signature = t.token(t.reader, "system/Observation.rs").split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "==")) | dict(scope="system/*.cruds")
    refused(t.patient(f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{signature}"), 401)

@attack
def an_empty_or_zero_signature(t):
    head, body, _ = t.token().split(".")
    for s in ("", "A" * 86, base64.urlsafe_b64encode(bytes(63) + b"\x01").decode().rstrip("=")): refused(t.patient(f"{head}.{body}.{s}"), 401)

@attack
def a_client_assertion_as_access_token(t): refused(t.patient(t.assertion()), 401)

@attack
def a_token_of_the_right_key_and_the_wrong_type(t):
    for typ in ("JWT", "id+jwt", "logout+jwt"): refused(t.patient(t.forge(head=dict(typ=typ))), 401)

@attack
def an_encrypted_token(t):
    key = OctKey.generate_key(256)
    refused(t.patient(jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}, b"0" * 100_000, key)), 401)

@attack
def a_token_as_large_as_a_house(t):
    refused(t.patient("a" * 7000 + "." + "b" * 500 + ".c"), 401)
    assert t.raw(b"GET /fhir/Patient/p1 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + b"a" * 200_000 + b"\r\n\r\n").split()[1] in (b"400", b"401", b"431")

@attack
def a_token_of_deep_json(t):
    deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 1000 + b"]" * 1000 + b"}").decode().rstrip("=")
    refused(t.patient(f"{deep}.{deep}.AAAA"), 401)

@attack
def a_token_taken_back(t):
    text = t.token()
    assert t.patient(text).status_code == 200
    assert t.ask("POST", "/oauth/revoke", form=dict(token=text, **t.good)).status_code == 200
    refused(t.patient(text), 401)

@attack
def the_token_of_a_client_switched_off(t):
    made = clients.add_client("soon gone", scopes=["system/*.rs"], role="steward")
    text = t.token(made, "system/*.rs")
    assert t.patient(text).status_code == 200
    clients.disable_client(made["client_id"])
    refused(t.patient(text), 401)

@attack
def a_refresh_token_as_access_token(t): refused(t.patient(t.exchange(t.code_text()).json()["refresh_token"]), 401)

@attack
def a_code_as_access_token(t): refused(t.patient(t.code_text()), 401)

@attack
def a_client_secret_as_access_token(t): refused(t.patient(t.good["client_secret"]), 401)


# ---- signing in

@attack
def a_replayed_assertion(t):
    text = t.assertion()
    assert t.by_assertion(text).status_code == 200
    refused(t.by_assertion(text), 400, 401)

@attack
def a_replayed_jti_in_a_new_assertion(t):
    assert t.by_assertion(t.assertion(jti="once")).status_code == 200
    refused(t.by_assertion(t.assertion(jti="once", exp=int(time.time()) + 100)), 400, 401)

@attack
def sixteen_at_once_with_one_jti(t):
    text, got = t.assertion(), []
    threads = [threading.Thread(target=lambda: got.append(t.by_assertion(text).status_code)) for _ in range(16)]
    for x in threads: x.start()
    for x in threads: x.join()
    assert sorted(got) == [200] + [401] * 15

@attack
def an_expired_assertion(t): refused(t.by_assertion(t.assertion(exp=int(time.time()) - 60)), 400, 401)

@attack
def an_assertion_for_an_hour(t): refused(t.by_assertion(t.assertion(exp=int(time.time()) + 3600)), 400, 401)

@attack
def an_assertion_for_another_server(t):
    for aud in ("https://other.example/oauth/token", t.base, [], ""): refused(t.by_assertion(t.assertion(aud=aud)), 400, 401)

@attack
def an_assertion_without_jti(t):
    for jti in (None, "", 7, "x" * 600): refused(t.by_assertion(t.assertion(jti=jti)), 400, 401)

@attack
def an_assertion_in_another_client_s_name(t):
    for claims in (dict(iss="someone"), dict(sub="someone"), dict(iss=t.good["client_id"], sub=t.good["client_id"])): refused(t.by_assertion(t.assertion(**claims)), 400, 401)

@attack
def an_assertion_signed_by_a_stranger(t):
    refused(t.by_assertion(t.assertion(key=t.trap.key)), 400, 401)
    refused(t.by_assertion(t.assertion(key=t.trap.key, head=dict(kid=t.trap.key.kid, jku=t.trap.url, jwk=t.trap.key.as_dict(private=False)))), 400, 401)

@attack
def an_assertion_with_a_weaker_algorithm(t):
    key = RSAKey.generate_key(2048, auto_kid=True)
    made = clients.add_client("rsa", scopes=["system/*.rs"], jwks={"keys": [dict(key.as_dict(private=False), kid=key.kid)]})["client_id"]
    text = lambda alg: t.assertion(key, alg, dict(kid=key.kid), iss=made, sub=made)
    assert t.by_assertion(text("RS384")).status_code == 200
    for alg in ("RS256", "RS512", "PS384"): refused(t.by_assertion(text(alg)), 400, 401)

@attack
def an_unsigned_assertion(t):
    part = lambda d: base64.urlsafe_b64encode(json.dumps(d).encode()).decode().rstrip("=")
    claims = dict(iss=t.signer, sub=t.signer, aud=t.base + "/oauth/token", exp=int(time.time()) + 100, jti="u")
    refused(t.by_assertion(f"{part(dict(alg='none', kid=t.key.kid))}.{part(claims)}."), 400, 401)

@attack
def a_key_set_at_the_attacker_s(t):
    with pytest.raises(Exception) as e: clients.add_client("ssrf", scopes=["nlp"], jwks_uri=t.trap.url + "/jwks.json")
    assert e.value.code == "jwks-uri"

@attack
def a_secret_for_a_client_that_has_a_key(t): refused(t.sign_in(dict(grant_type="client_credentials", scope="system/Patient.r", client_id=t.signer, client_secret="x")), 400, 401)

@attack
def no_secret_at_all(t): refused(t.sign_in(dict(grant_type="client_credentials", scope="nlp", client_id=t.good["client_id"])), 400, 401)

@attack
def a_secret_in_the_address(t): refused(t.ask("POST", "/oauth/token?" + urlencode(t.good), form=dict(grant_type="client_credentials", scope="nlp")), 400, 401)

@attack
def more_scopes_than_registered(t):
    for scope in ("system/*.rs", "system/Patient.rs", "system/Observation.cruds", "system/Observation.*", "nlp", "audit", "user/Observation.rs", "openid *", ""):
        refused(t.sign_in(dict(grant_type="client_credentials", scope=scope, **t.reader)), 400)

@attack
def the_password_grant(t): refused(t.sign_in(dict(grant_type="password", username="ada", password="correct horse battery", scope="user/Patient.rs", client_id=t.app)), 400, 401)

@attack
def a_public_client_acting_for_itself(t): refused(t.sign_in(dict(grant_type="client_credentials", scope="user/Patient.rs", client_id=t.app)), 400, 401)

@attack
def a_parameter_given_twice(t):
    refused(t.sign_in([("grant_type", "client_credentials"), ("scope", "nlp"), ("scope", "system/*.cruds"), *t.good.items()]), 400)

@attack
def a_code_used_twice(t):
    code = t.code_text()
    first = t.exchange(code)
    assert first.status_code == 200 and t.patient(first.json()["access_token"]).status_code == 200
    refused(t.exchange(code), 400)
    refused(t.patient(first.json()["access_token"]), 401) # what the first one got is taken back

@attack
def a_code_of_another_client(t): refused(t.exchange(t.code_text(), client_id=t.other_app, redirect_uri="https://other.example/back"), 400, 401)

@attack
def a_code_without_its_verifier(t):
    for more in (dict(code_verifier=""), dict(code_verifier="w" * 43), dict(code_verifier=CHALLENGE)): refused(t.exchange(t.code_text(), **more), 400)

@attack
def a_code_for_another_redirect(t): refused(t.exchange(t.code_text(), redirect_uri=BACK + "/"), 400)

@attack
def authorising_without_pkce(t):
    for query in (dict(code_challenge=None, code_challenge_method=None), dict(code_challenge_method="plain", code_challenge=VERIFIER), dict(code_challenge_method=None)):
        answer = t.code(**query)
        assert "code=" not in answer.headers.get("Location", "") and "error=" in answer.headers.get("Location", "error=")

@attack
def a_redirect_that_was_not_registered(t):
    for uri in ("https://evil.example/back", BACK + ".evil.example", BACK + "/../other", BACK + "?next=https://evil.example", "https://app.example@evil.example/back", BACK.upper(), "javascript:alert(1)"):
        answer = refused(t.code(redirect_uri=uri), 400)
        assert "Location" not in answer.headers and "evil" not in answer.text

@attack
def more_scopes_than_the_person_has(t):
    for scope in ("user/*.cruds", "system/*.rs", "ingest"): assert "code=" not in t.code(scope=scope).headers.get("Location", "")

@attack
def consent_without_the_page(t):
    args = dict(response_type="code", client_id=t.app, redirect_uri=BACK, scope="user/Patient.rs", state="s", code_challenge=CHALLENGE, code_challenge_method="S256")
    form = dict(username="ada", password="correct horse battery", decision="allow")
    for seal, cookie in (("", ""), ("0" * 64, "x"), ("0" * 64, "")):
        answer = requests.post(t.base + "/oauth/authorize", params=args, data=form | dict(seal=seal), cookies={"authorize": cookie}, timeout=60, allow_redirects=False)
        refused(answer, 401)
        assert "Location" not in answer.headers

@attack
def a_refresh_token_used_twice(t):
    first = t.exchange(t.code_text()).json()
    again = lambda text, **more: t.sign_in(dict(grant_type="refresh_token", refresh_token=text, client_id=t.app) | more)
    second = again(first["refresh_token"])
    assert second.status_code == 200
    refused(again(first["refresh_token"]), 400)
    refused(again(second.json()["refresh_token"]), 400) # the thief's or the owner's: both end
    refused(t.patient(second.json()["access_token"]), 401)

@attack
def a_refresh_token_for_more(t):
    got = t.exchange(t.code_text()).json()["refresh_token"]
    refused(t.sign_in(dict(grant_type="refresh_token", refresh_token=got, client_id=t.app, scope="user/*.cruds")), 400)

@attack
def a_refresh_token_of_another_client(t): refused(t.sign_in(dict(grant_type="refresh_token", refresh_token=t.exchange(t.code_text()).json()["refresh_token"], client_id=t.other_app)), 400, 401)

@attack
def asking_about_another_client_s_token(t):
    told = t.ask("POST", "/oauth/introspect", form=dict(token=t.token(), **t.reader))
    assert told.status_code == 200 and told.json() == {"active": False}

@attack
def taking_back_another_client_s_token(t):
    text = t.token()
    t.ask("POST", "/oauth/revoke", form=dict(token=text, **t.reader))
    assert t.patient(text).status_code == 200


# ---- more than one's rights

@attack
def writing_with_a_token_for_reading(t):
    token = t.token(scope="system/*.rs")
    for method, path in (("PUT", "/fhir/Patient/p1"), ("POST", "/fhir/Patient"), ("DELETE", "/fhir/Patient/p1"), ("DELETE", "/fhir/Patient?_id=p1"), ("PUT", "/fhir/Patient?_id=p1")):
        refused(t.ask(method, path, token, dict(resourceType="Patient", id="p1")), 403)

@attack
def reading_another_type(t):
    token = t.token(t.reader, "system/Observation.rs")
    for path in ("Patient/p1", "Patient", "Patient/p1/_history", "Patient/p1/_history/1", "_history", "Patient/p1/$everything", "Patient/p1/Patient"): refused(t.ask("GET", f"/fhir/{path}", token))
    refused(t.ask("POST", "/fhir/Patient/_search", token, form={"family": SECRET}), 403)

@attack
def reading_another_type_along_with_one_s_own(t):
    token = t.token(t.reader, "system/Observation.rs")
    for query in ("_include=Observation:subject", "_include=*", "_include=Observation:*"):
        assert SECRET not in t.ask("GET", f"/fhir/Observation?{query}", token).text
    assert SECRET not in t.ask("GET", "/fhir/Observation?_revinclude=Provenance:target&_include:iterate=Provenance:patient", token).text

@attack
def guessing_another_type_by_questions_about_one_s_own(t):
    token, found = t.token(t.reader, "system/Observation.rs"), lambda a: len(a.json().get("entry", [])) if a.status_code == 200 else None
    for query in ("subject:Patient.family={}", "patient.family={}", "subject.name={}"):
        right, wrong = (t.ask("GET", "/fhir/Observation?" + query.format(x), token) for x in (SECRET, "Nobody"))
        assert right.status_code in (400, 403) or found(right) == found(wrong), query
    patients = t.token(scope="system/Patient.rs")
    right, wrong = (t.ask("GET", f"/fhir/Patient?_has:Observation:patient:code-value-concept={x}", patients) for x in ("pulse", "x"))
    assert right.status_code in (400, 403) or found(right) == found(wrong)

@attack
def writing_inside_a_bundle(t):
    entry = dict(resource=dict(resourceType="Patient", id="p1"), request=dict(method="PUT", url="Patient/p1"))
    for kind_ in ("transaction", "batch"):
        answer = t.ask("POST", "/fhir", t.token(scope="system/*.rs"), dict(resourceType="Bundle", type=kind_, entry=[entry]))
        assert answer.status_code in (400, 403) or answer.json()["entry"][0]["response"]["status"].startswith("403"), answer.text

@attack
def reading_inside_a_bundle(t):
    answer = t.ask("POST", "/fhir", t.token(t.reader, "system/Observation.rs"), dict(resourceType="Bundle", type="batch", entry=[dict(request=dict(method="GET", url=u)) for u in ("Patient/p1", "Patient?_id=p1", "Patient/p1/$everything", "../fhir/Patient/p1")]))
    assert SECRET not in answer.text

@attack
def a_role_that_may_not_see_the_zone(t):
    for role in ("researcher", "stakeholder", "nonsense"): refused(t.patient(t.token(role=role)), 403)

@attack
def a_scope_by_another_name(t):
    for scope in ("system/Patient.RS", "System/Patient.rs", "system/patient.rs", "patient/Patient.rs", "system/Patient", "*", "system/*", "*/*.rs", "system/Patient.rs?_id=p1", "Patient.r"): refused(t.patient(t.token(scope=scope)), 403)

@attack
def the_audit_trail_without_its_scope(t):
    for path in ("/v1/audit", "/metrics", "/fhir/AuditEvent"): refused(t.ask("GET", path, t.token(t.reader, "system/Observation.rs jobs")), 403)

def begun(t, who):
    "An export of a client."
    answer = t.ask("GET", "/fhir/$export?_type=Patient", who)
    assert answer.status_code == 202, answer.text
    return urlsplit(answer.headers["Content-Location"]).path

def finished(t, where, who, seconds=60):
    end = time.monotonic() + seconds
    while (answer := t.ask("GET", where, who)).status_code in (202, 429):
        assert time.monotonic() < end
        time.sleep(0.5)
    assert answer.status_code == 200, answer.text
    return answer.json()

@attack
def another_client_s_export(t):
    mine, other = t.token(), t.token(clients.add_client("other", scopes=["system/*.cruds", "jobs"], role="steward"))
    where = begun(t, mine)
    file = urlsplit(finished(t, where, mine)["output"][0]["url"]).path
    assert SECRET in t.ask("GET", file, mine).text
    for method, path in (("GET", where), ("DELETE", where), ("GET", file), ("GET", "/v1/jobs/" + where.rpartition("/")[2]), ("DELETE", "/v1/jobs/" + where.rpartition("/")[2])): refused(t.ask(method, path, other), 404)
    less = t.token(scope="system/Observation.rs jobs") # the same client, with less
    for path in (where, file): refused(t.ask("GET", path, less), 403)
    told = t.ask("GET", "/v1/jobs/" + where.rpartition("/")[2], less)
    assert told.status_code == 200 and told.json()["result"] is None and told.json()["files"] == []
    refused(t.ask("GET", f"/v1/jobs/{where.rpartition('/')[2]}/files/{file.rpartition('/')[2]}", mine), 404)
    refused(t.ask("GET", file, None), 401)

@attack
def another_client_s_job(t):
    kind("private", "nowhere:run", scope="nlp")
    jobs = Jobs()
    jobs.wake = lambda: False
    id = jobs.submit("private", {"text": SECRET}, "another|client|entirely")
    for method, path in (("GET", f"/v1/jobs/{id}"), ("DELETE", f"/v1/jobs/{id}"), ("GET", f"/v1/jobs/{id}/files/x"), ("GET", f"/fhir/$export-poll-status/{id}"), ("DELETE", f"/fhir/$export-poll-status/{id}")):
        refused(t.ask(method, path, t.token()), 404)
    assert id not in t.ask("GET", "/v1/jobs", t.token()).text
    jobs.cancel(id, "another|client|entirely")
    jobs.close()

@attack
def more_in_an_export_than_the_token_covers(t):
    refused(t.ask("GET", "/fhir/$export?_type=Patient", t.token(t.reader, "system/Observation.rs")), 403)
    refused(t.ask("GET", "/fhir/$export?_type=Observation&_typeFilter=" + quote(f"Observation?subject:Patient.family={SECRET}"), t.token(t.reader, "system/Observation.rs")), 400, 403)

@attack
def another_method_by_header(t):
    for head in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"): assert t.ask("POST", "/fhir/Patient/p1", t.token(), {}, headers={head: "DELETE"}).status_code in (400, 404, 405)

@attack
def claiming_to_be_inside(t):
    for head in ({"X-Forwarded-For": "127.0.0.1"}, {"X-Real-IP": "127.0.0.1"}, {"X-Forwarded-User": "ada"}, {"X-Remote-User": "ada"}, {"Forwarded": "for=127.0.0.1"}): refused(t.ask("GET", "/fhir/Patient/p1", headers=head), 401)


# ---- addresses

def path(t, raw, token=None):
    "A GET of an address exactly as written: no library tidies it."
    c = http.client.HTTPConnection("127.0.0.1", t.port, timeout=30)
    c.putrequest("GET", raw, skip_accept_encoding=True)
    c.putheader("Authorization", f"Bearer {token or t.token()}")
    c.endheaders()
    r = c.getresponse()
    text = r.read().decode("utf-8", "replace")
    c.close()
    return r.status, text

@attack
def out_of_the_folder(t):
    where = begun(t, t.token())
    finished(t, where, t.token())
    id = where.rpartition("/")[2]
    for tail in ("../jobs.db", "..%2fjobs.db", "%2e%2e/jobs.db", "..%252fjobs.db", "....//jobs.db", "..\\jobs.db", "%00", "/etc/passwd", "matched.json", ".", "%2e"):
        for front in (f"/fhir/$export-file/{id}/", f"/v1/jobs/{id}/files/", "/docs/assets/"):
            status, text = path(t, front + tail)
            assert 400 <= status < 500 and "SQLite" not in text and "root:" not in text, (front, tail, status)

@attack
def around_the_door(t):
    for raw in ("//fhir/Patient/p1", "/fhir//Patient/p1", "/health/live/../../fhir/Patient/p1", "/docs/..%2ffhir/Patient/p1", "/fhir/Patient/p1/", "/FHIR/Patient/p1", "/fhir/./Patient/p1", "/fhir/metadata/../Patient/p1", "/fhir/Patient/p1;x=.well-known", "/.well-known/../fhir/Patient/p1"):
        status, text = path(t, raw, "x" * 20)
        assert 400 <= status < 500 and SECRET not in text, (raw, status)

@attack
def an_id_that_is_a_path_or_sql(t):
    for id in ("..%2f..%2fetc%2fpasswd", "p1%27%20OR%20%271%27=%271", "p1%00", "%ff%fe", "p1%0d%0aSet-Cookie:x=1", "x" * 500, "p1%20", "%F0%9F%98%80"):
        status, text = path(t, f"/fhir/Patient/{id}")
        assert 400 <= status < 500 and SECRET not in text and "sqlite" not in text.lower(), (id, status)

@attack
def a_search_that_is_sql(t):
    hits = lambda q: t.ask("GET", f"/fhir/Patient?{q}", t.token())
    for q in ("family=x' OR 1=1 --", "family=%' OR '1'='1", "_id=p1' UNION SELECT * FROM version --", "gender=x|' OR ''='", "birthdate=ge' OR 1=1"):
        answer = hits(quote(q, safe="=&"))
        assert answer.status_code in (200, 400) and SECRET not in answer.text and "syntax" not in answer.text
    for q in ("_sort=id;drop table version", "_sort=(select 1)", "_count=1;drop", "_elements=name'--", "name';drop table version;--=x", "_page=' OR 1=1"): assert hits(quote(q, safe="=&")).status_code in (200, 400)

@attack
def an_open_redirect(t):
    for raw in ("//evil.example/fhir", "/\\evil.example", "/%0d%0aLocation:https://evil.example", "https://evil.example/"):
        c = http.client.HTTPConnection("127.0.0.1", t.port, timeout=30)
        c.putrequest("GET", raw)
        c.endheaders()
        r = c.getresponse()
        assert "evil" not in (r.getheader("Location") or "") and r.status >= 400
        c.close()


# ---- what is sent

@attack
def a_reference_to_the_attacker_s_server(t):
    token, url = t.token(), t.trap.url
    resource = dict(resourceType="Observation", status="final", code=dict(text="x"), meta=dict(profile=[url + "/profile"]), subject=dict(reference=url + "/Patient/1"), implicitRules=url + "/rules",
                    extension=[dict(url=url + "/extension", valueString="x")])
    made = t.ask("POST", "/fhir/Observation", token, resource)
    t.ask("POST", "/fhir/Observation/$validate", token, resource)
    t.ask("POST", "/fhir/$de-identify", t.token(scope="system/*.cruds deidentify"), dict(resourceType="DocumentReference", status="current", content=[dict(attachment=dict(url=url + "/note", contentType="text/plain"))]))
    t.ask("GET", "/fhir/Observation?" + urlencode({"subject": url + "/Patient/1", "_include": "Observation:subject"}), token)
    t.ask("POST", "/fhir", token, dict(resourceType="Bundle", type="batch", entry=[dict(request=dict(method="GET", url=url + "/Patient/1"))]))
    if made.status_code == 201: t.ask("DELETE", "/fhir/Observation/" + made.json()["id"], token)
    assert t.trap.asked == []

@attack
def an_address_of_the_cloud_in_a_view(t):
    view = dict(resourceType="ViewDefinition", resource="Patient", status="active", select=[dict(column=[dict(name="x", path="resolve()")])])
    answer = t.ask("POST", "/fhir/$viewdefinition-run", t.token(), dict(resourceType="Parameters", parameter=[dict(name="viewReference", valueReference=dict(reference=t.trap.url + "/ViewDefinition/1"))]))
    assert answer.status_code >= 400
    t.ask("POST", "/fhir/$viewdefinition-run", t.token(), dict(resourceType="Parameters", parameter=[dict(name="viewResource", resource=view), dict(name="source", valueString=t.trap.url)]))

@attack
def a_zip_bomb(t):
    body = gzip.compress(b"0" * 50_000_000)
    for coding in ("gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip"):
        refused(t.ask("POST", "/fhir/Patient", t.token(), body, headers={"Content-Encoding": coding, "Content-Type": "application/fhir+json"}), 415)

@attack
def deep_json(t):
    for body in (b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b'{"resourceType":"Patient","extension":' + b'[{"extension":' * 5000 + b"[]" + b"}]" * 5000 + b"}"):
        for where in ("/fhir/Patient", "/fhir", "/fhir/Patient/$validate"): refused(t.ask("POST", where, t.token(), body, headers={"Content-Type": "application/fhir+json"}))

@attack
def json_that_readers_disagree_on(t):
    for body in (b'{"resourceType":"Patient","id":"p1","id":"p2"}', b'{"resourceType":"Patient","birthDate":NaN}', b'{"resourceType":"Patient"} {"resourceType":"Patient"}', b'{"resourceType":"Patient","multipleBirthInteger":' + b"9" * 10_000 + b"}",
                 b'\xff\xfe{"resourceType":"Patient"}', b'{"resourceType":"Patient","gender":"\xed\xa0\x80"}', b'{"resourceType":"Patient","active":1e999}'):
        refused(t.ask("POST", "/fhir/Patient", t.token(), body, headers={"Content-Type": "application/fhir+json"}))

@attack
def a_body_larger_than_allowed(t):
    refused(t.ask("POST", "/fhir/Patient", t.token(), b" " * (2 * 2**20), headers={"Content-Type": "application/fhir+json"}), 413)
    chunked = (b" " * 65536 for _ in range(40))
    try: refused(t.ask("POST", "/fhir/Patient", t.token(), chunked, headers={"Content-Type": "application/fhir+json"}), 413, 400)
    except requests.ConnectionError: pass # cut off while sending

@attack
def xml_that_explodes_or_reads_files(t):
    lol = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(f'<!ENTITY {chr(98 + i)} "{("&" + chr(97 + i) + ";") * 10}">' for i in range(8)) + "]><Patient xmlns=\"http://hl7.org/fhir\"><id value=\"&i;\"/></Patient>"
    for body in (lol, '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>', f'<!DOCTYPE x SYSTEM "{t.trap.url}/x.dtd"><x/>'):
        for media in ("application/fhir+xml", "application/xml", "text/xml", "application/json"): refused(t.ask("POST", "/fhir/Patient", t.token(), body.encode(), headers={"Content-Type": media}), 400, 415)

@attack
def a_form_of_a_million_fields(t):
    refused(t.ask("POST", "/oauth/token", form="&".join(f"a{i}=1" for i in range(150_000)), headers={"Content-Type": "application/x-www-form-urlencoded"}), 400, 413)
    refused(t.ask("POST", "/fhir/Patient/_search", t.token(), form="&".join(f"name=a{i}" for i in range(50_000)), headers={"Content-Type": "application/x-www-form-urlencoded"}), 400, 413)

@attack
def a_search_that_never_ends(t):
    start = time.monotonic()
    for q in ("name=" + ",".join(f"a{i}" for i in range(3000)), "&".join(f"name=a{i}" for i in range(150)), "subject.subject.subject.subject.subject.subject.name=x", "_count=999999999999999999999", "_include=" + "&_include=".join(["Patient:organization"] * 60)):
        assert t.ask("GET", f"/fhir/Patient?{q}", t.token()).status_code in (200, 400, 414)
    assert time.monotonic() - start < 30


# ---- the wire

HEAD = b"Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
HIDDEN = b"GET /fhir/Patient/p1 HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "

def smuggled(t, request):
    "One request on the wire gets one answer, a refusal, and the connection ends: what was hidden in it is not read as a second one."
    out = t.raw(request, 3)
    assert out.count(b"HTTP/1.1 ") <= 1 and (not out or 400 <= int(out.split()[1]) < 600 and int(out.split()[1]) != 500), out[:300]
    assert SECRET.encode() not in out

@attack
def length_and_chunks_at_once(t):
    smuggled(t, b"POST /oauth/token HTTP/1.1\r\n" + HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN)

@attack
def two_lengths(t): smuggled(t, b"POST /oauth/token HTTP/1.1\r\n" + HEAD + b"Content-Length: 0\r\nContent-Length: 60\r\n\r\n" + HIDDEN)

@attack
def a_length_that_is_none(t):
    for length in (b"-1", b"+5", b"0x10", b"5 5", b"5,5", b"1e3", b"", b"9" * 40): smuggled(t, b"POST /oauth/token HTTP/1.1\r\n" + HEAD + b"Content-Length: " + length + b"\r\n\r\n" + HIDDEN)

@attack
def a_strange_transfer_encoding(t):
    for coding in (b"xchunked", b"chunked, identity", b"identity, chunked, gzip", b"\x0bchunked", b"chunked\r\nTransfer-Encoding: identity", b"gzip", b"chun\r\n ked"):
        smuggled(t, b"POST /oauth/token HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n" + HIDDEN)

@attack
def a_header_name_that_is_not_one(t):
    for name in (b"Content-Length ", b" Content-Length", b"Content_Length", b"Content-Length\t", b"Con\x00tent-Length", b"Transfer-Encoding "):
        out = t.raw(b"POST /oauth/token HTTP/1.1\r\n" + HEAD + name + b": 60\r\nConnection: close\r\n\r\n" + HIDDEN, 3)
        assert out.count(b"HTTP/1.1 ") <= 1 and b" 200 " not in out[:20] and SECRET.encode() not in out, name

@attack
def chunks_that_are_none(t):
    for chunk in (b"zz\r\n\r\n", b"-1\r\n\r\n", b"5\r\nab", b"0x5\r\nhello\r\n0\r\n\r\n", b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\n"):
        out = t.raw(b"POST /oauth/token HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk, 3)
        assert b" 200 " not in out[:20] and out.count(b"HTTP/1.1 ") <= 1

@attack
def headers_without_end(t):
    for head in (b"X: " + b"a" * 100_000 + b"\r\n", b"".join(b"X%d: 1\r\n" % i for i in range(500)), b"X: 1\r\n folded: 2\r\n"):
        out = t.raw(b"GET /fhir/Patient/p1 HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n", 3)
        assert out == b"" or 400 <= int(out.split()[1]) < 500

@attack
def a_line_break_in_what_is_sent_back(t):
    for head in ("X-Request-ID: a\rSet-Cookie: x=1", "Origin: https://evil.example\nSet-Cookie: x=1", "X-Request-ID: " + "a" * 3000 + "é"):
        out = t.raw(f"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\nConnection: close\r\n\r\n".encode(), 5)
        assert b"Set-Cookie" not in out and b"a" * 1000 not in out

@attack
def another_host(t):
    for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1:80@evil.example", "", "127.0.0.1, evil.example"):
        out = t.raw(f"GET /.well-known/smart-configuration HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(), 10)
        assert 400 <= int(out.split()[1]) < 500 and b"evil" not in out, out[:200]
    out = t.raw(b"GET /.well-known/smart-configuration HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\nConnection: close\r\n\r\n", 10)
    assert b"evil" not in out

@attack
def strange_methods(t):
    for method in ("TRACE", "CONNECT", "TRACK", "PROPFIND", "get", "G\x00T", "DEBUG"):
        out = t.raw(f"{method} /fhir/Patient/p1 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {t.token()}\r\nConnection: close\r\n\r\n".encode(), 10)
        assert 400 <= int(out.split()[1]) < 502 and SECRET.encode() not in out and b"Bearer" not in out.partition(b"\r\n\r\n")[2], (method, out[:100])

@attack
def a_page_of_another_origin(t):
    for origin in ("https://evil.example", "null", "https://dashboards.example.evil.example", "http://dashboards.example", "https://dashboards.example:444"):
        answer = t.ask("OPTIONS", "/fhir/Patient/p1", headers={"Origin": origin, "Access-Control-Request-Method": "DELETE"})
        assert "Access-Control-Allow-Origin" not in answer.headers and "Access-Control-Allow-Origin" not in t.ask("GET", "/fhir/Patient/p1", t.token(), headers={"Origin": origin}).headers
    named = t.ask("GET", "/fhir/Patient/p1", t.token(), headers={"Origin": "https://dashboards.example"})
    assert named.headers["Access-Control-Allow-Origin"] == "https://dashboards.example" and "Access-Control-Allow-Credentials" not in named.headers

@attack
def an_answer_taken_for_a_page(t):
    for where, token in (("/fhir/Patient/p1", t.token()), ("/fhir/Patient/none", t.token()), ("/v1/jobs", None), ("/oauth/authorize", None), ("/nothing", None)):
        head = t.ask("GET", where, token).headers
        assert head["X-Content-Type-Options"] == "nosniff" and "frame-ancestors 'none'" in head["Content-Security-Policy"] and head["Cache-Control"] == "no-store" and head["Referrer-Policy"] == "no-referrer", where

def dripping(t, opening, seconds):
    "Sends a byte at a time on many connections; gives the seconds until the service cut the last one, and how others were served meanwhile."
    sockets = [socket.create_connection(("127.0.0.1", t.port), 20) for _ in range(24)]
    alive, others, start = set(sockets), [], time.monotonic()
    for s in sockets: s.sendall(opening)
    while alive and time.monotonic() - start < seconds:
        time.sleep(0.3)
        for s in list(alive):
            try:
                s.sendall(b"x")
                s.setblocking(False)
                s.recv(1000) # an answer or the end: cut off
                alive.discard(s)
            except BlockingIOError: s.setblocking(True)
            except OSError: alive.discard(s)
    took = time.monotonic() - start
    others.append(t.patient(t.token()).status_code)
    for s in sockets: s.close()
    return took, len(alive), others

@attack
def headers_a_byte_at_a_time(t):
    took, left, others = dripping(t, b"GET /fhir/Patient/p1 HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", 40)
    assert left == 0 and others == [200]

@attack
def a_body_a_byte_at_a_time(t):
    took, left, others = dripping(t, f"POST /fhir/Patient HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {t.token()}\r\nContent-Type: application/fhir+json\r\nContent-Length: 100000\r\n\r\n".encode(), 40)
    assert left == 0 and others == [200]

@attack
def connections_that_say_nothing(t):
    sockets = [socket.create_connection(("127.0.0.1", t.port), 20) for _ in range(100)]
    assert t.patient(t.token()).status_code == 200
    for s in sockets: s.close()
