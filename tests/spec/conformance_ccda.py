"""C-CDA: the public documents and fragments convert and validate.

    python tests/spec/conformance_ccda.py     passed and failed counts, the failing names with the reason each
"""
from pathlib import Path

from healthlab.fhir.ccda import CcdaError, to_bundle
from healthlab.fhir.model import validate

DATA = Path(__file__).resolve().parents[2].parent / "shared/data/ccda"


def documents():
    if not DATA.is_dir(): raise FileNotFoundError("../shared/data/ccda")
    return [f for f in sorted(DATA.rglob("*")) if f.is_file()]


def references(v):
    if isinstance(v, dict):
        if isinstance(v.get("reference"), str): yield v["reference"]
        for w in v.values(): yield from references(w)
    elif isinstance(v, list):
        for w in v: yield from references(w)


def verdict(data):
    try: bundle = to_bundle(data, timezone="UTC")
    except CcdaError as e: return f"not converted: {e}"
    errors = [i for i in validate(bundle) if i.severity in ("fatal", "error")]
    if errors: return f"{len(errors)} errors, first at {errors[0].path}: {errors[0].message}"
    known = {e["request"]["url"] for e in bundle["entry"]}
    return "references lead nowhere" if any(r not in known for e in bundle["entry"] for r in references(e["resource"])) else ""


def run():
    verdicts = [(f.name, verdict(f.read_bytes())) for f in documents()]
    failing = [(n, why) for n, why in verdicts if why]
    return dict(suite="C-CDA documents to FHIR", passed=len(verdicts) - len(failing), failed=len(failing), failing=failing)


if __name__ == "__main__":
    s = run()
    print(f"{s['suite']}: {s['passed']} passed, {s['failed']} failed")
    for name, why in s["failing"]: print(f"    {name}: {why}")
