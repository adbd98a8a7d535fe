"""The service as it runs in earnest: gunicorn in a process of its own, on a port of this machine."""
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def serving(workbench, scheme="http", **env):
    "Starts the service with this environment besides the test's; gives (port, process). Ended, with whatever it started, when the block ends."
    port, log = free_port(), open(workbench / "service.log", "ab")
    given = os.environ | {"HEALTHLAB_SERVICE_BIND": f"127.0.0.1:{port}", "HEALTHLAB_SERVICE_URL": f"{scheme}://127.0.0.1:{port}", "HEALTHLAB_SERVICE_WORKERS": "1"} | env
    process = subprocess.Popen([sys.executable, "-m", "healthlab.service.serve"], env=given, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1): break
            assert process.poll() is None and time.monotonic() < until, (workbench / "service.log").read_text()[-3000:]
            time.sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        try: process.wait(30)
        except subprocess.TimeoutExpired: os.killpg(process.pid, signal.SIGKILL)
        log.close()
