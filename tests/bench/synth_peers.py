"""One generator of tables, run by the Python that has it, in a process of its own so that its time and memory are its own (see bench_synth.py):

    python synth_peers.py GENERATOR table.parquet drawn.parquet [target [more]] > {"name", "seconds", "clock", "gb", "fit", "more"}

`sdv GaussianCopula|CTGAN|TVAE`, `synthcity ctgan|arf|ddpm` by hand, `mostlyai`, or `healthlab METHOD [epsilon]`. A network that trains for a fixed number
of epochs gets as many as fit into BUDGET seconds of processor time, by the time its first ones take; the name says so where that is fewer than its default.
`synthcity NAME/N` and `healthlab synthcity:NAME/N` train for N epochs; NAME/KEY=VALUE names another setting than n_iter; +SEED behind
it is the seed, 0 otherwise. `more` is how many rows are drawn besides; healthlab
draws them in batches of which none is kept.
"""
import json
import resource
import sys
import time
import warnings

import pandas as pd

BUDGET = 120.  # CPU seconds of training: what healthlab's default may take for everything
MORE = 50_000  # rows drawn besides


def seconds():
    "CPU seconds of this process and the children it waited for."
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def epochs(train, usual):
    "As many epochs as fit into the budget, by what more of them cost: a few are drowned by what comes before the first one."
    tried, spent = [], []
    for n in (1, 4, 16, 64):
        if n > usual: break
        start = seconds()
        train(n)
        tried.append(n)
        spent.append(seconds() - start)
        if spent[-1] > BUDGET / 3: break
    each = max(1e-3, (spent[-1] - spent[0]) / max(1, tried[-1] - 1))
    return max(5, min(usual, int((BUDGET - spent[0]) / each)))


def named(label, n, usual): return label if n == usual else f"{label}, {n} of {usual:,} epochs ({BUDGET:.0f} CPU s)"


def sdv(name, table, target):
    from sdv import single_table
    from sdv.metadata import Metadata
    made, data = getattr(single_table, f"{name}Synthesizer"), {"table": table}
    about = Metadata.detect_from_dataframes(data, infer_keys=None)
    usual = None if name == "GaussianCopula" else 300
    n = epochs(lambda k: made(about, epochs=k).fit(data), usual) if usual else None
    class Tables:
        def __init__(self): self.made = made(about, **{"epochs": n} if n else {})
        def fit(self, _): self.made.fit(data)
        def sample(self, k):
            drawn = self.made.sample(k)
            return drawn["table"] if isinstance(drawn, dict) else drawn
    return named(f"sdv {name}", n, usual), Tables


def setting(name):
    "NAME/N or NAME/KEY=N, and +SEED: the name, the settings, and the seed."
    name, _, seed = name.partition("+")
    name, _, value = name.partition("/")
    key, _, number = value.rpartition("=")
    return name, {key or "n_iter": int(number)} if value else {}, int(seed or 0)


def synthcity(name, table, target):
    "Without healthlab's interface, but for the loading: the plugin's own class, defaults, fit and generate."
    from healthlab.synth.plugins import plugin_class
    name, settings, seed = setting(name)
    made, usual = plugin_class(name), None if settings else {"ctgan": 2000, "ddpm": 1000}.get(name)
    from synthcity.plugins.core.dataloader import GenericDataLoader  # what it needs of packages that are absent is stood in for by now
    load = lambda: GenericDataLoader(table, target_column=target)
    n = epochs(lambda k: made(n_iter=k).fit(load()), usual) if usual else None
    class ByHand:
        def __init__(self): self.plugin = made(random_state=seed, **({"n_iter": n} if n else settings))
        def fit(self, _): self.plugin.fit(load())
        def sample(self, k): return self.plugin.generate(count=k).dataframe()
    return named(f"synthcity {name}", n, usual), ByHand


def mostlyai(_, table, target):
    from mostlyai.engine import TabularARGN
    class Engine(TabularARGN):
        def sample(self, k): return super().sample(n_samples=k)
    return "mostlyai", lambda: Engine(random_state=0)


def healthlab(how, table, target):
    from healthlab.synth import fit
    method, _, epsilon = how.partition(" ")
    settings, seed = None, 0
    if method.startswith("synthcity:"):  # the same number of epochs as by hand
        method, settings, seed = setting(method)
        from healthlab.synth.plugins import plugin_class
        plugin_class(method.removeprefix("synthcity:"))  # loaded before the clock, as by hand
    class Ours:
        def fit(self, t): self.g = fit(t, method, float(epsilon) if epsilon else None, seed, target=target, settings=settings or None)
        def sample(self, k): return self.g.sample(k)
        def stream(self, k): return sum(len(part) for part in self.g.batches(k))
    return f"healthlab {method}" + (f", epsilon {epsilon}" if epsilon else ""), Ours


def main(generator, source, to, target=None, more=MORE):
    warnings.filterwarnings("ignore")
    table = pd.read_parquet(source)
    family, _, which = generator.partition(" ")
    name, make = globals()[family](which, table, target)
    start, clock = seconds(), time.monotonic()
    model = make()
    model.fit(table)
    fitted = seconds() - start
    drawn = model.sample(len(table))
    before = seconds()
    if int(more): getattr(model, "stream", model.sample)(int(more))
    took, clock, besides = seconds() - start, time.monotonic() - clock, seconds() - before
    drawn[list(table)].reset_index(drop=True).to_parquet(to)
    gb = max(u.ru_maxrss for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))) / 2 ** 20
    print(json.dumps({"name": name, "seconds": took, "clock": clock, "gb": gb, "fit": fitted, "more": besides}))


if __name__ == "__main__":
    main(*sys.argv[1:])
