"""What every test stands on: a scratch workbench of its own, and where the public data lie when they are there."""
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "gate"))

# processes side by side share the cores: OpenMP's threads would wait for each other in loops (a notebook that takes 20 s took 227)
if "PYTEST_XDIST_WORKER_COUNT" in os.environ: os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))))


def pytest_xdist_make_scheduler(config, log):
    "Of the processes, one runs the whole of a file, whose fixtures are costly; notebooks, which share nothing, go to whichever is free."
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return nodeid if file.endswith("test_notebooks.py") else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(autouse=True)
def workbench(tmp_path_factory, monkeypatch):
    "Lake, keys, audit and reports of this test alone; returns the folder."
    folder = tmp_path_factory.mktemp("workbench")
    for k in [k for k in os.environ if k.startswith("HEALTHLAB_")]: monkeypatch.delenv(k)
    from notebooks import scratch
    for k, v in scratch(folder).items(): monkeypatch.setenv(k, v)
    return folder


@pytest.fixture(scope="session")
def public_data():
    "The folder of public data beside the checkout; tests that need it are skipped, saying so, when it is absent."
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir(): pytest.skip("the public data (../shared/data) are not here")
    return folder
