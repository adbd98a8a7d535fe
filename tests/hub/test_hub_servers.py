"""Two people at a real hub: each has what their role may see, and nothing of the other's."""
import json, re, time

import pytest, requests
from person import Person, Refused


def audited(hub, monkeypatch, event: str) -> list[dict]:
    "What the hub's trail says of an event."
    for k, v in hub.env.items():
        if k.startswith("HEALTHLAB_"): monkeypatch.setenv(k, v)
    from healthlab.core import audit
    return [json.loads(d) for d in audit.entries(event)["detail"].to_pylist()]


def test_a_wrong_password_an_unknown_name_and_no_password_are_refused_alike(hub):
    said = set()
    for name, password in (("researcher", "not the password"), ("nobody", "not the password"), ("researcher", ""), ("../steward", hub.passwords["steward"])):
        with pytest.raises(Refused) as e: Person(hub.url, name, password)
        said.add(e.value.args[0])
        assert "Traceback" not in e.value.args[1]
    assert said == {403}


def test_a_name_is_tried_only_so_often(hub):
    for _ in range(12):
        with pytest.raises(Refused): Person(hub.url, "stakeholder", "guess")
    with pytest.raises(Refused) as e: Person(hub.url, "stakeholder", hub.passwords["stakeholder"])
    assert e.value.args[0] == 429 and "Wait a minute" in e.value.args[1]
    assert 'name="username"' in requests.get(f"{hub.url}/hub/login", timeout=30).text # the form is there for everybody else
    assert Person(hub.url, "researcher", hub.passwords["researcher"]).token


def test_the_library_and_the_data_are_there(people):
    lena = people["researcher"]
    assert lena.run("from healthlab.lake import Lake; lake = Lake(); print(lake.read('research', 'patient').num_rows > 0, 'patient' in lake.tables('research'))").strip() == "True True"
    assert lena.run("print(lake.sql('select count(*) as n from patient', 'research').to_pylist()[0]['n'] > 0)").strip() == "True"
    assert "tutorials" in lena.run("import os; print(os.listdir('.'))")


@pytest.mark.parametrize("how, code", [
    ("the library", "from healthlab.lake import Lake; Lake().read('identified', 'Patient')"),
    ("the library in another role", "import os; os.environ['HEALTHLAB_ACCESS_ROLE'] = 'steward'; os.environ.pop('HEALTHLAB_AUDIT_URL', 0)\nfrom healthlab.lake import Lake; print(Lake().read('identified', 'Patient').num_rows)"),
    ("SQL", "from healthlab.lake import Lake; print(Lake().sql('select * from Patient', 'identified'))"),
    ("DuckDB", "import duckdb; print(duckdb.sql(\"select * from read_parquet('{lake}/identified/Patient/*.parquet')\"))"),
    ("the file", "import glob, os; print(os.listdir('{lake}/identified/Patient'))"),
    ("a link", "import os; os.path.lexists('l') or os.symlink('{lake}/identified', 'l'); print(os.listdir('l'))"),
    ("a way round", "import os; print(os.listdir('{lake}/research/../identified'))"),
    ("the key file", "print(open('{key}').read())"),
    ("a program", "import subprocess; r = subprocess.run(['cat', '{key}'], capture_output=True, text=True); assert r.returncode == 0, 'refused'"),
    ("the landing folder", "import os; print(os.listdir('{folder}/landing'))"),
    ("the audit trail", "import os; print(os.listdir('{folder}/audit'))"),
    ("the hub's database", "print(open('{folder}/hub/hub.sqlite', 'rb').read(100))"),
    ("the first passwords", "print(open('{folder}/hub/first-passwords').read())"),
    ("the steward's folder", "import os; print(os.listdir('{folder}/hub/users/steward'))"),
    ("the accounts", "print(open('{folder}/service/oauth/oauth.db', 'rb').read(100))"),
    ("the hub's environment", "print(open('/proc/{hub}/environ', 'rb').read(100))"),
    ("the hub's open files", "print(open('/proc/{hub}/fd/2', 'rb').read(10))"),
    ("the hub's root", "import os; print(os.listdir('/proc/{hub}/root/'))"),
    ("a signal", "import os; os.kill({hub}, 0); print('reached')"),
    ("root's powers", "import os; os.chroot('.'); print('reached')"),
    ("a mount", "import ctypes, os; r = ctypes.CDLL(None, use_errno=True).mount(b'none', os.getcwd().encode(), b'tmpfs', 0, None); assert r == 0, 'refused'"),
    ("the library's code", "open('{code}/healthlab/core/access.py', 'a').write('#')"),
    ("the temporary folder", "import os; print(os.listdir('/tmp'))"),
])
def test_a_researcher_cannot_reach_what_is_not_theirs(hub, people, root, how, code):
    places = {"lake": f"{hub.folder}/lake", "folder": hub.folder, "key": f"{hub.folder}/keys/healthlab.key", "hub": hub.process.pid, "code": root}
    said = people["researcher"].run(re.sub(r"\{(\w+)\}", lambda m: str(places[m[1]]), code))
    assert said.startswith("ERROR ") and re.match(r"ERROR (PermissionError|AccessDenied|StorageError|KeyUnavailable|IOException|AssertionError|OSError)", said), f"{how}: {said[:200]}"


def test_what_is_in_the_environment_opens_nothing_else(people):
    said = people["researcher"].run("import os; print(sorted(k for k in os.environ if any(w in k for w in ('SECRET', 'PASSWORD', 'CONFIGPROXY', 'CRYPT')) or k.startswith('HEALTHLAB_OAUTH')))")
    assert said.strip() == "[]"


def test_another_persons_server_is_closed(people):
    for path in ("/user/steward/api/contents", "/user/steward/lab", "/hub/api/users/steward", "/hub/api/users"):
        assert people["researcher"].ask("GET", path).status_code in (403, 404), path


def test_a_steward_reads_what_a_steward_may(people):
    assert people["steward"].run("from healthlab.lake import Lake; print(Lake().read('identified', 'Patient').num_rows >= 4)").strip() == "True"


def test_a_denied_read_is_in_the_trail_with_the_persons_name(hub, people, monkeypatch):
    people["researcher"].run("import os; os.environ['HEALTHLAB_ACCESS_ROLE'] = 'researcher'; os.environ['HEALTHLAB_AUDIT_URL'] = os.environ['HEALTHLAB_SERVICE_URL'] + '/v1/audit'\nfrom healthlab.lake import Lake; Lake().read('identified', 'Patient')")
    for k, v in hub.env.items():
        if k.startswith("HEALTHLAB_"): monkeypatch.setenv(k, v)
    from healthlab.core import audit
    found = [e for e in audit.entries("deny", zone="identified").to_pylist() if e["actor"] == "researcher" and e["role"] == "researcher"]
    assert found and audit.verify().ok


def test_memory_that_is_not_there_is_an_error_in_the_cell_and_the_server_lives_on(people):
    lena = people["researcher"]
    assert re.search(r"ERROR MemoryError(.|\n)*MB of memory", lena.run("x = bytearray(64 << 30)")) and lena.run("print(6 * 7)").strip() == "42"


def test_who_fills_their_folder_is_held_told_and_let_go(hub, people, monkeypatch):
    lena = people["researcher"]
    assert "MB ([hub] file_mb). Write it in parts." in lena.run("import os\nwith open('big', 'wb') as f: f.truncate(1 << 40)")
    assert lena.run("os.remove('big')\nwith open('full', 'wb') as f: os.posix_fallocate(f.fileno(), 0, 1001 << 20)").strip() == ""
    tries = "import time\nfor _ in range(100):\n    with open('more', 'wb') as f: f.write(bytes(100_000))\n    time.sleep(.2)"
    said = lena.run(tries)
    assert re.search(r"ERROR OSError: .*File too large", said) and re.search(r"healthlab: Your folder is full: it holds 1,0\d\d MB, 1,000 are allowed\. Delete", said)
    assert lena.run("print(open('small', 'w').write('a note'))").strip() == "6" and people["steward"].run("print(open('mine', 'wb').write(bytes(100_000)))").strip() == "100000" # others are not held
    notebook = {"type": "notebook", "content": {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": "x" * 100_000}]}}
    refused = lena.ask("PUT", "/user/researcher/api/contents/large.ipynb", json=notebook)
    assert refused.status_code == 507 and "Your folder is full" in refused.json()["message"]
    assert lena.ask("DELETE", "/user/researcher/api/contents/full").status_code == 204 # and not into a wastebasket, which would hold it as well
    end = time.monotonic() + 30
    while (answer := lena.ask("PUT", "/user/researcher/api/contents/large.ipynb", json=notebook)).status_code != 201 and time.monotonic() < end: time.sleep(.5)
    assert answer.status_code == 201 and "ERROR" not in lena.run("open('more', 'wb').write(bytes(100_000))")
    assert [(e["person"], e["state"]) for e in audited(hub, monkeypatch, "hub.storage")] == [("researcher", "held"), ("researcher", "let go")]


def test_a_cell_that_never_ends_can_be_interrupted(people):
    import threading
    lena = people["researcher"]
    threading.Timer(2, lambda: lena.ask("POST", f"/user/researcher/api/kernels/{lena.kernel}/interrupt")).start()
    assert "KeyboardInterrupt" in lena.run("while True: pass", seconds=60)


def test_the_service_knows_the_persons_token(people):
    lena, sten = people["researcher"], people["steward"]
    assert lena.ask("GET", "/services/healthlab/v1/pipelines").status_code == 200
    assert lena.ask("GET", "/services/healthlab/v1/audit").status_code == 403
    assert sten.ask("GET", "/services/healthlab/v1/audit").status_code == 200
    assert lena.ask("GET", "/services/healthlab/v1/pipelines", token="0" * 32).status_code == 401


def test_a_proxy_that_dies_is_started_again_and_recorded(hub, people, monkeypatch):
    import signal, os
    pid, before = int((hub.folder / "hub/proxy.pid").read_text()), len(audited(hub, monkeypatch, "hub.proxy"))
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if people["researcher"].ask("GET", "/user/researcher/api/status").status_code == 200: break
        except OSError: pass
        time.sleep(.5)
    else: raise AssertionError("the proxy did not come back")
    for _ in range(50): # written once the routes are there again
        if found := audited(hub, monkeypatch, "hub.proxy")[before:]: break
        time.sleep(.1)
    assert [(e["state"], e["ended_with"]) for e in found] == [("started again", -signal.SIGKILL)]


def test_a_token_that_has_ended_is_said_with_the_way_out(people):
    lena = people["researcher"]
    said = lena.run("import os; kept = os.environ['JUPYTERHUB_API_TOKEN']; os.environ['JUPYTERHUB_API_TOKEN'] = '0' * 32; os.environ['HEALTHLAB_ACCESS_ROLE'] = 'researcher'; os.environ['HEALTHLAB_AUDIT_URL'] = os.environ['HEALTHLAB_SERVICE_URL'] + '/v1/audit'\nfrom healthlab.lake import Lake; Lake().read('identified', 'Patient')") # what is refused is recorded, and this cannot be
    assert "the sign-in of this server has ended" in said and "Stop your server and start it again" in said
    assert "may not read zone identified" in lena.run("os.environ['JUPYTERHUB_API_TOKEN'] = kept; Lake().read('identified', 'Patient')") # with a token that holds the refusal is written down again


def test_the_launcher_has_tiles_that_lay_fresh_notebooks(people):
    lena = people["researcher"]
    assert {t["title"] for t in lena.ask("GET", "/user/researcher/launcher-shortcuts/shortcuts").json()["shortcuts"]} >= {"New pipeline", "New dashboard"}
    for kind in ("pipeline", "dashboard"):
        answer = lena.ask("GET", f"/user/researcher/healthlab/new/{kind}", allow_redirects=False)
        assert answer.status_code == 302 and answer.headers["Location"].endswith(f"lab/tree/{kind}s/{kind}_1.ipynb")
        assert lena.ask("GET", f"/user/researcher/api/contents/{kind}s/{kind}_1.ipynb").json()["type"] == "notebook"
    assert lena.ask("GET", "/user/researcher/healthlab/new/anything").status_code == 404


def test_the_workbenchs_runs_are_in_notebook_jobs_and_cannot_be_removed_there(hub, people):
    folder = hub.folder / "reports/quality/20261121T023000Z-1f00ba"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"pipeline": "quality", "run_id": folder.name, "status": "failed", "started": "2026-11-21T02:30:00.000Z", "finished": "2026-11-21T02:31:00.000Z", "error": {"type": "KernelDied", "message": "the kernel died"}}))
    time.sleep(11)
    lena = people["researcher"]
    (job,) = [j for j in lena.ask("GET", "/user/researcher/scheduler/jobs").json()["jobs"] if "1f00ba" in j["job_id"]]
    assert (job["status"], job["status_message"]) == ("FAILED", "the kernel died")
    assert lena.ask("DELETE", f"/user/researcher/scheduler/jobs/{job['job_id']}").status_code >= 400 and (folder / "run.json").exists()
