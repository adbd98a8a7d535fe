"""The airlock on a real lake: two people, the same bytes, every step recorded, whatever is killed or changed in between."""
import json
import os
from pathlib import Path

import pytest

from healthlab.core import audit
from healthlab.core.errors import AccessDenied, InputError, StorageError
from healthlab.lake import Lake
from healthlab.release import airlock as module
from healthlab.release.airlock import Airlock, download
from healthlab.release.disclosure import bounds, dominated, dominated_cells, freedom, recoverable, short_of_freedom, small
from healthlab.release.machine import IllegalStep
from healthlab.release import scan


@pytest.fixture
def lock(): return Airlock(Lake())


@pytest.fixture
def table(tmp_path):
    f = tmp_path / "out/bands.csv"
    f.parent.mkdir()
    f.write_text("band,n\n40-49,120\n50-59,131\n")
    return f


def events(**k): return [e["event"] for e in audit.entries(limit=200).to_pylist() if e["event"].startswith(("release.", "deny"))]


def test_the_whole_way(lock, table):
    r = lock.submit(table.parent, by="ada", reason="age bands for the board")
    assert (r.state, r.files) == ("waiting", 1)
    lock.approve(r.id, by="grace")
    table.write_text("Mrs. Mary Johnson")  # what happens to the original no longer matters
    done = lock.publish(r.id, by="grace")
    assert (done.state, done.approver) == ("published", "grace")
    assert download(f"released/{r.id}/out/bands.csv", by="eve", lake=lock.lake) == b"band,n\n40-49,120\n50-59,131\n"
    card = json.loads((Path(lock.lake.url) / f"released/{r.id}/release.json").read_text())
    assert card["approved_by"] == "grace" and card["files"][0]["sha256"]
    assert set(events()) >= {"release.submit", "release.pass", "release.approve", "release.publish", "release.finish", "release.download"}
    assert audit.verify().ok
    lock.recall(r.id, by="grace", reason="superseded")
    with pytest.raises(AccessDenied): download(f"released/{r.id}/out/bands.csv", by="eve", lake=lock.lake)


def test_quarantine_is_encrypted_and_logs_name_nothing(lock, tmp_path):
    f = tmp_path / "note.txt"
    f.write_text("Mrs. Mary Johnson, MRN 4821937")
    r = lock.submit(f, by="ada", reason="a note")
    assert r.state == "held"
    stored = b"".join(p.read_bytes() for p in Path(lock.lake.url).rglob("*") if p.is_file())
    assert b"Johnson" not in stored and b"4821937" not in stored
    assert "Johnson" not in json.dumps(audit.entries(limit=200).to_pylist(), default=str)


@pytest.mark.parametrize("act", ["approve", "publish", "recall"])
def test_a_held_release_goes_nowhere(lock, tmp_path, act):
    f = tmp_path / "note.txt"
    f.write_text("Mrs. Mary Johnson, MRN 4821937")
    r = lock.submit(f, by="ada", reason="a note")
    with pytest.raises(IllegalStep): getattr(lock, act)(r.id, by="grace", **({"reason": "x"} if act == "recall" else {}))
    assert lock.get(r.id).state == "held" and "deny" in events()


def test_one_person_is_not_two(lock, table, monkeypatch):
    r = lock.submit(table, by="ada", reason="bands")
    for by in ("ada", "ADA", " ada", "a\u200bda", "ａｄａ"):
        with pytest.raises(IllegalStep) as e: lock.approve(r.id, by=by)
        assert e.value.code == "release-second"
    monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", "researcher")
    with pytest.raises(IllegalStep) as e: lock.approve(r.id, by="grace")
    assert e.value.code == "release-role"
    monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", "steward")
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    with pytest.raises(IllegalStep) as e: lock.approve(r.id, by="grace")
    assert e.value.code == "release-person"


def test_pictures_are_looked_at(lock, tmp_path):
    from PIL import Image
    Image.new("RGB", (20, 20)).save(tmp_path / "figure.png")
    r = lock.submit(tmp_path / "figure.png", by="ada", reason="figure")
    assert r.state == "waiting" and r.looks
    with pytest.raises(IllegalStep) as e: lock.approve(r.id, by="grace")
    assert e.value.code == "release-look"
    assert lock.file(r.id, "figure.png", by="grace")[:4] == b"\x89PNG"
    assert lock.approve(r.id, by="grace", looked=True).state == "approved"


def test_an_override_is_for_what_is_no_identity(lock, tmp_path):
    (tmp_path / "small.csv").write_text("band,n\n40-49,120\n50-59,3\n")
    r = lock.submit(tmp_path / "small.csv", by="ada", reason="bands")
    assert r.state == "held" and {f.code for f in r.findings} == {"small"}
    with pytest.raises(IllegalStep): lock.override(r.id, by="ada", reason="I want it")
    assert lock.override(r.id, by="grace", reason="staff, not patients").state == "waiting"
    (tmp_path / "x.bin2").write_bytes(os.urandom(500))
    r = lock.submit(tmp_path / "x.bin2", by="ada", reason="bytes")
    with pytest.raises(IllegalStep) as e: lock.override(r.id, by="grace", reason="fine")
    assert e.value.code == "release-known"


def test_changed_bytes_are_not_published(lock, table):
    r = lock.submit(table, by="ada", reason="bands")
    lock.approve(r.id, by="grace")
    lock.store.seal(r.id, "file-000000", b"band,n\n40-49,121\n")  # even by who holds the key
    with pytest.raises(StorageError) as e: lock.publish(r.id, by="grace")
    assert e.value.code == "release-tampered" and lock.get(r.id).state == "stopped"
    assert not lock.lake.storage.exists(f"released/{r.id}")


@pytest.mark.parametrize("how", ["edit", "cut", "forge", "garbage"])
def test_a_changed_log_is_recognised(lock, table, how):
    r = lock.submit(table, by="ada", reason="bands")
    folder = Path(lock.lake.url) / f"_lake/release/requests/{r.id}/log"
    last = sorted(folder.iterdir())[-1]
    if how == "edit": last.write_text(last.read_text().replace('"pass"', '"hold"'))
    elif how == "cut": sorted(folder.iterdir())[0].unlink()
    elif how == "forge": (folder / "000003.json").write_text(json.dumps({**json.loads(last.read_text()), "seq": 3, "event": "approve", "state": "approved"}))
    else: last.write_text("{")
    with pytest.raises(StorageError) as e: lock.get(r.id)
    assert e.value.code == "release-log"


class Killed(BaseException): pass


@pytest.mark.parametrize("at", range(1, 9))
def test_killed_anywhere_a_release_is_in_one_of_its_states_and_can_go_on(lock, table, monkeypatch, at):
    count, write = 0, type(lock.store.storage).write

    def dying(self, *a, **k):
        nonlocal count
        count += 1
        if count == at: raise Killed
        return write(self, *a, **k)
    monkeypatch.setattr(type(lock.store.storage), "write", dying)
    made = None
    try:
        made = lock.submit(table, by="ada", reason="bands").id
        lock.approve(made, by="grace")
        lock.publish(made, by="grace")
    except Killed: pass
    monkeypatch.setattr(type(lock.store.storage), "write", write)
    again = lock.list()
    if not again:
        assert made is None  # killed before the first entry: nothing was submitted
        return
    r = lock.resume(again[0].id)
    if r.state == "waiting": r = lock.approve(r.id, by="grace")
    if r.state == "approved": r = lock.publish(r.id, by="grace")
    assert r.state == "published" and download(f"released/{r.id}/bands.csv", by="eve", lake=lock.lake)


def test_nothing_is_done_unrecorded(lock, table, monkeypatch):
    r = lock.submit(table, by="ada", reason="bands")
    def full(*a, **k): raise StorageError("the audit trail cannot be written", "", "", "audit-unwritable")
    monkeypatch.setattr(module.audit, "record", full)
    with pytest.raises(StorageError): lock.approve(r.id, by="grace")
    assert lock.get(r.id).state == "waiting"


def test_two_decisions_at_once(lock, table):
    r = lock.submit(table, by="ada", reason="bands")
    entries = lock.store.log(r.id)
    lock.reject(r.id, by="edsger")
    with pytest.raises(IllegalStep) as e: lock._step(r.id, entries, "approve", "grace", sha256=r.sha256)
    assert e.value.code == "release-raced" and lock.get(r.id).state == "rejected"


def test_only_publication_writes_zone_released(lock):
    import pyarrow as pa
    with pytest.raises(AccessDenied): lock.lake.write("released", "t", pa.table({"a": [1]}), run_id="r")


@pytest.mark.parametrize("path", ["identified/Patient/x.parquet", "released/../identified/x", "released/x/y", "settings.ini", "/etc/passwd", "reports/a/b/report.html"])
def test_nothing_else_is_downloaded(lock, path):
    with pytest.raises(AccessDenied): download(path, by="eve", lake=lock.lake)
    assert events().count("deny") >= 1


def test_clean_files_may_be_downloaded_where_the_setting_says_so(lock, tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("band,n\n40-49,120\n")
    with pytest.raises(AccessDenied): download(tmp_path / "a.csv", by="eve", lake=lock.lake)
    monkeypatch.setenv("HEALTHLAB_RELEASE_DOWNLOADS", "clean")
    assert download(tmp_path / "a.csv", by="eve", lake=lock.lake).startswith(b"band")
    (tmp_path / "a.csv").write_text("band,n\nMrs. Mary Johnson,120\n")
    with pytest.raises(AccessDenied): download(tmp_path / "a.csv", by="eve", lake=lock.lake)


@pytest.mark.parametrize("bad", [dict(reason=""), dict(reason="for Mrs. Mary Johnson"), dict(reason="x" * 600), dict(by="")])
def test_bad_requests(lock, table, bad):
    with pytest.raises((InputError, IllegalStep)): lock.submit(table, **{"by": "ada", "reason": "bands", **bad})
    assert lock.list() == []


def test_bad_paths_and_ids(lock, tmp_path):
    for paths in (tmp_path / "none", [], tmp_path):
        with pytest.raises(InputError): lock.submit(paths, by="ada", reason="bands")
    (tmp_path / "l").symlink_to("/etc/passwd")
    with pytest.raises(InputError): lock.submit(tmp_path / "l", by="ada", reason="bands")
    for i in ("", "../x", "20261121T013000Z-1f00ba"):
        with pytest.raises(InputError): lock.get(i)


# ---- disclosure control ----------------------------------------------------------------------------------------------

def test_small_counts_and_what_totals_give_away():
    assert scan(b"band,n\na,120\nb,9\n", name="t.csv").findings[0].code == "small"
    assert scan(b"band,n\na,120\nb,0\n", name="t.csv").decision == "pass"
    assert {f.code for f in scan(b"band,n\na,120\nb,<10\nTotal,125\n", name="t.csv").findings} == {"revealed"}
    assert scan(b"band,n\na,120\nb,<10\nc,<10\nTotal,133\n", name="t.csv").decision == "pass"
    assert scan(b"band,men,women,Total\na,,50,54\nb,30,41,71\nTotal,34,91,125\n", name="t.csv").decision == "hold"


def test_bounds_hold_every_table_that_fits():
    import itertools
    shown = [[None, None, 9], [None, None, 12], [8, 13, 21]]
    fits = [(a, b, c, d) for a, b, c, d in itertools.product(range(14), repeat=4) if a + b == 9 and c + d == 12 and a + c == 8 and b + d == 13]
    low, high = bounds(shown)[0, 0]
    assert (round(low), round(high)) == (min(f[0] for f in fits), max(f[0] for f in fits))
    with pytest.raises(InputError): bounds([[None, 5, 3], [1, 1, 2], [2, 6, 8]])


def test_differencing_between_releases(lock, tmp_path):
    f = tmp_path / "bands.csv"
    f.write_text("group,n\ndiabetes,120\nasthma,86\n")
    first = lock.submit(f, by="ada", reason="march")
    lock.approve(first.id, by="grace")
    f.write_text("group,n\ndiabetes,123\nasthma,140\n")
    second = lock.submit(f, by="ada", reason="april")
    assert {(x.kind, x.code) for x in second.findings} == {("COUNT", "differencing")}
    f.write_text("group,n\ndiabetes,190\nasthma,140\n")
    assert lock.submit(f, by="ada", reason="may").state == "waiting"


def test_dominance_and_freedom():
    import pandas as pd
    df = pd.DataFrame({"ward": ["a"] * 4 + ["b"] * 12, "hospital": list("wxyz") + list("abcdefghijkl"), "cost": [900, 60, 20, 20] + [10] * 12})
    assert dominated_cells(df, "ward", "cost", "hospital") == {("a",): "n-k"}
    assert dominated([]) == "" and dominated([0, 0]) == ""
    with pytest.raises(InputError): dominated([5, -1])
    assert not freedom(40, 35) and freedom(400, 12) and short_of_freedom("Df Residuals:                        4")
    assert scan(b"OLS Regression Results\nDf Residuals:     4\n", name="m.txt").findings[0].code == "freedom"
    assert small({"n": ["1,204", None, "x", 7.0]}) == [(3, "n")] and recoverable({"a": [], "n": []}) == []
