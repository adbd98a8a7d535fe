"""Ingest: resources a second from bundle files to committed, encrypted Delta, peak memory at ten times the input, and kills.

Peer: the pipeline one writes by hand, json.loads + fhir.resources + deltalake.write_deltalake (without encryption), on a part of the same files.
"""
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
BUNDLES = ROOT.parent / "shared/data/landing/fhir_bundles/smart"

RUN = """
import json, os, sys, time
from healthlab.ingest import ingest
from healthlab.lake import Lake
before = time.monotonic()
report = ingest(sys.argv[1], Lake(), workers=int(sys.argv[2]))
print(json.dumps(report.figures() | {"wall": time.monotonic() - before}))
"""

PEER = """
import gzip, importlib, json, sys, time
from pathlib import Path
import pyarrow as pa
from deltalake import write_deltalake
files = [Path(f) for f in sys.argv[2:]]
classes = {}
def checked(r):
    kind = r["resourceType"]
    if kind not in classes: classes[kind] = getattr(importlib.import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    return classes[kind].model_validate(r)
write_deltalake(sys.argv[1] + "/warm", pa.table({"id": ["x"]}))
checked({"resourceType": "Patient", "id": "x"})
before, n, failed, tables = time.process_time(), 0, 0, {}
for f in files:
    data = gzip.decompress(f.read_bytes()) if f.suffix == ".gz" else f.read_bytes()
    for e in json.loads(data).get("entry", []):
        r, n = e["resource"], n + 1
        try: checked(r)
        except Exception: failed += 1
        tables.setdefault(r["resourceType"], []).append((r["id"], json.dumps(r)))
for kind, rows in tables.items(): write_deltalake(f"{sys.argv[1]}/{kind}", pa.table({"id": [i for i, _ in rows], "resource": [t for _, t in rows]}), mode="append")
print(json.dumps({"resources": n, "failed": failed, "cpu": time.process_time() - before}))
"""


def environment(folder):
    env = {k: v for k, v in os.environ.items() if not k.startswith("HEALTHLAB_")}
    return env | {"HEALTHLAB_LAKE_URL": f"{folder}/lake", "HEALTHLAB_KEYS_FILE": f"{folder}/keys/healthlab.key", "HEALTHLAB_AUDIT_PATH": f"{folder}/audit"}


def resident(group):
    "Resident MB of a process group: all processes together."
    total = 0
    for p in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(p.name)) == group: total += int(re.search(r"Pss:\s+(\d+)", (p / "smaps_rollup").read_text())[1])
        except (OSError, TypeError, ValueError): pass
    return total / 1024


def measured(source, folder, workers=2):
    "The report of an ingest, its CPU seconds and the peak memory of all its processes together."
    before = os.times()
    p = subprocess.Popen([sys.executable, "-c", RUN, str(source), str(workers)], env=environment(folder), cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, text=True)
    peak, stop = [0.0], threading.Event()
    def watch():
        while not stop.wait(.25): peak[0] = max(peak[0], resident(p.pid))
    t = threading.Thread(target=watch)
    t.start()
    out = p.communicate()[0]
    stop.set(); t.join()
    if p.returncode: raise RuntimeError("the ingest failed")
    after = os.times()
    return json.loads(out.splitlines()[-1]), after.children_user + after.children_system - before.children_user - before.children_system, peak[0]


UUID = re.compile(rb"[0-9a-f]{8}(?=-[0-9a-f]{4}-)")


def copies(source, target, times):
    "The bundles `times` over, each copy with ids of its own."
    target.mkdir()
    for n in range(times):
        for f in source:
            data = gzip.decompress(f.read_bytes()) if f.name.endswith(".gz") else f.read_bytes()
            (target / f"{n}-{f.name.removesuffix('.gz')}.gz").write_bytes(gzip.compress(UUID.sub(lambda m, n=n: b"%08x" % (int(m[0], 16) ^ (n << 20)), data), 1))
    return target


def long_line(folder, gigabytes=2):
    "An NDJSON file with a line of this many GB between two good ones."
    folder.mkdir()
    with open(folder / "long.ndjson", "wb") as f:
        f.write(b'{"resourceType":"Patient","id":"before"}\n{"resourceType":"Patient","id":"')
        for _ in range(gigabytes << 4): f.write(b"x" * (64 << 20))
        f.write(b'"}\n{"resourceType":"Patient","id":"after"}\n')
    return folder


def run(tens=True, repeats=3, kills=12):
    files = sorted(f for f in BUNDLES.rglob("*") if f.is_file())
    if not files: raise SystemExit("../shared/data is not here: nothing to measure")
    rows = []
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        rates, costs = [], []
        for k in range(repeats):
            report, cpu, _ = measured(BUNDLES, tmp / f"run{k}")
            rates.append(report["resources"] / report["wall"])
            costs.append(report["resources"] / cpu)
        part = files[:: max(1, len(files) // 24)]
        peer = json.loads(subprocess.run([sys.executable, "-c", PEER, str(tmp / "peer"), *map(str, part)], check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        rate, cost = sorted(rates)[repeats // 2], sorted(costs)[repeats // 2]
        peer_rate = peer["resources"] / peer["cpu"]
        command = "make bench AREAS=ingest"
        rows.append(dict(name="ingest, 2 processes, wall", figure=rate, unit="resources/s", peer="", peer_figure=None, ratio=None, asked=10_000, command=command))
        rows.append(dict(name="ingest, per CPU second", figure=cost, unit="resources/CPU s", peer="json + fhir.resources + write_deltalake", peer_figure=peer_rate, ratio=cost / peer_rate, asked="", command=command))
        if tens:
            source = copies(files, tmp / "ten", 10)
            report, cpu, peak = measured(source, tmp / "lake10")
            rows.append(dict(name=f"peak memory, all processes, {report['resources']:,} resources", figure=peak, unit="MB", peer="", peer_figure=None, ratio=None, asked="< 1000", command=command))
            rows.append(dict(name="ingest at ten times, wall", figure=report["resources"] / report["wall"], unit="resources/s", peer="", peer_figure=None, ratio=None, asked=10_000, command=command))
        report, _, peak = measured(long_line(tmp / "long"), tmp / "lake2")
        if (report["written"], report["rejects"]) != (2, {"ndjson-too-long": 1}): raise RuntimeError(f"the long line was not handled: {report['written']} written, {report['rejects']}")
        rows.append(dict(name="peak memory, a line of 2 GB between two good ones", figure=peak, unit="MB", peer="", peer_figure=None, ratio=None, asked="< 1000", command=command))
        if kills:
            from ingest_kills import trial
            figures = trial(kills, seed=1)
            rows.append(dict(name=f"{kills} kills: rows lost + twice", figure=figures["lost"] + figures["twice"], unit="rows", peer="", peer_figure=None, ratio=None, asked=0, command="python tests/e2e/ingest_kills.py 100"))
    return rows


if __name__ == "__main__":
    for row in run(tens="--no-tens" not in sys.argv, repeats=int(os.environ.get("REPEATS", 3)), kills=0): print(row)
