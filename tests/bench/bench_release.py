"""The airlock: ways out tried, random steps, and what the guard adds to a notebook's outputs.

    python tests/bench/bench_release.py

Timing is CPU time of this process; the outputs are those of the library's own notebooks and tutorials, which hold what notebooks hold: tables, prints, plots, tracebacks."""
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python tests/bench/bench_release.py"


def outputs():
    "Outputs of every committed notebook."
    return [o for nb in sorted((ROOT / "nbs").rglob("*.ipynb")) if ".ipynb_checkpoints" not in nb.parts for c in json.loads(nb.read_text(encoding="utf-8"))["cells"] for o in c.get("outputs", [])]


def index(patients=2000):
    "What a lake of so many simulated patients would know of them."
    from datetime import date
    from healthlab.hospital.people import person
    from healthlab.release.known import Known
    known = Known(b"bench")
    for n in range(patients):
        p = person(7, n, date(2025, 12, 31))
        known.patient(dict(resourceType="Patient", id=p.id, birthDate=str(p.birth), name=[dict(given=[p.given, p.middle], family=p.family)], address=[dict(line=[p.address.line], city=p.address.city, postalCode=p.address.zip)],
                           telecom=[dict(value=v) for v in (p.phone, p.mobile, p.email)], identifier=[dict(value=v) for v in (p.mrn, p.ssn, p.account, p.member)]))
    return known


def guard_row(known=None, what=""):
    "Each output's best of three passes, in each of which nothing is remembered from the one before."
    from healthlab.release.guard import CACHE, READ, check_output
    found, passes = outputs(), []
    check_output(found[0], known=known)
    for _ in range(3):
        CACHE.clear()
        READ.clear()
        took = []
        for o in found:
            start = time.process_time()
            check_output(o, known=known)
            took.append(time.process_time() - start)
        passes.append(took)
    best = sorted(map(min, zip(*passes)))
    p95 = 1000 * best[int(.95 * len(best))]
    return dict(name=f"guard{what}, added time per notebook output, 95th percentile of {len(found)}", figure=round(p95, 2), unit="ms CPU", peer="", peer_figure=None, ratio=None, asked="at most 5", command=COMMAND)


def ways_rows():
    sys.path.insert(0, str(ROOT / "tests/e2e"))
    import test_airlock_ways_out as ways
    through = sum(ways.carried(w, ways.SECRET).decision != "hold" for w in ways.WAYS)
    alarms = sum(ways.carried(w, ways.PLAIN).decision != "pass" for w in ways.WAYS)
    row = lambda name, figure, asked: dict(name=name, figure=figure, unit="files", peer="", peer_figure=None, ratio=None, asked=asked, command=COMMAND)
    return [row("airlock, ways out tried", len(ways.WAYS), "at least 25"), row("airlock, ways out that let an identity through", through, "0"), row("airlock, the same ways with harmless content held", alarms, "0")]


def steps_row():
    sys.path.insert(0, str(ROOT / "tests/property"))
    import test_airlock_steps as steps
    steps.test_100_000_random_steps_none_illegal()  # raises on the first illegal transition
    return dict(name=f"airlock, illegal transitions in {steps.STEPS:,} random steps", figure=0, unit="steps", peer="", peer_figure=None, ratio=None, asked="0", command=COMMAND)


def run(): return [*ways_rows(), steps_row(), guard_row(), guard_row(index(), ", with an index of 2,000 patients")]


def main():
    rows = run()
    for r in rows: print(f"{r['name']:<80} {r['figure']:>8} {r['unit']:<8} asked {r['asked']}")
    return rows


if __name__ == "__main__": main()
