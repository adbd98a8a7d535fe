"""A real Jupyter server with the guard: what is saved is clean, what is exported or downloaded is checked, and the user is told where the output stood."""
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from healthlab.release.guard import check_notebook, check_output, is_notice, notice

ROOT = Path(__file__).resolve().parents[2]
SAID = "first row: Mrs. Mary Johnson, MRN 4821937"


def nb(*outputs, source="x = 1", **metadata):
    return {"cells": [{"cell_type": "code", "id": f"c{i:07d}", "metadata": {}, "execution_count": None, "source": source, "outputs": [o]} for i, o in enumerate(outputs)], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def printed(text): return {"output_type": "stream", "name": "stdout", "text": text}
def html(text): return {"output_type": "display_data", "metadata": {}, "data": {"text/html": f"<p>{text}</p>", "text/plain": "<table>"}}


class Server:
    "A server process of its own in a folder, with the hub's configuration."
    def __init__(self, folder):
        env = {**os.environ, "JUPYTER_CONFIG_PATH": str(ROOT / "hub"), "JUPYTER_CONFIG_DIR": str(folder / ".jupyter"), "JUPYTER_RUNTIME_DIR": str(folder / ".runtime"), "PYTHONPATH": str(ROOT), "HEALTHLAB_RELEASE_LIVE": "check"}
        env.pop("JUPYTERHUB_USER", None)
        self.folder, self.log = folder / "work", folder / "log.txt"
        self.folder.mkdir()
        self.process = subprocess.Popen([sys.executable, "-m", "jupyter_server", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--IdentityProvider.token=t", f"--ServerApp.root_dir={self.folder}", "--no-browser", "--allow-root"],
                                        env=env, stdout=open(self.log, "w"), stderr=subprocess.STDOUT, cwd=ROOT)
        until = time.monotonic() + 60
        while time.monotonic() < until and not (m := re.search(r"http://127\.0\.0\.1:(\d+)/", self.log.read_text())):
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(.1)
        self.url = f"http://127.0.0.1:{m[1]}"
        while time.monotonic() < until: # the address is printed a moment before it is answered
            try: self.ask("GET", "/api/status"); break
            except urllib.error.URLError: time.sleep(.1)

    def ask(self, method, path, body=None):
        r = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode(), headers={"Authorization": "token t", "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(r, timeout=60) as a: return a.status, a.read()
        except urllib.error.HTTPError as e: return e.code, e.read()

    def save(self, name, notebook): return self.ask("PUT", f"/api/contents/{name}", {"type": "notebook", "content": notebook})
    def stop(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    patch, folder = pytest.MonkeyPatch(), tmp_path_factory.mktemp("server")
    for k, v in {"HEALTHLAB_LAKE_URL": "lake", "HEALTHLAB_KEYS_FILE": "keys/k.key", "HEALTHLAB_AUDIT_PATH": "audit", "HEALTHLAB_REPORTS_URL": "reports"}.items(): patch.setenv(k, str(folder / v))
    s = Server(folder)
    yield s
    s.stop()
    patch.undo()


def test_what_is_saved_is_clean_and_the_user_is_told_in_place(server):
    status, _ = server.save("a.ipynb", nb(printed("128 patients"), printed(SAID), html("Mrs. Mary Johnson"), {"output_type": "error", "ename": "KeyError", "evalue": "Mrs. Mary Johnson", "traceback": []}, source="df.head(1)"))
    disk = (server.folder / "a.ipynb").read_text()
    assert status in (200, 201) and "Johnson" not in disk and "4821937" not in disk
    outputs = [c["outputs"][0] for c in json.loads(disk)["cells"]]
    assert "128 patients" in "".join(outputs[0]["text"]) and "[NAME]" in "".join(outputs[1]["text"])
    assert all("withheld by healthlab" in "".join(o["data"]["text/plain"]) for o in outputs[2:])
    assert json.loads(disk)["cells"][0]["source"] in ("df.head(1)", ["df.head(1)"])


def test_widget_state_does_not_reach_the_disk(server):
    server.save("w.ipynb", nb(printed("ok"), widgets={"application/vnd.jupyter.widget-state+json": {"state": {"a" * 32: {"state": {"value": "Dr. Alice Brown"}}}}}))
    assert "Brown" not in (server.folder / "w.ipynb").read_text()


def test_a_notebook_sent_as_a_text_file_is_guarded_too(server):
    server.ask("PUT", "/api/contents/t.ipynb", {"type": "file", "format": "text", "content": json.dumps(nb(printed(SAID)))})
    assert "Johnson" not in (server.folder / "t.ipynb").read_text()


@pytest.mark.parametrize("path", ["/nbconvert/html/k.ipynb", "/nbconvert/script/k.ipynb", "/nbconvert/html/k.ipynb?download=true", "/files/k.ipynb", "/files/k.ipynb?download=1", "/files/note.txt", "/files/note.txt?download=1", "/files/bands.csv?download=1"])
def test_what_holds_somebody_or_is_not_published_does_not_leave(server, path):
    (server.folder / "k.ipynb").write_text(json.dumps(nb(printed(SAID))))  # as a kernel would write it, past the hook
    (server.folder / "note.txt").write_text(SAID)
    (server.folder / "bands.csv").write_text("band,n\n40-49,120\n")
    status, page = server.ask("GET", path)
    assert status == 403 and b"does not leave the workbench" in page and b"Johnson" not in page


def test_posted_notebooks_are_converted_only_when_clean(server):
    status, page = server.ask("POST", "/nbconvert/html", {"name": "a.ipynb", "content": nb(printed(SAID))})
    assert status == 403 and b"Johnson" not in page
    status, page = server.ask("POST", "/nbconvert/html", {"name": "a.ipynb", "content": nb(printed("128 patients"))})
    assert status == 200 and b"128 patients" in page


def test_clean_notebooks_and_files_are_shown(server):
    server.save("c.ipynb", nb(printed("128 patients")))
    (server.folder / "bands.csv").write_text("band,n\n40-49,120\n")
    assert server.ask("GET", "/files/bands.csv") == (200, b"band,n\n40-49,120\n")
    status, page = server.ask("GET", "/nbconvert/html/c.ipynb")
    assert status == 200 and b"128 patients" in page


def test_the_server_says_that_it_is_guarded(server): assert "outputs are checked before they are saved" in server.log.read_text()


def test_routes_without_a_token_stay_closed(server):
    for path in ("/files/bands.csv", "/nbconvert/html/c.ipynb"):
        r = urllib.request.Request(server.url + path)
        opener = urllib.request.build_opener(type("N", (urllib.request.HTTPRedirectHandler,), {"redirect_request": lambda *a: None}))
        with pytest.raises(urllib.error.HTTPError) as e: opener.open(r, timeout=20)
        assert e.value.code in (302, 403)


# ---- the guard by itself ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("out", [printed(["x ", SAID]), html("Mrs. Mary Johnson"), {"output_type": "error", "ename": "E", "evalue": SAID, "traceback": [SAID]}, {"output_type": "execute_result", "data": {"application/x": {"a": [SAID]}}, "metadata": {}},
                                 {"output_type": "new", "what": SAID}, {"output_type": "display_data", "data": {"image/png": "not base64 !"}, "metadata": {}}, {"output_type": "stream"}, {}, {"output_type": "stream", "text": {1: 2}}])
@pytest.mark.parametrize("policy", ["redact", "block"])
def test_nothing_of_it_stays(out, policy):
    kept = json.dumps(check_output(out, policy=policy))
    assert "Johnson" not in kept and "4821937" not in kept


def test_clean_outputs_are_the_same_object():
    for out in (printed("128 patients, mean 61.2"), html("AUROC 0.81"), {"output_type": "execute_result", "data": {"text/plain": "array([1, 2, 3])"}, "metadata": {}, "execution_count": 3}): assert check_output(out) is out


def test_large_outputs_are_withheld(monkeypatch):
    from healthlab.release import words
    monkeypatch.setenv("HEALTHLAB_RELEASE_OUTPUT_KB", "10")
    words._public.cache_clear()  # settings are looked up every five seconds
    assert is_notice(check_output(printed("a" * 20_000)))
    words._public.cache_clear()


def test_a_forged_notice_is_no_notice():
    forged = notice(["NAME"])
    forged["data"]["text/html"] += SAID
    assert "Johnson" not in json.dumps(check_output(forged)) and check_output(notice(["NAME"])) == notice(["NAME"])


def test_a_guard_that_fails_withholds(monkeypatch):
    import healthlab.release.guard as guard
    def broken(*a): raise RuntimeError("boom")
    monkeypatch.setattr(guard, "found_in", broken)
    guard.CACHE.clear()
    assert is_notice(check_output(printed("whatever 1")))


def test_the_hook_never_lets_a_failure_through(monkeypatch):
    import healthlab.release.extension as extension
    def broken(*a, **k): raise RuntimeError("boom")
    monkeypatch.setattr(extension, "check_notebook", broken)
    model = {"type": "notebook", "content": nb(printed(SAID), source="keep me", widgets={"a": SAID})}
    extension.pre_save(model=model, path="a.ipynb")
    assert "Johnson" not in json.dumps(model) and "keep me" in json.dumps(model)


def test_outputs_that_spell_it_together_are_withheld():
    book = nb(*[printed(t) for t in ("Mar", "y Joh", "nso", "n")])
    assert check_notebook(book) == 4
