"""C-CDA: the public documents and fragments convert and validate.

    python tests/spec/conformance_ccda.py     passed and failed counts, the failing names with the reason each
"""
from pathlib import Path

from transactions import problem, suite

from healthlab.fhir.ccda import CcdaError, to_bundle

DATA = Path(__file__).resolve().parents[2].parent / "shared/data/ccda"


def documents():
    if not DATA.is_dir(): raise FileNotFoundError("../shared/data/ccda")
    return [f for f in sorted(DATA.rglob("*")) if f.is_file()]


def verdict(data):
    try: return problem(to_bundle(data, timezone="UTC"))
    except CcdaError as e: return f"not converted: {e}"


def run():
    return suite("C-CDA documents to FHIR", [(f.name, verdict(f.read_bytes())) for f in documents()])


if __name__ == "__main__":
    s = run()
    print(f"{s['suite']}: {s['passed']} passed, {s['failed']} failed")
    for name, why in s["failing"]: print(f"    {name}: {why}")
