"""Cross-modal de-identification at length: 200 invented patients, 10,000 resources and every other form, identifiers of every kind planted; prints what leaks, differs or is not valid, and ends with 1 if anything does.

    python tests/e2e/deid_crossmodal.py [--seeds 200] [--resources 10000] [--first 1000]
"""
import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "property"))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--seeds", type=int, default=200)
    a.add_argument("--resources", type=int, default=10_000)
    a.add_argument("--first", type=int, default=1000, help="the first seed; the tests use 0 to 7")
    args = a.parse_args()
    found, total, start = Counter(), 0, time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HEALTHLAB_KEYS_FILE": f"{folder}/k/key", "HEALTHLAB_AUDIT_PATH": f"{folder}/audit"}
        import crossmodal
        for seed in range(args.first, args.first + args.seeds):
            got = crossmodal.check(seed, count=max(1, -(-args.resources // args.seeds) - 3), full=seed % 10 == 0)
            total += got.pop("resources")
            for kind, what in got.items():
                for x in what: found[f"{kind}: {x}"] += 1
            if got: print(seed, json.dumps(got), flush=True)
    print(json.dumps({"seeds": args.seeds, "resources": total, "forms": 6, "found": dict(found), "cpu_seconds": round(time.process_time() - start, 1)}))
    sys.exit(bool(found))


if __name__ == "__main__": main()
