"""A real hub on free ports, with a small simulated hospital in its lake, for all tests of this folder."""
import os, socket, subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = """
from pathlib import Path
import os
from healthlab.hospital import Hospital
from healthlab.ingest import ingest
from healthlab.deid import deidentify
from healthlab.lake import Lake
from healthlab.lake.materialise import materialise
landing = Path(os.environ["HEALTHLAB_LANDING_URL"])
Hospital(patients=4, seed=3).emit(landing)
lake = Lake()
ingest(landing, lake, workers=1); deidentify(lake); materialise(lake)
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


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    "A running hub: .url, .folder, .env, .passwords {account: password}, .seconds from the command to the login page."
    import requests
    from healthlab.hub.confine import abi
    from healthlab.hub.configuration import proxy
    from healthlab.core.errors import SettingsError
    if not abi(): pytest.skip("this kernel has no Landlock")
    try: proxy()
    except SettingsError: pytest.skip("configurable-http-proxy is not installed (make hub, or npm ci --prefix hub)")
    from healthlab.cli import demo_environment
    folder, port = tmp_path_factory.mktemp("hub"), free_ports(6)
    env = {k: v for k, v in os.environ.items() if not k.startswith("HEALTHLAB_")} | {k: v.replace("/var/demo", "") for k, v in demo_environment(folder).items()}
    env |= {"HEALTHLAB_HUB_PORT": str(port), "HEALTHLAB_HUB_URL": f"http://127.0.0.1:{port}", "HEALTHLAB_SETTINGS": str(ROOT / "settings.ini")}
    subprocess.run([sys.executable, "-c", SAMPLE], env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    log, start = open(folder / "hub.log", "wb"), time.monotonic()
    first = "from healthlab.hub.launch import launch; launch(('steward', 'researcher', 'stakeholder'))"
    process = subprocess.Popen([sys.executable, "-c", first], env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    url = env["HEALTHLAB_HUB_URL"]
    while True:
        assert process.poll() is None and time.monotonic() - start < 180, (folder / "hub.log").read_text()[-3000:]
        try:
            if requests.get(f"{url}/hub/login", timeout=5).status_code == 200: break
        except requests.RequestException: pass
        time.sleep(.2)
    seconds = time.monotonic() - start
    passwords = dict(line.split() for line in (folder / "hub/first-passwords").read_text().splitlines())
    yield SimpleNamespace(url=url, folder=folder, env=env, passwords=passwords, seconds=seconds, process=process)
    process.terminate()
    try: process.wait(60)
    except subprocess.TimeoutExpired: os.killpg(process.pid, 9)


@pytest.fixture(scope="session")
def people(hub):
    "Everyone signed in, with a server that runs and a kernel in it."
    from person import Person
    out = {name: Person(hub.url, name, hub.passwords[name]) for name in ("steward", "researcher")}
    for p in out.values(): p.spawn()
    for p in out.values(): p.start_kernel()
    return out
