"""The lake: what is written is what is read, exactly once, by whom may, and unreadable on the disk."""
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from healthlab.core.access import ZONES
from healthlab.core.audit import entries, verify
from healthlab.core.errors import AccessDenied, Busy, InputError, KeyUnavailable, StorageError
from healthlab.lake import Lake

SECRETS = ("Zzyzxwyth", "Quetzalcoatlson", "1931-02-29T", "MRN-90210-777")


@pytest.fixture
def lake(): return Lake()


def patients(ids, **more):
    n = len(ids)
    columns = dict(id=ids, patient=ids, last_updated=pa.array([None] * n, pa.timestamp("us", "UTC")), hash=[f"h{i}" for i in ids], run_id=["r"] * n,
                   source=[f"{SECRETS[0]}.json#{i}" for i in ids], resource=[json.dumps(dict(id=i, name=SECRETS[1], birth=SECRETS[2], mrn=SECRETS[3] * 50)) for i in ids])
    return pa.table({**columns, **more})


def folder(lake, zone="identified", table="Patient"): return Path(lake.url) / zone / table
def ids(lake, zone="identified", table="Patient", **k): return sorted(lake.read(zone, table, ["id"], **k)["id"].to_pylist())


# ---- round trips -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("zone", [z for z in ZONES if z != "released"])
def test_what_is_written_is_read(lake, zone):
    t = patients(["a", "b"])
    w = lake.write(zone, "Patient", t, run_id="r1")
    assert (w.version, w.rows, w.skipped) == (0, 2, False)
    assert lake.read(zone, "Patient").equals(t) and lake.tables(zone) == ["Patient"] and lake.rows(zone, "Patient") == 2
    assert lake.batches(zone, "Patient").schema == t.schema == lake.schema(zone, "Patient")


@pytest.mark.parametrize("role", ["steward", "researcher", "service"])
def test_nobody_writes_the_released_zone(lake, role, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", role)
    with pytest.raises(AccessDenied): lake.write("released", "Patient", patients(["a"]), run_id="r1")


@pytest.mark.parametrize("form", ["table", "reader", "batch", "batches", "generator", "pandas"])
def test_tables_come_in_every_form(lake, form):
    t = pa.table(dict(id=["a", "b", "c"], n=[1, 2, 3]))
    data = dict(table=t, reader=t.to_reader(), batch=t.to_batches()[0], batches=t.to_batches(), generator=(b for b in t.to_batches(2)), pandas=t.to_pandas())[form]
    lake.write("research", "x", data, run_id="r")
    assert lake.read("research", "x").equals(t)


def test_types_delta_lacks_become_their_equals(lake):
    t = pa.table(dict(d=pa.array(["x", "y"]).dictionary_encode(), u=pa.array([1, 2], pa.uint32()), t=pa.array([1, None], pa.timestamp("ns")), l=pa.array(["p", "q"], pa.large_string()),
                      n=pa.nulls(2), s=pa.array([{"a": 1.5}, None]), i=pa.array([[1], []], pa.large_list(pa.int8())), z=pa.array([0, 1], pa.timestamp("ms", "Europe/Berlin"))))
    lake.write("research", "x", t, run_id="r")
    r = lake.read("research", "x")
    assert r["d"].to_pylist() == ["x", "y"] and r["u"].to_pylist() == [1, 2] and r["n"].to_pylist() == [None, None] and r["s"].to_pylist() == t["s"].to_pylist() and r["i"].to_pylist() == [[1], []]
    with pytest.raises(InputError) as e: lake.write("research", "y", pa.table(dict(t=pa.array([1], pa.time32("s")))), run_id="r")
    assert e.value.code == "bad-type"


def test_columns_fit_by_name_or_are_refused_without_values(lake):
    lake.write("identified", "Patient", patients(["a"]), run_id="r")
    lake.write("identified", "Patient", pa.table(dict(resource=["{}"], id=["b"])), run_id="r")
    assert lake.read("identified", "Patient", where=pc.field("id") == "b").to_pylist()[0]["hash"] is None
    with pytest.raises(InputError, match="columns the table does not have: more"): lake.write("identified", "Patient", pa.table(dict(id=["c"], more=[1])), run_id="r")
    with pytest.raises(InputError) as e: lake.write("identified", "Patient", pa.table(dict(id=["c"], last_updated=[SECRETS[1]])), run_id="r")
    assert SECRETS[1] not in str(e.value) and "last_updated" in str(e.value)
    assert ids(lake) == ["a", "b"] and len(list(folder(lake).glob("*.parquet"))) == 2, "nothing of a refused write stays"


def test_columns_filters_and_versions(lake):
    for i in range(3): lake.write("identified", "Patient", patients([f"p{i}", f"q{i}"]), run_id=f"r{i}")
    assert lake.read("identified", "Patient", columns=["hash", "id"]).column_names == ["hash", "id"]
    for where in (pc.field("id") == "q1", "id = 'q1'", "ID like 'q1%'", [("id", "==", "q1")]):
        assert lake.read("identified", "Patient", ["hash"], where=where).to_pylist() == [dict(hash="hq1")], where
    assert ids(lake, version=0) == ["p0", "q0"] and ids(lake, version=1) == ["p0", "p1", "q0", "q1"] and lake.version("identified", "Patient") == 2
    assert [(h["version"], h["run_id"], h["rows"]) for h in lake.history("identified", "Patient")] == [(2, "r2", 2), (1, "r1", 2), (0, "r0", 2)]
    with pytest.raises(StorageError) as e: lake.read("identified", "Patient", version=9)
    assert e.value.code == "version-missing"
    with pytest.raises(InputError, match="no column nope"): lake.read("identified", "Patient", ["nope"])


def test_overwrite_replaces_rows_and_schema_and_keeps_the_old_version(lake):
    lake.write("research", "x", pa.table(dict(id=["a"], n=[1])), run_id="r")
    lake.write("research", "x", pa.table(dict(id=["b"], m=["new"])), run_id="r", mode="overwrite")
    assert lake.read("research", "x").to_pylist() == [dict(id="b", m="new")] and lake.read("research", "x", version=0).to_pylist() == [dict(id="a", n=1)]
    lake.write("research", "x", pa.table(dict(id=pa.array([], pa.string()))), run_id="r", mode="overwrite")
    assert lake.read("research", "x").num_rows == 0 and lake.rows("research", "x") == 0


@pytest.mark.parametrize("use", [lambda l: l.read("identified", "Nope"), lambda l: l.history("identified", "Nope"), lambda l: l.rows("identified", "Nope"), lambda l: l.compact("identified", "Nope")])
def test_absent_tables_are_named(lake, use):
    with pytest.raises(StorageError) as e: use(lake)
    assert e.value.code == "table-missing" and lake.version("identified", "Nope") == -1


@pytest.mark.parametrize("zone, name", [("backstage", "x"), ("identified", "../research/x"), ("identified", "a/b"), ("identified", ""), ("identified", "_delta_log")])
def test_names_stay_in_their_zone(lake, zone, name):
    for use in (lambda: lake.read(zone, name), lambda: lake.write(zone, name, patients(["a"]), run_id="r")):
        with pytest.raises(Exception) as e: use()
        assert type(e.value).__name__ in ("InputError", "SettingsError")


# ---- merge -----------------------------------------------------------------------------------------------------------

def rows(lake): return {r["id"]: r["v"] for r in lake.read("identified", "X").to_pylist()}
def xs(v, order=None, hash=None): return pa.table({"id": list(v), "v": list(v.values()), **({"at": order} if order else {}), **({"hash": hash} if hash else {})})


def test_merge_keeps_one_row_per_id_the_newest(lake):
    lake.write("identified", "X", xs(dict(a=1, b=1)), run_id="r", mode="merge")
    lake.write("identified", "X", xs(dict(c=1)), run_id="r")
    w = lake.write("identified", "X", xs(dict(b=2, d=2)), run_id="r", mode="merge")
    assert rows(lake) == dict(a=1, b=2, c=1, d=2) and w.superseded == 1 and lake.rows("identified", "X") == 4
    assert {r["id"]: r["v"] for r in lake.read("identified", "X", version=1).to_pylist()} == dict(a=1, b=1, c=1)


def test_merge_within_one_write_the_later_wins(lake):
    lake.write("identified", "X", pa.table(dict(id=["a", "a", "b"], v=[1, 2, 3])), run_id="r", mode="merge")
    assert lake.rows("identified", "X") == 2 and rows(lake) == dict(a=2, b=3)


def test_merge_by_order_an_older_version_does_not_supersede(lake):
    lake.write("identified", "X", xs(dict(a=1, b=1), [5, 5]), run_id="r", mode="merge", order="at")
    lake.write("identified", "X", xs(dict(a=2, b=2), [4, 6]), run_id="r", mode="merge", order="at")
    assert rows(lake) == dict(a=1, b=2)


def test_merge_of_the_same_content_rewrites_nothing(lake):
    lake.write("identified", "X", xs(dict(a=1, b=1), hash=["x", "y"]), run_id="r", mode="merge")
    before = sorted(p.name for p in folder(lake, table="X").glob("*.parquet"))
    lake.write("identified", "X", xs(dict(a=1, b=1), hash=["x", "y"]), run_id="r", mode="merge")
    assert sorted(p.name for p in folder(lake, table="X").glob("*.parquet")) == before and lake.rows("identified", "X") == 2


def test_merge_by_several_columns(lake):
    t = lambda v: pa.table(dict(file=["f", "f", None], position=[1, 2, 2], v=v))
    lake.write("identified", "X", t([1, 1, 1]), run_id="r", mode="merge", key=("file", "position"))
    lake.write("identified", "X", t([2, 2, 2]).slice(1), run_id="r", mode="merge", key=("file", "position"))
    assert sorted((r["file"] or "", r["position"], r["v"]) for r in lake.read("identified", "X").to_pylist()) == [("", 2, 2), ("f", 1, 1), ("f", 2, 2)]
    with pytest.raises(InputError, match="no column nope"): lake.write("identified", "X", t([1, 1, 1]), run_id="r", mode="merge", key=("nope",))


def test_merge_agrees_with_a_dictionary_over_random_writes(lake):
    rng, held = random.Random(7), {}
    for n in range(12):
        v = {str(rng.randrange(40)): (n, i) for i in range(rng.randrange(1, 25))}
        w = {k: a * 1000 + b for k, (a, b) in v.items()}
        held |= w
        lake.write("deidentified", "X", xs(w), run_id="r", mode="merge")
        if n == 6: lake.compact("deidentified", "X")
    assert {r["id"]: r["v"] for r in lake.read("deidentified", "X").to_pylist()} == held and lake.rows("deidentified", "X") == len(held)


# ---- exactly once ----------------------------------------------------------------------------------------------------

def test_a_transaction_is_written_once(lake):
    never = (x for x in [pytest.fail] if x())
    assert not lake.write("identified", "Patient", patients(["a"]), run_id="r", txn=("in", 1)).skipped
    assert lake.write("identified", "Patient", never, run_id="r", txn=("in", 1)).skipped and lake.write("identified", "Patient", never, run_id="r", txn=("in", 0)).skipped
    lake.write("identified", "Patient", patients(["b"]), run_id="r", txn=("in", 2))
    lake.write("identified", "Patient", patients(["c"]), run_id="r", txn=("other", 7))
    assert ids(lake) == ["a", "b", "c"] and lake.committed("identified", "Patient") == {"in": 2, "other": 7}
    assert lake.committed("identified", "Patient", "in") == 2 and lake.committed("identified", "Patient", "no") == -1 and lake.committed("identified", "Nope") == {}


def test_transactions_are_known_after_a_checkpoint(lake):
    for i in range(13): lake.write("research", "x", pa.table(dict(id=[str(i)])), run_id="r", txn=(f"app{i % 2}", i))
    lake._table("research", "x").log().create_checkpoint()
    lake.write("research", "x", pa.table(dict(id=["z"])), run_id="r", txn=("app0", 20))
    assert lake.committed("research", "x") == dict(app0=20, app1=11)


def test_an_empty_transaction_still_counts(lake):
    lake.write("research", "x", pa.table(dict(id=["a"])), run_id="r")
    lake.write("research", "x", pa.table(dict(id=pa.array([], pa.string()))), run_id="r", txn=("in", 1))
    assert lake.committed("research", "x", "in") == 1 and lake.rows("research", "x") == 1


WRITER = """
import sys, pyarrow as pa
from healthlab.lake import Lake
lake, n = Lake(), int(sys.argv[1])
for i in range(n):
    t = pa.table(dict(id=[f"{i}-{j}" for j in range(400)], resource=["Zzyzxwyth" * 20] * 400))
    lake.write("identified", "Patient", t, run_id="r", txn=("import", i), mode=sys.argv[2])
print("done")
"""


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_killed_writers_lose_nothing_and_write_nothing_twice(lake, mode):
    rng, n = random.Random(3), 5
    for attempt in range(5):
        p = subprocess.Popen([sys.executable, "-c", WRITER, str(n), mode], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if attempt < 4:
            start, have = time.monotonic(), lake.committed("identified", "Patient", "import")
            while lake.committed("identified", "Patient", "import") <= have and p.poll() is None and time.monotonic() - start < 30: time.sleep(.01)
            time.sleep(rng.uniform(0, .03))
            p.send_signal(signal.SIGKILL)
        p.wait(60)
        assert verify().ok
        got = ids(lake)
        assert len(got) == len(set(got)) == 400 * (lake.committed("identified", "Patient", "import") + 1)
    assert p.stdout.read() == b"done\n" and len(ids(lake)) == 400 * n
    assert lake.vacuum("identified", "Patient", 0) >= 0 and len(ids(lake)) == 400 * n


def test_orphans_are_harmless_and_vacuumed(lake):
    lake.write("identified", "Patient", patients(["a"]), run_id="r")
    t = lake._table("identified", "Patient")
    t.write_files(lake.schema("identified", "Patient"), patients(["ghost"]).to_batches())
    (folder(lake) / ".dead.tmp").write_bytes(b"half")
    os.utime(folder(lake) / ".dead.tmp", (1, 1))
    assert ids(lake) == ["a"] and lake.vacuum("identified", "Patient") == 1, "files that may still be committed stay"
    time.sleep(.05)
    assert lake.vacuum("identified", "Patient", 0) == 1 and len(list(folder(lake).glob("*.parquet"))) == 1 and ids(lake) == ["a"]


def test_writers_at_once_all_arrive(lake):
    code = """
import sys, pyarrow as pa
from healthlab.lake import Lake
lake = Lake()
for i in range(4): lake.write("identified", "Patient", pa.table(dict(id=[f"{sys.argv[1]}-{i}", "shared"], v=[i, i])), run_id="r", mode="merge")
for i in range(6): lake.write("identified", "Note", pa.table(dict(id=[f"{sys.argv[1]}-{i}"])), run_id="r")
"""
    ps = [subprocess.Popen([sys.executable, "-c", code, w]) for w in "abc"]
    assert [p.wait(120) for p in ps] == [0, 0, 0]
    assert ids(lake) == sorted(["shared", *(f"{w}-{i}" for w in "abc" for i in range(4))]) and len(ids(lake, table="Note")) == 18
    assert verify().ok


def test_same_transaction_from_two_processes_lands_once(lake):
    ps = [subprocess.Popen([sys.executable, "-c", WRITER, "6", "append"]) for _ in range(2)]
    assert [p.wait(120) for p in ps] == [0, 0] and len(ids(lake)) == len(set(ids(lake))) == 2400
    t = lake._table("identified", "Patient")
    files = {f.path for f in t.files(t.log())}
    assert {p.name for p in folder(lake).glob("*.parquet")} == files, "the loser's files are gone"


def test_two_runs_at_once_second_is_told(lake):
    with lake.lock("ingest"):
        with pytest.raises(Busy, match="ingest is held by .* since"):
            with Lake().lock("ingest"): pass
    with lake.lock("ingest"): pass


def test_compact_joins_small_files_and_keeps_versions(lake):
    for i in range(5): lake.write("identified", "Patient", patients([str(i)]), run_id="r")
    assert lake.compact("identified", "Patient") == 4 and ids(lake) == list("01234") and ids(lake, version=2) == list("012")
    assert lake.compact("identified", "Patient") == 0


# ---- secrecy ---------------------------------------------------------------------------------------------------------

def test_nothing_readable_lies_on_any_disk(lake, workbench, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path)); monkeypatch.chdir(tmp_path)
    import tempfile
    monkeypatch.setattr(tempfile, "tempdir", None)
    for i in range(12): lake.write("identified", "Patient", patients([f"{SECRETS[3]}-{i}"]), run_id="r")
    lake.write("identified", "Patient", patients([f"{SECRETS[3]}-{i}" for i in range(3)], hash=["n"] * 3), run_id="r", mode="merge")
    lake.compact("identified", "Patient"); lake._table("identified", "Patient").log().create_checkpoint()
    lake.read("identified", "Patient", where=f"id = '{SECRETS[3]}-1'")
    lake.sql(f"select * from Patient a join Patient b using (id) where a.resource like '%{SECRETS[1]}%' order by a.resource", "identified")
    lake.rotate_keys()
    seen = [p for top in (workbench, tmp_path) for p in top.rglob("*") if p.is_file()]
    assert len(seen) > 20
    secret = open(os.environ["HEALTHLAB_KEYS_FILE"]).read()
    for p in seen:
        raw = p.read_bytes()
        for s in SECRETS: assert s.encode() not in raw and s not in str(p), f"{s} in {p}"
        if p.suffix == ".parquet" and "_delta_log" not in str(p): assert raw[:4] == raw[-4:] == b"PARE"
        if p.name != "healthlab.key":
            for k in json.loads(secret)["kek"].values(): assert k.encode() not in raw
    logs = b"".join(p.read_bytes() for p in folder(lake).glob("_delta_log/*.json"))
    assert b"minValues" not in logs and b"nullCount" not in logs and b"numRecords" in logs


def test_files_do_not_open_without_the_key_and_not_with_a_changed_byte(lake):
    lake.write("identified", "Patient", patients(["a", "b"] * 500), run_id="r")
    f = next(folder(lake).glob("*.parquet"))
    with pytest.raises(OSError): pq.read_table(f)
    raw = f.read_bytes()
    rng = random.Random(1)
    for at in [rng.randrange(4, len(raw)) for _ in range(60)]:
        f.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:])
        with pytest.raises((StorageError, KeyUnavailable)) as e: lake.read("identified", "Patient")
        assert SECRETS[1] not in str(e.value)
    f.write_bytes(raw)
    assert lake.read("identified", "Patient").num_rows == 1000


def test_each_file_has_its_own_key(lake):
    for _ in range(2): lake.write("identified", "Patient", patients([os.urandom(20).hex() for _ in range(200)]), run_id="r")
    one, two = (p.read_bytes() for p in folder(lake).glob("*.parquet"))
    pages = lambda raw: {raw[i:i + 16] for i in range(4, len(raw) - 4000)} # the rest holds the wrapped key's description, which is alike
    assert len(pages(one)) > 100 and not pages(one) & pages(two)


def test_rotation_rewraps_and_everything_still_opens(lake):
    lake.write("identified", "Patient", patients(["a"]), run_id="r")
    before = (Path(lake.url) / "_lake/keyring.json").read_bytes()
    lake.rotate_keys()
    assert (Path(lake.url) / "_lake/keyring.json").read_bytes() != before and ids(Lake()) == ["a"]
    lake.ring.renew("identified")
    lake.write("identified", "Patient", patients(["b"]), run_id="r")
    assert ids(Lake()) == ["a", "b"] and entries(event="keys.rotate").num_rows == 1
    (Path(lake.url) / "_lake/keyring.json").write_bytes(before)
    with pytest.raises(KeyUnavailable): ids(Lake())


@pytest.mark.parametrize("content, code", [(None, "keyring-missing"), (b"", "keyring-damaged"), (b"{}", "keyring-damaged"), (b"[1]", "keyring-damaged")])
def test_a_lost_or_damaged_key_ring_is_told_and_never_replaced(lake, content, code):
    lake.write("identified", "Patient", patients(["a"]), run_id="r")
    ring = Path(lake.url) / "_lake/keyring.json"
    ring.unlink() if content is None else ring.write_bytes(content)
    for use in (lambda: Lake().read("identified", "Patient"), lambda: Lake().write("identified", "Patient", patients(["b"]), run_id="r")):
        with pytest.raises(KeyUnavailable) as e: use()
        assert e.value.code == code and "backup" in e.value.remedy
    assert not ring.exists() if content is None else ring.read_bytes() == content


# ---- access and audit ------------------------------------------------------------------------------------------------

def test_every_read_of_identified_data_is_audited(lake):
    lake.write("identified", "Patient", patients(["a"]), run_id="r1")
    lake.write("research", "patient", pa.table(dict(id=["a"])), run_id="r1")
    lake.read("identified", "Patient", ["id"]); lake.batches("identified", "Patient").read_all(); lake.sql("select 1 from patient", "identified"); lake.read("research", "patient")
    lake.read("identified", "Patient", where=f"id = '{SECRETS[3]}'")
    got = [(e["event"], e["zone"], e["table"]) for e in entries().to_pylist()]
    assert got == [("write", "identified", "Patient"), ("write", "research", "patient"), *[("read", "identified", "Patient")] * 4]
    assert SECRETS[3] not in str(entries().to_pylist()) and verify().ok


def test_roles_without_the_right_are_refused_and_recorded(lake, monkeypatch):
    lake.write("identified", "Patient", patients(["a"]), run_id="r")
    monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", "researcher")
    uses = [lambda: lake.read("identified", "Patient"), lambda: lake.batches("identified", "Patient"), lambda: lake.sql("select 1", "identified"), lambda: lake.tables("identified"), lambda: lake.history("identified", "Patient"),
            lambda: lake.schema("identified", "Patient"), lambda: lake.write("identified", "Patient", patients(["b"]), run_id="r"), lambda: lake.compact("identified", "Patient"), lambda: lake.vacuum("identified", "Patient"), lambda: lake.rotate_keys()]
    for use in uses:
        with pytest.raises(AccessDenied): use()
    assert entries(event="deny").num_rows == len(uses)
    lake.write("research", "x", pa.table(dict(id=["1"])), run_id="r")
    assert lake.sql("select count(*) n from x", "research").to_pylist() == [dict(n=1)] and "not for role" in lake._repr_html_()


# ---- SQL -------------------------------------------------------------------------------------------------------------

def test_sql_over_fhir_names(lake):
    lake.write("identified", "Patient", pa.table(dict(id=["a", "b"], gender=["female", "male"])), run_id="r")
    lake.write("identified", "Encounter", pa.table(dict(id=["1", "2", "3"], patient=["a", "a", "b"])), run_id="r")
    q = 'with n as (select patient, count(*) n from Encounter group by patient) select p.id, n.n from "Patient" p join n on n.patient = p.id join Patient again on again.id = p.id order by 1'
    assert lake.sql(q, "identified").to_pylist() == [dict(id="a", n=2), dict(id="b", n=1)]
    assert lake.sql("select count(*) n from patient where gender = 'male'", "identified").to_pylist() == [dict(n=1)]
    assert {e["table"] for e in entries(event="read").to_pylist()} == {"Patient", "Encounter"}


@pytest.mark.parametrize("query", [
    "select * from '/etc/passwd'", "select * from read_text('/etc/passwd')", "select * from read_csv('/etc/passwd')", "select * from parquet_scan('x')", "copy (select 1) to '/tmp/x.csv'",
    "attach '/tmp/x.db'", "install httpfs", "load httpfs", "set temp_directory = '/tmp'", "set enable_external_access = true", "reset lock_configuration", "create table x as select 1",
    "select 1; select 2", "", "not sql", "select * from lake", "select nope from x", "export database '/tmp/x'", "pragma database_list; select 1", "select getenv('HOME')"])
def test_sql_reaches_tables_only(lake, query, monkeypatch):
    lake.write("research", "x", pa.table(dict(id=["1"])), run_id="r")
    with pytest.raises(InputError): lake.sql(query, "research")


def test_sql_errors_hold_no_values(lake):
    lake.write("research", "x", pa.table(dict(id=[SECRETS[1]])), run_id="r")
    for use in (lambda: lake.sql("select cast(id as integer) from x", "research"), lambda: lake.read("research", "x", where="cast(id as integer) = 1")):
        with pytest.raises(InputError) as e: use()
        assert SECRETS[1] not in str(e.value)


def test_many_queries_do_not_stand_still(lake):
    for i in range(6): lake.write("identified", "Patient", patients([f"{i}-{j}" for j in range(300)]), run_id="r")
    for _ in range(10): assert lake.sql("select count(*) n from Patient a join Patient b using (id)", "identified").to_pylist() == [dict(n=1800)]


# ---- damage ----------------------------------------------------------------------------------------------------------

def test_missing_and_damaged_files_name_the_table(lake):
    for zone in ("identified", "research"):
        lake.write(zone, "Patient", patients(["a"]), run_id="r")
        f = next(folder(lake, zone).glob("*.parquet"))
        raw = f.read_bytes()
        for harm in (lambda: f.unlink(), lambda: f.write_bytes(b""), lambda: f.write_bytes(raw[:len(raw) // 2]), lambda: f.write_bytes(b"x" * len(raw))):
            harm()
            for use in (lambda: lake.read(zone, "Patient"), lambda: list(lake.batches(zone, "Patient")), lambda: lake.sql("select * from Patient", zone), lambda: lake.read(zone, "Patient", where="id = 'a'")):
                with pytest.raises(StorageError) as e: use()
                assert SECRETS[1] not in str(e.value) and zone in str(e.value) and "Patient" in str(e.value)


def test_damaged_log_is_told(lake):
    lake.write("identified", "Patient", patients(["a"]), run_id="r")
    next(folder(lake).glob("_delta_log/*.json")).write_bytes(b"{broken")
    with pytest.raises(StorageError) as e: lake.read("identified", "Patient")
    assert "Patient" in str(e.value)


def test_full_disk_leaves_the_table_at_its_old_version(lake):
    lake.write("identified", "Patient", pa.table(dict(id=["a"], resource=["x"])), run_id="r")
    code = """
import os, resource, signal, pyarrow as pa
from healthlab.lake import Lake
from healthlab.core.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
lake = Lake()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
t = pa.table(dict(id=[str(i) for i in range(2000)], resource=[os.urandom(500).hex() for _ in range(2000)]))
try: lake.write("identified", "Patient", t, run_id="r")
except StorageError as e: assert e.code == "disk-full", (e.code, str(e))
else: raise SystemExit("not told")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert lake.version("identified", "Patient") == 0 and ids(lake) == ["a"] and len([p for p in folder(lake).iterdir() if p.is_file()]) == 1 and verify().ok
    lake.write("identified", "Patient", pa.table(dict(id=["b"], resource=["x"])), run_id="r")
    assert ids(lake) == ["a", "b"]


def test_memory_stays_bounded_while_streaming():
    code = """
import resource, pyarrow as pa, os
from healthlab.lake import Lake
lake = Lake()
def batches():
    for k in range(60): yield pa.record_batch(dict(id=[f"{k}-{i}" for i in range(2000)], resource=[os.urandom(1500).hex() for _ in range(2000)]))
first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
lake.write("identified", "Big", batches(), run_id="r")
n = sum(b.num_rows for b in lake.batches("identified", "Big"))
assert n == 120_000
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) // 1024)
"""
    grown = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert grown < 400, f"{grown} MB more for 360 MB of rows"


def test_a_lake_travels_to_other_processes(lake):
    import pickle
    lake.write("identified", "Patient", patients(["a"]), run_id="r")
    assert ids(pickle.loads(pickle.dumps(lake))) == ["a"]


# ---- ADLS Gen2 -------------------------------------------------------------------------------------------------------

def test_the_same_lake_on_adls(tmp_path, monkeypatch):
    from dfs_server import Account
    from test_lake_storage import Credential
    account = Account(tmp_path)
    try:
        url = "abfss://lake@hospital.dfs.core.windows.net/prod"
        monkeypatch.setenv("HEALTHLAB_LAKE_URL", url)
        lake = Lake(credential=Credential(), endpoint=account.https, connection_verify=account.ca, retry_total=0,
                    delta_options=dict(azure_storage_endpoint=account.http, allow_http="true"))
        lake.write("identified", "Patient", patients(["a", "b"]), run_id="r", txn=("in", 1))
        assert lake.write("identified", "Patient", patients(["a"]), run_id="r", txn=("in", 1)).skipped
        lake.write("identified", "Patient", patients(["b", "c"], hash=["n", "n"]), run_id="r", mode="merge")
        assert ids(lake) == ["a", "b", "c"] and ids(lake, version=0) == ["a", "b"] and lake.tables("identified") == ["Patient"]
        assert lake.sql("select count(*) n from Patient where hash = 'n'", "identified").to_pylist() == [dict(n=2)]
        assert lake.committed("identified", "Patient") == {"in": 1}
        lake.compact("identified", "Patient"); lake.rotate_keys()
        assert ids(lake) == ["a", "b", "c"]
        assert not any(s.encode() in f.data for f in account.files.values() for s in SECRETS)
        with lake.lock("ingest"):
            with pytest.raises(Busy):
                with lake.lock("ingest"): pass
        kinds = {(kind, verb) for kind, verb, _, _ in account.calls}
        assert ("dfs", "PATCH") in kinds and ("blob", "PUT") in kinds
    finally: account.close()
