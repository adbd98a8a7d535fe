"""Figures of SQL on FHIR: the patient, observation and condition views over Synthea resources to Arrow, against fhirpathpy evaluating
the same paths, and against the Python runners of ViewDefinitions on the package index that install (sqlonfhir, fhir4ds), each in the
virtual environment named by HEALTHLAB_BENCH_PEERS (`uv venv peers && uv pip install sqlonfhir==0.0.2 fhir4ds==0.5.1`).

    python tests/bench/bench_views.py
"""
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import msgspec

from healthlab.fhir.views import ViewDefinition, shipped

COMMAND = "python tests/bench/bench_views.py"
BUNDLES = Path(os.environ.get("HEALTHLAB_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "landing" / "fhir_bundles"
PEERS = os.environ.get("HEALTHLAB_BENCH_PEERS", "")
TABLES = {"patient": "Patient", "observation": "Observation", "condition": "Condition"}
FEW = 600  # resources the slow peers are measured on

# the same columns for every runner, in FHIRPath all of them know
CODED = [("code", "code.coding.first().code"), ("system", "code.coding.first().system"), ("display", "code.coding.first().display")]
COLUMNS = {
    "Patient": [("id", "id"), ("gender", "gender"), ("birth_date", "birthDate"), ("family", "name.where(use = 'official').family.first()"), ("given", "name.first().given.first()"),
                ("city", "address.first().city"), ("state", "address.first().state"), ("postal_code", "address.first().postalCode")],
    "Observation": [("id", "id"), ("patient", "subject.reference"), ("encounter", "encounter.reference"), ("status", "status"), ("category", "category.first().coding.first().code"), *CODED,
                    ("effective", "effective.ofType(dateTime)"), ("value", "value.ofType(Quantity).value"), ("unit", "value.ofType(Quantity).unit"), ("value_code", "value.ofType(CodeableConcept).coding.first().code")],
    "Condition": [("id", "id"), ("patient", "subject.reference"), ("encounter", "encounter.reference"), *CODED, ("clinical_status", "clinicalStatus.coding.first().code"), ("onset", "onset.ofType(dateTime)")],
}


def views() -> dict[str, dict]:
    kinds = {"value": "decimal"}
    return {r: {"resourceType": "ViewDefinition", "name": r.lower(), "status": "active", "resource": r,
                "select": [{"column": [{"name": n, "path": p, "type": kinds.get(n, "string")} for n, p in columns]}]} for r, columns in COLUMNS.items()}


def lines() -> dict[str, list[bytes]]:
    "Resources of Synthea bundles by type, one compact JSON line each; the simulated hospital's where the bundles are absent."
    out = {r: [] for r in TABLES.values()}
    found = sorted(BUNDLES.glob("smart/*.json.gz"))
    if found: resources = (e["resource"] for f in found for e in msgspec.json.decode(gzip.decompress(f.read_bytes())).get("entry", []))
    else:
        from healthlab.hospital import Hospital
        resources = Hospital(patients=200, seed=0).resources()
    for r in resources:
        if r["resourceType"] in out: out[r["resourceType"]].append(msgspec.json.encode(r))
    return out


def timed(work, clock=time.process_time, repeat: int = 3) -> float:
    "Median seconds; CPU seconds of this process unless another clock is given."
    def once():
        start = clock()
        work()
        return clock() - start
    return median(once() for _ in range(repeat))


def fhirpathpy(found: dict) -> float:
    "CPU seconds per resource of fhirpathpy evaluating the same paths, each compiled once, over the same JSON."
    from fhirpathpy import compile as compile_peer
    from fhirpathpy.models import models
    paths = {r: [compile_peer(p, models["r4"]) for _, p in columns] for r, columns in COLUMNS.items()}
    few = {r: x[:: max(1, len(x) // FEW)][:FEW] for r, x in found.items()}
    total = 0.0
    for r, x in few.items():  # weighted as the whole set is
        def work(r=r, x=x):
            for line in x:
                data = msgspec.json.decode(line)
                for f in paths[r]: f(data)
        total += timed(work, repeat=1) / len(x) * len(found[r])
    return total / sum(map(len, found.values()))


RUNNER = '''
import json, sys, time
which, views, data = sys.argv[1], json.load(open(sys.argv[2])), json.load(open(sys.argv[3]))
out = {}
if which == "sqlonfhir":
    from sqlonfhir import evaluate
    for r, lines in data.items():
        start = time.process_time()
        rows = evaluate([json.loads(x) for x in lines], views[r])
        out[r] = (time.process_time() - start, len(list(rows)))
else:
    import contextlib, duckdb, io, logging
    logging.disable(logging.CRITICAL)
    connect = duckdb.connect
    class Offline:  # json is built into the wheel; its INSTALL would go to the network
        def __init__(self, c): self._c = c
        def execute(self, q, *a): return self._c.execute(q.replace("INSTALL json;", "") if isinstance(q, str) else q, *a)
        def __getattr__(self, name): return getattr(self._c, name)
    duckdb.connect = lambda *a, **k: Offline(connect(*a, **k))
    from fhir4ds.datastore import QuickConnect
    for r, lines in data.items():
        with contextlib.redirect_stdout(io.StringIO()):
            start = time.process_time()
            db = QuickConnect.duckdb(":memory:")
            db.load_resources([json.loads(x) for x in lines])
            views[r]["select"][0]["column"] = [{**c, "path": c["path"].replace(".first()", "[0]")} for c in views[r]["select"][0]["column"]]  # its first() fails inside paths
            rows = len(db.execute_to_dataframe(views[r]))
            out[r] = (time.process_time() - start, rows)
print("RESULT" + json.dumps(out))
'''


def runner(which: str, found: dict, each: int):
    "(CPU seconds per resource, note) of a peer in its own environment; (None, why) when it does not run."
    python = Path(PEERS) / "bin/python" if PEERS else None
    if python is None or not python.exists(): return None, "HEALTHLAB_BENCH_PEERS names no environment that has it"
    few = {r: [x.decode() for x in lines[:: max(1, len(lines) // each)][:each]] for r, lines in found.items()}
    with tempfile.TemporaryDirectory() as tmp:
        v, d = Path(tmp) / "views.json", Path(tmp) / "data.json"
        v.write_text(json.dumps(views()))
        d.write_text(json.dumps(few))
        done = subprocess.run([str(python), "-c", RUNNER, which, str(v), str(d)], capture_output=True, text=True, timeout=900)
    line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT")), None)
    if line is None: return None, (done.stderr.strip().splitlines() or ["no result"])[-1][:200]
    out = json.loads(line[6:])
    total = sum(out[r][0] / len(few[r]) * len(found[r]) for r in few)
    return total / sum(map(len, found.values())), f"rows of {', '.join(f'{r} {n} of {len(few[r])}' for r, (_, n) in out.items())}"


def run() -> list[dict]:
    "The figures as rows {name, figure, unit, peer, peer_figure, ratio, asked, command}."
    found = lines()
    n = sum(map(len, found.values()))
    everyday, plain = {TABLES[t]: shipped()[t] for t in TABLES}, {r: ViewDefinition.from_json(v) for r, v in views().items()}
    rows = []
    def row(name, figure, unit, peer=None, peer_figure=None, ratio=None, asked=None): rows.append(dict(name=name, figure=figure, unit=unit, peer=peer, peer_figure=peer_figure, ratio=ratio, asked=asked, command=COMMAND))
    def all_of(compiled, **more): return lambda: [v.run(found[r], **more) for r, v in compiled.items()]
    all_of(everyday, workers=2)()  # worker processes start once; that is not what is measured
    row("views: shipped patient, observation, condition to Arrow, 2 processes", n / timed(all_of(everyday, workers=2), time.perf_counter, 5), "resources/s", asked=">= 50,000 on 2 cores")
    row("views: the same, one core", n / timed(all_of(everyday)), "resources/s a core (CPU time)")
    ours = timed(all_of(plain)) / n
    row("views: standard paths to Arrow, one core", 1 / ours, "resources/s a core (CPU time)")
    theirs = fhirpathpy(found)
    row("views: the same paths", 1 / ours, "resources/s a core", "fhirpathpy", 1 / theirs, theirs / ours, ">= 20x")
    for which, each in (("sqlonfhir", 200), ("fhir4ds", 2000)):
        seconds, note = runner(which, found, each)
        row("views: the same views", 1 / ours, "resources/s a core", f"{which} ({note})", seconds and 1 / seconds, seconds and seconds / ours, "> 1x")
    return rows


def main():
    for r in run(): print("  ".join(f"{k}={v:,.1f}" if isinstance(v, float) else f"{k}={v}" for k, v in r.items() if v is not None and k != "command"))


if __name__ == "__main__":
    sys.exit(main())
