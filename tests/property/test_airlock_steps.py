"""Random steps: whatever people try, in whatever order, a release only ever takes steps that the rules allow.

The rules are written here a second time, from a release's history instead of from its state, and every outcome is compared with them."""
import random
import unicodedata

import pytest

from healthlab.core.errors import HealthlabError, StorageError
from healthlab.lake.storage import Entry, Storage
from healthlab.release import airlock as module
from healthlab.release.airlock import Airlock, Quarantine
from healthlab.release.machine import IllegalStep, step

STEPS = 100_000
PEOPLE = ["ada", "ADA", "ad\u200ba", "grace", "edsger", "workbench", ""]
ENDED = {"reject", "withdraw", "tamper", "recall"}


class Memory(Storage):
    "A storage in memory: only what the airlock uses of one."
    url = "memory"

    def __init__(self): self.files = {}

    def read(self, path):
        if path not in self.files: raise StorageError("missing", "", "", "file-missing")
        return self.files[path]

    def write(self, path, data, overwrite=True):
        if not overwrite and path in self.files: raise StorageError("there", "", "", "file-exists")
        self.files[path] = bytes(data)

    def stat(self, path):
        if path in self.files or any(p.startswith(path + "/") for p in self.files): return Entry(path)
        raise StorageError("missing", "", "", "file-missing")

    def list(self, path="", recursive=True):
        below = {p[len(path) + 1:].split("/")[0] for p in self.files if p.startswith(path + "/")}
        for name in below: yield Entry(f"{path}/{name}", is_folder=f"{path}/{name}" not in self.files)

    def delete(self, path, recursive=False):
        for p in [p for p in self.files if p == path or p.startswith(path + "/")]: del self.files[p]

    def open(self, path): raise NotImplementedError
    def create(self, path, overwrite=True): raise NotImplementedError
    def rename(self, source, target): raise NotImplementedError
    def lock(self, path, wait=False): raise NotImplementedError
    def sweep(self, path, hours): raise NotImplementedError


def same(a, b):
    plain = lambda x: "".join(c for c in unicodedata.normalize("NFKC", x) if c.isprintable() and not c.isspace()).casefold()
    return plain(a) == plain(b)


def may(event, history, by, role):
    "The rules, from the history of a release: [(event, by)]."
    events = [e for e, _ in history]
    if by.strip() == "" or (event in ("pass", "hold", "finish", "tamper")) != (by == "workbench"): return False
    if event == "submit": return not events
    if not events or ENDED & set(events): return False
    mine, steward = same(history[0][1], by), role == "steward"
    checked, clean = {"pass", "hold"} & set(events), "pass" in events or "override" in events
    approved, out = "approve" in events, "publish" in events
    return {"pass": not checked, "hold": not checked, "override": bool(checked) and not clean and steward and not mine, "approve": clean and not approved and steward and not mine,
            "reject": bool(checked) and not out and steward and not mine, "withdraw": not out and mine, "publish": approved and not out and steward,
            "finish": out and "finish" not in events, "tamper": approved and "finish" not in events, "recall": "finish" in events and steward}[event]


def test_100_000_random_steps_none_illegal():
    r, key, logs, legal, illegal = random.Random(7), b"k" * 32, {}, 0, 0
    store = Quarantine.__new__(Quarantine)
    store.storage, store.key = Memory(), key
    events = ["submit", "pass", "hold", "override", "approve", "reject", "withdraw", "publish", "finish", "tamper", "recall"]
    for n in range(STEPS):
        release = f"r{r.randrange(max(1, n // 40), n // 40 + 12)}"
        event, role = r.choice(events), r.choice(["steward", "steward", "researcher", "service"])
        by = "workbench" if event in ("pass", "hold", "finish", "tamper") and r.random() < .8 else r.choice(PEOPLE)
        entries = logs.setdefault(release, [])
        expected = may(event, [(e["event"], e["by"]) for e in entries], by, role)
        try: entry = step(entries, event, by=by, role=role, key=key, release=release)
        except IllegalStep: entry = None
        assert (entry is not None) == expected, (event, by, role, [(e["event"], e["by"]) for e in entries])
        if entry:
            store.append(entry); entries.append(entry); legal += 1
            with pytest.raises(IllegalStep): store.append(entry) # nobody takes the same step twice
        else: illegal += 1
    assert legal > 5_000 and illegal > 50_000
    for release, entries in logs.items():
        if entries: assert store.log(release) == entries
        happened = [e["event"] for e in entries]
        if "finish" in happened: assert happened.index("approve") < happened.index("publish") < happened.index("finish")


@pytest.fixture
def quick(monkeypatch):
    "The real airlock on a storage in memory; the trail is kept in a list."
    trail = []
    monkeypatch.setattr(module.audit, "record", lambda event, **k: trail.append((event, k)))
    return Airlock(None, Memory()), trail


def test_random_people_with_the_whole_airlock(quick, tmp_path, monkeypatch):
    lock, trail = quick
    r = random.Random(11)
    (tmp_path / "clean.csv").write_text("band,n\n40-49,120\n50-59,131\n")
    (tmp_path / "odd.csv").write_text("band,n\n40-49,120\n50-59,3\n")
    (tmp_path / "named.csv").write_text("band,n\nMrs. Mary Johnson,120\n")
    ids, content = [], {}
    for n in range(1500):
        role, by = r.choice(["steward", "steward", "researcher"]), r.choice(["ada", "Grace", "edsger"])
        monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", role)
        if not ids or r.random() < .05:
            f = tmp_path / r.choice(["clean.csv", "clean.csv", "odd.csv", "named.csv"])
            made = lock.submit(f, by=by, reason="age bands")
            ids.append(made.id); content[made.id] = f.read_bytes()
            assert made.state == ("waiting" if f.name == "clean.csv" else "held")
            continue
        release, event = r.choice(ids[-6:]), r.choice(["approve", "reject", "withdraw", "publish", "override", "recall", "resume"])
        before = lock.get(release)
        history = [(e, b) for _, e, b in before.steps]
        call = {"reject": dict(reason="no"), "override": dict(reason="checked by hand"), "recall": dict(reason="mistake"), "resume": None}.get(event, {})
        try: after = lock.resume(release) if call is None else getattr(lock, event)(release, by=by, **call)
        except HealthlabError: after = None
        if event == "resume": assert after.state == before.state
        else: assert (after is not None) == may(event, history, by, role)
        out = {p: b for p, b in lock.store.storage.files.items() if p.startswith(f"released/{release}/")}
        assert bool(out) == (lock.get(release).state == "published")
        if out: assert out[next(p for p in out if p.endswith(".csv"))] == content[release]
    assert {lock.get(i).state for i in ids} >= {"published", "rejected", "withdrawn", "recalled", "held"}
    taken = sum(len(lock.get(i).steps) for i in ids)
    assert sum(e.startswith("release.") for e, _ in trail) == taken, "every step stands in the trail"
