"""Figures of tables made safe, on the Adult census income table (30,000 rows, 8 quasi-identifiers): CPU seconds of the optimal full-domain search and of local
recoding, and their loss (mean normalised certainty penalty), beside anonypy (Mondrian) in the same run; pycanon, which checks tables and makes none, must find the k and l that were asked for.
Peers lie in a virtual environment named by HEALTHLAB_BENCH_TABLES (`uv venv peers && uv pip install anonypy==0.2.1 pycanon==1.3.6`).

    python tests/bench/bench_tables.py
"""
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import pandas as pd

from healthlab.deid.table import anonymise

COMMAND = "python tests/bench/bench_tables.py"
ADULT = Path(os.environ.get("HEALTHLAB_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "tables" / "adult.csv"
PEERS = os.environ.get("HEALTHLAB_BENCH_TABLES", "")
QUASI = ["age", "workclass", "education", "marital_status", "occupation", "race", "sex", "native_country"]
K = 5

ANONYPY = """
import json, sys, time, pandas as pd
from anonypy.mondrian import Mondrian
file, quasi, k = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
df = pd.read_csv(file).fillna("?")
for c in quasi[1:]: df[c] = df[c].astype("category")
start = time.process_time()
parts = Mondrian(df, quasi, "income").partition(k)
print(json.dumps({"seconds": time.process_time() - start, "parts": [[int(i) for i in p] for p in parts]}))
"""

PYCANON = """
import json, sys, pandas as pd
from pycanon import anonymity
file, quasi = sys.argv[1], json.loads(sys.argv[2])
df = pd.read_csv(file, dtype=str).fillna("?")
print(json.dumps({"k": int(anonymity.k_anonymity(df, quasi)), "l": int(anonymity.l_diversity(df, quasi, ["income"])), "t": float(anonymity.t_closeness(df, quasi, ["income"]))}))
"""


def peer(code, *args):
    python = Path(PEERS) / "bin/python" if PEERS else None
    if python is None or not python.exists(): return None
    return json.loads(subprocess.run([str(python), "-c", code, *args], capture_output=True, check=True, text=True).stdout.strip().splitlines()[-1])


def loss(df, parts):
    "Mean normalised certainty penalty of a table cut into classes."
    total, numeric = 0.0, df[QUASI[0]]
    for rows in parts:
        for c in QUASI:
            x = df[c].iloc[rows]
            total += len(rows) * ((x.max() - x.min()) / (numeric.max() - numeric.min()) if c == "age" else (x.nunique(dropna=False) - 1) / (df[c].nunique(dropna=False) - 1))
    return total / len(df) / len(QUASI)


def timed(df, **how):
    start = time.process_time()
    out = anonymise(df, quasi=QUASI, sensitive="income", **how)
    return out, time.process_time() - start


def row(name, figure, unit, asked="", peer=None, theirs=None):
    return {"name": name, "figure": figure, "unit": unit, "peer": peer, "peer_figure": theirs, "ratio": figure / theirs if theirs else None, "asked": asked, "command": COMMAND}


def run() -> list[dict]:
    if not ADULT.exists(): return [row("tables: ../shared/data/tables/adult.csv is absent", 0, "rows")]
    df = pd.read_csv(ADULT, nrows=30_000)[[*QUASI, "income"]]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "adult.csv"
        df.to_csv(file, index=False)
        theirs = peer(ANONYPY, str(file), json.dumps(QUASI), str(K))
        full, seconds = timed(df, k=K)
        local, quick = timed(df, k=K, recoding="local")
        diverse, longer = timed(df, k=K, l=2)
        close, longest = timed(df, k=K, t=.2)
        rows = [row("optimal full-domain, k=5, 2 % suppression, 30,000 rows, 8 quasi-identifiers", seconds, "CPU s", "<= 10", "anonypy (Mondrian)", theirs and theirs["seconds"]),
                row("optimal full-domain, k=5, l=2", longer, "CPU s", "<= 10"), row("optimal full-domain, k=5, t=0.2", longest, "CPU s", "<= 10"), row("nodes looked at of 140,000", full.looked, "nodes"),
                row("loss, optimal full-domain k=5", full.loss, "NCP"), row("local recoding, k=5", quick, "CPU s", "", "anonypy (Mondrian)", theirs and theirs["seconds"]),
                row("loss, local recoding k=5", local.loss, "NCP", "<= peer", "anonypy (Mondrian)", theirs and loss(df, theirs["parts"])), row("classes, local recoding k=5", local.classes, "classes", "", "anonypy (Mondrian)", theirs and len(theirs["parts"]))]
        for name, out, k, l in (("full-domain", full, K, 1), ("local", local, K, 1), ("l=2", diverse, K, 2), ("t=0.2", close, K, 1)):
            out.table.to_csv(file, index=False)
            seen = peer(PYCANON, str(file), json.dumps(QUASI))
            if seen: rows.append(row(f"pycanon's finding on {name}: k {seen['k']}, l {seen['l']}, t {seen['t']:.3f}", float(seen["k"] == out.smallest >= k and seen["l"] >= l), "agrees", "1"))
    return rows


def main():
    for r in run(): print(json.dumps(r))


if __name__ == "__main__": main()
