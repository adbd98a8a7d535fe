"""`make conformance`: each public suite's passed and failed counts, with the failing names and why; kept as a dated file.

A suite is a conformance_*.py beside this file with `run() -> dict(suite, passed, failed, failing=[(name, reason)])`; one whose
data is absent raises FileNotFoundError and is named as not run.
"""
import importlib.util
import json
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(names):
    results, absent = [], []
    for f in sorted(HERE.glob("conformance_*.py")):
        name = f.stem.removeprefix("conformance_")
        if names and name not in names: continue
        spec = importlib.util.spec_from_file_location(f.stem, f)
        module = importlib.util.module_from_spec(spec)
        sys.modules[f.stem] = module
        spec.loader.exec_module(module)
        try: got = module.run()
        except FileNotFoundError as e:
            absent.append(f"{name}: not run, its data are absent ({e})")
            continue
        for r in got if isinstance(got, list) else [got]:
            results.append(r)
            print(f"{r['suite']}: {r['passed']} passed, {r['failed']} failed", flush=True)
            for test, reason in r["failing"]: print(f"    {test}: {reason}")
    print("\n".join(absent))
    out = HERE / "results"
    out.mkdir(exist_ok=True)
    if results: (out / f"{date.today()}-conformance.json").write_text(json.dumps(results, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
