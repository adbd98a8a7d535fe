"""A real hub on free ports, with a simulated hospital in its lake: for the tests of this folder and for the screenshots."""
import os, signal, socket, subprocess, sys, time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = """
import os, pyarrow as pa
from pathlib import Path
from healthlab.core.audit import new_run_id
from healthlab.deid import deidentify
from healthlab.hospital import Hospital
from healthlab.ingest import ingest
from healthlab.lake import Lake
from healthlab.lake.materialise import materialise
from healthlab.pipelines.record import RunRecord
from healthlab.quality import assess

landing, reports = Path(os.environ["HEALTHLAB_LANDING_URL"]), Path(os.environ["HEALTHLAB_REPORTS_URL"])
Hospital(patients=4, seed=3).emit(landing, progress=False)
lake, run = Lake(), new_run_id()
came = ingest(landing, lake, workers=1, run_id=run)
deidentify(lake); materialise(lake); assess(lake, "deidentified", run_id=run, workers=1)
for pipeline, status, results, error in (("ingest", "ok", came.figures(), {}), ("views", "failed", {}, {"type": "StorageError", "message": "the disk is full"})):
    folder = reports / pipeline / run
    folder.mkdir(parents=True)
    RunRecord(pipeline, run, status, "2026-03-09T02:00:00.000Z", "2026-03-09T02:01:00.000Z", 60., results=results, error=error).save(folder)

n = 240 # people enough for a dashboard to have something to show; one condition's name was typed with a phone number in it
ids = [f"p{k}" for k in range(n)]
write = lambda name, **columns: lake.write("research", name, pa.table(dict(id=ids, **columns)), run_id=run, mode="overwrite")
write("patient", gender=["female" if k % 2 else "male" for k in range(n)], race=["White" if k > 24 else "Asian" for k in range(n)], birth_date=[f"{1930 + k % 70}" for k in range(n)], deceased=pa.array([None] * n, pa.bool_()), deceased_at=["2019-05-01" if k % 5 == 0 else None for k in range(n)])
write("encounter", patient=ids, **{"class": ["AMB" if k % 3 else "IMP" for k in range(n)]}, start=[f"201{k % 5}-03-01" for k in range(n)], end=["2020-03-02"] * n)
write("condition", patient=ids, display=["hypertension" if k % 3 == 0 else "diabetes, call 555-867-5309" if k % 4 == 0 else None for k in range(n)], text=pa.array([None] * n, pa.string()), code=pa.array([None] * n, pa.string()), clinical_status=["active"] * n)
lake.write("synthetic", "encounter", pa.table({"id": ids, "patient": ids, "class": ["AMB" if k % 4 else "IMP" for k in range(n)], "start": [f"201{k % 4}-03-01" for k in range(n)], "end": ["2020-03-02"] * n}), run_id=run)
write("document", text=["Hypertension was found."] * n)
write("nlp_entity", document=ids, patient=ids, text=["Hypertension" if k % 2 else "Headache" for k in range(n)], display=pa.array([None] * n, pa.string()), label=["Diagnosis" if k % 2 else "SymptomOrSign" for k in range(n)],
      certainty=["positive" if k % 5 else "negative" for k in range(n)], start=[0] * n, end=[12] * n, position=[0] * n)
"""


def free_ports(n: int) -> int:
    "The first of `n` neighbouring free ports."
    for start in range(21000 + os.getpid() % 600 * 17, 48000, 17):
        try:
            for port in range(start, start + n):
                with socket.socket() as s: s.bind(("127.0.0.1", port))
            return start
        except OSError: continue
    raise RuntimeError("no free ports")


def environment(folder: Path, port: int) -> dict:
    "The variables of a workbench under a folder."
    from healthlab.cli import demo_environment
    env = {k: v for k, v in os.environ.items() if not k.startswith("HEALTHLAB_")} | {k: v.replace("/var/demo", "") for k, v in demo_environment(folder).items()}
    return env | {"HEALTHLAB_HUB_PORT": str(port), "HEALTHLAB_HUB_URL": f"http://127.0.0.1:{port}", "HEALTHLAB_SETTINGS": str(ROOT / "settings.ini"), "HEALTHLAB_HUB_QUOTA_MB": "1000", "HEALTHLAB_HUB_STORAGE_SECONDS": "2", "HEALTHLAB_MLFLOW_TRACKING": f"sqlite:///{folder}/mlflow/mlflow.db"}


def mine(folder: Path) -> list[int]:
    "The processes of the workbench under a folder, by what stands in their environment."
    out = []
    for at in Path("/proc").glob("[0-9]*"):
        try:
            if f"HEALTHLAB_LAKE_URL={folder}/".encode() in (at / "environ").read_bytes() and int(at.name) != os.getpid() and b"State:\tZ" not in (at / "status").read_bytes(): out.append(int(at.name))
        except OSError: pass
    return out


@contextmanager
def running(folder: Path, sample: str = SAMPLE):
    "A hub: .url, .folder, .env, .passwords {account: password}, .seconds from the command to the login page, .process. Nothing of it is left afterwards."
    import requests
    port = free_ports(6)
    env = environment(folder, port)
    if sample: subprocess.run([sys.executable, "-c", sample], env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    log, start = open(folder / "hub.log", "ab"), time.monotonic()
    first = "from healthlab.hub.launch import launch; launch(('steward', 'researcher', 'stakeholder'))"
    process = subprocess.Popen([sys.executable, "-c", first], env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    url = env["HEALTHLAB_HUB_URL"]
    try:
        while True:
            assert process.poll() is None and time.monotonic() - start < 180, (folder / "hub.log").read_text()[-3000:]
            try:
                if requests.get(f"{url}/hub/login", timeout=5).status_code == 200: break
            except requests.RequestException: pass
            time.sleep(.2)
        seconds = time.monotonic() - start
        passwords = dict(line.split() for line in (folder / "hub/first-passwords").read_text().splitlines())
        yield SimpleNamespace(url=url, folder=folder, env=env, passwords=passwords, seconds=seconds, process=process)
    finally:
        process.kill() # the hardest end: what it started has to notice by itself
        process.wait()
        end = time.monotonic() + 30
        while (left := mine(folder)) and time.monotonic() < end: time.sleep(.2)
        said = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")[:200] for pid in left if Path(f"/proc/{pid}").exists()]
        for pid in left:
            try: os.kill(pid, signal.SIGKILL)
            except ProcessLookupError: pass
        assert not left, f"a killed hub left processes behind: {said}"
