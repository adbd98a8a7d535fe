"""The transactional store: what is acknowledged is there, what is refused is not, and the file tells nothing without the key."""
import json
import threading
import time

import pytest

from healthlab.core.errors import KeyUnavailable
from healthlab.service import accesses, database
from healthlab.service.accesses import Access
from healthlab.service.store import Refused, Store, create, delete, draft, read, update


def patient(family="Example", **more):
    return json.dumps(dict(resourceType="Patient", name=[dict(family=family)], **more)).encode()


@pytest.fixture
def store(workbench):
    store = Store(workbench / "store.db")
    yield store
    store.close()


def put(store, data, id): return store.write(lambda con: update(con, draft(data), id))


def test_a_resource_keeps_the_numbers_as_they_were_sent(store):
    sent = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.50}}'
    kept = store.write(lambda con: create(con, draft(sent)))
    assert b'"value":1.50' in store.read("Observation", kept.id).body


def test_versions_follow_each_other_and_old_ones_stay(store):
    put(store, patient("One"), "p"), put(store, patient("Two"), "p")
    assert [json.loads(store.read("Patient", "p", v).body)["name"][0]["family"] for v in (1, 2)] == ["One", "Two"]
    assert json.loads(store.read("Patient", "p").body)["meta"]["versionId"] == "2"


def test_a_deleted_resource_is_gone_and_can_come_back(store):
    put(store, patient(), "p")
    store.write(lambda con: delete(con, "Patient", "p"))
    with pytest.raises(Refused) as e: store.read("Patient", "p")
    assert e.value.status == 410
    assert put(store, patient("Again"), "p").version == 3


def test_a_change_must_be_based_on_the_current_version(store):
    put(store, patient("One"), "p"), put(store, patient("Two"), "p")
    with pytest.raises(Refused) as e: store.write(lambda con: update(con, draft(patient("Three")), "p", 1))
    assert e.value.status == 412
    assert store.read("Patient", "p").version == 2


def test_a_unit_that_fails_leaves_nothing_and_its_neighbours_stay(store):
    def broken(con):
        create(con, draft(patient("Half")), "half")
        raise ValueError("late")
    results, start = [], threading.Barrier(9)
    def run(n):
        start.wait()
        try: results.append(store.write(broken if n == 4 else lambda con: create(con, draft(patient()), f"p{n}")))
        except ValueError as e: results.append(e)
    threads = [threading.Thread(target=run, args=(n,)) for n in range(9)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert sum(isinstance(r, ValueError) for r in results) == 1
    with pytest.raises(Refused): store.read("Patient", "half")
    assert store.types() == {"Patient": 8}


def test_the_index_follows_updates_and_deletions(store):
    def indexed(): return {t: store.db.reader().execute(f"select count(*) from {t}").get for t in ("string", "token")}
    put(store, patient("One", gender="female"), "p")
    first = indexed()
    put(store, patient("Two", gender="male"), "p")
    assert indexed() == first
    store.write(lambda con: delete(con, "Patient", "p"))
    assert indexed() == dict(string=0, token=0)


def test_the_state_at_a_point_of_the_history_stays_readable(store):
    put(store, patient("One"), "a"), put(store, patient("Two"), "b")
    at, _ = store.position()
    put(store, patient("Later"), "a"), store.write(lambda con: delete(con, "Patient", "b"))
    assert [json.loads(b)["name"][0]["family"] for _, _, b in store.resources("Patient", at=at)] == ["One", "Two"]
    assert [json.loads(b)["name"][0]["family"] for _, _, b in store.resources("Patient")] == ["Later"]
    assert [(t, i) for _, t, i in store.deleted()] == [("Patient", "b")]


def test_the_files_hold_nothing_readable(store, workbench):
    for n in range(50): put(store, patient("Zyxwvutsrq"), f"p{n}")
    for f in workbench.glob("store.db*"):
        raw = f.read_bytes()
        assert b"Zyxwvutsrq" not in raw and b"zyxwvutsrq" not in raw and b"SQLite format" not in raw
    assert (workbench / "store.db").stat().st_mode & 0o077 == 0


def test_another_key_opens_nothing(store, workbench, monkeypatch):
    from healthlab.core.keys import keys
    put(store, patient(), "p")
    store.close()
    monkeypatch.setenv("HEALTHLAB_KEYS_FILE", str(workbench / "other.key"))
    getattr(keys, "cache_clear", lambda: None)()
    with pytest.raises(KeyUnavailable) as e: Store(workbench / "store.db")
    assert e.value.code == "key-wrong"


def test_an_access_is_recorded_with_the_write_and_the_record_is_sealed(store):
    store.write(lambda con: update(con, draft(patient()), "p"), Access(action="U", interaction="update", type="Patient", id="p", patients={"p"}))
    for _ in range(5): store.recorded(Access(type="Patient", id="p"))
    assert store.verify() == []
    store.db.write(lambda con: con.execute("update access set client = 'nobody' where n = 3").fetchall())
    assert any("access 3" in w for w in store.verify())


def test_a_missing_row_of_the_record_is_noticed(store):
    for _ in range(5): store.recorded(Access(type="Patient", id="p"))
    store.anchor()
    store.db.write(lambda con: con.execute("delete from access where n = 5").fetchall())
    assert store.verify() == ["access 5: noted in the audit trail and gone"]


def test_a_snapshot_does_not_see_later_writes(store):
    put(store, patient("One"), "p")
    with store.db.snapshot() as con:
        assert read(con, "Patient", "p").version == 1
        t = threading.Thread(target=lambda: put(store, patient("Two"), "p"))
        t.start(), t.join()
        assert read(con, "Patient", "p").version == 1
    assert store.read("Patient", "p").version == 2


def test_the_log_is_copied_into_the_file_while_others_write_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "FRAMES", 64)
    db = database.Database(tmp_path / "log.db", b"k" * 32, "create table if not exists t (n integer primary key, text text)")
    copied, run = [], database.Copier._run
    monkeypatch.setattr(database.Copier, "_run", lambda self: (run(self), copied.append(1)))
    def write(k):
        for i in range(60): db.write(lambda con: con.execute("insert into t(text) values (?)", (f"{k}.{i}" * 300,)))
    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    until = time.monotonic() + 10
    while db._copier._thread and time.monotonic() < until: time.sleep(0.01)
    assert copied and db.reader().execute("select count(*) from t").get == 240
    length = (tmp_path / "log.db-wal").stat().st_size
    assert length < 240 * 4096 # it began anew, time and again
    db.close()
    again = database.Database(tmp_path / "log.db", b"k" * 32)
    assert again.reader().execute("select count(*) from t").get == 240
    again.close()


def test_who_saw_a_patient_is_found_before_and_after_the_lists_are_brought_up_to_date(store, monkeypatch):
    monkeypatch.setattr("healthlab.service.store.ANCHOR", 5)
    def seen(name, value): return [e["id"] for e in accesses.search(store.db.reader(), [(name, value)])[0]]
    def listed(): return store.db.reader().execute("select count(*) from access_target").get
    for n in range(1, 8):
        store.recorded(Access(client="ehr", type="Patient", id=f"p{n % 2}", found=2, patients={f"p{n % 2}"}, targets=[f"Patient/p{n % 2}", f"Observation/o{n}"]))
        assert seen("patient", "Patient/p1") == [str(k) for k in range(n, 0, -1) if k % 2] and seen("entity", f"Observation/o{n}") == [str(n)]
        assert listed() == (0 if n < 5 else 10)
    assert seen("entity", "Observation/o1,Observation/o7") == ["7", "1"] and seen("entity", "Observation/o") == [] and store.verify() == []
    store.db.write(lambda con: con.execute("update access set targets = 'Patient/p0' where n = 3"))
    assert store.verify() == ["access 3: its seal does not fit"]
