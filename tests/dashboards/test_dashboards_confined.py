"""What the dashboards' service can reach, tried from a process started exactly as the hub starts the service."""
import json, os, subprocess, sys

import pytest

PROBE = """
import json, os, sys
said = {}
for how, path in json.loads(sys.argv[1]):
    try:
        if how == "list": os.listdir(path)
        elif how == "write": open(path, "w").write("x")
        elif how == "link": os.symlink(path, os.path.join(os.environ["HOME"], "way")); os.listdir(os.path.join(os.environ["HOME"], "way"))
        else: open(path, "rb").read(1)
        said[path + " " + how] = "reached"
    except OSError as e: said[path + " " + how] = type(e).__name__
said["keys"] = [k for k in os.environ if k.endswith(("_SECRET", "_TOKEN"))]
print(json.dumps(said))
"""


@pytest.fixture
def tried(workbench, monkeypatch):
    "Tries (how, path) from inside: path and how → reached, or the error."
    from traitlets.config import Config
    from healthlab.hub.confine import abi
    if not abi(): pytest.skip("this kernel has no Landlock")
    monkeypatch.setenv("HEALTHLAB_HUB_PATH", str(workbench / "hub")); monkeypatch.setenv("HEALTHLAB_OAUTH_CLIENT_SECRET", "not for services")
    from healthlab.hub.configuration import dashboards
    c = Config()
    c.JupyterHub.services, c.JupyterHub.custom_scopes = [], {}
    dashboards(c, 1)
    (service,) = c.JupyterHub.services
    words = service["command"]
    def run(ways):
        done = subprocess.run([*words[:words.index("--") + 1], sys.executable, "-c", PROBE, json.dumps([(how, str(path)) for how, path in ways])], env=service["environment"], cwd=service["cwd"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)
    return run


def test_the_dashboards_reach_what_they_show_and_nothing_else(workbench, tried, root):
    for folder in ("lake/identified/Patient", "lake/deidentified/Patient", "lake/_lake", "keys", "audit", "reports/ingest", "landing", "hub/users/lena"): (workbench / folder).mkdir(parents=True, exist_ok=True)
    for file in ("keys/healthlab.key", "hub/hub.sqlite", "hub/first-passwords", "hub/cookie_secret", "lake/identified/Patient/part.parquet", "reports/ingest/run.json"): (workbench / file).write_text("x")
    shut = [("list", workbench / f) for f in ("lake/identified", "lake/deidentified/Patient", "lake/_lake", "keys", "audit", "reports", "landing", "hub", "hub/users/lena")]
    shut += [("read", workbench / f) for f in ("keys/healthlab.key", "hub/hub.sqlite", "hub/first-passwords", "hub/cookie_secret", "lake/identified/Patient/part.parquet", "reports/ingest/run.json")]
    shut += [("list", workbench / "lake/research/../identified"), ("link", workbench / "lake/identified"), ("list", "/tmp"), ("list", "/root"), ("write", workbench / "lake/research/new"), ("write", root / "healthlab/new.py"), ("read", f"/proc/{os.getpid()}/environ")]
    said = tried(shut)
    assert said.pop("keys") == []
    assert {k for k, v in said.items() if v == "reached"} == set() and len(said) == len(shut)


def test_what_the_dashboards_show_is_open_to_them(workbench, tried, root):
    said = tried([("list", workbench / "lake" / z) for z in ("research", "synthetic", "released")] + [("list", root / "nbs/dashboards"), ("write", workbench / "hub/dashboards/own")])
    said.pop("keys")
    assert set(said.values()) == {"reached"}, said
