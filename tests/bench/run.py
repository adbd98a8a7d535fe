"""`make bench`: every bench_*.py beside this file, as one table, kept as a dated file under results/.

A bench has `run() -> list[dict]` with name, figure, unit, peer, peer_figure, ratio, asked, command: ratios against a named peer
in the same run, because the machines are noisy; the load says how much else was running, the speed of a plain loop how fast the machine was,
and its way with 8-bit integers how fast it may read notes.

    python tests/bench/run.py [area ...]      e.g. `run.py model ingest`
"""
import importlib.util
import json
import os
import platform
import sys
import time
import traceback
from datetime import date
from pathlib import Path

from cpu import eighths, speed

HERE = Path(__file__).resolve().parent
COLUMNS = ("name", "figure", "unit", "peer", "peer_figure", "ratio", "asked")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # worker processes look functions up by module name
    spec.loader.exec_module(module)
    return module


def shown(v):
    if isinstance(v, float): return f"{v:,.3g}" if abs(v) < 100 else f"{v:,.0f}"
    return "" if v is None else str(v)


def table(rows):
    cells = [[shown(r.get(c)) for c in COLUMNS] for r in rows]
    widths = [max(len(x) for x in col) for col in zip(COLUMNS, *cells)]
    line = lambda row: "| " + " | ".join(x.ljust(w) for x, w in zip(row, widths)) + " |"
    return "\n".join([line(COLUMNS), "|" + "|".join("-" * (w + 2) for w in widths) + "|", *map(line, cells)])


def circumstances(head):
    busy = f", load {head['load']} when it began" + (": other work took the cores, so rates and times are not those of a quiet machine" if head["load"] > head["cores"] else "")
    return f"`{head['command']}` on {head['cores']} cores ({head['speed']} million steps of a plain loop a CPU second{head['eighths'] and ', ' + head['eighths']}){busy}, Python {head['python']}, {head['seconds']} s"


def main(areas):
    files = sorted(HERE.glob("bench_*.py"))
    if areas: files = [f for f in files if f.stem.removeprefix("bench_") in areas]
    if not files: sys.exit(f"no such bench; there are: {', '.join(f.stem.removeprefix('bench_') for f in sorted(HERE.glob('bench_*.py')))}")
    (HERE / "results").mkdir(exist_ok=True)
    failed = []
    for f in files:
        area, start, busy = f.stem.removeprefix("bench_"), time.monotonic(), os.getloadavg()[0]
        print(f"== {area}", flush=True)
        try:
            bench = load(f)
            rows = bench.run()
        except Exception:
            traceback.print_exc()
            failed.append(area)
            continue
        command = f"make bench AREAS={area}"
        head = {"area": area, "date": str(date.today()), "command": command, "seconds": round(time.monotonic() - start, 1), "python": platform.python_version(), "cores": os.cpu_count(), "load": round(busy, 1), "speed": round(speed(), 1), "eighths": eighths()}
        brief = f"{bench.summary(rows)}\n\n" if hasattr(bench, "summary") else ""  # a table of its own, before the rows
        print(brief + table(rows), flush=True)
        out = HERE / "results" / f"{date.today()}-{area}"
        out.with_suffix(".json").write_text(json.dumps(head | {"rows": rows}, indent=1, default=str) + "\n")
        out.with_suffix(".md").write_text(f"# {area}, {head['date']}\n\n{circumstances(head)}\n\n{brief}{table(rows)}\n")
    if failed: sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
