"""A PostgreSQL server of the tests' own, on a socket in a folder of theirs; nothing listens on the network."""
import contextlib
import glob
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def programs():
    "The folder of PostgreSQL's programs, or None."
    found = shutil.which("initdb") or next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)), None)
    return Path(found).resolve().parent if found else None


def missing():
    "Why there can be no server here; empty when there can."
    if programs() is None: return "no PostgreSQL server is installed (Debian: postgresql)"
    if os.getuid() == 0:
        import pwd
        try: pwd.getpwnam("postgres")
        except KeyError: return "PostgreSQL does not run as root, and there is no account postgres"
    return ""


@contextlib.contextmanager
def server():
    "Starts a server; gives (folder of its data, address without a schema)."
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp")) # a socket's path is short
    account = "postgres" if os.getuid() == 0 else None
    if account: shutil.chown(folder, account)
    def do(name, *words): subprocess.run([programs() / name, *words], check=True, user=account, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})
    try:
        do("initdb", "-D", folder / "data", "-U", "healthlab", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions")
        do("pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", f"-k {folder} -c listen_addresses='' -c max_connections=60", "start")
        yield folder / "data", f"postgresql://healthlab@/postgres?host={folder}"
    finally:
        with contextlib.suppress(subprocess.CalledProcessError): do("pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)
