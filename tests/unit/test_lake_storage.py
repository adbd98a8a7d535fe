"""The storage interface: the same behaviour from a local folder and from ADLS Gen2, the second through the real SDK."""
import os
import subprocess
import sys
import time

import pytest

from healthlab.core.errors import Busy, InputError, StorageError
from healthlab.lake import open_storage
from healthlab.lake.adls import AdlsStorage
from healthlab.lake.storage import LocalStorage

from dfs_server import Account


class Credential:
    def get_token(self, *scopes, **kw):
        from azure.core.credentials import AccessToken
        return AccessToken("token-for-tests", int(time.time()) + 3600)


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    a = Account(tmp_path_factory.mktemp("account"))
    yield a
    a.close()


@pytest.fixture(params=["local", "adls"])
def store(request, tmp_path, account):
    if request.param == "local": return LocalStorage(tmp_path / "store")
    account.files.clear(); account.full = False
    return AdlsStorage("abfss://lake@hospital.dfs.core.windows.net/prod", Credential(), account.https, connection_verify=account.ca, retry_total=0)


def names(store, *a, **k): return [(e.path, e.size, e.is_folder) for e in store.list(*a, **k)]


def test_write_read_list_stat(store):
    store.write("a/b/one.txt", b"1")
    store.write("a/two.txt", (b"x" * 10 for _ in range(3)))
    assert store.read("a/two.txt") == b"x" * 30 and store.exists("a/b") and not store.exists("a/c")
    assert names(store, "a") == [("a/b", 0, True), ("a/b/one.txt", 1, False), ("a/two.txt", 30, False)]
    assert names(store, "a", recursive=False) == [("a/b", 0, True), ("a/two.txt", 30, False)]
    assert list(store.list("nowhere")) == []
    s = store.stat("a/two.txt")
    assert (s.path, s.size, s.is_folder) == ("a/two.txt", 30, False) and abs(s.modified.timestamp() - time.time()) < 60


def test_listing_goes_over_pages(store):
    for i in range(8): store.write(f"p/{i}", b"")
    assert [n for n, _, _ in names(store, "p")] == [f"p/{i}" for i in range(8)]


def test_large_files_stream_both_ways(store, monkeypatch):
    monkeypatch.setattr("healthlab.lake.adls.BLOCK", 1000)
    data = os.urandom(10_500)
    with store.create("big") as f:
        for i in range(0, len(data), 700): f.write(data[i:i + 700])
    with store.open("big") as f:
        assert f.seek(9_990) == 9_990 and f.read(20) == data[9_990:10_010]
        assert f.seek(-5, 2) == len(data) - 5 and f.read() == data[-5:] and f.read() == b""
        f.seek(0)
        assert f.read() == data


def test_a_write_is_whole_or_not_at_all(store):
    store.write("r", b"old")
    with pytest.raises(RuntimeError):
        with store.create("r") as f: f.write(b"new"); raise RuntimeError
    assert store.read("r") == b"old" and names(store) == [("r", 3, False)]
    f = store.create("r"); f.write(b"half"); del f
    assert store.read("r") == b"old"


def test_overwrite_only_when_asked(store):
    store.write("k", b"1", overwrite=False)
    with pytest.raises(StorageError) as e: store.write("k", b"2", overwrite=False)
    assert e.value.code == "file-exists" and store.read("k") == b"1"


def test_two_creators_one_wins(store):
    first, second = store.create("k", overwrite=False), store.create("k", overwrite=False)
    first.write(b"1"); second.write(b"2")
    first.close()
    with pytest.raises((StorageError, FileExistsError)): second.close()
    assert store.read("k") == b"1"


def test_rename_and_delete(store):
    store.write("a/x", b"1"); store.write("b/y", b"2")
    store.rename("a/x", "b/y")
    assert store.read("b/y") == b"1" and not store.exists("a/x")
    with pytest.raises(StorageError): store.delete("b")
    store.delete("b/y")
    store.write("b/c/z", b""); store.delete("b", recursive=True)
    assert not store.exists("b")


@pytest.mark.parametrize("use", [lambda s: s.read("no"), lambda s: s.stat("no"), lambda s: s.delete("no"), lambda s: s.rename("no", "x")])
def test_missing_files_are_named(store, use):
    with pytest.raises(StorageError) as e: use(store)
    assert e.value.code == "file-missing" and "no" in e.value.where


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "a/..", "x\0y"])
def test_paths_stay_inside(store, path):
    for use in (store.read, store.stat, store.delete, lambda p: store.write(p, b""), lambda p: list(store.list(p))):
        with pytest.raises(InputError): use(path)


def test_odd_names_travel(store):
    for name in ("Ümlaut & blank.txt", "a+b%20c#d?e=f.txt", "日本"):
        store.write(f"n/{name}", name.encode())
        assert store.read(f"n/{name}").decode() == name
    assert len(names(store, "n")) == 3


def test_a_lock_is_held_once_and_says_by_whom(store):
    with store.lock("locks/ingest.lock"):
        with pytest.raises(Busy) as e:
            with store.lock("locks/ingest.lock"): pass
        assert "ingest is held by" in e.value.what and f"process {os.getpid()}" in e.value.what and "since 20" in e.value.what
        with store.lock("locks/other.lock"): pass
    with store.lock("locks/ingest.lock"): pass


def test_a_waiting_lock_waits(store):
    import threading
    got = []
    def second():
        with store.lock("l", wait=True): got.append(time.monotonic())
    with store.lock("l"):
        t = threading.Thread(target=second); t.start()
        time.sleep(.4)
        released = time.monotonic()
        assert not got
    t.join(10)
    assert got and got[0] >= released - .05


def test_sweep_removes_what_dead_writers_left(store):
    store.write("t/kept", b"1")
    if isinstance(store, LocalStorage): (store.root / "t" / ".part.abc.tmp").write_bytes(b"x")
    else: store._file("t/.part.abc.tmp").create_file()
    assert names(store, "t") == [("t/kept", 1, False)]
    assert store.sweep("t", 1) == 0 and store.sweep("t", -1) == 1 and store.sweep("t", -1) == 0
    assert store.read("t/kept") == b"1"


def test_local_lock_is_freed_by_death(tmp_path):
    code = f"from healthlab.lake.storage import LocalStorage; import time\nwith LocalStorage({str(tmp_path)!r}).lock('l'): print('held', flush=True); time.sleep(60)"
    p = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    p.stdout.readline()
    with pytest.raises(Busy):
        with LocalStorage(tmp_path).lock("l"): pass
    p.kill(); p.wait()
    with LocalStorage(tmp_path).lock("l"): pass


def test_local_files_are_for_their_owner(tmp_path):
    LocalStorage(tmp_path).write("a", b"1")
    assert (tmp_path / "a").stat().st_mode & 0o077 == 0


def test_full_disk_is_told_and_leaves_the_old_file(tmp_path):
    code = f"""
import resource, signal
from healthlab.lake.storage import LocalStorage
from healthlab.core.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
s = LocalStorage({str(tmp_path)!r}); s.write('a', b'old')
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try: s.write('a', (b'x' * 65536 for _ in range(40)))
except StorageError as e: assert e.code == 'disk-full', e.code
else: raise SystemExit('not told')
assert s.read('a') == b'old' and [e.path for e in s.list()] == ['a']
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_adls_refusals(account):
    class Wrong(Credential):
        def get_token(self, *a, **k): return Credential.get_token(self)._replace(token="wrong")
    s = AdlsStorage("abfss://lake@hospital.dfs.core.windows.net", Wrong(), account.https, connection_verify=account.ca, retry_total=0)
    with pytest.raises(StorageError) as e: s.read("x")
    assert e.value.code == "storage-denied"
    s = AdlsStorage("abfss://lake@hospital.dfs.core.windows.net", Credential(), "https://127.0.0.1:9", connection_verify=account.ca, retry_total=0)
    with pytest.raises(StorageError, match="cannot be reached"): s.read("x")


def test_adls_reads_see_one_version(store, account):
    if isinstance(store, LocalStorage): pytest.skip("an open local file keeps its version by itself")
    store.write("v", b"a" * 100)
    f = store.open("v")
    store.write("v", b"b" * 100)
    with pytest.raises(StorageError) as e: f.read()
    assert e.value.code == "file-changed"


@pytest.mark.parametrize("url", ["s3://b/c", "abfss://nocontainer", "https://x.dfs.core.windows.net/a"])
def test_other_addresses_are_refused(url):
    with pytest.raises(InputError): open_storage(url)
