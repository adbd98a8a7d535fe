"""HL7's validator cases (FHIR/fhir-test-cases, JSON, R4): does our validator agree on error or no error?

    python tests/spec/conformance_validator.py

Cases whose only errors come from a terminology server are marked so in cases.csv and not counted. The other cases are all counted; where the
reference validator needed more than base FHIR to find its error, the reason says what.
"""
import csv
from pathlib import Path

from healthlab.fhir.model import validate

DATA = Path(__file__).resolve().parents[2].parent / "shared/data/fhir_validator"
TERMINOLOGY, GUIDE, OPTION = "needs a terminology server", "needs definitions outside base R4 (profile, extension, guide)", "depends on an option of the reference validator"
REASONS = {
    "cvx": TERMINOLOGY, "bundle-id-5": TERMINOLOGY, "uk-msg": TERMINOLOGY, "ips-nz-pj": TERMINOLOGY, "vs-params-2": GUIDE,
    "pat-example-extensions": GUIDE, "nested-questionnaire-nested-valueset": GUIDE, "patient-with-turvakielto": GUIDE,
    "obs-temp-bad": GUIDE, "obs-vs-1": GUIDE,
    "dr-example-org": OPTION + ": the same file is 'ok' as dr-example-org-2", "pat-security-bad-string": OPTION, "bad-markdown-no-html": OPTION, "parameters-reference-bad": OPTION, "signatures-example-2": "digital signatures are not verified",
}


def cases() -> list[dict]:
    """The counted cases, each with its document; FileNotFoundError when the data are absent."""
    if not DATA.is_dir(): raise FileNotFoundError("../shared/data/fhir_validator")
    rows = [r for r in csv.DictReader((DATA / "cases.csv").open()) if r["expected"] != "terminology"]
    for r in rows:
        f = DATA / "inputs" / r["file"]
        r["data"] = (f if f.exists() else f.parent.parent / f.name).read_bytes()
    return rows


def run() -> dict:
    """Agreement, case by case."""
    failing, passed = [], 0
    for r in cases():
        got = "error" if any(i.stops for i in validate(r["data"])) else "ok"
        if got == r["expected"]: passed += 1
        else: failing.append((r["name"], f"expected {r['expected']}: {REASONS.get(r['name'], 'not found by our rules')}"))
    return {"suite": "validator (error or no error, R4 JSON)", "passed": passed, "failed": len(failing), "failing": failing}


def in_scope(result: dict) -> float:
    """Agreement over the cases that need no terminology server, guide or option."""
    out = sum(any(reason.endswith(r) or r in reason for r in (TERMINOLOGY, GUIDE, OPTION)) for _, reason in result["failing"])
    return result["passed"] / (result["passed"] + result["failed"] - out)


if __name__ == "__main__":
    found = run()
    print(f"{found['suite']}: {found['passed']} passed, {found['failed']} failed; {in_scope(found):.3f} of those that base FHIR can decide")
    for name, reason in found["failing"]: print(f"    {name}: {reason}")
