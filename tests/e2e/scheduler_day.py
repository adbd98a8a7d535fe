"""A simulated day of scheduled runs: 10 pipelines, 20 occasions each, one pipeline whose notebook always fails, and a scheduler that is killed (SIGKILL) now and then.

    python tests/e2e/scheduler_day.py [kills, default 5] [occasions a pipeline, default 20]

Every run is a real papermill run in a process of its own. Each notebook notes its run in a tally when it ends; afterwards ledger, run records and tally have to agree. What was counted is kept, dated,
under tests/bench/results."""
import json, os, random, signal, subprocess, sys, tempfile, time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

DAY = datetime(2026, 3, 28, 22, tzinfo=timezone.utc)  # the night between has 23 hours in Europe/Berlin
ROOT = Path(__file__).resolve().parents[2]


def pipeline(name: str, hours: int, fails: bool) -> dict:
    "A notebook that notes its run, with its schedule."
    body = ["import os\n", "with open(os.environ['TALLY'], 'a') as f: f.write(os.path.basename(os.environ['HEALTHLAB_RUN_FOLDER']) + '\\n')\n", *(["raise ValueError('meant to fail')\n"] if fails else [])]
    cell = lambda source, tags=(): {"cell_type": "code", "id": f"c{len(source)}{len(tags)}", "metadata": {"tags": list(tags)} if tags else {}, "execution_count": None, "outputs": [], "source": source}
    return {"cells": [cell(["n: int = 1  # a number\n"], ["parameters"]), cell(body)], "nbformat": 4, "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}, "healthlab": {"schedule": {"cron": f"0 0-{hours - 1} 29 3 *", "timezone": "UTC", "missed": "all"}}}}


def environment(folder: Path) -> dict:
    "A workbench of its own under a folder."
    at = {k: str(folder / v) for k, v in {"LAKE_URL": "lake", "LANDING_URL": "landing", "REPORTS_URL": "reports", "KEYS_FILE": "keys/key", "AUDIT_PATH": "audit", "SCHEDULE_PATH": "schedule", "PIPELINES_NOTEBOOKS": "notebooks"}.items()}
    return {f"HEALTHLAB_{k}": v for k, v in at.items()} | {"HEALTHLAB_SCHEDULE_CONCURRENT": "2", "TALLY": str(folder / "tally"), "HEALTHLAB_ACCESS_ROLE": "steward"}


def quick(o, s, log):
    "A start that runs no papermill: a small process that leaves a record as a run would."
    from healthlab.core.settings import settings
    folder = settings().path("reports", "url") / o.pipeline / o.run_id
    fails = o.pipeline == "p0"
    program = (f"import os, json, pathlib, time; f = pathlib.Path({str(folder)!r}); f.mkdir(parents=True); time.sleep(.05); open(os.environ['TALLY'], 'a').write(f.name + '\\n'); "
               f"(f / 'run.json').write_text(json.dumps(dict(pipeline={o.pipeline!r}, run_id=f.name, status={'failed' if fails else 'ok'!r}, error={{'type': 'ValueError'}} if {fails} else {{}})))")
    return subprocess.Popen([sys.executable, "-S", "-c", program], start_new_session=True)


def drive(began: float, pace: float, hours: int, quickly: bool):
    "The scheduler under a clock of its own, until all of the day is done."
    from healthlab.pipelines import schedule
    clock = lambda: DAY + timedelta(seconds=(time.time() - began) * pace)
    told = open(os.environ["TALLY"] + ".told", "a", buffering=1)
    scheduler = schedule.Scheduler(clock=clock, tell=lambda o: told.write(f"{o.pipeline} {o.due}\n"), **({"start": quick} if quickly else {}))
    while clock() < DAY + timedelta(hours=hours + 3) or scheduler.ledger.occasions(state=("waiting", "running")):
        scheduler.tick()
        time.sleep(.02)


def day(kills: int, hours: int, pace: float, quickly: bool, seed: int = 0) -> dict:
    "Run the day and count; raises AssertionError when anything was lost or done twice."
    with tempfile.TemporaryDirectory() as there:
        folder, rng = Path(there), random.Random(seed)
        (folder / "notebooks").mkdir()
        for i in range(10): (folder / "notebooks" / f"p{i}.ipynb").write_text(json.dumps(pipeline(f"p{i}", hours, i == 0)))
        env, began = os.environ | environment(folder) | {"PYTHONPATH": str(ROOT)}, time.time()
        subprocess.run([sys.executable, "-c", "from healthlab.core.keys import keys; keys()"], env=env, check=True, cwd=ROOT)
        words = [sys.executable, __file__, "drive", str(began), str(pace), str(hours), str(int(quickly))]
        length = (hours + 3) * 3600 / pace
        for moment in sorted(rng.uniform(.05, .95) * length for _ in range(kills)):
            child = subprocess.Popen(words, env=env, cwd=ROOT)
            time.sleep(max(0, began + moment - time.time()))
            child.send_signal(signal.SIGKILL)
            child.wait()
        subprocess.run(words, env=env, cwd=ROOT, check=True)
        return counted(folder, hours) | {"kills": kills, "seconds": round(time.time() - began)}


def counted(folder: Path, hours: int) -> dict:
    from healthlab.pipelines.ledger import Ledger
    ledger = Ledger(folder / "schedule" / "ledger.db")
    occasions, attempts = ledger.occasions(), ledger.attempts()
    tally = Counter((folder / "tally").read_text().split())
    final = {a["run_id"] for a in attempts if a["state"] in ("ok", "failed")}
    records = {r["run_id"]: r["status"] for r in (json.loads(p.read_text()) for p in (folder / "reports").glob("*/*/run.json"))}
    states = Counter(o.state for o in occasions)
    assert len(occasions) == 10 * hours and states == {"ok": 9 * hours, "failed": hours}, states
    assert {o.run_id for o in occasions} == final and len(final) == 10 * hours, "each occasion ends with one run"
    assert max(tally.values()) == 1 and set(tally) >= final, "a run was done twice or is missing"
    assert len(set(tally) - final) == 0, "an occasion was done twice"
    assert all(records[o.run_id] == o.state for o in occasions), "ledger and run records differ"
    told = Counter((folder / "tally.told").read_text().splitlines())
    return {"occasions": len(occasions), **states, "attempts": len(attempts), "runs done": len(tally), "failures told": len(told)}


if __name__ == "__main__":
    if sys.argv[1:2] == ["drive"]: drive(float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "1")
    else:
        kills, hours = (int(a) for a in [*sys.argv[1:], *["5", "20"][len(sys.argv) - 1:]])
        found = {"command": f"python tests/e2e/scheduler_day.py {kills} {hours}", "date": f"{datetime.now():%Y-%m-%d}", **day(kills, hours, pace=150, quickly=False)}
        print(found)
        (ROOT / "tests/bench/results" / f"{found['date']}-scheduler-day.json").write_text(json.dumps(found, indent=1) + "\n")
