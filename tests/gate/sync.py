"""The notebook <-> library gate: what is in nbs/library is what is in healthlab/, and nothing else is.

    python tests/gate/sync.py check   list every problem, exit 1 if there is one; never edits
    python tests/gate/sync.py fix     clean the notebooks, export them, strip outputs where none may be
    python tests/gate/sync.py cells   the longest export cells (a report, never a failure)
"""
import ast
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# the only files in healthlab/ that are not exported from a notebook, each with its reason
HAND_WRITTEN = {
    "__init__.py": "the version, read by setuptools before any notebook tooling is installed",
}
NO_OUTPUTS = ("nbs/pipelines", "nbs/dashboards")


def notebooks(root=ROOT, under="nbs"):
    return sorted(p for p in (root / under).rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


def code_cells(nb):
    return [(c, "".join(c["source"])) for c in json.loads(nb.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]


def exports(root=ROOT):
    "module file -> the library notebooks that export it"
    out = defaultdict(list)
    for nb in notebooks(root, "nbs"):
        for _, src in code_cells(nb):
            if m := re.search(r"^#\|\s*default_exp\s+(\S+)", src, re.M):
                out[m[1].replace(".", "/") + ".py"].append(nb)
    return out


def number(nb):
    "The notebook's place in the dependency order: (area, notebook, letter), e.g. (10, 11, 'a')"
    area, own = re.match(r"(\d+)_", nb.parent.name), re.match(r"(\d+)([a-z]?)_", nb.name)
    return (int(area[1]), int(own[1]), own[2]) if area and own else None


def unclean(root=ROOT):
    "Notebooks that nbdev-clean would change."
    import tomllib

    from fastcore.nbio import nb2str, read_nb
    from nbdev.clean import clean_nb
    cfg = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["nbdev"]
    out = []
    for nb in notebooks(root):
        obj = read_nb(nb)
        clean_nb(obj, False, cfg.get("allowed_metadata_keys"), cfg.get("allowed_cell_metadata_keys"))
        if json.loads(nb2str(obj)) != json.loads(nb.read_text(encoding="utf-8")): out.append(f"{nb.relative_to(root)}: not clean (make fix)")
    return out


def out_of_sync(root=ROOT):
    "Modules that differ from what their notebooks export, in either direction."
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        subprocess.run(["cp", "-r", str(root / "nbs"), str(root / "pyproject.toml"), str(tmp)], check=True)
        (tmp / "healthlab").mkdir()
        (tmp / "healthlab/__init__.py").write_text((root / "healthlab/__init__.py").read_text())
        done = subprocess.run([sys.executable, "-c", "from nbdev.doclinks import nbdev_export; nbdev_export()"], cwd=tmp, capture_output=True, text=True)
        if done.returncode: return [f"export fails: {done.stderr.strip().splitlines()[-1]}"]
        fresh = {p.relative_to(tmp / "healthlab"): p.read_text() for p in (tmp / "healthlab").rglob("*.py") if p.name != "_modidx.py"}
    have = {p.relative_to(root / "healthlab"): p.read_text() for p in (root / "healthlab").rglob("*.py") if p.name != "_modidx.py"}
    made = {Path(m) for m in exports(root)} | {Path(h) for h in HAND_WRITTEN}
    out = [f"healthlab/{p}: differs from its notebook (make fix; edit the notebook, never the module)" for p in sorted(made & set(fresh)) if have.get(p) != fresh[p]]
    # an empty __init__.py only makes a folder a package
    out += [f"healthlab/{p}: no notebook exports it" for p in sorted(set(have) - made) if not (p.name == "__init__.py" and have[p].strip() in ("", fresh.get(p, "").strip()))]
    return out


def duplicates(root=ROOT):
    "Two notebooks for one module, two numbers for two notebooks, or an exported name defined twice in a module."
    out = [f"healthlab/{m}: exported by {' and '.join(str(n.relative_to(root)) for n in nbs)}" for m, nbs in exports(root).items() if len(nbs) > 1]
    by_number = defaultdict(list)
    for nb in notebooks(root, "nbs/library"):
        if number(nb) is None: out.append(f"{nb.relative_to(root)}: name must be NN_area/NN_module.ipynb")
        else: by_number[number(nb)].append(nb.name)
    out += [f"nbs/library: number {n} used by {' and '.join(v)}" for n, v in by_number.items() if len(v) > 1]
    for m in exports(root):
        f = root / "healthlab" / m
        if not f.exists(): continue
        seen = defaultdict(int)
        for node in ast.parse(f.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.decorator_list: seen[node.name] += 1
        out += [f"healthlab/{m}: {name} is defined {n} times" for name, n in seen.items() if n > 1]
    return out


def import_order(root=ROOT):
    "Imports from a notebook with the same or a higher number; nbdev or fastcore in exported code."
    place = {"healthlab." + m[:-3].replace("/", "."): number(nbs[0]) for m, nbs in exports(root).items()}
    place |= {k.removesuffix(".__init__"): v for k, v in place.items() if k.endswith(".__init__")}
    out = []
    for m, nbs in exports(root).items():
        f, mine = root / "healthlab" / m, number(nbs[0])
        if not f.exists() or mine is None: continue
        pkg = ["healthlab", *Path(m).parent.parts]
        for node in ast.walk(ast.parse(f.read_text())):
            if isinstance(node, ast.Import): targets = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(pkg[: len(pkg) - node.level + 1] + ([node.module] if node.module else [])) if node.level else (node.module or "")
                inner = [f"{base}.{a.name}" for a in node.names]
                targets = inner if all(t in place for t in inner) else [base, *inner]  # `from . import read` imports a module, not the package's names
            else: continue
            for t in targets:
                if t.split(".")[0] in ("nbdev", "fastcore"): out.append(f"healthlab/{m}: exported code imports {t}")
                if t in place and place[t] is not None and place[t] >= mine and t != "healthlab." + m[:-3].replace("/", "."):
                    out.append(f"healthlab/{m} ({mine}): imports {t} ({place[t]}), which comes later")
    return sorted(set(out))


def stray_outputs(root=ROOT):
    "Outputs committed in pipelines or dashboards: they run on real data."
    return [f"{nb.relative_to(root)}: holds outputs" for under in NO_OUTPUTS for nb in notebooks(root, under)
            if any(c.get("outputs") or c.get("execution_count") for c, _ in code_cells(nb))]


def untracked(root=ROOT):
    "Files git does not know in the folders that ship."
    done = subprocess.run(["git", "ls-files", "--others", "--exclude-standard", "nbs", "healthlab", "tests", "hub", "deploy"], cwd=root, capture_output=True, text=True)
    return [f"{f}: not tracked by git (git add, or delete it)" for f in done.stdout.splitlines()]


def long_cells(root=ROOT, over=60):
    "The export cells longer than `over` lines, longest first."
    rows = [(src.count("\n") + 1, str(nb.relative_to(root))) for nb in notebooks(root, "nbs/library") for _, src in code_cells(nb) if re.search(r"^#\|\s*export", src, re.M)]
    return sorted((r for r in rows if r[0] > over), reverse=True), len(rows)


CHECKS = (unclean, out_of_sync, duplicates, import_order, stray_outputs, untracked)


def problems(root=ROOT, checks=CHECKS):
    return [p for check in checks for p in check(root)]


def fix(root=ROOT):
    from nbdev.clean import nbdev_clean
    from nbdev.doclinks import nbdev_export
    for under in NO_OUTPUTS:
        for nb in notebooks(root, under):
            obj = json.loads(nb.read_text(encoding="utf-8"))
            for c in obj["cells"]:
                if c["cell_type"] == "code": c["outputs"], c["execution_count"] = [], None
            nb.write_text(json.dumps(obj, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    nbdev_clean()
    nbdev_export()


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "check"
    if what == "cells":
        rows, n = long_cells()
        print("\n".join(f"{k:4d} lines  {f}" for k, f in rows), f"\n{len(rows)} of {n} export cells are over 60 lines")
        sys.exit(0)
    if what == "fix": fix()
    bad = problems()
    print("\n".join(bad) or "notebooks and library agree")
    sys.exit(bool(bad))
