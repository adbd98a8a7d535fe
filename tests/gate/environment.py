"""environment.yml holds the same pins as requirements.lock.

    python tests/gate/environment.py check   compare, list what differs, exit 1 if anything does
    python tests/gate/environment.py fix     write environment.yml from requirements.lock
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = """# The conda environment: the same pins as requirements.lock, written from it by `make fix` (a test compares them).
# Create it with   PIP_NO_DEPS=1 conda env create -f environment.yml
# PIP_NO_DEPS, because synthcity declares pins that contradict what it runs on.
name: healthlab
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - pip
  - pip:
"""


def locked() -> list[str]:
    "The pins of requirements.lock, in its order."
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [p for p in (re.sub(r"\s*#.*", "", line).strip() for line in lines) if p]


def expected() -> str:
    return HEADER + "".join(f"      - {p}\n" for p in locked())


def problems() -> list[str]:
    "What differs between the two files, and pins that do not pin; empty when all is well."
    out = [f"requirements.lock: not an exact pin: {p}" for p in locked() if not re.fullmatch(r"[A-Za-z0-9._-]+==[^\s=]+", p)]
    f = ROOT / "environment.yml"
    have = set(re.findall(r"^\s+- ([A-Za-z0-9._-]+==\S+)$", f.read_text(), re.M)) if f.exists() else set()
    want = set(locked())
    out += [f"environment.yml lacks {p}" for p in sorted(want - have)] + [f"environment.yml has {p}, the lock does not" for p in sorted(have - want)]
    return out or ([] if f.read_text() == expected() else ["environment.yml differs from the lock's order or header"])


if __name__ == "__main__":
    if sys.argv[1:] == ["fix"]:
        (ROOT / "environment.yml").write_text(expected())
    bad = problems()
    print("\n".join(bad) or f"environment.yml and requirements.lock agree on {len(locked())} pins")
    sys.exit(bool(bad))
