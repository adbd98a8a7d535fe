"""Kills an ingest at random moments, starts it again each time, and compares the tables with those of an undisturbed one.

    python tests/e2e/ingest_kills.py [kills] [seed] [patients]
"""
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = "import sys\nfrom healthlab.ingest import ingest\nfrom healthlab.lake import Lake\ningest(sys.argv[1], Lake(), workers=2)"


def landing(folder, patients=60, observations=40):
    "Bundles, NDJSON and CSV with duplicates, versions and rejects among them."
    folder.mkdir(parents=True)
    def observation(p, n): return {"resourceType": "Observation", "id": f"o{p}-{n}", "status": "final", "code": {"text": "pulse"}, "subject": {"reference": f"urn:uuid:p{p}"}, "valueQuantity": {"value": 60 + n}}
    for p in range(patients):
        person = {"resourceType": "Patient", "id": f"p{p}", "meta": {"versionId": "1"}, "gender": "unknown"}
        found = [person, *(observation(p, n) for n in range(observations)), {"resourceType": "Condition", "id": f"c{p}", "subject": {"reference": f"urn:uuid:p{p}"}, "code": {"text": "cough"}}]
        (folder / f"bundle{p:03d}.json").write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": f"urn:uuid:{r['id']}", "resource": r} for r in found]}))
    lines = [{"resourceType": "Patient", "id": f"p{p}", "meta": {"versionId": "2"}, "gender": "female"} for p in range(0, patients, 2)] + [{"resourceType": "Patient", "id": f"p{p}", "meta": {"versionId": "1"}, "gender": "unknown"} for p in range(patients)]
    (folder / "patients.ndjson").write_text("".join(json.dumps(r) + "\n" for r in lines) + '{"resourceType":"Patient","birthDate":"soon"}\n{"cut\n')
    (folder / "dx.csv").write_text("patient,start,stop,code,description\n" + "".join(f"p{p},2020-01-01,,44054006,Diabetes\n" for p in range(patients)) + "p1,never,,44054006,bad\n")
    return folder


def environment(folder, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("HEALTHLAB_")}
    return env | {"HEALTHLAB_LAKE_URL": f"{folder}/lake", "HEALTHLAB_KEYS_FILE": f"{folder}/keys/healthlab.key", "HEALTHLAB_AUDIT_PATH": f"{folder}/audit", "HEALTHLAB_INGEST_BATCH_RESOURCES": "400", **more}


TABLES = """
import json, sys
from healthlab.core.audit import verify
from healthlab.lake import Lake
lake, out = Lake(), {}
for t in lake.tables("identified"):
    columns = ["id", "file", "position", "code", "reason"] if t == "reject" else ["id", "patient", "hash", "source", "resource"]
    rows = lake.read("identified", t, columns=columns).to_pylist()
    out[t] = sorted([r[c] for c in columns if c != "source"] for r in rows)
print(json.dumps({"tables": out, "audit": verify().ok}))
"""


def tables(env):
    done = subprocess.run([sys.executable, "-c", TABLES], env=env, cwd=ROOT, capture_output=True, text=True)
    if done.returncode: raise AssertionError(f"the tables cannot be read: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def start(source, env): return subprocess.Popen([sys.executable, "-c", RUN, str(source)], env=env, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process, what):
    _, err = process.communicate(timeout=300)
    if process.returncode: raise AssertionError(f"{what} failed: {err.decode()[-2000:]}")


def leftover(group):
    "Whether a process of the group still lives."
    try: os.killpg(group, 0)
    except ProcessLookupError: return False
    return True


def differences(found, wanted):
    "(lost, twice or changed) rows against the undisturbed tables."
    lost = twice = 0
    for t in wanted.keys() | found.keys():
        a, b = (Counter(json.dumps(r) for r in x.get(t, [])) for x in (wanted, found))
        lost, twice = lost + (a - b).total(), twice + (b - a).total()
    return lost, twice


def trial(kills, seed=0, patients=60, say=lambda line: None):
    "Runs `kills` kills, a lake for every dozen or less; returns figures."
    rng, done, lost, twice, mid, audit = random.Random(seed), 0, 0, 0, 0, True
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        source = landing(tmp / "landing", patients)
        began = time.monotonic()
        finish(start(source, environment(tmp / "calm")), "the undisturbed run")
        usual = time.monotonic() - began
        wanted = tables(environment(tmp / "calm"))["tables"]
        lake = 0
        while done < kills:
            lake += 1
            env = environment(tmp / f"lake{lake}")
            takes = usual
            for _ in range(min(rng.randint(1, 12), kills - done)):
                process, began = start(source, env), time.monotonic()
                try:
                    process.wait(rng.uniform(.2, 1.1) * takes)
                    takes = time.monotonic() - began # sooner than thought: the machine is quicker now, or less was left to do
                except subprocess.TimeoutExpired: mid += 1
                try: os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError: pass
                process.communicate()
                deadline = time.monotonic() + 10
                while leftover(process.pid) and time.monotonic() < deadline: time.sleep(.02)
                done += 1
            finish(start(source, env), "the run after the kills")
            after = tables(env)
            a, b = differences(after["tables"], wanted)
            lost, twice, audit = lost + a, twice + b, audit and after["audit"]
            say(f"lake {lake}: {done} kills so far, {mid} of them before the end, {lost} lost, {twice} twice or changed, audit {'whole' if audit else 'damaged'}")
    return {"kills": done, "before the end": mid, "lost": lost, "twice": twice, "audit": audit, "rows": sum(map(len, wanted.values()))}


if __name__ == "__main__":
    figures = trial(*(int(x) for x in sys.argv[1:4] or ["100"]), say=lambda line: print(line, flush=True))
    print(figures)
    sys.exit(bool(figures["lost"] or figures["twice"] or not figures["audit"]))
