"""The official SQL-on-FHIR v2 suite (FHIR/sql-on-fhir-v2), run from ../shared/data/sql_on_fhir: every test over dicts and JSON bytes by generated
code, and by the FHIRPath engine.

    python tests/spec/conformance_views.py [test_report.json]     counts, failing names; the report in the suite's own format
"""
import json
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parents[2].parent / "shared/data/sql_on_fhir"


def canonical(rows):
    return sorted(json.dumps({k: v for k, v in r.items() if v is not None and v != []}, sort_keys=True, default=str) for r in rows)


def as_numbers(v):
    "5 and 5.0 are one number in JSON."
    if isinstance(v, dict): return {k: as_numbers(x) for k, x in v.items()}
    if isinstance(v, list): return [as_numbers(x) for x in v]
    return float(v) if isinstance(v, int) and not isinstance(v, bool) else v


def mismatch(test, resources, engine):
    "None when the table is what the test expects, else what differs."
    from healthlab.fhir.views import ViewDefinition
    view = ViewDefinition.from_json(test["view"])
    if engine: view._fast = None
    table = view.run(resources)
    got = as_numbers(table.to_pylist())
    if "expectColumns" in test and table.column_names != test["expectColumns"]: return f"columns {table.column_names}"
    if "expectCount" in test: return None if len(got) == test["expectCount"] else f"{len(got)} rows"
    return None if canonical(got) == canonical(as_numbers(test["expect"])) else f"got {got!r:.200}"


def outcome(test, resources):
    "None when the test passes every way."
    from healthlab.fhir.views import ViewError
    for given, engine in ((resources, False), ([json.dumps(r).encode() for r in resources], False), (resources, True)):
        try: wrong = mismatch({"expect": [], **test}, given, engine)
        except ViewError as e: wrong = None if test.get("expectError") else f"error: {e}"
        else:
            if test.get("expectError"): wrong = "expected an error"
        if wrong: return wrong
    return None


def run(folder=DATA, report=None) -> dict:
    "{suite, passed, failed, failing: [(name, reason)]}; `report` is where test_report.json is written."
    if not Path(folder).is_dir(): raise FileNotFoundError(folder)
    failing, passed, results = [], 0, {}
    for f in sorted(Path(folder).glob("*.json")):
        suite = json.loads(f.read_text())
        if "tests" not in suite: continue
        results[f.name] = {"tests": []}
        for t in suite["tests"]:
            reason = outcome(t, suite["resources"])
            results[f.name]["tests"].append({"name": t["title"], "result": {"passed": reason is None, **({"reason": reason} if reason else {})}})
            if reason is None: passed += 1
            else: failing.append((f"{f.stem}: {t['title']}", reason))
    if report: Path(report).write_text(json.dumps(results, indent=2) + "\n")
    return {"suite": "SQL on FHIR v2", "passed": passed, "failed": len(failing), "failing": failing}


if __name__ == "__main__":
    result = run(report=sys.argv[1] if len(sys.argv) > 1 else None)
    print(f"{result['suite']}: {result['passed']} passed, {result['failed']} failed")
    for n, r in result["failing"]: print(f"  {n}: {r}")
