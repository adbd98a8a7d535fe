"""The audit trail: every way of tampering is found, no crash is mistaken for tampering."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from healthlab.core import audit
from healthlab.core.access import allowed, require, role
from healthlab.core.audit import entries, head, new_run_id, record, verify
from healthlab.core.errors import AccessDenied, SettingsError, StorageError


def folder(): return Path(os.environ["HEALTHLAB_AUDIT_PATH"])
def segment(n=1): return folder() / f"audit-{n:06d}.jsonl"
def head_file(): return next(Path(os.environ["HEALTHLAB_KEYS_FILE"]).parent.glob("audit-*.head"))


@pytest.fixture
def trail():
    for i in range(10): record("write", zone="identified", table="Patient", run_id="r", detail=dict(rows=i))
    assert verify().ok and verify().entries == 10
    return segment().read_bytes().splitlines(keepends=True)


def put(lines): segment().write_bytes(b"".join(lines))


def swap(lines, i, j): lines = list(lines); lines[i], lines[j] = lines[j], lines[i]; return lines


TAMPERING = {
    "a value": lambda l: [*l[:3], l[3].replace(b'"rows":3', b'"rows":4'), *l[4:]],
    "an actor": lambda l: [l[0].replace(b'"role":"steward"', b'"role":"service"'), *l[1:]],
    "white space": lambda l: [*l[:4], l[4].replace(b'","', b'", "', 1), *l[5:]],
    "a seal": lambda l: [*l[:4], l[4][:-8] + b"0000" + l[4][-4:], *l[5:]],
    "the first line gone": lambda l: l[1:],
    "a middle line gone": lambda l: l[:5] + l[6:],
    "the last line gone": lambda l: l[:-1],
    "the last five gone": lambda l: l[:5],
    "all lines gone": lambda l: [],
    "half the last line": lambda l: [*l[:-1], l[-1][:40]],
    "the last newline": lambda l: [*l[:-1], l[-1][:-1]],
    "neighbours swapped": lambda l: swap(l, 3, 4),
    "the last two swapped": lambda l: swap(l, 8, 9),
    "reversed": lambda l: l[::-1],
    "a line twice": lambda l: [*l, l[-1]],
    "a line repeated inside": lambda l: [*l[:5], l[2], *l[5:]],
    "a foreign line": lambda l: [*l, b'{"seq":11}\n'],
    "an empty line": lambda l: [*l[:2], b"\n", *l[2:]],
    "a byte at the end": lambda l: [*l, b" "],
}


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_is_found(trail, how):
    put(TAMPERING[how](trail))
    report = verify()
    assert not report.ok and report.problems and "DAMAGED" in str(report)


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_stays_found_when_work_goes_on(trail, how):
    put(TAMPERING[how](trail))
    for _ in range(3): record("read", zone="identified", table="Patient")
    assert not verify().ok
    assert any(e["event"] == "read" for e in entries().to_pylist()), "recording goes on"


def test_where_is_told(trail):
    put(TAMPERING["a value"](trail))
    assert [p.where for p in verify().problems][0] == "audit-000001.jsonl line 4"


@pytest.mark.parametrize("gone", ["segment", "folder", "head"])
def test_removal_is_found_before_and_after_further_entries(trail, gone):
    {"segment": lambda: segment().unlink(), "folder": lambda: shutil.rmtree(folder()), "head": lambda: head_file().unlink()}[gone]()
    assert not verify().ok
    record("run.start")
    assert not verify().ok


def test_a_forged_head_is_found(trail):
    head = head_file().read_bytes()
    put(trail[:5])
    head_file().write_bytes(head.replace(b'"count":10', b'"count":5'))
    assert any("damaged" in p.what for p in verify().problems)


def test_a_rolled_back_trail_is_found_by_what_was_noted_elsewhere(trail):
    old = segment().read_bytes(), head_file().read_bytes()
    record("release", zone="released")
    noted = verify().head
    segment().write_bytes(old[0]); head_file().write_bytes(old[1])
    assert verify().ok, "an older trail with its own head is whole in itself"
    assert not verify(witness=[noted]).ok


def test_segments_are_one_chain(trail, monkeypatch):
    monkeypatch.setattr(audit, "SEGMENT", 2000)
    for _ in range(20): record("run.start")
    names = sorted(p.name for p in folder().glob("*.jsonl"))
    assert len(names) > 2 and verify().ok and verify().entries == 30
    kept = segment(2).read_bytes()
    segment(2).unlink()
    assert not verify().ok
    segment(2).write_bytes(kept)
    assert verify().ok
    segment(len(names)).unlink()
    assert not verify().ok


@pytest.mark.parametrize("written", [0, 1, 40, -1, None])
@pytest.mark.parametrize("how", ["record", "verify"])
def test_a_crash_while_appending_is_no_damage_and_loses_nothing(trail, monkeypatch, written, how):
    real = audit._append
    def dies(path, at, line):
        real(path, at, line if written is None else line[:written])
        raise KeyboardInterrupt
    monkeypatch.setattr(audit, "_append", dies)
    with pytest.raises(KeyboardInterrupt): record("release", zone="released")
    monkeypatch.setattr(audit, "_append", real)
    report = verify()
    assert report.ok and report.entries == 11 and report.note
    if how == "record":
        record("run.start")
        assert verify().ok and verify().entries == 12 and not verify().note
        assert entries()["event"].to_pylist()[-2:] == ["release", "run.start"]


def test_a_crash_before_the_very_first_entry(monkeypatch):
    def dies(*_): raise KeyboardInterrupt
    real = audit._append
    monkeypatch.setattr(audit, "_append", dies)
    with pytest.raises(KeyboardInterrupt): record("run.start")
    monkeypatch.setattr(audit, "_append", real)
    assert verify().ok
    record("run.start")
    assert verify().ok and verify().entries == 2


def test_a_crash_does_not_hide_tampering(trail, monkeypatch):
    real = audit._append
    def dies(path, at, line): real(path, at, line[:30]); raise KeyboardInterrupt
    monkeypatch.setattr(audit, "_append", dies)
    with pytest.raises(KeyboardInterrupt): record("release")
    monkeypatch.setattr(audit, "_append", real)
    raw = segment().read_bytes()
    for bad in (raw[:-10] + b"0123456789", raw[:-31], raw + b"x", b"".join(trail[:4])):
        segment().write_bytes(bad)
        assert not verify().ok, bad[-40:]


def test_killed_processes_leave_a_whole_trail():
    code = "from healthlab.core.audit import record\nwhile True: record('read', zone='identified', table='Patient')"
    record("run.start")
    for i in range(6):
        ps = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
        try:
            before, waited = entries().num_rows, 0
            while entries().num_rows < before + 3 and waited < 2000: waited += 1
        finally:
            for p in ps: p.kill(); p.wait()
        assert verify().ok, str(verify())
    record("run.end")
    assert verify().ok and entries()["seq"].to_pylist() == list(range(1, entries().num_rows + 1))


def test_processes_record_at_once():
    code = "from healthlab.core.audit import record\nfor _ in range(25): record('read', zone='identified', table='Patient')"
    record("run.start")
    for p in [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]: assert p.wait() == 0
    assert verify().ok and verify().entries == 76


def test_what_cannot_be_recorded_does_not_happen(trail, monkeypatch):
    def full(*_): raise OSError(28, "No space left on device")
    monkeypatch.setattr(audit, "_append", full)
    with pytest.raises(StorageError, match="No space left"): record("read")


@pytest.mark.parametrize("detail", [dict(a="x" * 201), dict(a="two\nlines"), dict(a=b"bytes"), dict(a=dict(b=dict(c=dict(d=1)))), dict(a=object())])
def test_details_are_small_plain_facts(detail):
    with pytest.raises(ValueError): record("read", detail=detail)


def test_run_ids_sort_by_time():
    ids = [new_run_id() for _ in range(5)]
    assert len(set(ids)) == 5 and sorted(i[:16] for i in ids) == [i[:16] for i in ids]


def test_report_shows_in_notebooks(trail):
    put(TAMPERING["a value"](trail))
    assert "<table>" in verify()._repr_html_() and "&lt;" not in verify()._repr_html_()


# ---- access ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("who, zone, action, may", [
    ("steward", "identified", "read", True), ("researcher", "identified", "read", False), ("service", "identified", "read", False),
    ("stakeholder", "deidentified", "read", False), ("researcher", "deidentified", "read", True), ("researcher", "deidentified", "write", False),
    ("researcher", "research", "write", True), ("service", "research", "write", False), ("stakeholder", "released", "read", True), ("researcher", "released", "write", False)])
def test_roles_against_zones(monkeypatch, who, zone, action, may):
    monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", who)
    if may: assert require(zone, action) == who and entries(event="deny").num_rows == 0
    else:
        with pytest.raises(AccessDenied): require(zone, action, "Patient")
        assert entries(event="deny").select(["role", "zone", "table"]).to_pylist() == [dict(role=who, zone=zone, table="Patient")]


def test_unknown_roles_and_zones(monkeypatch):
    with pytest.raises(SettingsError): allowed("backstage", "read")
    monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", "root")
    with pytest.raises(SettingsError): role()


def test_cutting_the_head_back_gains_nothing(trail):
    head = head_file().read_bytes()
    head_file().write_bytes(head.splitlines(keepends=True)[0])
    put(trail[:-1])
    assert verify().ok and verify().entries == 10 and "interrupted" in verify().note, "the last entry stands in the head"
    record("run.start")
    assert entries()["seq"].to_pylist() == list(range(1, 12)) and verify().ok
    put(trail[:-2])
    assert not verify().ok


def test_the_newest_entries(trail):
    assert entries(limit=2)["seq"].to_pylist() == [9, 10] and entries(limit=0).num_rows == 0 and entries(event="write", limit=3).num_rows == 3


# --- handed over to the service ----------------------------------------------------------------------------------------------------

def test_without_a_key_entries_are_handed_over_and_refusals_stop_the_act(monkeypatch):
    import http.server, json, threading
    got = []
    class Keeper(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.headers["Authorization"], json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(403 if got[-1][1]["event"] == "release" else 201)
            self.end_headers()
            self.wfile.write(b'{"seq": 41}')
        def log_message(self, *_): pass
    server = http.server.HTTPServer(("127.0.0.1", 0), Keeper)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HEALTHLAB_AUDIT_URL", f"http://127.0.0.1:{server.server_port}/v1/audit")
    monkeypatch.setenv("HEALTHLAB_KEYS_FILE", "/nowhere/key")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "t0ken")
    assert record("read", zone="deidentified", table="Patient", detail={"rows": 3}) == 41 and head() == {}
    assert got == [("Bearer t0ken", {"event": "read", "zone": "deidentified", "table": "Patient", "run_id": None, "detail": {"rows": 3}})]
    with pytest.raises(StorageError, match="HTTP 403"): record("release")
    with pytest.raises(ValueError): record("read", detail={"note": "x" * 300})
    server.shutdown(); server.server_close()
    with pytest.raises(StorageError, match="not reached"): record("read")
