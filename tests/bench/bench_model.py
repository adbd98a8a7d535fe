"""Figures of FHIR parsing and validation: against fhir.resources on the same lines, structure only, and with invariants on two processes."""
import gzip
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
from cpu import seconds

from healthlab.fhir.bundle import entries
from healthlab.fhir.model import parse, structural, validate
from healthlab.fhir.structure import type_of

COMMAND = "python tests/bench/bench_model.py"
BUNDLES = Path(os.environ.get("HEALTHLAB_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "landing" / "fhir_bundles"
FILES = 40


def lines() -> list[bytes]:
    """Resources of Synthea bundles, one compact JSON line each, as bulk exports write them; the simulated hospital's where the bundles are absent."""
    found = sorted(BUNDLES.glob("smart/*.json.gz"))[:FILES]
    if found: return [msgspec.json.format(e.resource, indent=-1) for f in found for e in entries(gzip.decompress(f.read_bytes())) if e.resource]
    from healthlab.hospital import Hospital
    return [msgspec.json.encode(r) for r in Hospital(patients=60, seed=0).resources()]


def peer(found: list[bytes]) -> float:
    """Seconds fhir.resources (R4B models, the nearest it has to R4) takes to parse and validate the same lines."""
    from fhir.resources.R4B import get_fhir_model_class
    models = {t: get_fhir_model_class(t) for t in {type_of(line) for line in found}}
    def work():
        for line in found: models[type_of(line)].model_validate_json(line)
    return seconds(work)


def checked(part: list[bytes]) -> int:
    """Validate lines with invariants; how many are clean."""
    return sum(not any(i.stops for i in validate(line)) for line in part)


def run() -> list[dict]:
    """The figures as rows {name, figure, unit, peer, peer_figure, ratio, asked, command}."""
    found = lines()
    for line in found: structural(line)   # classes are built once; that is not what is measured
    sample = found[:: max(1, len(found) // 2000)]
    n, few = len(found), len(sample)
    def ours_once():
        for line in sample: parse(line)
    ours, theirs = seconds(ours_once, 5) / few, None
    try: theirs = peer(sample) / few
    except ImportError: pass
    rows = [{"name": "parse and validate, one core", "figure": round(1 / ours), "unit": "resources/s", "peer": "fhir.resources" if theirs else "",
             "peer_figure": round(1 / theirs) if theirs else None, "ratio": round(theirs / ours, 1) if theirs else None, "asked": ">= 15x", "command": COMMAND}]
    def structure_once():
        for line in found: structural(line)
    structure = seconds(structure_once, 5) / n
    rows.append({"name": "structure only, one core", "figure": round(1 / structure), "unit": "resources/s", "peer": "", "peer_figure": None, "ratio": None,
                 "asked": ">= 50000", "command": COMMAND})
    inv = seconds(lambda: checked(found), 3) / n
    rows.append({"name": "structure and invariants, one core", "figure": round(1 / inv), "unit": "resources/s", "peer": "", "peer_figure": None,
                 "ratio": round(theirs / inv, 1) if theirs else None, "asked": "", "command": COMMAND})
    parts = [found[i::2] for i in range(2)]
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(checked, parts))
        start = time.perf_counter()
        clean = sum(pool.map(checked, parts))
        wall = time.perf_counter() - start
    rows.append({"name": "structure and invariants, two processes (wall clock)", "figure": round(n / wall), "unit": "resources/s", "peer": "", "peer_figure": None,
                 "ratio": None, "asked": ">= 10000", "command": COMMAND})
    rows.append({"name": "resources without an error", "figure": clean, "unit": f"of {n}", "peer": "", "peer_figure": None, "ratio": None, "asked": "", "command": COMMAND})
    return rows


def main() -> list[dict]:
    rows = run()
    for r in rows: print(f"{r['name']:<55} {r['figure']:>10,} {r['unit']:<14} {r['peer']:<15} {r['peer_figure'] or '':>8} {str(r['ratio'] or ''):>7} {r['asked']}")
    return rows


if __name__ == "__main__": main()
