"""Synthetic tables: what comes back looks like what went in, holds to what was asked, and bad input is named."""
import datetime
import decimal
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from healthlab.core.errors import InputError
from healthlab.synth import Allowed, Order, Range, Sum, fit, load, save
from healthlab.synth import network
from healthlab.synth.columns import Numeric
from healthlab.synth.plugins import PLUGINS, Plugin
from healthlab.synth.sampling import coarse, fineness, table_of, thinned

QUICK = {"epochs": 6, "hidden": 24}


def table(n=800, seed=0):
    r = np.random.default_rng(seed)
    sex = r.choice(["F", "M"], n)
    age = r.integers(18, 95, n)
    admitted = pd.Timestamp("2024-01-01") + pd.to_timedelta(r.integers(0, 300, n), unit="D")
    stay = r.poisson(3 + (age > 70) * 4)
    hb = np.where(r.random(n) < np.where(age > 60, .4, .1), np.nan, np.round(r.normal(13, 1.5, n), 1))
    ward = np.where((sex == "F") & (r.random(n) < .3), "maternity", r.choice(["medical", "surgical"], n))
    a, b = r.integers(0, 20, n), r.integers(0, 9, n)
    return pd.DataFrame({"sex": sex, "age": age, "admitted": admitted, "discharged": (admitted + pd.to_timedelta(stay, unit="D")).strftime("%Y-%m-%d"),
                         "hb": hb, "ward": ward, "drugs": a, "tests": b, "items": a + b, "icd": r.choice([f"I{i:02d}.{j}" for i in range(60) for j in range(9)], n), "died": r.random(n) < .1})


@pytest.fixture(scope="module")
def made():
    t = table()
    constraints = [Order("admitted", "discharged"), Sum("items", ("drugs", "tests")), Allowed(("sex", "ward")), Range("age", 18, 94)]
    t["admitted"] = t.admitted.dt.strftime("%Y-%m-%d")
    return t, fit(t, constraints=constraints, settings=QUICK, seed=3, progress=True)


def test_columns_come_back_in_order_and_type(made):
    t, g = made
    s = g.sample(700)
    assert list(s.columns) == list(t.columns) and len(s) == 700
    assert s.age.dtype == t.age.dtype and s.died.dtype == bool and s.hb.dtype == float
    assert set(s.ward) <= set(t.ward) and s.hb.dropna().map(lambda x: round(x, 1) == x).all()
    assert s.discharged.str.fullmatch(r"\d{4}-\d\d-\d\d").all()


def test_constraints_hold_in_every_row(made):
    _, g = made
    s = g.sample(3000, seed=1)
    assert (s.discharged >= s.admitted).all() and (s.drugs + s.tests == s["items"]).all()
    assert not ((s.sex == "M") & (s.ward == "maternity")).any() and s.age.between(18, 94).all()
    assert (s.discharged > s.admitted).mean() > .8


def courses(n=300):
    r = np.random.default_rng(0)
    born = pd.Timestamp("1950-01-01") + pd.to_timedelta(r.integers(0, 20000, n), "D")
    admitted = born + pd.to_timedelta(r.integers(1, 9000, n), "D")
    seen = admitted + pd.to_timedelta(r.integers(0, 40, n) * 15, "min")
    left = admitted + pd.to_timedelta(r.integers(1, 30, n), "D")
    a, b = r.integers(0, 9, n).astype("uint8"), r.integers(0, 9, n)
    return pd.DataFrame({"born": born, "admitted": admitted.strftime("%Y-%m-%d"), "seen": seen.tz_localize("UTC"), "left": left.strftime("%Y-%m-%dT%H:%M:%SZ"), "a": a, "b": b, "all": a + b, "most": a + b + r.integers(0, 4, n)})


@pytest.mark.parametrize("constraints", [
    [Order("born", "admitted"), Order("admitted", "left")],
    [Order("admitted", "left"), Order("born", "admitted")],
    [Order("born", "left"), Order("admitted", "left")],
    [Order("born", "admitted"), Order("admitted", "seen"), Order("seen", "left")],
    [Sum("all", ("a", "b")), Order("all", "most")],
    [Order("a", "all"), Sum("all", ["a", "b"]), Order("all", "most"), Order("a", "most")],
])
def test_constraints_rest_on_each_other(constraints):
    t = courses()
    if any(c.columns == ("seen", "left") for c in constraints): t["left"] = (t.seen + pd.Timedelta(days=2)).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    s = fit(t, constraints=constraints, settings={"epochs": 2, "hidden": 8}).sample(200)
    assert list(s.columns) == list(t.columns) and (s.dtypes == t.dtypes).all() and all(c.holds(s).all() for c in constraints)


def test_an_order_keeps_the_grid_and_the_form_of_its_times():
    t = courses()
    s = fit(t, constraints=[Order("born", "admitted"), Order("admitted", "seen"), Order("born", "left")], settings={"epochs": 2, "hidden": 8}).sample(300)
    assert s.admitted.str.fullmatch(r"\d{4}-\d\d-\d\d").all() and s.left.str.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z").all()
    assert (s.seen.dt.second == 0).all() and (s.born == s.born.dt.normalize()).all() and (s.seen != s.seen.dt.normalize()).any()
    t = t.assign(left=pd.to_datetime(t.left).dt.tz_localize(None))
    left = fit(t, constraints=[Order("seen", "left")], settings={"epochs": 2, "hidden": 8}).sample(300).left
    assert left.dtype == t.left.dtype and (left == left.dt.normalize()).all()
    from healthlab.synth.constraints import verified
    t = pd.DataFrame({"born": t.born.dt.date, "left": t.left.dt.tz_localize("Europe/Berlin"), "day": pd.to_datetime(t.admitted).dt.date})
    for pair in (("born", "left"), ("born", "day")):
        (order,), _ = verified(t, [Order(*pair)])
        assert order.learnt[0] == 86400 and order.backward(order.forward(t)).equals(t)


def test_a_sum_keeps_type_and_missing_totals_and_totals_without_parts():
    t = courses()[["a", "b", "all"]].astype({"a": "Int64", "b": "int16", "all": "int32"})
    hidden = np.random.default_rng(1).random((2, len(t))) < .2
    short = {"epochs": 8, "hidden": 8}
    t["a"] = t.a.mask(hidden[0])
    s = fit(t, constraints=[Sum("all", ("a", "b"))], settings=short).sample(400)
    assert (s.dtypes == t.dtypes).all() and s["all"].notna().all() and .1 < s.a.isna().mean() < .3   # a total is known where its parts are not
    t["all"] = t["all"].astype("Int64").mask(hidden[1])
    s = fit(t, constraints=[Sum("all", ("a", "b"))], settings=short).sample(400)
    assert (s.dtypes == t.dtypes).all() and .1 < s["all"].isna().mean() < .3 and (s["all"].isna() & s.a.notna()).any() and (s["all"].notna() & s.a.isna()).any()
    assert Sum("all", ("a", "b")).holds(s).all()


def test_what_few_people_have_is_neither_allowed_nor_kept():
    from healthlab.synth.constraints import verified
    t = table(200)[["sex", "ward"]]
    t.loc[0, "ward"] = "unit-of-one"
    (rule,), ok = verified(t, [Allowed(("sex", "ward"))])
    assert "unit-of-one" not in str(rule) and not ok[0] and ok.sum() >= 190
    (rule,), ok = verified(t, [Allowed(("sex", "ward"))], floor=1)
    assert "unit-of-one" in str(rule) and ok.all()
    t = courses().assign(born=lambda t: t.born.where(t.index > 2))
    (order,), _ = verified(t, [Order("born", "left")])
    assert list(order.forward(t)) == ["left after born" if c == "left" else c for c in t], "the days of three people would be letters of their own"


@pytest.mark.parametrize("constraints, named", [
    (Order("born", "left"), "list"),
    ([Order("born", "left")], "left"),
    ([Order("all", "born")], "born"),
    ([Allowed(("left", "admitted"))], "admitted"),
    ([Range("all", 1, "z")], "all"),
])
def test_constraints_that_cannot_be_kept_are_named(constraints, named):
    from healthlab.synth.constraints import verified
    t = courses()
    with pytest.raises(InputError) as e: verified(t, constraints, kinds={c: "category" for c in t} | ({"left": "omit"} if named == "left" else {}))
    assert named in str(e.value) and e.value.remedy


def test_missingness_is_a_signal(made):
    t, g = made
    s = g.sample(4000, seed=2)
    old, young = s.hb.isna()[s.age > 60].mean(), s.hb.isna()[s.age <= 60].mean()
    assert abs(s.hb.isna().mean() - t.hb.isna().mean()) < .05 and old > young + .08


def test_same_seed_same_rows_and_other_seed_other_rows(made):
    _, g = made
    assert g.sample(50, seed=7).equals(g.sample(50, seed=7))
    assert not g.sample(50, seed=7).equals(g.sample(50, seed=8))


def test_conditions(made):
    _, g = made
    s = g.sample(300, conditions={"sex": "F", "age": (70, 80), "ward": ["medical", "surgical"]})
    assert len(s) == 300 and (s.sex == "F").all() and s.age.between(70, 80).all() and not (s.ward == "maternity").any()
    assert g.sample(40, conditions={"hb": None}).hb.isna().all()
    assert (g.sample(60, conditions={"items": (20, 30)})["items"] >= 20).all()


def test_a_rare_class_keeps_its_share_and_comes_as_often_as_asked():
    r = np.random.default_rng(0)
    ill = r.random(1500) < .03
    g = fit(pd.DataFrame({"ill": np.where(ill, "yes", "no"), "x": (r.normal(0, 1, 1500) + 3 * ill).round(2)}), target="ill", settings={"epochs": 8})
    assert .02 < (g.sample(2000).ill == "yes").mean() < .04
    few = g.sample(300, conditions={"ill": "yes"})
    assert (few.ill == "yes").all() and few.x.mean() > 2.2


def test_fewer_rows_have_the_counts_of_many():
    r = np.random.default_rng(0)
    many = r.integers(0, 4, (4000, 5))
    few = thinned(many, [4] * 5, 500, np.random.default_rng(1))
    off = lambda t: np.mean([np.abs(table_of(t[:, i], t[:, j], 4, 4) / len(t) - table_of(many[:, i], many[:, j], 4, 4) / len(many)).sum() for i in range(5) for j in range(i)])
    assert len(few) == 500 and off(few) < .5 * off(many[:500])
    assert len(thinned(many[:30], [4] * 5, 20, r)) == 20 and len(thinned(many[:, :1], [4], 500, r)) == 500


def test_missing_is_in_no_group_of_numbers():
    counts = np.array([50] * 104 + [3])
    groups = coarse(counts, 10, ordered=104)
    assert groups[-1] == groups[-2] + 1 == len(set(groups)) - 1 and coarse(counts, 10)[-1] == coarse(counts, 10)[-2]
    assert coarse(counts[:104], 10, ordered=104).tolist() == groups[:104].tolist()
    assert coarse(np.array([9, 1, 4]), 10, ordered=2).tolist() == [0, 1, 2]
    assert [fineness(n) for n in (10, 999, 1000, 3999, 4000, 10 ** 7)] == [5, 5, 10, 10, 20, 20]


def test_fewer_rows_keep_the_missing_with_what_goes_with_it():
    r = np.random.default_rng(0)
    ill = r.random(16_000) < .3
    many = np.stack([ill * 1, np.where(r.random(16_000) < np.where(ill, .06, .01), 100, r.integers(0, 100, 16_000))], 1)
    share = lambda t: ((t[:, 0] == 1) & (t[:, 1] == 100)).mean()
    few = [share(thinned(many, [2, 101], 1000, np.random.default_rng(i), ordered=[0, 100])) for i in range(20)]
    lot = [share(many[r.permutation(16_000)[:1000]]) for _ in range(20)]
    assert np.std(few) < .5 * np.std(lot) and abs(np.mean(few) - share(many)) < .002


@pytest.mark.parametrize("conditions, named", [({"nothing": 1}, "nothing"), ({"age": (200, 300)}, "age"), ({"sex": "X"}, "sex"), ({"age": ("a", "b")}, "age")])
def test_conditions_that_cannot_be_met_are_named(made, conditions, named):
    with pytest.raises(InputError, match=named): made[1].sample(10, conditions=conditions)


def test_small_networks_leave_the_threads_of_others_alone():
    import torch
    from healthlab.synth.autoregressive import one_thread
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    with pytest.raises(ValueError), one_thread():
        assert torch.get_num_threads() == 1
        raise ValueError
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def test_a_layer_is_as_wide_as_suits_the_rows(tmp_path):
    assert [network.width(n) for n in (10, 16_000, 25_000, 1_000_000)] == [16, 32, 40, 64]
    g = fit(table(5000), "network", settings={"epochs": 1})
    assert len(g.model.net.first[0].bias) == 18
    assert load(save(g, tmp_path)).sample(60, seed=4).equals(g.sample(60, seed=4))


def test_saved_and_opened_and_foreign_models_refused(made, tmp_path):
    _, g = made
    folder = save(g, tmp_path / "model")
    assert load(folder).sample(60, seed=4).equals(g.sample(60, seed=4))
    (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes() + b"x")
    with pytest.raises(InputError, match="another workbench"): load(folder)
    with pytest.raises(InputError, match="no generator"): load(tmp_path)


def test_training_stops_early_and_a_great_table_is_read_in_parts():
    codes = np.random.default_rng(0).integers(0, 3, (900, 3))
    how = QUICK | {"epochs": 30, "hidden": 8}
    assert len(network.train(codes, [3, 3, 3], settings=how | {"patience": 1, "gain": .5})[1]) < 5, "what does not gain goes on"
    whole, part = (network.train(codes, [3, 3, 3], settings=how | {"epochs": 2, "rows": n})[1] for n in (10 ** 6, 100))
    assert whole == network.train(codes, [3, 3, 3], settings=how | {"epochs": 2})[1] and whole != part


@pytest.mark.parametrize("at_once", [1, 3, 12])
def test_positions_learnt_together_are_those_learnt_alone(at_once):
    import torch
    torch.manual_seed(0)
    sizes = [2, 40, 3, 7, 30, 2, 1, 4, 90, 3, 17, 5]
    rows = torch.stack([torch.randint(0, k, (500,)) for k in sizes], 1)
    net = network.network(sizes, 16, [np.arange(k) // 3 if k == 90 else np.arange(k) for k in sizes], [0, 40, 0, 0, 25, 0, 0, 0, 88, 0, 0, 0])
    for h in net.heads: torch.nn.init.normal_(h.added.weight)
    later = rows.clone()
    later[:, 5] = 1 - later[:, 5]
    side = network.together(net, .25, .2, at_once).eval()
    with torch.no_grad():
        alone, together, changed = net(rows), side(rows), side(later)
        assert torch.allclose(alone, together, atol=1e-4) and torch.allclose(together[:, :5], changed[:, :5], atol=1e-6) and not torch.allclose(together[:, 7], changed[:, 7], atol=1e-3)
        kept = side.train().dropped(torch.ones(400, 250))
    assert np.allclose(sorted(kept.unique().tolist()), [0, 4 / 3]) and abs(float(kept.mean()) - 1) < .01
    optimiser = torch.optim.AdamW(side.parameters(), lr=.02, weight_decay=.1)
    for _ in range(3):
        optimiser.zero_grad()
        side(rows).sum(1).mean().backward()
        optimiser.step()
    with torch.no_grad():
        after, fresh = side.eval()(rows), network.network(sizes, 16, [np.arange(k) // 3 if k == 90 else np.arange(k) for k in sizes], [0, 40, 0, 0, 25, 0, 0, 0, 88, 0, 0, 0])
        assert torch.allclose(network.apart(side, fresh)(rows), after, atol=1e-4) and not torch.allclose(after, together, atol=.1)


def test_rare_values_are_never_shown():
    t = table(600)
    t.loc[0, "ward"] = "unit-of-one"
    t.loc[1, "hb"] = 99.9
    s = fit(t, settings=QUICK).sample(5000)
    assert "unit-of-one" not in set(s.ward) and s.hb.max() < 60


def people(n=600, seed=0):
    r = np.random.default_rng(seed)
    return pd.DataFrame({"age": r.integers(20, 90, n), "sex": r.choice(["m", "f"], n), "bp": r.normal(120, 10, n).round(1)})


def test_what_one_person_has_in_many_rows_is_no_less_rare():
    t = people(2000).assign(patient=np.repeat(np.arange(400), 5), reason=np.random.default_rng(1).choice(["flu", "cough", "fall"], 2000))
    t.loc[35:39, ["reason", "age"]] = ["Creutzfeldt-Jakob", 113]
    assert "Creutzfeldt-Jakob" in set(fit(t.drop(columns="patient"), settings=QUICK).sample(4000).reason), "five rows are five people when nobody says otherwise"
    g = fit(t, person="patient", settings=QUICK)
    s = g.sample(4000)
    assert set(s.reason) == {"flu", "cough", "fall"} and s.age.max() < 100 and "patient" not in s and g.figures()["people"] == 400
    assert b"Creutzfeldt" not in pickle.dumps(g)


def test_letters_of_numbers_stand_for_people_not_rows():
    v, who = np.repeat(np.arange(40.), 30), np.repeat(np.arange(40), 30) # forty people, each with one value thirty times
    alone, together = Numeric(pd.Series(v), 5), Numeric(pd.Series(v), 5, who=who)
    assert len(alone.pools) == 40 and len(together.pools) == 8
    held = together.encode(pd.Series(v))[:, 0]
    assert min(len(set(who[held == k])) for k in range(8)) >= 5


def test_nobody_is_both_trained_on_and_stopped_by():
    who = np.random.default_rng(0).integers(0, 60, 1000)
    trained, held = network.split(1000, 0, who)
    assert not set(who[trained]) & set(who[held]) and sorted([*trained, *held]) == list(range(1000)) and 100 <= len(held) < 140


def test_where_too_few_have_a_value_none_is_shown():
    t = people(3000).assign(phone=None, weight=np.nan, died=pd.NaT)
    t.loc[:14, "phone"] = [f"+1-555-01{i:02d}" for i in range(15)]
    t.loc[3, "weight"], t.loc[5, "died"] = 1234567.89, pd.Timestamp("2023-03-17")
    t.loc[7:8, "weight"] = 7777
    s = fit(t, settings=QUICK).sample(6000)
    assert set(s.phone.dropna()) == {"other"} and s.weight.isna().all() and s.died.isna().all()
    small = people(15).assign(surname=[f"Name{i}son" for i in range(15)])
    assert set(fit(small).sample(20).surname) == {"other"}


def test_rare_values_stay_neither_in_the_generator_nor_in_a_columns_type():
    t = people().assign(ward=pd.Categorical(["a", "b", "c"] * 200, categories=["a", "b", "c", "kuru unit"], ordered=True))
    t.loc[0, "ward"] = "kuru unit"
    g = fit(t, settings=QUICK)
    s = g.sample(600)
    assert b"kuru" not in pickle.dumps(g) and list(s.ward.cat.categories) == ["a", "b", "c"] and s.ward.cat.ordered


def test_an_identifier_is_refused_however_often_it_repeats():
    for c, v in {"patient_id": [f"P{i}" for i in np.repeat(np.arange(100), 6)], "MRN": np.repeat(np.arange(100), 6), "patient": pd.Categorical(np.repeat(np.arange(100), 6)), "phone": np.repeat([f"555-{i}" for i in range(50)], 12)}.items():
        with pytest.raises(InputError, match=c): fit(people().assign(**{c: v}))
    assert fit(people().assign(patient_id=["a", "b"] * 300), settings=QUICK)


def test_times_and_numbers_keep_their_grid():
    r, t = np.random.default_rng(2), people()
    t["at"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(r.integers(0, 500000, 600), unit="min")
    t["local"] = t["at"].dt.normalize().dt.tz_localize("America/New_York")
    t["day"] = t["at"].dt.date
    t["small"] = r.uniform(1, 9, 600) * 1e-8
    t["odd"] = t.age.astype(float)
    t.loc[7, "odd"] = 45.3333
    t["concept"] = r.choice([900000000000207008, 447562003000132100], 600)
    s = fit(t, settings=QUICK).sample(600)
    assert (s["at"].dt.second == 0).all() and (s["at"].dt.minute > 0).any() and (s.local == s.local.dt.normalize()).all()
    assert isinstance(s.day[0], datetime.date) and s.small.nunique() > 300 and (s.odd % 1 == 0).all()
    assert set(s.concept) == set(t.concept) and s.concept.dtype == t.concept.dtype


def test_arrow_types_and_decimals_are_learnt():
    t = people()
    t = t.assign(pressure=t.bp.astype("double[pyarrow]"), when=pd.Series(pd.date_range("2020-01-01", periods=600)).astype("timestamp[ns][pyarrow]"), cost=[decimal.Decimal(str(x)) for x in t.bp])
    s = fit(t, settings=QUICK).sample(600)
    assert all(abs(s[c].astype(float).mean() - 120) < 3 for c in ("pressure", "cost")) and s.when.dt.year.isin([2020, 2021]).all()


def test_a_narrow_range_and_an_open_one_are_drawn():
    r = np.random.default_rng(0)
    g = fit(pd.DataFrame({"charge": r.lognormal(7, 1, 600), "stage": r.integers(0, 5, 600)}), settings=QUICK)
    assert g.sample(30, {"charge": (3200, 3220)}).charge.between(3200, 3220).all()
    assert g.sample(30, {"stage": (3, None)}).stage.min() == 3 and g.sample(30, {"stage": (None, 1)}).stage.max() == 1


def test_training_goes_on_where_it_was_interrupted(tmp_path):
    t, file = table(400)[["sex", "age", "ward"]], tmp_path / "checkpoint"
    from healthlab.synth.columns import alphabet_of, kinds_of
    letters = alphabet_of(t, kinds_of(t))
    codes, sizes, calls = letters.encode(t), letters.sizes, []
    _, unbroken = network.train(codes, sizes, settings=QUICK)

    def stop(epoch, loss):
        calls.append(epoch)
        if epoch == 3: raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt): network.train(codes, sizes, settings=QUICK, checkpoint=file, progress=stop)
    net, losses = network.train(codes, sizes, settings=QUICK, checkpoint=file)
    assert losses == unbroken and len(calls) == 3
    with pytest.raises(InputError, match="does not belong"): network.train(codes, sizes, settings=QUICK | {"hidden": 8}, checkpoint=file)


def test_a_checkpoint_of_another_table_or_seed_is_refused(tmp_path):
    r, file, kw = np.random.default_rng(0), tmp_path / "checkpoint", {"epochs": 2, "hidden": 8}
    a = r.integers(0, 2, (300, 2))
    one, other = (np.column_stack([a, a.sum(1) + k & 1]) for k in (0, 1))
    network.train(one, [2, 2, 2], settings=kw, checkpoint=file)
    network.train(one, [2, 2, 2], settings=kw, checkpoint=file)
    for codes, more in ((other, {}), (one, {"seed": 1}), (one, {"ordered": [0, 0, 2]}), (one, {"groups": [np.zeros(2, int), np.arange(2), np.arange(2)]}), (one, {"settings": kw | {"lr": .1}})):
        with pytest.raises(InputError, match="does not belong"): network.train(codes, [2, 2, 2], **{"settings": kw, "checkpoint": file} | more)
    file.write_text("no checkpoint")
    with pytest.raises(InputError, match="does not belong"): network.train(one, [2, 2, 2], settings=kw, checkpoint=file)
    with pytest.raises(InputError, match="nowhere"): network.train(one, [2, 2, 2], settings=kw, checkpoint=tmp_path / "nowhere" / "checkpoint")
    with pytest.raises(InputError, match="epochs=0"): network.train(one, [2, 2, 2], settings={"epochs": 0})


def bad(**columns): return pd.DataFrame({"x": np.arange(60) % 7, **columns})


@pytest.mark.parametrize("make, named", [
    (lambda: fit(bad().head(1)), "1 rows"),
    (lambda: fit(bad(mrn=[f"MRN{i}" for i in range(60)])), "mrn"),
    (lambda: fit(bad(patient_id=np.arange(60) * 7 + 100)), "patient_id"),
    (lambda: fit(bad(note=[f"patient {i} was seen in the clinic today" for i in range(60)])), "note"),
    (lambda: fit(bad(empty=[None] * 60)), "empty"),
    (lambda: fit(bad(inf=[float("inf")] * 60)), "inf"),
    (lambda: fit(bad(), target="y"), "y"),
    (lambda: fit(bad(c=1), target="c"), "single value"),
    (lambda: fit(bad(), epsilon=0), "epsilon"),
    (lambda: fit(bad(), epsilon=-1), "epsilon"),
    (lambda: fit(bad(), method="nothing"), "method=nothing"),
    (lambda: fit(bad(), kinds={"z": "numeric"}), "z"),
    (lambda: fit(bad(), constraints=[Range("x", 5, 2)]), "x"),
    (lambda: fit(bad(), constraints=[Range("x", 100, 200)]), "x"),
    (lambda: fit(bad(), constraints=[Order("x", "q")]), "q"),
    (lambda: fit(bad(c="a"), constraints=[Order("x", "c")]), "c"),
    (lambda: fit(bad(), settings={"depth": 3}), "depth"),
    (lambda: fit([1, 2, 3]), "list"),
    (lambda: fit(bad(lab=[[1]] * 60)), "lab"),
    (lambda: fit(bad(concept=10 ** 17 + np.arange(60) % 7), kinds={"concept": "numeric"}), "concept"),
    (lambda: fit(bad(c=["a"] * 58 + ["b"] * 2), target="c"), "(c)"),
    (lambda: fit(bad(), floor=0), "floor"),
    (lambda: fit(bad(), floor=61), "61"),
    (lambda: fit(bad(), seed=-1), "seed"),
    (lambda: fit(bad(), epsilon=True), "epsilon"),
    (lambda: fit(bad(), epsilon=1, delta="a"), "delta"),
    (lambda: fit(bad(), epsilon=1, delta=.5), "delta"),
    (lambda: fit(bad(), person="who"), "who"),
    (lambda: fit(bad(who=np.arange(60) % 20), person="who", epsilon=1), "who"),
    (lambda: fit(bad(), method="pairwise", checkpoint="x"), "checkpoint"),
    (lambda: fit(bad()).sample(5, ["x"]), "list"),
])
def test_bad_input_is_named(make, named):
    with pytest.raises(InputError) as e: make()
    assert named in str(e.value) and e.value.remedy is not None


def test_constant_columns_more_columns_than_rows_and_declared_identifiers():
    t = pd.DataFrame(np.random.default_rng(0).integers(0, 3, (20, 30)), columns=[f"c{i}" for i in range(30)]).assign(same="x", key=[f"k{i}" for i in range(20)])
    s = fit(t, kinds={"key": "identifier"}, settings={"epochs": 2, "hidden": 8}).sample(40)
    assert (s.same == "x").all() and s.key.is_unique and not set(s.key) & set(t.key) and s.shape == (40, 32)


def test_differential_privacy_is_stated_and_seedless():
    t = table(1500)[["sex", "age", "ward", "died"]]
    g, h = fit(t, epsilon=1., target="died"), fit(t, epsilon=1., target="died")
    assert g.about["method"] == "marginals" and g.epsilon == 1. and 0 < g.delta < 1 / 1500 and "zCDP" in g.accountant
    assert not g.sample(200, seed=1).equals(h.sample(200, seed=1)), "the noise follows the public seed"
    sex = g.sample(500).sex.dropna()
    assert set(sex) <= {"F", "M", "other"} and (sex == "other").mean() < .05, "a noisy count of nobody is beyond two standard deviations once in forty"
    assert abs((g.sample(4000).died).mean() - t.died.mean()) < .08
    with pytest.raises(InputError, match="constraints"): fit(t, epsilon=1., constraints=[Allowed(("sex", "ward"))])
    with pytest.raises(InputError, match="no differential privacy"): fit(t, "synthcity:ctgan", epsilon=1.)


def test_values_below_the_noisy_threshold_are_other_and_only_booleans_are_public():
    r = np.random.default_rng(0)
    codes = np.where(r.random(3000) < .5, r.choice(["250", "401"], 3000), [f"{x}{i}" for i, x in enumerate(r.choice(list("ABCDEFGH"), 3000))])
    t = pd.DataFrame({"code": codes, "ward": pd.Series(["icu"] * 1500 + ["medical"] * 1499 + ["only-one"]).astype("category"), "grade": pd.Series([1] * 1499 + [2] * 1500 + [77]).astype("category"), "sick": r.random(3000) < .3})
    t["level"] = r.choice([10, 20, 30], 3000, p=[.6, .39, .01])
    for method, more in (("marginals", {}), ("dpsgd", {"epochs": 2})):
        g = fit(t, method, epsilon=2., kinds={"level": "category"}, settings={"noise_seed": 0} | more)
        s = g.sample(3000, seed=0)
        assert "only-one" not in s.ward.cat.categories and 77 not in s.grade.cat.categories and b"only-one" not in __import__("pickle").dumps(g)
        assert set(s.ward.dropna()) <= {"icu", "medical", "other"} and set(s.code.dropna()) <= {"250", "401", "other"} and set(s.level.dropna()) <= {10, 20, 30} and s.sick.dtype == bool
        if method == "marginals": assert (s.code == "other").mean() > .4 and abs((s.code == "250").mean() - .25) < .05, "what is not shown went to a code that is"
    assert "number public" in fit(t, epsilon=1.).accountant


def test_nobody_is_missing_where_noise_explains_it():
    r = np.random.default_rng(0)
    t = pd.DataFrame({"sex": r.choice(["F", "M"], 1000), "ward": r.choice(["a", "b"], 1000), "hb": r.normal(13, 1, 1000)})
    drawn = [fit(t, epsilon=.5, settings={"noise_seed": k}).sample(1000, seed=0) for k in range(24)]
    assert sum(int(d.isna().sum().sum() + (d == "other").sum().sum()) for d in drawn) < 200, "of 72,000 values; noise alone makes twice as many"
    holes = t.assign(hb=t.hb.where(t.index % 3 > 0))
    assert .15 < fit(holes, epsilon=4., settings={"noise_seed": 0}).sample(600, seed=0).hb.isna().mean() < .5


def test_a_fixed_noise_seed_repeats_and_is_called_not_private():
    t, kw = table(300)[["sex", "ward", "died"]], {"epsilon": 1., "settings": {"noise_seed": 3}}
    g, h = (fit(t, "marginals", **kw) for _ in range(2))
    assert g.sample(100, seed=1).equals(h.sample(100, seed=1)) and "NOT PRIVATE" in g.accountant and "NOT PRIVATE" in g.figures()["accountant"]
    assert Plugin("dpgan", seed=0).seed != Plugin("dpgan", seed=0).seed and Plugin("ctgan", seed=7).seed == 7, "a plugin's noise follows the public seed"


def test_a_plugin_is_given_letters_and_what_it_draws_is_spelt_with_them():
    from healthlab.synth.columns import alphabet_of, kinds_of
    from healthlab.synth.plugins import _again, _plain
    r = np.random.default_rng(0)
    t = pd.DataFrame({"dose": [0] * 160 + list(range(100, 500, 10)), "hb": np.where(r.random(200) < .2, np.nan, r.normal(13, 1, 200)), "seen": pd.Timestamp("2024-01-01") + pd.to_timedelta(r.integers(0, 400, 200), "D")})
    letters = alphabet_of(t, kinds_of(t))
    plain = _plain(t, letters)
    assert list(plain) == ["dose", "hb", "hb (missing)", "seen"] and not plain.isna().any().any()
    assert all(sorted(plain[c].unique()) == list(range(plain[c].nunique())) for c in t), "bayesian_network mixes up whole numbers that do not count from 0"
    assert plain.hb.nunique() < 25, "a plugin sees single people's numbers"
    again = _again(plain, letters, r)
    assert (letters.encode(again) == letters.encode(t)).all() and (again.dtypes == t.dtypes).all()
    off = _again(plain.head(3).assign(dose=[.3, -3., 900.], hb=[-9., 1.6, 90.]).assign(**{"hb (missing)": ["no", "no", "yes"]}), letters, r)
    assert off.dose.tolist()[:2] == [0, 0] and 400 < off.dose[2] < 500 and (letters.encode(off)[:2, 1] == [0, 2]).all() and np.isnan(off.hb[2])


def _held(x, rows, path="plugin", seen=None):
    "Where an object keeps arrays of so many rows."
    seen = set() if seen is None else seen
    if id(x) in seen or isinstance(x, (str, bytes, int, float, type)): return
    seen.add(id(x))
    if hasattr(x, "shape"):
        if len(x.shape) and x.shape[0] in rows: yield path
        return
    for k, v in x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, (list, tuple, set)) else getattr(x, "__dict__", {}).items(): yield from _held(v, rows, f"{path}.{k}", seen)


@pytest.mark.parametrize("name", PLUGINS)
def test_a_saved_plugin_draws_as_before_and_holds_nobodys_row(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    t = table(83)[["sex", "age", "hb", "died"]]
    short = {"arf": {"num_trees": 2}, "bayesian_network": None, "privbayes": None, "marginal_distributions": None}
    g = fit(t, f"synthcity:{name}", target="died", settings=short.get(name, {"n_iter": 1}))
    again = load(save(g, tmp_path / "model"))
    assert [p.name for p in tmp_path.iterdir()] == ["model"], "scores of a training are left where the user stands"
    assert again.sample(30, seed=4).equals(g.sample(30, seed=4)) and len(g.sample(30, seed=5)) == 30
    assert not [*_held(again.model.plugin, {83, 66, 67, 16, 17})], "rows it was learnt from are in its file"


def test_transformers_are_not_misled_by_what_stands_in_for_synthcitys_packages():
    code = "from healthlab.synth.plugins import plugin_class; plugin_class('ctgan'); from transformers import LlamaConfig; print(LlamaConfig().model_type)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip().endswith("llama"), done.stderr[-300:]


def test_a_plugin_saved_before_it_forgot_the_rows_is_refused():
    with pytest.raises(InputError, match="earlier version"): Plugin("ctgan").__setstate__({"name": "ctgan", "plugin": b""})


def test_dp_sgd_learns_within_its_epsilon():
    import torch
    from healthlab.synth.dpsgd import noise_for, privately, spent
    r = np.random.default_rng(0)
    ward = r.choice(["medical", "surgical"], 1500, p=[.7, .3])
    t = pd.DataFrame({"ward": ward, "died": np.where(r.random(1500) < np.where(ward == "medical", .4, .05), "yes", "no")})
    g = fit(t, "dpsgd", epsilon=8., settings={"noise_seed": 0})
    share = g.sample(4000).groupby("ward").died.apply(lambda s: (s == "yes").mean())
    assert abs(share["medical"] - .4) < .12 and share["surgical"] < .15 and g.model.spent <= 8 and "RDP" in g.accountant and "zCDP" in g.accountant
    noise, got = noise_for(1., 1e-5, .01, 1000)
    assert .98 < got <= 1. and spent(noise / 1.05, .01, 1000, 1e-5) > 1. and spent(noise, .01, 1000, 1e-5, rho=.01) > got
    with pytest.raises(InputError, match="clipp"): fit(t, "dpsgd", epsilon=1., settings={"clipp": 1})
    weight = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(weight.weight)
    privately(weight, torch.optim.SGD(weight.parameters(), lr=1.), lambda m, who: 1e6 * m(torch.ones(len(who), 1)).squeeze(1), 10, 1., 2, 1e-9, 1., seed=0)
    assert abs(weight.weight.item() + 2) < 1e-3, "a row moves the weights by no more than the clipping norm"


def test_accountant_against_known_values():
    from healthlab.synth.budget import Budget, epsilon_of, rho_of
    for epsilon in (.1, 1, 8): assert abs(epsilon_of(rho_of(epsilon, 1e-6), 1e-6) - epsilon) < 1e-5
    assert epsilon_of(.5, 1e-5) <= .5 + 2 * np.sqrt(.5 * np.log(1e5))  # never above the textbook conversion
    b = Budget(1., 1e-6)
    b.spend(b.rho)
    with pytest.raises(InputError, match="spent"): b.spend(.01)


def test_small_tables_are_learnt_by_pairs_and_keep_what_hangs_together():
    r = np.random.default_rng(0)
    age = r.integers(18, 90, 400)
    t = pd.DataFrame({"age": age, "sbp": (95 + age / 2 + r.normal(0, 9, 400)).round(), "ward": np.where(r.random(400) < .8, np.where(age > 60, "medical", "surgical"), "icu")})
    g = fit(t)
    drawn = g.sample(400)
    assert g.figures()["method"] == "pairwise"
    assert drawn[["age", "sbp"]].corr().iloc[0, 1] > .4 and (drawn.ward[drawn.age > 65] == "surgical").mean() < .1
    with pytest.raises(InputError, match="epochs"): fit(t, "pairwise", settings={"epochs": 3})
    parts = list(fit(t[["ward"]]).batches(100_050, seed=1))
    assert [len(p) for p in parts] == [100_000, 50] and list(parts[1].index) == list(range(50))
    assert pd.concat(g.batches(300, {"ward": "icu"}, seed=2)).equals(g.sample(300, {"ward": "icu"}, seed=2))


def test_rare_codes_are_other_where_no_shared_one_begins_like_them():
    r, n = np.random.default_rng(0), 1000
    codes = np.array([f"{a}{i:02}" for a in "ABCDEFGHIJ" for i in range(60)])
    t = pd.DataFrame({"sex": r.choice(["F", "M"], n), "icd": np.where(r.random(n) < .6, r.choice(["I10", "E11", "J45"], n), r.choice(codes, n))})
    weight = t.icd.value_counts()
    shown = fit(t).sample(1000).icd.value_counts(normalize=True)
    assert abs(shown["other"] - weight[weight < 5].sum() / n) < .1 and abs(shown["I10"] - weight["I10"] / n) < .06
    ids = t.icd.str[1:].astype(int) + 100 * t.icd.str[0].map(ord)
    s = fit(t.assign(icd=ids), kinds={"icd": "category"}).sample(500).icd
    assert s.isna().mean() > .1 and set(s.dropna()) <= set(ids), "no word stands for numbers"


def test_private_whole_numbers_keep_what_is_missing():
    t = pd.DataFrame({"age": pd.array(np.random.default_rng(0).integers(20, 90, 900), dtype="Int64"), "sex": ["F", "M", "F"] * 300})
    t.loc[::3, "age"] = pd.NA
    assert .2 < fit(t, epsilon=3.).sample(600).age.isna().mean() < .45


def test_complex_numbers_are_refused():
    with pytest.raises(InputError, match="signal"): fit(pd.DataFrame({"signal": np.arange(30) + 1j, "sex": ["F", "M"] * 15}))
