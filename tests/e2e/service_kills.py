"""Kills the service with SIGKILL while clients write and jobs run, starts it again, and looks for every write that was acknowledged and every job that was accepted.

    python tests/e2e/service_kills.py [kills] [seed] [--save]

--save keeps the figures under tests/e2e/results with the date.
"""
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "gate"))
SERVE = "from healthlab.service.serve import serve; serve(workers=2, threads=8)"
TOKEN = """
from healthlab.service.clients import add_client
from healthlab.service.tokens import issue
me = add_client("writer", scopes=["system/*.cruds", "synth", "jobs"], role="steward")["client_id"]
print(issue(me, me, "system/*.cruds synth jobs", "steward", "kills")[0])
"""
# what the store holds, read by itself: versions, the transactions' members, index rows without a version, the record of accesses
LOOK = """
import json
from healthlab.service.store import Store
store = Store()
con = store.db.reader()
whole = con.execute("pragma integrity_check").fetchall() == [("ok",)]
versions = {f"{t}/{i}/{v}": 1 for t, i, v in con.execute("select type, id, version from version")}
members = dict(con.execute("select c.system, count(*) from token c join version v on v.seq = c.seq where c.code = 'member' and v.ended is null group by c.system").fetchall())
lost = sum(con.execute(f"select count(*) from {t} where seq not in (select seq from version where ended is null and body is not null)").get for t in ("token", "string", "date", "reference"))
twice = con.execute("select count(*) from (select 1 from version where ended is null group by type, id having count(*) > 1)").get
told = sorted({t for ts, in con.execute("select targets from access") for t in (ts or "").split()})
print(json.dumps(dict(whole=whole, versions=versions, members=members, lost=lost, twice=twice, told=told, problems=store.verify())))
"""


class Writer(threading.Thread):
    "One client: creates, updates and transactions until its connection breaks."
    def __init__(self, port, token, name, seed):
        super().__init__(daemon=True)
        self.port, self.head, self.mark, self.rng = port, {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}, name, random.Random(seed)
        self.acknowledged, self.transactions, self.wrong = [], [], []

    def run(self):
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            for n in range(1_000_000): getattr(self, self.rng.choice(("create", "update", "transaction")))(line, n)
        except (OSError, http.client.HTTPException): pass # the service was killed

    def ask(self, line, method, path, resource):
        line.request(method, path, json.dumps(resource), self.head)
        answer = line.getresponse()
        text = answer.read()
        if answer.status not in (200, 201):
            self.wrong.append((answer.status, text[-300:]))
            raise http.client.HTTPException("not the answer expected")
        return answer, text

    def noted(self, location): self.acknowledged.append(location.split("/fhir/")[1].replace("/_history/", "/"))

    def create(self, line, n):
        answer, _ = self.ask(line, "POST", "/fhir/Observation", dict(resourceType="Observation", status="final", code=dict(text=f"{self.mark} {n}"), subject=dict(reference="Patient/p"), valueInteger=n))
        self.noted(answer.headers["Location"])

    def update(self, line, n):
        id = f"{self.mark}-{self.rng.randrange(5)}"
        answer, _ = self.ask(line, "PUT", f"/fhir/Patient/{id}", dict(resourceType="Patient", id=id, name=[dict(family=f"Number{n}")]))
        self.noted(answer.headers["Location"])

    def transaction(self, line, n):
        system = f"urn:t:{self.mark}:{n}"
        def one(k): return dict(resource=dict(resourceType="Basic", identifier=[dict(system=system, value="member")], code=dict(text=f"part {k}")), request=dict(method="POST", url="Basic"))
        answer, text = self.ask(line, "POST", "/fhir", dict(resourceType="Bundle", type="transaction", entry=[one(k) for k in range(5)]))
        self.transactions.append(system)
        for e in json.loads(text)["entry"]: self.noted(e["response"]["location"])


def begun(env, port):
    "The service, in a group of its own, once it answers; and how long that took."
    start = time.monotonic()
    Path(env["HEALTHLAB_SERVICE_STORE"]).parent.mkdir(parents=True, exist_ok=True)
    log = open(f"{env['HEALTHLAB_SERVICE_STORE']}.log", "a")
    server = subprocess.Popen([sys.executable, "-c", SERVE], env=env, cwd=ROOT, start_new_session=True, stdout=log, stderr=log)
    while time.monotonic() - start < 120:
        try:
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            line.request("GET", "/health/ready")
            if line.getresponse().status == 200: return server, time.monotonic() - start
        except OSError: time.sleep(0.05)
        if server.poll() is not None: raise AssertionError("the service does not start")
    raise AssertionError("the service does not answer")


def output(code, env):
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True)
    if done.returncode: raise AssertionError(done.stderr[-2000:])
    return done.stdout


def called(port, token, method, path, body=None):
    "(status, answer) of one request."
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    line.request(method, path, body and json.dumps(body), {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    answer = line.getresponse()
    return answer.status, json.loads(answer.read())


def ended(env, port, token, jobs, patience=300):
    "How the accepted jobs ended, after one more start: by state; `without a reason` for failed ones that do not say why, `open` for those that never end."
    server, _ = begun(env, port)
    states, until = {}, time.monotonic() + patience
    try:
        while len(states) < len(jobs) and time.monotonic() < until:
            for id in jobs:
                if id in states: continue
                status, job = called(port, token, "GET", f"/v1/jobs/{id}")
                if status != 200: states[id] = "lost"
                elif job["state"] == "failed": states[id] = "failed" if job.get("error") else "without a reason"
                elif job["state"] in ("done", "cancelled"): states[id] = job["state"]
            time.sleep(0.5)
    finally:
        server.terminate()
        server.wait(60)
    return Counter(states.values()) + Counter({"open": len(jobs) - len(states)})


def trial(kills, seed=1, writers=12, with_jobs=False):
    "Figures of a series of kills: writes acknowledged, lost, transactions that are half there …"
    jobs = []
    from notebooks import scratch
    rng, folder, port = random.Random(seed), Path(tempfile.mkdtemp(prefix="kills-")), 19000 + os.getpid() % 900
    env = os.environ | scratch(folder) | dict(HEALTHLAB_SERVICE_BIND=f"127.0.0.1:{port}", HEALTHLAB_SERVICE_URL=f"http://127.0.0.1:{port}", HEALTHLAB_LIMITS_CLIENT="100000/100000", HEALTHLAB_OAUTH_ACCESS_SECONDS="36000")
    token, acknowledged, transactions, wrong = output(TOKEN, env).strip(), [], [], []
    for k in range(kills):
        server, _ = begun(env, port)
        clients = [Writer(port, token, f"k{k}w{w}", rng.random()) for w in range(writers)]
        for c in clients: c.start()
        patience = time.monotonic() + 30
        while sum(len(c.acknowledged) for c in clients) < 20 and time.monotonic() < patience: time.sleep(0.02) # both workers are up
        if with_jobs:
            status, job = called(port, token, "POST", "/v1/synthetic-data", dict(kind="hospital", size=2, format="fhir"))
            if status == 202: jobs.append(job["id"])
        time.sleep(rng.uniform(0.0, 1.2))
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        for c in clients:
            c.join(30)
            acknowledged += c.acknowledged; transactions += c.transactions; wrong += c.wrong
    found = json.loads(output(LOOK, env))
    if wrong: print(*[line for line in Path(f"{env['HEALTHLAB_SERVICE_STORE']}.log").read_text().splitlines() if '"error"' in line][:20], sep="\n")
    told, states = set(found["told"]), ended(env, port, token, jobs) if jobs else Counter()
    subprocess.run(["rm", "-rf", str(folder)])
    return {"kills": kills, "acknowledged": len(acknowledged), "lost": sum(a not in found["versions"] for a in acknowledged), "transactions": len(transactions),
            "transactions lost": sum(found["members"].get(t) != 5 for t in transactions), "half transactions": sum(n != 5 for n in found["members"].values()),
            "without an audit event": sum(a.rsplit("/", 1)[0] not in told for a in acknowledged), "index rows without a resource": found["lost"], "two current versions": found["twice"],
            "wrong answers": Counter(s for s, _ in wrong), "database whole": found["whole"], "seals that do not fit": len(found["problems"]),
            **({"jobs accepted": len(jobs), "jobs by how they ended": dict(states), "jobs lost": sum(states[s] for s in ("lost", "open", "without a reason"))} if with_jobs else {})}


if __name__ == "__main__":
    words = [int(w) for w in sys.argv[1:] if w != "--save"]
    figures = trial(words[0] if words else 50, words[1] if len(words) > 1 else 1, with_jobs=True)
    print(json.dumps(figures, indent=1))
    if "--save" in sys.argv:
        target = ROOT / "tests" / "e2e" / "results"
        target.mkdir(exist_ok=True)
        (target / f"{time.strftime('%Y-%m-%d')}-service-kills.json").write_text(json.dumps(dict(command="python tests/e2e/service_kills.py 50 1 --save", **figures), indent=1) + "\n")
    bad = [k for k in ("lost", "transactions lost", "half transactions", "without an audit event", "index rows without a resource", "two current versions", "wrong answers", "seals that do not fit", "jobs lost") if figures[k]]
    sys.exit(1 if bad or not figures["database whole"] else 0)
