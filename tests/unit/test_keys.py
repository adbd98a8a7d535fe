"""Keys: the key file's rules, rotation, and Azure Key Vault through its own SDK against a vault in this process."""
import base64
import json
import os
import stat
import subprocess
import sys

import pytest

from healthlab.core.errors import KeyUnavailable, SettingsError
from healthlab.core.keys import Keys, LocalKeys, VaultKeys, keys
from healthlab.lake import Lake
import pyarrow as pa


def key_file(): return os.environ["HEALTHLAB_KEYS_FILE"]


def test_made_on_first_use_for_this_user_alone():
    k = keys()
    assert stat.S_IMODE(os.stat(key_file()).st_mode) == 0o600
    assert keys() is not None and keys().fingerprint() == k.fingerprint()
    held = json.load(open(key_file()))
    assert len(base64.b64decode(held["secret"])) == 32 and [len(base64.b64decode(x)) for x in held["kek"].values()] == [32]


def test_never_made_beside_an_existing_lake():
    Lake().write("identified", "Patient", pa.table({"id": ["1"]}), run_id="r")
    os.unlink(key_file())
    for use in (keys, lambda: Lake().read("identified", "Patient"), lambda: Lake().tables("identified") and Lake().read("identified", "Patient")):
        with pytest.raises(KeyUnavailable) as e: use()
        assert e.value.code == "key-missing" and "Restore" in e.value.remedy
    assert not os.path.exists(key_file())


def test_never_made_beside_an_audit_trail():
    os.makedirs(os.environ["HEALTHLAB_AUDIT_PATH"])
    open(os.path.join(os.environ["HEALTHLAB_AUDIT_PATH"], "audit-000001.jsonl"), "w").close()
    with pytest.raises(KeyUnavailable, match="missing"): keys()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
def test_open_to_others_is_refused(mode):
    keys()
    os.chmod(key_file(), mode)
    with pytest.raises(KeyUnavailable) as e: keys()
    assert e.value.code == "key-permissions" and "chmod 600" in e.value.remedy


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format":"other"}', b'{"format":"healthlab-key/1"}', b'{"format":"healthlab-key/1","secret":"AAAA","kek":{"k":"AAAA"},"current":"k"}', b"\xff\xfe\x00", b'{"format":"healthlab-key/1","secret":1,"kek":3,"current":"k"}'])
def test_damaged_file_is_told(tmp_path, content):
    f = tmp_path / "k"
    f.write_bytes(content)
    f.chmod(0o600)
    with pytest.raises(KeyUnavailable) as e: LocalKeys(f)
    assert e.value.code == "key-damaged"


def test_wrong_key_is_told_before_anything_is_decrypted(tmp_path, monkeypatch):
    lake = Lake()
    lake.write("identified", "Patient", pa.table({"id": ["1"]}), run_id="r")
    LocalKeys.create(tmp_path / "other.key")
    monkeypatch.setenv("HEALTHLAB_KEYS_FILE", str(tmp_path / "other.key"))
    for use in (lambda: Lake().read("identified", "Patient"), lambda: Lake().write("identified", "Patient", pa.table({"id": ["2"]}), run_id="r"), lambda: Lake().version("identified", "Patient")):
        with pytest.raises(KeyUnavailable) as e: use()
        assert e.value.code == "key-wrong"


def test_derived_keys_are_stable_and_apart():
    a, b = Keys(b"a" * 32), Keys(b"b" * 32)
    # RFC 5869 by hand: extract with the salt, expand with the purpose
    import hmac
    prk = hmac.digest(b"healthlab/1", b"a" * 32, "sha256")
    assert a.derive("x") == hmac.digest(prk, b"x\x01", "sha256")
    assert len({a.derive("x"), a.derive("y"), b.derive("x"), a.derive("x", 16)}) == 4
    assert a.pseudonym("Patient", "1") != b.pseudonym("Patient", "1") and len(a.pseudonym("Patient", "1")) == 32
    assert a.fingerprint() not in a.derive("fingerprint", 32).hex()[:0] + a.derive("x").hex()


def test_rotation_keeps_old_wraps_until_retired(tmp_path):
    k = LocalKeys.create(tmp_path / "k")
    old = k.wrap(b"d" * 32)
    k.rotate()
    assert LocalKeys(tmp_path / "k").unwrap(old) == b"d" * 32 and LocalKeys(tmp_path / "k").wrap(b"d" * 32) != old
    k.retire()
    with pytest.raises(KeyUnavailable) as e: LocalKeys(tmp_path / "k").unwrap(old)
    assert e.value.code == "key-wrong"
    assert stat.S_IMODE(os.stat(tmp_path / "k").st_mode) == 0o600


def test_two_processes_make_one_key():
    code = "from healthlab.core.keys import keys; print(keys().fingerprint())"
    ps = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({p.communicate()[0] for p in ps}) == 1


def test_keys_neither_print_nor_travel():
    import pickle
    k = keys()
    assert base64.b64encode(k._secret).decode() not in repr(k)
    with pytest.raises(TypeError): pickle.dumps(k)


def test_provider_must_be_known(monkeypatch):
    monkeypatch.setenv("HEALTHLAB_KEYS_PROVIDER", "gcp")
    with pytest.raises(SettingsError): keys()
    monkeypatch.setenv("HEALTHLAB_KEYS_PROVIDER", "azure")
    with pytest.raises(SettingsError): keys()


# ---- Azure Key Vault -------------------------------------------------------------------------------------------------

def b64u(n): return base64.urlsafe_b64encode(n.to_bytes((n.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


class Vault:
    "Answers the calls the SDK makes (get key, rotate, unwrap); RSA keys, one a version. The SDK wraps with the public half itself."
    def __init__(self):
        from azure.core.credentials import AccessToken
        from azure.core.pipeline.transport import RequestsTransport
        import requests
        self.versions, self.calls, self.refuse = {}, [], None
        self.new_version()
        vault = self

        class Adapter(requests.adapters.BaseAdapter):
            def send(self, request, **kw): return vault.answer(request)
            def close(self): pass
        session = requests.Session()
        session.mount("https://", Adapter())

        class Credential:
            def get_token(self, *scopes, **kw): return AccessToken("token", 1 << 40)
            def close(self): pass
        self.options = dict(credential=Credential(), transport=RequestsTransport(session=session, session_owner=False))

    def new_version(self):
        from cryptography.hazmat.primitives.asymmetric import rsa
        self.current = f"{len(self.versions):032x}"
        self.versions[self.current] = rsa.generate_private_key(65537, 2048)

    def answer(self, request):
        import io, requests
        r = requests.Response()
        r.status_code, r.headers["Content-Type"] = 200, "application/json"
        path = request.url.split("?")[0].split(".vault.azure.net", 1)[1].strip("/").split("/")
        self.calls.append((request.method, path[-1]))
        if "Authorization" not in request.headers:
            r.status_code, r.headers["WWW-Authenticate"], body = 401, 'Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net"', {}
        elif self.refuse: r.status_code, body = self.refuse, {"error": {"code": "Forbidden", "message": "no"}}
        elif request.method == "GET": body = self.bundle(path[2] if len(path) > 2 else self.current)
        elif path[-1] == "rotate": self.new_version(); body = self.bundle(self.current)
        elif path[-1] == "unwrapkey":
            from cryptography.hazmat.primitives import hashes
            from cryptography.hazmat.primitives.asymmetric import padding
            sent = json.loads(request.body)
            assert sent["alg"] == "RSA-OAEP-256"
            raw = base64.urlsafe_b64decode(sent["value"] + "==")
            plain = self.versions[path[2]].decrypt(raw, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
            body = {"kid": f"https://lab.vault.azure.net/keys/kek/{path[2]}", "value": base64.urlsafe_b64encode(plain).rstrip(b"=").decode()}
        else: r.status_code, body = 404, {"error": {"code": "NotFound", "message": "?"}}
        import urllib3
        r.raw, r.request, r.url = urllib3.HTTPResponse(io.BytesIO(json.dumps(body).encode()), preload_content=False, status=r.status_code), request, request.url
        return r

    def bundle(self, version):
        n = self.versions[version].public_key().public_numbers()
        return {"key": {"kid": f"https://lab.vault.azure.net/keys/kek/{version}", "kty": "RSA", "key_ops": ["wrapKey", "unwrapKey"], "n": b64u(n.n), "e": b64u(n.e)}, "attributes": {"enabled": True}}


@pytest.fixture
def vault(): return Vault()


def test_vault_wraps_and_unwraps_with_the_real_sdk(vault, tmp_path):
    k = VaultKeys.create("https://lab.vault.azure.net", "kek", tmp_path / "v.json", **vault.options)
    again = VaultKeys("https://lab.vault.azure.net", "kek", tmp_path / "v.json", **vault.options)
    assert again.fingerprint() == k.fingerprint()
    wrapped = k.wrap(b"d" * 32)
    assert wrapped.startswith(vault.current + ":") and again.unwrap(wrapped) == b"d" * 32
    assert ("POST", "unwrapkey") in vault.calls
    assert base64.b64encode(k._secret) not in (tmp_path / "v.json").read_bytes()


def test_vault_rotation_still_opens_what_older_versions_wrapped(vault, tmp_path):
    k = VaultKeys.create("https://lab.vault.azure.net", "kek", tmp_path / "v.json", **vault.options)
    old = k.wrap(b"d" * 32)
    k.rotate()
    new = k.wrap(b"d" * 32)
    assert new.split(":")[0] != old.split(":")[0] and k.unwrap(old) == k.unwrap(new) == b"d" * 32


def test_vault_refusal_names_vault_and_remedy(vault, tmp_path):
    VaultKeys.create("https://lab.vault.azure.net", "kek", tmp_path / "v.json", **vault.options)
    vault.refuse = 403
    with pytest.raises(KeyUnavailable) as e: VaultKeys("https://lab.vault.azure.net", "kek", tmp_path / "v.json", **vault.options)
    assert e.value.code == "key-vault" and "403" in e.value.what and "lab.vault.azure.net" in e.value.where
