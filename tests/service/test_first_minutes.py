"""The README's first five minutes, done literally: its console block in a shell, its Python block in an interpreter."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from served import free_port


@pytest.fixture
def blocks(root):
    section = re.search(r"^## The REST service\n(.*?)^## ", (root / "README.md").read_text(), re.M | re.S)[1]
    return dict(re.findall(r"^```(console|python)\n(.*?)^```$", section, re.M | re.S))


def test_a_clients_first_five_minutes(blocks, workbench):
    port = free_port()
    env = os.environ | {"HEALTHLAB_SERVICE_BIND": f"127.0.0.1:{port}", "HEALTHLAB_SERVICE_URL": f"http://127.0.0.1:{port}", "HEALTHLAB_SERVICE_WORKERS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    console, python = (blocks[k].replace("127.0.0.1:8080", f"127.0.0.1:{port}") for k in ("console", "python"))
    assert "healthlab serve &" in console
    # a person types more slowly than a script: the service is up when the second line has been read
    console = console.replace("healthlab clients add", f"until curl -s -o /dev/null http://127.0.0.1:{port}/health/ready; do sleep 0.1; done\nhealthlab clients add", 1)
    done = subprocess.run(["bash", "-c", f"trap 'kill $!' EXIT\n{console}\npython - <<'END'\n{python}\nEND\n"], cwd=workbench, env=env, capture_output=True, text=True, timeout=120)
    assert '"family":"Example"' in done.stdout and '"total":1' in done.stdout, done.stdout + done.stderr
    assert re.search(r'\{"text":"Seen by Dr\. (?!Miller)', done.stdout), done.stdout
    assert re.search(r"^[0-9a-f-]{36} \[\{'family': 'Example'\}\]$", done.stdout, re.M), done.stdout + done.stderr
