"""Figures of synthetic data: generators by fidelity, privacy, utility, seconds and memory on UCI Adult (half learnt, half held out), and the auditor against
planted leaks. Judged by `mostlyai-qa` unchanged when a virtual environment that has it is named by HEALTHLAB_BENCH_SYNTH (`uv venv peers && uv pip install
mostlyai-qa==1.10.11 sdv==2.0.0`); there sdv's CTGAN, TVAE and GaussianCopula run too.

    python tests/bench/bench_synth.py
"""
import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from healthlab.synth import evaluate, fit
from healthlab.synth.fidelity import comparable
from healthlab.synth.leaks import Neighbourhood, leaks

COMMAND = "python tests/bench/bench_synth.py"
TABLES = Path(os.environ.get("HEALTHLAB_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "tables"
PEERS = os.environ.get("HEALTHLAB_BENCH_SYNTH", "")
ALARM = .01 / 3  # each of the three leak tests, as the card's policy has it

JUDGE = """
import sys, json, tempfile, random, warnings
warnings.filterwarnings("ignore")
import numpy as np, pandas as pd
random.seed(0); np.random.seed(0)
from mostlyai import qa
trn, hol, syn = (pd.read_parquet(p) for p in sys.argv[1:4])
_, m = qa.report(syn_tgt_data=syn, trn_tgt_data=trn, hol_tgt_data=hol, report_path=tempfile.mkdtemp() + "/r.html")
print(m.model_dump_json())
"""

SDV = """
import sys, time, json, resource, warnings
warnings.filterwarnings("ignore")
import pandas as pd
from sdv.metadata import Metadata
from sdv import single_table as s
t, out, name = pd.read_parquet(sys.argv[1]), sys.argv[2], sys.argv[3]
start = time.process_time()
g = getattr(s, name)(Metadata.detect_from_dataframe(t)); g.fit(t); g.sample(len(t)).to_parquet(out)
print(json.dumps({"seconds": time.process_time() - start, "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
"""


def adult():
    "Half to learn from, half held out; a simulated table of the same size where the file is absent."
    file = TABLES / "adult.csv"
    if file.exists():
        df = pd.read_csv(file)
        order = np.random.default_rng(0).permutation(len(df))
        return df.iloc[order[:len(df) // 2]].reset_index(drop=True), df.iloc[order[len(df) // 2:2 * (len(df) // 2)]].reset_index(drop=True), "income"
    return people(16000, 0), people(16000, 1), "died"


def people(n, seed):
    "A simulated table of stays: two skewed and two plain numbers, categories, a label."
    r = np.random.default_rng(seed)
    age = r.integers(18, 95, n)
    ward = r.choice(["medical", "surgical", "maternity", "icu"], n, p=[.5, .3, .15, .05])
    return pd.DataFrame({"age": age, "sex": r.choice(["F", "M"], n), "ward": ward, "weight": r.normal(72 + (age < 50) * 4, 14, n).round(1), "sbp": (100 + age / 2 + r.normal(0, 14, n)).round(),
                         "crp": r.lognormal(1 + (ward == "icu") * 1.5, 1, n).round(2), "days": r.poisson(3 + (age > 70) * 3, n), "payer": r.choice(list("abcdefgh"), n, p=np.arange(8, 0, -1) / 36),
                         "hb": r.normal(13, 1.4, n).round(2), "died": np.where(r.random(n) < age / 200 + (ward == "icu") * .2, "yes", "no")})


def judged(known, held, drawn):
    "mostlyai-qa's metrics."
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{n}.parquet" for n in "abc"]
        for t, p in zip((known, held, drawn), paths): t.to_parquet(p)
        done = subprocess.run([f"{PEERS}/bin/python", "-c", JUDGE, *paths], capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    return json.loads(done.stdout.strip().splitlines()[-1])


def row(name, figure, unit, asked="", peer="", peer_figure=None):
    return {"name": name, "figure": figure, "unit": unit, "peer": peer, "peer_figure": peer_figure, "ratio": None, "asked": asked, "command": COMMAND}


def generator_rows(label, known, held, drawn, target, seconds, gigabytes, asked=False):
    "One generator's figures."
    card = evaluate(known, drawn, held, target=target, title=label)
    f, out = card.found, []
    out.append(row(f"{label}: accuracy, own measure", f["fidelity"]["accuracy"]["overall"], "share", "fresh rows'" if asked else "", "fresh real rows", f["fidelity"]["fresh"]["overall"]))
    out.append(row(f"{label}: detection", f["fidelity"]["detection"], "AUROC", "", "fresh real rows", f["fidelity"]["fresh"]["detection"]))
    out.append(row(f"{label}: utility lost", f["utility"]["gap"], f["utility"]["measure"], "<= .01" if asked else ""))
    out.append(row(f"{label}: smallest p of the leak tests", min(t["p"] for t in f["privacy"]["leaks"].values()), "p"))
    out.append(row(f"{label}: card", "pass" if card.passed else "fail: " + ", ".join(r.name for r in card.rules if not r.passed), ""))
    out.append(row(f"{label}: fit and sample", seconds, "CPU s", "<= 120" if asked else ""))
    out.append(row(f"{label}: memory", gigabytes, "GB", "<= 4" if asked else ""))
    if PEERS:
        m = judged(known, held, drawn)
        out.append(row(f"{label}: mostlyai-qa accuracy", m["accuracy"]["overall"], "share", ">= overall_max" if asked else "", "overall_max", m["accuracy"]["overall_max"]))
        out.append(row(f"{label}: mostlyai-qa DCR share", m["distances"]["dcr_share"], "share", "<= .51" if asked else ""))
        out.append(row(f"{label}: mostlyai-qa discriminator", m["similarity"]["discriminator_auc_training_synthetic"], "AUROC", "<= .55" if asked else ""))
    return out


def generators(known, held, target):
    "healthlab's generators, and sdv's where the peers' environment is named."
    rows = []
    for label, how in {"auto": {}, "marginals, epsilon 1": {"epsilon": 1.}}.items():
        start = time.process_time()
        g = fit(known, target=target, **how)
        drawn = g.sample(len(known))
        g.sample(50_000)
        rows += generator_rows(label, known, held, drawn, target, time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, asked=label == "auto")
    for name in ("GaussianCopulaSynthesizer", "CTGANSynthesizer", "TVAESynthesizer") if PEERS else ():
        with tempfile.TemporaryDirectory() as folder:
            known.to_parquet(f"{folder}/t.parquet")
            done = subprocess.run([f"{PEERS}/bin/python", "-c", SDV, f"{folder}/t.parquet", f"{folder}/s.parquet", name], capture_output=True, text=True)
            if done.returncode: continue
            cost = json.loads(done.stdout.strip().splitlines()[-1])
            rows += generator_rows(f"sdv {name.removesuffix('Synthesizer')}", known, held, pd.read_parquet(f"{folder}/s.parquet"), target, cost["seconds"], cost["gb"])
    return rows


# ---- the auditor: leaks planted in honest rows

def planted(known, honest, r):
    "name -> a table with a leak, made from honest rows and training rows."
    n, numbers = len(honest), [c for c in known if pd.api.types.is_numeric_dtype(known[c])]
    rough = [c for c in numbers if known[c].nunique() > 300] or numbers
    fine = max(rough, key=lambda c: known[c].nunique())
    def swap(part): return pd.concat([honest.iloc[len(part):], part], ignore_index=True)
    def some(share, of=known): return of.sample(min(len(of), int(n * share)), random_state=int(r.integers(2**31)))
    def shaken(t, by):
        t = t.copy()
        for c in rough: t[c] = (t[c] + r.normal(0, by * known[c].std(), len(t))).round(2).astype(known[c].dtype)
        return t
    def changed(t, columns): return t.assign(**{c: r.permutation(t[c].to_numpy()) for c in columns})
    z = sum(((known[c].rank(pct=True) - .5).abs() for c in numbers))
    outliers, columns = known[z >= z.quantile(.98)], list(known)
    cats = [c for c in columns if c not in numbers]
    rare = known[known.groupby(cats[:3])[cats[0]].transform("size") <= 20]
    half = [columns[i] for i in range(len(columns)) if i % 2 == 0 or columns[i] == fine]
    def part_copied(share, names):
        src, out = some(share), honest.copy()
        out.loc[out.index[-len(src):], names] = src[names].to_numpy()
        return out.astype(known.dtypes.to_dict())
    pool = {c: r.choice(known[c].to_numpy(), n) for c in (fine,)}
    q = np.quantile(known[fine], np.linspace(0, 1, 401), method="inverted_cdf")
    near = lambda c: q[np.abs(honest[c].to_numpy()[:, None] - q).argmin(1)].astype(known[c].dtype)
    return {"copies of 0.1 %": swap(some(.0015)), "copies of 0.2 %": swap(some(.002)), "copies of 0.5 %": swap(some(.005)), "copies of 1 %": swap(some(.01)), "copies of 2 %": swap(some(.02)), "copies of 5 %": swap(some(.05)),
            "one row copied 50 times, of 20 rows": swap(known.sample(20, random_state=1).loc[lambda t: t.index.repeat(50)]), "outliers copied": swap(outliers.head(int(n * .01))), "outliers copied, shaken": swap(shaken(outliers.head(int(n * .02)), .002)),
            "rare groups copied": swap(rare.head(int(n * .02))), "near-duplicates of 1 %, 0.1 % noise": swap(shaken(some(.01), .001)), "near-duplicates of 2 %, 0.5 % noise": swap(shaken(some(.02), .005)), "near-duplicates of 5 %, 1 % noise": swap(shaken(some(.05), .01)),
            "copies of 1 %, a category changed": swap(changed(some(.01), cats[:1])), "copies of 2 %, two categories changed": swap(changed(some(.02), cats[:2])), "copies of 1 %, a number changed": swap(changed(some(.01), [c for c in numbers if c != fine][:1])),
            "half of the columns copied, 5 %": part_copied(.05, half), "three columns copied, 5 %": part_copied(.05, [fine, cats[0], numbers[0]]), "values of a column copied": honest.assign(**pool), "quantiles of a column leaked": honest.assign(**{fine: near(fine)}),
            "a fifth of the table is training rows": swap(some(.2)), "bootstrap of the training rows": some(1.), "shuffled blocks of one class copied": swap(some(.03, known[known[cats[-1]] == known[cats[-1]].mode()[0]])), "training rows in order, a tail copied": swap(known.tail(int(n * .01)))}


def auditor(known, held):
    "Share of planted leaks caught, and of honest tables that raise an alarm."
    kinds, (a, b) = comparable(known, held)
    place, caught, missed, alarms, honest_tables = Neighbourhood(a, b), [], [], 0, 0
    def suspected(t, seed): return min(x["p"] for x in leaks(a, comparable(known, t)[1][1], b, people=place, seed=seed).values()) < ALARM
    g = fit(known)
    for seed in range(20):
        honest_tables += 1
        alarms += suspected(g.sample(len(known), seed=100 + seed), seed)
    for name, t in planted(known, g.sample(len(known), seed=1), np.random.default_rng(0)).items():
        (caught if suspected(t, 0) else missed).append(name)
    if missed: print("not caught:", *missed, sep="\n  ")
    return [row(f"auditor: planted leaks caught, of {len(caught) + len(missed)}", len(caught) / (len(caught) + len(missed)), "share", ">= .95"), row(f"auditor: false alarms, of {honest_tables} honest tables", alarms / honest_tables, "share", "<= .05")]


def run() -> list[dict]:
    known, held, target = adult()
    return generators(known, held, target) + auditor(known, held)


if __name__ == "__main__":
    from run import table
    print(table(run()))
