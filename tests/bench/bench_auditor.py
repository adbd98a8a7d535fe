"""The auditor of synthetic tables: planted leaks that are caught, honest tables that raise an alarm. 5,000 rows of UCI Adult, and of a simulated table of stays, are
learnt from, 5,000 others held out; a leak is planted in the rows of an honest generator. Honest tables come from fresh real rows, from independent columns, from a
Gaussian copula, and from healthlab's own generators, private ones among them: 2,500 rows each, learnt from three splits of either table.

    python tests/bench/bench_auditor.py
"""
import numpy as np
import pandas as pd

from bench_synth import adult, people
from healthlab.synth import fit
from healthlab.synth.fidelity import comparable
from healthlab.synth.leaks import Neighbourhood, leaks

COMMAND = "python tests/bench/bench_auditor.py"
ALARM = .01 / 4  # each of the four leak tests, as the card's policy has it
N, FEW = 5000, 2500  # rows of tables with planted leaks, of honest ones
HONEST = ("fresh rows", "independent columns", "copula", "auto", "network", "marginals, epsilon 1", "marginals, epsilon 10")


def row(name, figure, unit, asked): return {"name": name, "figure": figure, "unit": unit, "peer": "", "peer_figure": None, "ratio": None, "asked": asked, "command": COMMAND}


def split(df, seed, n):
    "Rows learnt from, held out, and fresh."
    order = np.random.default_rng(seed).permutation(len(df))
    return [df.iloc[order[i * n:(i + 1) * n]].reset_index(drop=True) for i in range(3)]


def numbers_of(df): return [c for c in df if pd.api.types.is_numeric_dtype(df[c])]


def independent(known, n, r):
    "Every column by itself: a category by its share, a number between two of 41 quantiles."
    out = {}
    for c in known:
        if c in numbers_of(known): out[c] = np.interp(r.random(n), np.linspace(0, 1, 41), np.quantile(known[c], np.linspace(0, 1, 41))).round(0 if known[c].dtype.kind == "i" else 2)
        else: out[c] = r.choice(*[x for x in zip(*known[c].value_counts(normalize=True).items())][:1], n, p=known[c].value_counts(normalize=True).to_numpy())
    return pd.DataFrame(out).astype({c: known[c].dtype for c in numbers_of(known)})


def copula(known, n, r):
    "Numbers together by their ranks' correlations, around the categories of the independent table."
    from scipy.stats import norm
    numbers = numbers_of(known)
    z = norm.ppf((known[numbers].rank(method="average") - .5) / len(known))
    u = norm.cdf(r.multivariate_normal(np.zeros(len(numbers)), np.corrcoef(z.T), n))
    out = independent(known, n, r)
    for i, c in enumerate(numbers): out[c] = np.interp(u[:, i], np.linspace(0, 1, 41), np.quantile(known[c], np.linspace(0, 1, 41))).round(0 if known[c].dtype.kind == "i" else 2).astype(known[c].dtype)
    return out


def honest(kind, known, fresh, seed):
    r = np.random.default_rng(seed)
    if kind == "fresh rows": return fresh
    if kind == "independent columns": return independent(known, len(known), r)
    if kind == "copula": return copula(known, len(known), r)
    how = {"auto": {}, "network": {"method": "network"}}.get(kind) or {"epsilon": float(kind.split()[-1])} if kind != "auto" else {}
    return fit(known, seed=seed, **how).sample(len(known), seed=seed)


# ---- leaks planted in honest rows

def planted(known, honest, r):
    "name -> a table with a leak, made from honest rows and training rows."
    n, numbers, columns = len(honest), numbers_of(known), list(known)
    rough = [c for c in numbers if known[c].nunique() > 300] or numbers
    fine = max(rough, key=lambda c: known[c].nunique())
    cats = [c for c in columns if c not in numbers]
    half = [columns[i] for i in range(len(columns)) if i % 2 == 0 or columns[i] == fine]
    z = sum(((known[c].rank(pct=True) - .5).abs() for c in numbers))
    outliers, rare = known[z >= z.quantile(.98)], known[known.groupby(cats[:3])[cats[0]].transform("size") <= 20]
    def swap(part): return pd.concat([honest.iloc[len(part):], part], ignore_index=True)
    def some(share, of=known): return of.sample(min(len(of), round(n * share)), random_state=int(r.integers(2**31)))
    def shaken(t, by):
        t = t.copy()
        for c in rough: t[c] = (t[c] + r.normal(0, by * known[c].std(), len(t))).round(2).astype(known[c].dtype)
        return t
    def changed(t, names): return t.assign(**{c: r.permutation(t[c].to_numpy()) for c in names})
    def part_copied(share, names):
        src, out = some(share), honest.copy()
        out.loc[out.index[-len(src):], names] = src[names].to_numpy()
        return out.astype(known.dtypes.to_dict())
    def quantiles(c, k):
        q = np.quantile(known[c], np.linspace(0, 1, k + 1), method="inverted_cdf")
        return honest.assign(**{c: q[np.abs(honest[c].to_numpy()[:, None] - q).argmin(1)].astype(known[c].dtype)})
    def extremes(c, share):
        k = round(n * share)
        low, high = (np.sort(known[c].to_numpy())[s] for s in (slice(0, k), slice(-k, None)))
        at, v = np.argsort(honest[c].to_numpy()), honest[c].to_numpy().copy()
        v[at[:k]], v[at[-k:]] = low, high
        return honest.assign(**{c: v})
    return {f"copies of {s:.1%}": swap(some(s)) for s in (.001, .002, .005, .01, .02, .05)} | {
        "one row copied 50 times, of 20 rows": swap(some(20 / n).loc[lambda t: t.index.repeat(50)]), "outliers copied, 0.3 %": swap(some(.003, outliers)), "outliers copied, 1 %": swap(some(.01, outliers)),
        "outliers copied, shaken": swap(shaken(some(.02, outliers), .002)), "rare groups copied": swap(some(.02, rare)), "near-duplicates of 1 %, 0.1 % noise": swap(shaken(some(.01), .001)),
        "near-duplicates of 2 %, 0.5 % noise": swap(shaken(some(.02), .005)), "near-duplicates of 5 %, 1 % noise": swap(shaken(some(.05), .01)), "copies of 1 %, a category changed": swap(changed(some(.01), cats[:1])),
        "copies of 2 %, two categories changed": swap(changed(some(.02), cats[:2])), "copies of 1 %, a number changed": swap(changed(some(.01), [c for c in numbers if c != fine][:1])),
        "half of the columns copied, 5 %": part_copied(.05, half), "three columns copied, 5 %": part_copied(.05, [fine, cats[0], numbers[0]]), "values of a column copied": honest.assign(**{fine: r.choice(known[fine].to_numpy(), n)}),
        "400 quantiles of a column leaked": quantiles(fine, 400), "100 quantiles of a column leaked": quantiles(fine, 100), "extremes of a column copied, 1 %": extremes(fine, .005),
        "a fifth of the table is training rows": swap(some(.2)), "bootstrap of the training rows": some(1.).sample(n, replace=True, random_state=0), "copies of 3 %, of one class": swap(some(.03, known[known[cats[-1]] == known[cats[-1]].mode()[0]])),
        "training rows in order, a tail copied": swap(known.tail(round(n * .01)))}


def judge(place, a, b, t, seed):
    "Smallest p of the leak tests, and whose it is."
    got = {k: v["p"] for k, v in leaks(a, comparable(a, t)[1][1], b, people=place, seed=seed).items()}
    name = min(got, key=got.get)
    return got[name], name


def tables(): return {"Adult": pd.concat(adult()[:2], ignore_index=True), "stays": people(3 * N, 0)}


def false_alarms(seeds=range(3), progress=print):
    "p-values of honest tables: name -> smallest p."
    out = {}
    for name, df in tables().items():
        for seed in seeds:
            known, held, fresh = split(df, seed, FEW)
            a, b = comparable(known, held)[1]
            place = Neighbourhood(a, b)
            for kind in HONEST:
                out[f"{name}, {kind}, {seed}"] = p, test = judge(place, a, b, honest(kind, known, fresh, seed), seed)
                progress(f"{name}, {kind}, {seed}", round(p, 5), test, "ALARM" if p < ALARM else "")
    return out


def caught(name="Adult", seed=0, progress=print):
    "p-values of planted leaks: name -> smallest p."
    known, held, _ = split(tables()[name], seed, N)
    a, b = comparable(known, held)[1]
    place, out = Neighbourhood(a, b), {}
    for leak, t in planted(known, fit(known, seed=seed).sample(len(known), seed=seed), np.random.default_rng(seed)).items():
        out[leak] = p, test = judge(place, a, b, t, 0)
        progress(f"{name}, {leak}", f"{p:.2g}", test, "" if p < ALARM else "MISSED")
    return out


def run() -> list[dict]:
    out = []
    for name in tables():
        got = caught(name)
        missed = [k for k, (p, _) in got.items() if p >= ALARM]
        out.append(row(f"auditor: planted leaks caught, of {len(got)}, {name}", 1 - len(missed) / len(got), "share" + (f"; missed: {', '.join(missed)}" if missed else ""), ">= .95"))
    fair = false_alarms()
    loud = [k for k, (p, _) in fair.items() if p < ALARM]
    return out + [row(f"auditor: false alarms, of {len(fair)} honest tables", len(loud) / len(fair), "share" + (f"; at: {', '.join(loud)}" if loud else ""), "<= .05")]


if __name__ == "__main__":
    from run import table
    print(table(run()))
