"""Figures of synthetic data: generators by fidelity, privacy, utility, seconds and memory on UCI Adult (half learnt, half held out), the default on Diabetes-130
(half of the patients) and on the ICU stays of PhysioNet 2012 (flattened to a row a stay), where fresh real rows are judged beside it; synthcity's plugins with and without healthlab's
interface; a table of a million rows. The auditor has a bench of its own, bench_auditor.py.

Every generator runs in a process of its own (synth_peers.py), so that its CPU seconds and memory are its own. Peers are run and `mostlyai-qa` judges, unchanged,
where their virtual environments are named:

    uv venv -p 3.11 peers && uv pip install -p peers mostlyai-qa==1.10.11 sdv==2.0.0 torch      HEALTHLAB_BENCH_SYNTH=peers
    uv venv -p 3.11 mostly && uv pip install -p mostly mostlyai-engine[cpu]==2.7.3              HEALTHLAB_BENCH_SYNTH_MOSTLY=mostly

synthcity is in the lock. HEALTHLAB_BENCH_SYNTH_KEEP names a folder where drawn tables and verdicts are kept, so that an interrupted run (it takes an hour or
more) goes on where it was; take another folder after a change to a generator.

    python tests/bench/bench_synth.py
"""
import io
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from healthlab.synth import evaluate, fit
from healthlab.synth.fidelity import Points, accuracy, comparable, detection

LIMIT = 900 # CPU seconds after which a generator is stopped, and its row says so: healthlab's own limit is 120
COMMAND = "make bench AREAS=synth"
TABLES = Path(os.environ.get("HEALTHLAB_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "tables"
PEERS, MOSTLY, KEEP = (os.environ.get(f"HEALTHLAB_BENCH_SYNTH{x}", "") for x in ("", "_MOSTLY", "_KEEP"))

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

SHARES = """
import sys, json, random, warnings
warnings.filterwarnings("ignore")
import numpy as np, pandas as pd
from mostlyai.qa._distances import calculate_dcr_share, calculate_distances
from mostlyai.qa._sampling import prepare_data_for_embeddings
for paths in json.load(sys.stdin):
    random.seed(0); np.random.seed(0)
    trn, hol, syn = map(pd.read_parquet, paths)
    s, t, h = prepare_data_for_embeddings(syn_tgt_data=syn, trn_tgt_data=trn, hol_tgt_data=hol)
    d = calculate_distances(syn_embeds=s, trn_embeds=t, hol_embeds=h)
    print(float(calculate_dcr_share(d["dcr_syn_trn"], d["dcr_syn_hol"])))
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


def halves(t, who=None, seed=0):
    "Half of the people to learn from, half held out."
    names = np.arange(len(t)) if who is None else t[who].unique()
    order = np.random.default_rng(seed).permutation(len(names))[:2 * (len(names) // 2)]
    ids = pd.Series(np.arange(len(t))) if who is None else t[who]
    known, held = (t[ids.isin(names[part]).to_numpy()] for part in np.split(order, 2))
    return tuple(x.drop(columns=who or []).reset_index(drop=True) for x in (known, held))


def diabetes():
    "Diabetes-130: encounters, half of the patients each; codes of up to 700 values, most columns nearly constant."
    t = pd.read_csv(TABLES / "diabetes130.csv.gz", low_memory=False, na_values=["?"], keep_default_na=False).drop(columns="encounter_id")
    for c in ("admission_type_id", "discharge_disposition_id", "admission_source_id"): t[c] = t[c].astype(str)
    return *halves(t, "patient_nbr"), "readmitted"


def icu():
    "PhysioNet 2012: a row a stay, the means of 48 hours of vital signs and laboratory values, missing where never measured."
    stays = []
    with tarfile.open(TABLES / "icu2012" / "set-a.tar.gz") as archive:
        for m in archive:
            if m.name.endswith(".txt"): stays.append(pd.read_csv(io.BytesIO(archive.extractfile(m).read())).assign(stay=int(Path(m.name).stem)))
    t = pd.concat(stays).query("Value >= 0 and Parameter != 'RecordID'").pivot_table(index="stay", columns="Parameter", values="Value", aggfunc="mean").round(2)
    out = pd.read_csv(TABLES / "icu2012" / "Outcomes-a.txt").set_index("RecordID")[["Length_of_stay", "In-hospital_death"]]
    t = t.join(out, how="inner").reset_index(drop=True)
    for c in ("Gender", "In-hospital_death", "MechVent"): t[c] = t[c].map(lambda v: None if pd.isna(v) else str(int(v)))
    return *halves(t), "In-hospital_death"


def judged(known, held, drawn):
    "mostlyai-qa's metrics."
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{n}.parquet" for n in "abc"]
        for t, p in zip((known, held, drawn), paths): t.to_parquet(p)
        done = subprocess.run([f"{PEERS}/bin/python", "-c", JUDGE, *paths], capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    return json.loads(done.stdout.strip().splitlines()[-1])


def row(name, figure, unit, asked="", peer="", peer_figure=None):
    return {"name": name, "figure": figure, "unit": unit, "peer": peer, "peer_figure": peer_figure, "ratio": None, "asked": asked, "command": COMMAND}


# ---- generators, each in a process of its own

OURS = {"auto": "healthlab auto", "DP epsilon 1": "healthlab marginals 1.0", "DP-SGD epsilon 1": "healthlab dpsgd 1.0"}
OTHERS = ("sdv GaussianCopula", "sdv CTGAN", "sdv TVAE", "synthcity arf", "synthcity ddpm", "synthcity ctgan", "mostlyai")


def python_of(generator):
    "The Python that has a generator; None when its environment is not named."
    where = {"sdv": PEERS, "mostlyai": MOSTLY}.get(generator.split()[0], "own")
    return sys.executable if where == "own" else f"{where}/bin/python" if where else None


def drawn_by(generator, table, known, target, folder, more=50_000, again=False):
    "What a generator drew (None: not through within LIMIT), and its name, CPU seconds, clock seconds and GB; None when it is not here or fails. `again`: whatever is kept."
    base = Path(folder if again else KEEP or folder) / f"{table}-{generator}".replace(" ", "-").replace(":", "-").replace("/", "-")
    done, at = Path(f"{base}.json"), python_of(generator)
    if not done.exists():
        if at is None: return None
        base.parent.mkdir(parents=True, exist_ok=True)
        known.to_parquet(f"{folder}/known.parquet")
        p = subprocess.run([at, str(Path(__file__).with_name("synth_peers.py")), generator, f"{folder}/known.parquet", f"{base}.parquet", target, str(more)], capture_output=True, text=True,
                           env=os.environ | {"HF_HUB_OFFLINE": "1"}, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 5)))
        if p.returncode == -signal.SIGXCPU: done.write_text(json.dumps({"name": generator, "over": LIMIT}))
        elif p.returncode:
            print(f"{generator} failed on {table}: {(p.stderr.strip().splitlines() or ['no message'])[-1][:200]}", flush=True)
            return None
        else: done.write_text(p.stdout.strip().splitlines()[-1])
    cost = json.loads(done.read_text())
    return None if "over" in cost else pd.read_parquet(f"{base}.parquet"), cost


def verdict(generator, table, known, held, drawn, target, attacks):
    "The card's figures and mostlyai-qa's."
    kept = Path(KEEP) / f"{table}-{generator}-verdict.json".replace(" ", "-").replace(":", "-") if KEEP else None
    if kept and kept.exists(): return json.loads(kept.read_text())
    card = evaluate(known, drawn, held, target=target, attacks=attacks)
    f = card.found
    out = {"accuracy": f["fidelity"]["accuracy"]["overall"], "fresh": f["fidelity"]["fresh"]["overall"], "detection": f["fidelity"]["detection"], "utility": f["utility"]["gap"], "measure": f["utility"]["measure"],
           "real": f["utility"]["learners"].get(f["utility"].get("best"), {}).get("real"), "leak": min(t["p"] for t in f["privacy"]["leaks"].values()), "card": "pass" if card.passed else "fail: " + ", ".join(r.name for r in card.rules if not r.passed)}
    if PEERS:
        m = judged(known, held, drawn)
        out |= {"qa": m["accuracy"]["overall"], "most": m["accuracy"]["overall_max"], "dcr": m["distances"]["dcr_share"], "discriminator": m["similarity"]["discriminator_auc_training_synthetic"]}
    if kept: kept.write_text(json.dumps(out))
    return out


def generator_rows(label, v, cost, asked):
    "One generator's figures as rows of the bench."
    want = lambda x: x if asked else ""
    out = [row(f"{label}: accuracy, own measure", v["accuracy"], "share", want("fresh rows'"), "fresh real rows", v["fresh"]), row(f"{label}: detection", v["detection"], "AUROC"),
           row(f"{label}: utility lost", v["utility"], v["measure"], want({"Adult": "<= .01", "Diabetes-130": "<= .02"}.get(label.partition(":")[0], "")), "trained on real rows", v["real"]),
           row(f"{label}: smallest p of the leak tests", v["leak"], "p"), row(f"{label}: card", v["card"], "")]
    if "qa" in v:
        out += [row(f"{label}: mostlyai-qa accuracy", v["qa"], "share", want(">= overall_max"), "overall_max", v["most"]), row(f"{label}: mostlyai-qa DCR share", v["dcr"], "share", want("<= .51")),
                row(f"{label}: mostlyai-qa discriminator", v["discriminator"], "AUROC", want("<= .55"))]
    return out + [row(f"{label}: fit, sample, 50,000 more", cost["seconds"], "CPU s", want("<= 120")), row(f"{label}: the same by the clock", cost["clock"], "s"), row(f"{label}: memory", cost["gb"], "GB", want("<= 4"))]


def one(generator, table, data, folder, attacks=0, asked=False):
    "The rows of one generator on one table; none when it is not here."
    known, held, target = data
    got = drawn_by(generator, table, known, target, folder)
    if got is None: return []
    drawn, cost = got
    if drawn is None:
        print(f"{table}: {cost['name']} not through in {cost['over']} CPU s", flush=True)
        return [row(f"{table}: {cost['name']}: fit, sample, 50,000 more", f"not through in {cost['over'] / 60:g} CPU minutes", "CPU s")]
    v = verdict(generator, table, known, held, drawn, target, attacks)
    print(" | ".join([f"{table}: {cost['name']}", *(f"{k} {v[k]:.4g}" for k in ("qa", "most", "dcr", "discriminator", "accuracy", "detection", "utility") if k in v), f"{cost['seconds']:.0f} CPU s", f"{cost['gb']:.2f} GB", v["card"]]), flush=True)
    return generator_rows(f"{table}: {cost['name']}", v, cost, asked)


# ---- what fresh real rows would score

def fresh(table, data, seeds=2):
    "A third of a table judged as if it were synthetic, beside the default fitted on another third: the last third is held out."
    if not PEERS: return []
    whole, rows = pd.concat(data[:2], ignore_index=True), []
    for seed in range(seeds):
        known, held, other = (whole.iloc[at].reset_index(drop=True) for at in np.array_split(np.random.default_rng(seed).permutation(len(whole)), 3))
        sizes = [t.iloc[:min(map(len, (known, held, other)))] for t in (known, held, other)]
        m = kept(f"{table}-fresh-{seed}", lambda: judged(*sizes))
        rows += [row(f"{table}: fresh real rows, split {seed}: mostlyai-qa accuracy", m["accuracy"]["overall"], "share", "", "overall_max", m["accuracy"]["overall_max"]),
                 row(f"{table}: fresh real rows, split {seed}: mostlyai-qa DCR share", m["distances"]["dcr_share"], "share"),
                 row(f"{table}: fresh real rows, split {seed}: mostlyai-qa discriminator", m["similarity"]["discriminator_auc_training_synthetic"], "AUROC")]
    return rows


def shares(trios):
    "mostlyai-qa's DCR share, the greatest over seven sets of columns, of each (known, held, drawn): its distances without its report."
    with tempfile.TemporaryDirectory() as folder:
        paths = [[f"{folder}/{n}-{part}.parquet" for part in "abc"] for n, _ in enumerate(trios)]
        for trio, names in zip(trios, paths):
            for t, p in zip(trio, names): t.to_parquet(p)
        done = subprocess.run([f"{PEERS}/bin/python", "-c", SHARES], input=json.dumps(paths), capture_output=True, text=True, check=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    return [float(x) for x in done.stdout.split()]


def shares_rows(label, found):
    return [row(f"{label}, DCR share: {what}", figure, "share")
            for what, figure in (("mean", float(np.mean(found))), ("least", min(found)), ("greatest", max(found)), ("standard deviation", float(np.std(found, ddof=1))))]


def chance(table, whole, splits=16):
    "What the DCR share is for fresh real rows by chance alone: many splits into thirds."
    if not PEERS: return []
    def thirds(seed): return [whole.iloc[at].reset_index(drop=True) for at in np.array_split(np.random.default_rng(seed).permutation(len(whole)), 3)]
    return shares_rows(f"{table}: fresh real rows, {splits} splits into thirds", kept(f"{table}-chance", lambda: shares([thirds(seed) for seed in range(splits)])))


def again(table, whole, target, halvings=2, draws=6):
    """The same of the default: one drawn table says little. Every half is learnt once and held out once. Beside it columns drawn each on its own, by value from the
    learnt-from half: they know nobody, and have what the greatest of seven sets is by chance."""
    if not PEERS: return []
    def made(draw):
        trios = []
        for seed in range(1, halvings + 1):
            for known, held in itertools.permutations(halves(whole, seed=seed)):
                drawn = draw(known)
                trios += [(known, held, drawn(n)) for n in range(draws)]
        return shares(trios)
    def learnt(known):
        g = fit(known, target=target)
        return lambda n: g.sample(len(known), seed=n)
    def apart(known):
        def drawn(n):
            rng = np.random.default_rng(n)
            return pd.DataFrame({c: known[c].array[rng.integers(0, len(known), len(known))] for c in known})
        return drawn
    count = 2 * halvings * draws
    return (shares_rows(f"{table}: healthlab auto, {count} tables of {2 * halvings} generators", kept(f"{table}-again", lambda: made(learnt)))
            + shares_rows(f"{table}: columns drawn each on its own, {count} tables of {2 * halvings} halves", kept(f"{table}-apart", lambda: made(apart))))


def kept(name, make):
    "What make() gives, or what is kept of it from an interrupted run."
    file = Path(KEEP) / f"{name}.json".replace(" ", "-").replace("/", "-") if KEEP else None
    if file and file.exists(): return json.loads(file.read_text())
    out = make()
    if file: file.write_text(json.dumps(out))
    return out


# ---- synthcity's plugins by hand and through healthlab

TRIED = ("nflow/20", "tvae/40", "bayesian_network")


def plugins(known, held, target, rows=4000):
    "The same plugin with the same settings and two seeds each way, in turns: the lesser CPU seconds, the mean of the rest."
    known, held, out = known.head(rows), held.head(rows), []
    with tempfile.TemporaryDirectory() as folder:
        for name in TRIED:
            got = kept(f"plugin-{name}", lambda: both_ways(name, known, held, target, folder))
            if not got: continue
            label = f"Adult, {len(known):,} rows: synthcity {name.replace('/', ', ')}{' epochs' if '/' in name else ''}"
            ours, hand = got["healthlab synthcity:"], got["synthcity "]
            out += [row(f"{label}: accuracy, own measure", ours[0], "share", "no worse", "synthcity by hand", hand[0]), row(f"{label}: detection", ours[1], "AUROC", "no worse", "synthcity by hand", hand[1]),
                    row(f"{label}: fit and {len(known):,} rows", ours[2], "CPU s", "no slower", "synthcity by hand", hand[2]) | {"ratio": round(ours[2] / hand[2], 3)}]
    return out


def both_ways(name, known, held, target, folder, times=2):
    "By way: accuracy, detection and CPU seconds; nothing when one of them fails."
    found = {way: [] for way in ("synthcity ", "healthlab synthcity:")}
    for n in range(times):
        for way, runs in found.items():
            with tempfile.TemporaryDirectory(dir=folder) as own: got = drawn_by(f"{way}{name}+{n}", "Adult", known, target, own, more=0, again=True)
            if got is None or got[0] is None: return None
            _, (a, s, b) = comparable(known, got[0], held)
            points = Points(a, 20)
            runs.append((accuracy(a, s)["overall"], detection(points(a), points(s), 0), got[1]["seconds"]))
            print(way + name, n, *(f"{x:.4g}" for x in runs[-1]), flush=True)
    return {way: [float(np.mean([r[0] for r in runs])), float(np.mean([r[1] for r in runs])), min(r[2] for r in runs)] for way, runs in found.items()}


# ---- a great table

def great(n=1_000_000, more=10_000_000):
    "The default on a simulated table of a million rows; ten million more are drawn in batches."
    def made():
        with tempfile.TemporaryDirectory() as folder:
            known = people(n, 0)
            drawn, cost = drawn_by("healthlab auto", "great", known, "died", folder, more, again=True) or (None, {})
            if drawn is None: return cost
            _, (a, s, b) = comparable(*(t.head(50_000) for t in (known, drawn, people(n, 1))))
            return cost | {"accuracy": accuracy(a, s)["overall"], "fresh": accuracy(a, b)["overall"]}
    c, label = kept("great", made), f"Simulated stays, {n:,} rows of 10 columns"
    if not c: return [] # failed, which was printed
    if "accuracy" not in c: return [row(f"{label}: fit, sample", f"not through in {LIMIT / 60:g} CPU minutes", "CPU s")]
    return [row(f"{label}: fit", c["fit"], "CPU s"), row(f"{label}: as many rows drawn", c["seconds"] - c["fit"] - c["more"], "CPU s"), row(f"{label}: {more:,} rows drawn in batches", c["more"], "CPU s"),
            row(f"{label}: memory", c["gb"], "GB", "<= 4"), row(f"{label}: accuracy, own measure", c["accuracy"], "share", "", "fresh rows", c["fresh"])]


def generators():
    "The default on three tables; on Adult also with differential privacy, and the peers."
    rows, tables = [], {"Adult" if (TABLES / "adult.csv").exists() else "simulated stays": adult}
    if (TABLES / "diabetes130.csv.gz").exists(): tables |= {"Diabetes-130": diabetes, "ICU 2012": icu}
    with tempfile.TemporaryDirectory() as folder:
        for n, (table, read) in enumerate(tables.items()):
            data = read()
            rows += one("healthlab auto", table, data, folder, attacks=150, asked=True)
            for generator in (*list(OURS.values())[1:], *OTHERS) if n == 0 else (): rows += one(generator, table, data, folder)
            if n == 0: rows += plugins(*data) + again(table, pd.concat(data[:2], ignore_index=True), data[2], draws=2)
            if n == 1: rows += chance(f"{table}, 8,000 rows a third", pd.concat(data[:2]).sample(24_000, random_state=0), splits=6)
            if n == 2: rows += fresh(table, data) + chance(table, whole := pd.concat(data[:2], ignore_index=True)) + again(table, whole, data[2]) + one("mostlyai", table, data, folder)
    return rows + great()


def summary(rows):
    "Generators by fidelity, privacy, utility, seconds and memory: one line each."
    parts = {"mostlyai-qa accuracy": "accuracy", "mostlyai-qa DCR share": "DCR share", "mostlyai-qa discriminator": "discriminator", "utility lost": "AUROC lost", "smallest p of the leak tests": "leak p",
             "fit, sample, 50,000 more": "CPU s", "the same by the clock": "clock s", "memory": "GB", "card": "card"}
    by = {}
    for r in rows:
        label, _, what = r["name"].rpartition(": ")
        if what in parts: by.setdefault(label, {})[parts[what]] = r["figure"]
    shown = lambda x: "" if x is None else f"{x:.3g}" if isinstance(x, float) else str(x)
    lines = [["generator", *parts.values()], *([label, *(shown(f.get(c)) for c in parts.values())] for label, f in by.items())]
    return "\n".join("| " + " | ".join(line) + " |" + ("\n|" + "---|" * len(line) if i == 0 else "") for i, line in enumerate(lines))


def run() -> list[dict]:
    return generators()


if __name__ == "__main__":
    from run import table
    found = run()
    print(summary(found), table(found), sep="\n\n")
