"""The official R4 FHIRPath suite (FHIR/fhir-test-cases), run from ../shared/data/fhirpath.

    python tests/spec/conformance_fhirpath.py     passed and failed counts, the failing names with the reason each
"""
import json
import sys
import tarfile
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

DATA = Path(__file__).resolve().parents[2].parent / "shared/data"
# inputs that are not beside the suite but are the same example in the R4 examples package
EXAMPLES = {"explanationofbenefit-example": "ExplanationOfBenefit-EB3500", "valueset-example-expansion": "ValueSet-example-expansion"}
# what we do differently on purpose, with the reason
REASONS = {
    "testFHIRPathIsFunction8": "the input's JSON does not hold the extension its XML holds",
    "testFHIRPathIsFunction10": "the input's JSON does not hold the extension its XML holds",
    "HighBoundaryDateTimeMillisecond1": "the suite reads @2014-01-01T08 as 08:00; the last moment of hour 08 is 08:59:59.999",
}


def load(name, folder):
    "An input as a dict, from its JSON file or the examples package; None when neither is there."
    stem = name.rsplit(".", 1)[0]
    if (f := folder / "inputs" / f"{stem}.json").exists(): return json.loads(f.read_text())
    package = DATA / "fhir_r4/hl7.fhir.r4.examples.tar.gz"
    if stem not in EXAMPLES or not package.exists(): return None
    with tarfile.open(package) as tar: return json.load(tar.extractfile(f"4.0.1/package/{EXAMPLES[stem]}.json"))


def same(got, kind, want):
    "Whether a value is what the suite's <output> says."
    want = want or ""
    if kind == "boolean" or (kind is None and want in ("true", "false")): return got is (want == "true")
    if isinstance(got, bool): return False
    if kind in ("integer", "decimal") or isinstance(got, (int, float, Decimal)):
        try: return Decimal(str(got)) == Decimal(want)
        except ArithmeticError: return False
    return str(got) == (want.removeprefix("@T").removeprefix("@") if want.startswith("@") else want)


def outcome(test, inputs, folder):
    "None when the test passes, else what went wrong."
    from healthlab.fhir.path import FHIRPathError, check, evaluate
    e = test.find("expression")
    name = test.get("inputfile")
    if name and name not in inputs: inputs[name] = load(name, folder)
    resource = inputs[name] if name else {}
    if resource is None: return f"input {name} is not at hand"
    want = [(o.get("type"), o.text) for o in test.findall("output")]
    try:
        if test.get("checkOrderedFunctions"): check(e.text, resource["resourceType"], ordered=True)
        got = evaluate(resource, e.text)
    except FHIRPathError as x: return None if e.get("invalid") else f"error: {x}"
    if e.get("invalid"): return f"expected an error, got {got!r:.80}"
    if test.get("predicate") == "true" and want == [("boolean", "true")] and not isinstance(got[:1], bool): got = [bool(got)]
    if test.get("ordered") == "false": got, want = sorted(got, key=str), sorted(want, key=lambda w: w[1])
    if len(got) != len(want): return f"expected {len(want)} items, got {got!r:.80}"
    wrong = [(w[1], g) for g, w in zip(got, want) if not same(g, *w)]
    return f"expected {wrong[0][0]}, got {wrong[0][1]!r:.80}" if wrong else None


def run(folder=DATA / "fhirpath") -> dict:
    "{suite, passed, failed, failing: [(name, reason)]}"
    tests, inputs, failing, passed = ElementTree.parse(folder / "tests-fhir-r4.xml").getroot().iter("test"), {}, [], 0
    for t in tests:
        reason = outcome(t, inputs, folder)
        if reason is None: passed += 1
        else: failing.append((t.get("name"), REASONS.get(t.get("name"), reason)))
    return {"suite": "FHIRPath R4", "passed": passed, "failed": len(failing), "failing": failing}


if __name__ == "__main__":
    report = run()
    print(f"{report['suite']}: {report['passed']} passed, {report['failed']} failed ({report['passed'] / (report['passed'] + report['failed']):.1%})")
    for n, r in report["failing"]: print(f"  {n}: {r}")
    sys.exit(0)
