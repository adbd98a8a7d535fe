"""The workbench as a person meets it: start-up, the main job on the embedded sample and on the public landing folder.

The peer of start-up is a bare interpreter, of the main job none: no other tool makes the same journey.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LANDING = ROOT.parent / "shared/data/landing"
HEALTHLAB = [sys.executable, "-m", "healthlab.cli"]


def seconds(command, runs=7, **kw):
    took = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT, **kw)
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def job(command, env):
    "Run a command; wall seconds and the peak resident memory of the whole process tree in MB, sampled."
    import psutil
    start, peak = time.perf_counter(), 0
    p = psutil.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    while p.poll() is None:
        try: peak = max(peak, sum(q.memory_info().rss for q in [p, *p.children(recursive=True)] if q.is_running()))
        except psutil.NoSuchProcess: pass
        time.sleep(.2)
    if p.returncode: raise RuntimeError(f"{command} ended with {p.returncode}")
    return time.perf_counter() - start, peak / 2**20


def run():
    bare = seconds([sys.executable, "-c", "pass"])
    rows = [
        dict(name="import healthlab", figure=seconds([sys.executable, "-c", "import healthlab"]), unit="s", peer="python -c pass", peer_figure=bare, asked="< 0.5"),
        dict(name="healthlab --help", figure=seconds([*HEALTHLAB, "--help"]), unit="s", peer="python -c pass", peer_figure=bare, asked="< 0.5"),
    ]
    sys.path.insert(0, str(ROOT / "tests/gate"))
    from notebooks import scratch
    base = {k: v for k, v in os.environ.items() if not k.startswith("HEALTHLAB_")}
    took, peak = job([*HEALTHLAB, "demo"], base)
    rows += [dict(name="healthlab demo", figure=took, unit="s", asked="<= 120"), dict(name="healthlab demo, peak memory of all processes", figure=peak, unit="MB")]
    if LANDING.is_dir():
        tmp = tempfile.mkdtemp()
        took, peak = job([*HEALTHLAB, "run", str(LANDING)], base | scratch(tmp))
        record = json.loads(next(Path(tmp).glob("reports/ingest/*/run.json")).read_text())["results"]
        rows += [dict(name="healthlab run landing", figure=took, unit="s"), dict(name="healthlab run landing, peak memory of all processes", figure=peak, unit="MB")]
        rows += [dict(name=f"landing: {k}", figure=record[k], unit="") for k in ("files", "resources", "written", "duplicates", "superseded", "rejected")]
        shutil.rmtree(tmp)
    for r in rows: r["ratio"] = r["figure"] / r["peer_figure"] if r.get("peer_figure") else None
    return rows


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
