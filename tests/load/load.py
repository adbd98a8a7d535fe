"""Load on the service as clients put it there: creates, reads and searches of FHIR resources, in the mix of MIX, over kept connections; every
write durable before it is answered, every access recorded. Generator and service share the machine, and both count.

    python tests/load/load.py [--seconds 60] [--rate 620] [--connections 12] [--workers 2] [--threads 16] [--patients 20] [--save]

Two rounds. In the first every connection asks again as soon as it is answered: what the service can do. In the second requests fall due at random moments, --rate a
second on average, twice the connections are there, and a request's time counts from when it was due: what a client meets at that load, waiting for a free connection included.

Prints a table for each; --save keeps it under tests/load/results with the date. Exits 1 when an answer was not the expected one.
"""
import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "gate"))
# share of requests; reads and searches pick among everything that is stored at that moment
MIX = (("create Observation", 25), ("create Patient", 5), ("read", 50), ("search by patient and code", 8), ("search by patient, newest first", 4), ("search by name", 4), ("search with _include", 4))


def body(resource): return json.dumps(resource).encode()


class World:
    "What the generator knows is stored, and the requests it makes of it."
    def __init__(self, patients, seed):
        from healthlab.hospital import Hospital
        self.rng, self.resources = random.Random(seed), list(Hospital(patients=patients, seed=seed).resources())
        self.observations = [r for r in self.resources if r["resourceType"] == "Observation"]
        self.people = [r for r in self.resources if r["resourceType"] == "Patient"]
        self.known = [f"{r['resourceType']}/{r['id']}" for r in self.resources]
        self.codes = sorted({c["code"] for o in self.observations for c in o["code"]["coding"]})
        self.new = {kind: [body({k: v for k, v in r.items() if k != "id"}) for r in found] for kind, found in (("Observation", self.observations), ("Patient", self.people))}
        self.names, self.weights = zip(*MIX)

    def bundles(self, size=500):
        for at in range(0, len(self.resources), size):
            rows = [dict(resource=r, request=dict(method="PUT", url=f"{r['resourceType']}/{r['id']}")) for r in self.resources[at:at + size]]
            yield body(dict(resourceType="Bundle", type="transaction", entry=rows))

    def request(self, what):
        "(method, path, body, expected status)"
        rng = self.rng
        if what == "read": return "GET", f"/fhir/{rng.choice(self.known)}", b"", 200
        if what.startswith("create"): return "POST", f"/fhir/{what[7:]}", rng.choice(self.new[what[7:]]), 201
        patient = rng.choice(self.people)["id"]
        if what == "search by patient and code": return "GET", f"/fhir/Observation?patient={patient}&code={rng.choice(self.codes)}&_count=20", b"", 200
        if what == "search by patient, newest first": return "GET", f"/fhir/Observation?patient={patient}&_sort=-date&_count=20", b"", 200
        if what == "search by name": return "GET", f"/fhir/Patient?name={rng.choice(self.people)['name'][0]['family'][:4]}&_count=20", b"", 200
        return "GET", f"/fhir/Encounter?patient={patient}&_include=Encounter:patient&_count=10", b"", 200


class Line(asyncio.Protocol):
    "One kept connection; one request at a time."
    def __init__(self): self.buffer, self.waiting, self.need = bytearray(), None, -1
    def connection_made(self, transport): self.transport = transport
    def connection_lost(self, error):
        if self.waiting and not self.waiting.done(): self.waiting.set_exception(ConnectionError("closed"))

    def data_received(self, data):
        self.buffer += data
        if self.need < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0: return
            head = bytes(self.buffer[:end]).lower()
            at = head.find(b"content-length:")
            self.need, self.status = end + 4 + (int(head[at + 15:].split(b"\r\n", 1)[0]) if at >= 0 else 0), int(head[9:12])
            at = head.find(b"location: ")
            self.location = bytes(self.buffer[at + 10:at + 200]).split(b"\r\n", 1)[0].decode() if at >= 0 else ""
        if len(self.buffer) >= self.need:
            text = bytes(self.buffer[:self.need])
            del self.buffer[:self.need]
            self.need = -1
            self.waiting.set_result((self.status, self.location, text))

    async def ask(self, method, path, data, token):
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n".encode()
                             + (b"Content-Type: application/fhir+json\r\nContent-Length: %d\r\n\r\n" % len(data) + data if data else b"\r\n"))
        return await self.waiting


async def connected(port):
    _, line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", port)
    return line


def dues(rate, rng, until):
    "When requests fall due: at random, `rate` a second on average; at once and for ever without a rate."
    at = time.perf_counter()
    while rate and at < until:
        at += rng.expovariate(rate)
        yield at
    while not rate and (at := time.perf_counter()) < until: yield at


async def client(port, token, world, due, rows, wrong):
    line = await connected(port)
    for start in due:
        if (early := start - time.perf_counter()) > 0: await asyncio.sleep(early)
        what = world.rng.choices(world.names, world.weights)[0]
        method, path, data, expected = world.request(what)
        status, location, text = await line.ask(method, path, data, token)
        rows.append((what, time.perf_counter() - start))
        if status != expected: wrong.append((what, status, text[-300:].decode("utf-8", "replace")))
        elif method == "POST": world.known.append("/".join(location.split("/fhir/")[1].split("/")[:2]))
    line.transport.close()


def ticks(pids):
    "CPU seconds used so far by processes."
    out = 0.0
    for pid in pids:
        try: f = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError: continue
        out += (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")
    return out


def family(pid):
    "A process and its children."
    try: kids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError: kids = []
    return [pid, *(int(k) for k in kids)]


async def main(a):
    from notebooks import scratch
    folder = Path(tempfile.mkdtemp(prefix="load-", dir=a.folder))
    port = 18080 + os.getpid() % 1000
    env = os.environ | scratch(folder) | dict(HEALTHLAB_SERVICE_BIND=f"127.0.0.1:{port}", HEALTHLAB_SERVICE_URL=f"http://127.0.0.1:{port}", HEALTHLAB_LIMITS_CLIENT="100000/100000")
    os.environ.update(env)
    server = subprocess.Popen([sys.executable, "-c", f"from healthlab.service.serve import serve; serve(workers={a.workers}, threads={a.threads})"], env=env, stdout=open(folder / "log", "w"), stderr=subprocess.STDOUT, cwd=ROOT)
    begun = time.perf_counter()
    try:
        while True:
            try: line = await connected(port); break
            except OSError:
                if server.poll() is not None: sys.exit((folder / "log").read_text()[-3000:])
                await asyncio.sleep(0.02)
        status, _, _ = await line.ask("GET", "/health/ready", b"", "-")
        ready = time.perf_counter() - begun
        from healthlab.service.clients import add_client
        from healthlab.service.tokens import issue
        me = add_client("load", scopes=["system/*.cruds", "metrics"], role="steward")["client_id"]
        token = issue(me, me, "system/*.cruds metrics", "steward", "load", seconds=3600)[0]
        world = World(a.patients, a.seed)
        for b in world.bundles():
            status, _, text = await line.ask("POST", "/fhir", b, token)
            if status != 200: sys.exit(text.decode()[-2000:])
        rounds = {}
        for name, seconds, rate in (("warm", min(5, a.seconds), 0), ("capacity", a.seconds / 2, 0), ("due", a.seconds, a.rate)):
            rows, wrong, cpu, own, start = [], [], ticks(family(server.pid)), time.process_time(), time.perf_counter()
            due = dues(rate, world.rng, start + seconds)
            await asyncio.gather(*(client(port, token, world, due, rows, wrong) for _ in range(a.connections * (2 if rate else 1))))
            took, cpu, own = time.perf_counter() - start, ticks(family(server.pid)) - cpu, time.process_time() - own
            rounds[name] = measured(rows, wrong, took, cpu, own, rate)
            if name != "warm": print(rounds[name]["table"], flush=True)
        return report(a, rounds, ready, len(world.resources))
    finally:
        server.send_signal(signal.SIGTERM)
        try: server.wait(20)
        except subprocess.TimeoutExpired: server.kill()
        subprocess.run(["rm", "-rf", str(folder)])


def measured(rows, wrong, took, cpu, own, rate):
    "A round's figures, and its table."
    def at(times, share): return sorted(times)[min(len(times) - 1, int(share * len(times)))] * 1000
    every = [t for _, t in rows]
    lines = [f"{'request':<34}{'n':>8}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}"]
    for what in [*(n for n, _ in MIX), "all"]:
        times = [t for w, t in rows if what in ("all", w)]
        if times: lines.append(f"{what:<34}{len(times):>8,}{at(times, .5):>9.1f}{at(times, .95):>9.1f}{at(times, .99):>9.1f}")
    figures = dict(due_per_second=rate or None, requests_per_second=round(len(rows) / took), p50_ms=round(at(every, .5), 1), p99_ms=round(at(every, .99), 1), wrong=len(wrong),
                   service_cpu_ms=round(cpu / len(rows) * 1e3, 2), generator_cpu_ms=round(own / len(rows) * 1e3, 2))
    due = f" ({rate:,.0f} due)" if rate else " (as many as it can)"
    lines += ["", f"{len(rows) / took:,.0f} requests a second{due} over {took:.0f} s, {len(wrong)} wrong answers; CPU a request: service {figures['service_cpu_ms']:.2f} ms, generator {figures['generator_cpu_ms']:.2f} ms", ""]
    for w in wrong[:5]: print(w)
    return dict(figures, table="\n".join(lines))


def report(a, rounds, ready, stored):
    line = f"{os.cpu_count()} cores for service and generator, {a.workers} workers of {a.threads} threads, {a.connections} connections, {2 * a.connections} when requests fall due; {stored:,} resources at the start; ready {ready:.2f} s after start"
    print(line)
    if a.save:
        target = ROOT / "tests" / "load" / "results"
        target.mkdir(exist_ok=True)
        tables = [rounds[n].pop("table") for n in ("capacity", "due")]
        (target / f"{time.strftime('%Y-%m-%d')}-load.json").write_text(json.dumps(dict(command="make load", mix=dict(MIX), connections=a.connections, ready_s=round(ready, 2), capacity=rounds["capacity"], due=rounds["due"]), indent=1) + "\n")
        (target / f"{time.strftime('%Y-%m-%d')}-load.md").write_text("```\n" + "\n".join([*tables, line]) + "\n```\n")
    return 1 if any(r["wrong"] for r in rounds.values()) else 0


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    for name, kind, usual in (("seconds", float, 60), ("connections", int, 12), ("workers", int, 2), ("threads", int, 16), ("patients", int, 20), ("seed", int, 7), ("rate", float, 620)): p.add_argument(f"--{name}", type=kind, default=usual)
    p.add_argument("--folder", default=None, help="where the store of the run lies (default: the temporary folder)")
    p.add_argument("--save", action="store_true")
    sys.exit(asyncio.run(main(p.parse_args())))
