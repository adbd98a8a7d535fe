"""`healthlab clients`: what a hospital's administrator types."""
import io
import json

import pytest
from joserfc.jwk import ECKey

from healthlab import cli
from healthlab.service import clients


def told(capsys, *words):
    "(exit status, standard output, standard error) of a command."
    status = cli.main(["clients", *words])
    out = capsys.readouterr()
    return status, out.out, out.err


def test_a_client_from_its_first_day_to_its_last(capsys):
    status, out, _ = told(capsys, "add", "registry", "--scope", "system/*.rs", "--scope", "jobs", "--role", "steward")
    made = dict(line.split() for line in out.splitlines())
    assert status == 0 and clients.find_client(made["client_id"]).check_client_secret(made["client_secret"])
    status, out, _ = told(capsys, "list")
    assert status == 0 and made["client_id"] in out and "system/*.rs" in out and " on " in out and made["client_secret"] not in out
    assert told(capsys, "disable", made["client_id"])[0] == 0 and clients.find_client(made["client_id"]) is None and " off " in told(capsys, "list")[1]
    status, _, err = told(capsys, "disable", made["client_id"])
    assert status == 2 and "no such client" in err


def test_a_client_that_signs_in_by_key_has_no_secret(capsys, tmp_path):
    key = ECKey.generate_key("P-384", auto_kid=True)
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [dict(key.as_dict(private=False), kid=key.kid)]}))
    status, out, _ = told(capsys, "add", "loader", "--scope", "system/*.rs", "--jwks", str(tmp_path / "keys.json"))
    assert status == 0 and "client_secret" not in out and clients.list_clients()[0]["method"] == "private_key_jwt"
    (tmp_path / "private.json").write_text(json.dumps({"keys": [dict(key.as_dict(private=True), kid=key.kid)]}))
    for wrong in ("private.json", "none.json"): assert told(capsys, "add", "x", "--scope", "nlp", "--jwks", str(tmp_path / wrong))[0] == 2


def test_an_account(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    assert told(capsys, "account", "ada", "--scope", "user/*.rs", "--role", "researcher")[0] == 0
    assert clients.sign_in("ada", "correct horse battery").role == "researcher" and clients.sign_in("ada", "wrong horse battery") is None
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    status, _, err = told(capsys, "account", "bob", "--scope", "user/*.rs")
    assert status == 2 and "12" in err and "short" not in err


def test_a_public_client_and_a_new_signing_key(capsys):
    assert told(capsys, "add", "app", "--scope", "user/*.rs", "--public", "--grant", "authorization_code", "--grant", "refresh_token", "--redirect", "https://app.example/back")[0] == 0
    before = clients.signing_keys()[-1].kid
    assert told(capsys, "rotate-key")[0] == 0 and clients.signing_keys()[-1].kid != before


@pytest.mark.parametrize("words", [["add"], ["add", "x"], ["add", "x", "--scope", "everything"], ["add", "x", "--scope", "nlp", "--role", "king"], ["add", "x", "--scope", "nlp", "--public"], ["disable"], ["add", "x", "--scope", "nlp", "--jwks-uri", "https://keys.example/jwks"]])
def test_what_is_wrong_is_one_line(capsys, words):
    status, out, err = told(capsys, *words)
    assert status == 2 and not out and err.count("\n") == 1 and "Traceback" not in err and not clients.list_clients()
