"""Run notebooks top to bottom, as a reader would, each in a scratch workbench of its own.

    python tests/gate/notebooks.py             run every library and tutorial notebook and keep the outputs
    python tests/gate/notebooks.py PATH ...    only these
"""
import os
import sys
import tempfile
import time
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from kernels import Manager

ROOT = Path(__file__).resolve().parents[2]


def scratch(folder):
    "The environment of a workbench under `folder`, so that no notebook touches the real lake, keys or reports."
    return {"HEALTHLAB_LAKE_URL": f"{folder}/lake", "HEALTHLAB_LANDING_URL": f"{folder}/landing", "HEALTHLAB_REPORTS_URL": f"{folder}/reports",
            "HEALTHLAB_KEYS_FILE": f"{folder}/keys/healthlab.key", "HEALTHLAB_AUDIT_PATH": f"{folder}/audit",
            "HEALTHLAB_SERVICE_STORE": f"{folder}/service/store.db", "HEALTHLAB_OAUTH_PATH": f"{folder}/service/oauth", "HEALTHLAB_LIMITS_PATH": f"{folder}/service/limits", "HEALTHLAB_JOBS_PATH": f"{folder}/service/jobs",
            "HEALTHLAB_MLFLOW_TRACKING": f"sqlite:///{folder}/mlflow.db", "HEALTHLAB_SETTINGS": str(ROOT / "settings.ini")}


def execute(path, keep=False, timeout=600):
    "Run one notebook; its outputs are kept in the file when asked. Raises nbclient's CellExecutionError, which shows the cell."
    import nbformat
    from nbclient import NotebookClient
    from traitlets.config import Config
    nb = nbformat.read(path, 4)
    with tempfile.TemporaryDirectory() as tmp:
        env, config = {**os.environ, **scratch(tmp), "PYTHONPATH": str(ROOT)}, Config({"KernelManager": {"transport": "ipc", "ip": f"{tmp}/k"}})
        NotebookClient(nb, kernel_manager_class=AsyncKernelManager if keep else Manager, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}, config=config).execute(env=env)
    if keep:
        from nbdev.clean import nbdev_clean
        for cell in nb.cells:
            if cell.cell_type == "code": cell.execution_count = None
        nbformat.write(nb, path)
        nbdev_clean(str(path))


def all_notebooks():
    return [p for under in ("library", "tutorials") for p in sorted((ROOT / "nbs" / under).rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]


if __name__ == "__main__":
    failed = []
    for nb in [Path(a) for a in sys.argv[1:]] or all_notebooks():
        start = time.monotonic()
        try:
            execute(nb, keep=True)
            print(f"ok     {time.monotonic() - start:6.1f} s  {nb}", flush=True)
        except Exception as e:
            failed.append(nb)
            print(f"FAILED {time.monotonic() - start:6.1f} s  {nb}\n{str(e)[-2000:]}", flush=True)
    sys.exit(bool(failed))
