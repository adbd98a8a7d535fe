"""Exports beyond the letter of the specification: interrupted ones, large ones, ones with things written meanwhile."""
import json
import os
import signal
import time

import pytest

from healthlab.service import export
from healthlab.service.export import Ask, asked
from healthlab.service.jobs import Jobs, Stopped, read_file, run_worker
from healthlab.service.store import Refused, Store, create, delete, draft, update


def add(store, kind, id, **more):
    store.write(lambda con: create(con, draft(json.dumps(dict(resourceType=kind, id=id, **more)).encode()), id))


@pytest.fixture
def store(workbench):
    made = Store()
    yield made
    made.close()


@pytest.fixture
def jobs(workbench):
    made = Jobs()
    made.wake = lambda: False
    yield made
    made.close()


def params(**more):
    return dict(level="system", since=None, types=["Observation", "Patient"], elements=[], patients=None, within=[], strict=False, filters=[], associated="", notes=[], request="x", client="c", subject="s", role="steward") | more


def found(jobs, id, owner="a"):
    "Type/id of every line of the files, in order."
    job = jobs.get(id, owner)
    assert job.state == "done", job.error
    lines = [line for f in job.result["output"] for line in b"".join(read_file(jobs, id, f["name"])).splitlines()]
    return [f"{r['resourceType']}/{r['id']}" for r in map(json.loads, lines)]


def test_interrupted_anywhere_it_gives_everything_once(store, jobs, monkeypatch):
    monkeypatch.setattr(export, "MOST", 7)
    for i in range(40): add(store, "Patient", f"p{i}")
    for i in range(30): add(store, "Observation", f"o{i}", status="final", code=dict(text="x"), subject=dict(reference=f"Patient/p{i}"))
    before, real, writes = store.position()[0], Jobs._set, []
    id = jobs.submit("export", params(), "a")

    def interrupting(self, id, where="", /, **values):
        "After every second checkpoint the runner is told to stop."
        if "kept" in values:
            writes.append(1)
            if len(writes) % 2 == 0: self._stop.set()
        return real(self, id, where, **values)
    monkeypatch.setattr(Jobs, "_set", interrupting)
    monkeypatch.setattr(export.Progress, "__call__", lambda self, share, note="": (_ for _ in ()).throw(Stopped()) if self.jobs._stop.is_set() else None)
    for round in range(50):
        jobs._stop.clear()
        run_worker(jobs)
        if round == 1: # what is written while it lies is not of this export
            store.write(lambda con: update(con, draft(b'{"resourceType":"Patient","id":"p39","active":true}'), "p39"))
            store.write(lambda con: delete(con, "Observation", "o29"))
            add(store, "Patient", "late")
        if jobs.get(id, "a").over: break
    assert round >= 3 and sorted(found(jobs, id)) == sorted([f"Patient/p{i}" for i in range(40)] + [f"Observation/o{i}" for i in range(30)])
    assert store.position()[0] > before and all(f["count"] <= 7 for f in jobs.get(id, "a").result["output"])


def test_its_process_killed_the_export_is_whole_all_the_same(store, workbench, monkeypatch):
    for k, v in dict(IDLE_SECONDS="0").items(): monkeypatch.setenv(f"HEALTHLAB_JOBS_{k}", v)
    for i in range(300): add(store, "Patient", f"p{i}")
    jobs = Jobs()
    id = jobs.submit("export", params(types=["Patient"]), "a")
    end = time.monotonic() + 30
    while jobs.get(id, "a").state == "queued" and time.monotonic() < end: time.sleep(0.005)
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                if str(jobs.folder).encode() in open(f"/proc/{p}/cmdline", "rb").read(): os.kill(int(p), signal.SIGKILL)
            except (OSError, ProcessLookupError): pass
    while not jobs.get(id, "a").over and time.monotonic() < end + 30: time.sleep(0.05)
    assert sorted(found(jobs, id)) == sorted(f"Patient/p{i}" for i in range(300))
    jobs.close()


def test_what_is_written_during_the_export_comes_with_the_next(store, jobs):
    add(store, "Patient", "p1")
    first = jobs.submit("export", params(types=["Patient"]), "a")
    run_worker(jobs)
    add(store, "Patient", "p2")
    second = jobs.submit("export", params(types=["Patient"], since=jobs.get(first, "a").result["time"]), "a")
    run_worker(jobs)
    assert found(jobs, first) == ["Patient/p1"] and found(jobs, second) == ["Patient/p2"]


def test_the_files_cannot_be_read_without_the_key(store, jobs):
    add(store, "Patient", "p1", name=[dict(family="Musterfrau")])
    id = jobs.submit("export", params(types=["Patient"]), "a")
    run_worker(jobs)
    assert b"Musterfrau" in b"".join(read_file(jobs, id, jobs.get(id, "a").result["output"][0]["name"]))
    assert all(b"Musterfrau" not in p.read_bytes() for p in jobs.folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("pairs, code", [([("_since", "2026-13-45T99:99:99Z")], "invalid"), ([("_outputFormat", "")], "not-supported"), ([("_elements", "name..family")], "invalid"),
                                         ([("_typeFilter", "Patient?")], None), ([("_typeFilter", "Patient?name=a,Observation?status=final")], None), ([("_typeFilter", "Patient?birthdate=nonsense")], "not-supported"),
                                         ([("_type", ",,,")], None), ([("_type", "patient")], "not-supported"), ([("x" * 500, "1")], "not-supported"), ([("includeAssociatedData", "_x")], "not-supported")])
def test_parameters_right_and_wrong(pairs, code, workbench):
    if code is None: assert isinstance(asked("system", pairs), Ask)
    else:
        with pytest.raises(Refused) as e: asked("system", pairs)
        assert e.value.status == 400 and e.value.code == code
        if pairs[0][0] != "_type": assert asked("system", pairs, lenient=True).notes # said, not done


def test_polled_too_often_the_client_is_told_when_to_come(app, as_client, monkeypatch):
    app.extensions["healthlab.jobs"].wake = lambda: False
    http = as_client("system/*.rs")
    where = "/fhir/" + http.get("/fhir/$export").headers["Content-Location"].split("/fhir/")[1]
    answers = [http.get(where) for _ in range(40)]
    assert answers[0].status_code == 202 and answers[-1].status_code == 429 and int(answers[-1].headers["Retry-After"]) >= 1
    assert answers[-1].json["issue"][0]["code"] == "throttled"


def test_one_client_cannot_begin_without_end(app, as_client, monkeypatch):
    app.extensions["healthlab.jobs"].wake = lambda: False
    monkeypatch.setenv("HEALTHLAB_JOBS_PER_OWNER", "3")
    http = as_client("system/*.rs")
    assert [http.get("/fhir/$export").status_code for _ in range(4)] == [202, 202, 202, 429] and "Retry-After" in http.get("/fhir/$export").headers


def test_every_step_stands_in_the_audit_trail(app, as_client):
    from healthlab.core.audit import entries
    jobs = app.extensions["healthlab.jobs"]
    jobs.wake = lambda: False
    http = as_client("system/*.cruds")
    http.add(resourceType="Patient", id="p1")
    where = "/fhir/" + http.get("/fhir/$export?_type=Patient").headers["Content-Location"].split("/fhir/")[1]
    run_worker(jobs)
    manifest = http.get(where).json
    http.get("/fhir/" + manifest["output"][0]["url"].split("/fhir/")[1])
    http.delete(where)
    events = [e["event"] for e in entries().to_pylist()]
    assert [e for e in events if e.startswith("export.")] == ["export.start", "export.done", "export.file", "export.end"]
