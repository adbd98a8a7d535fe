"""The card: honest tables pass, leaky ones fail by the rule that is meant to catch them, and the figures can be kept."""
import json

import numpy as np
import pandas as pd
import pytest

from healthlab.core.errors import InputError
from healthlab.synth import evaluate, fit
from healthlab.synth.card import _rules, policy
from healthlab.synth.leaks import beyond_chance, combinations, leaks
from healthlab.synth.shadows import shadow_membership


def people(n, seed):
    r = np.random.default_rng(seed)
    age = r.integers(20, 90, n)
    return pd.DataFrame({"age": age, "sex": r.choice(["F", "M"], n), "sbp": (100 + age / 2 + r.normal(0, 10, n)).round(), "hb": r.normal(13, 1.4, n).round(2), "crp": r.lognormal(1, 1, n).round(2),
                         "died": np.where(r.random(n) < age / 150, "yes", "no")})


REAL, HOLDOUT, FRESH = people(2000, 0), people(2000, 1), people(2000, 2)


@pytest.fixture(scope="module")
def honest(): return evaluate(REAL, FRESH, HOLDOUT, target="died", groups="sex", attacks=60)


def test_fresh_real_rows_pass(honest):
    assert honest.passed, honest
    assert abs(honest.found["utility"]["gap"]) < .03 and .45 < honest.found["fidelity"]["detection"] < .55
    assert honest.found["fidelity"]["precision"] > .9 and honest.found["fidelity"]["recall"] > .85


def test_figures_are_json_and_html_names_the_rules(honest, tmp_path):
    again = json.loads(honest.to_json(tmp_path / "card.json"))
    assert again["passed"] is True and {r["name"] for r in again["rules"]} >= {"accuracy", "detection", "utility", "leak: copies", "singling out"}
    page = honest.to_html(tmp_path / "card.html")
    assert "leak: membership" in page and "<svg" in page and "pass" in page


@pytest.mark.parametrize("leak, rule", [
    (lambda: pd.concat([FRESH[:1960], REAL[:40]]), "leak: copies"),
    (lambda: pd.concat([FRESH[:1900], REAL[:100].assign(hb=lambda t: t.hb + .02)]), "leak: copies"),
    (lambda: FRESH.assign(crp=np.random.default_rng(0).permutation(REAL.crp)), "leak: combinations"),
    (lambda: REAL.sample(2000, replace=True, random_state=0), "leak: membership"),
    (lambda: FRESH.assign(died=np.random.default_rng(0).permutation(FRESH.died)), "utility"),
    (lambda: FRESH.assign(age=FRESH.age.clip(50, 60)), "accuracy"),
])
def test_each_fault_is_caught_by_its_rule(leak, rule):
    card = evaluate(REAL, leak().reset_index(drop=True), HOLDOUT, target="died" if rule == "utility" else None, attacks=0)
    assert not card.passed and rule in {r.name for r in card.rules if not r.passed}, card


def test_a_loss_counts_where_chance_does_not_explain_it():
    from healthlab.synth.fidelity import comparable
    from healthlab.synth.utility import utility
    def lost(synthetic, seed):
        kinds, tables = comparable(people(300, 100 + seed), synthetic, people(300, 300 + seed), kinds=None)
        return utility(*tables, "died", kinds, limit=0.)
    fresh = [lost(people(300, 200 + s), s) for s in range(4)]
    ruined = [lost(people(300, 200 + s).assign(died=lambda t: np.random.default_rng(0).permutation(t.died)), s) for s in range(4)]
    assert all(u.get("least", u["gap"]) < .03 for u in fresh) and all(u["least"] > .1 for u in ruined)
    assert "least" not in utility(*(t.drop(columns="sex") for t in (REAL, FRESH, HOLDOUT)), "died", {"died": "category"}, limit=.5)


@pytest.mark.parametrize("leak, test", [
    (lambda: pd.concat([FRESH[:1995], REAL[:5]]), "rows"),
    (lambda: FRESH.assign(crp=np.where(np.arange(2000) < 90, np.resize(np.sort(REAL.crp)[-90:], 2000), FRESH.crp)), "combinations"),
    (lambda: FRESH.assign(**{c: np.where(np.arange(2000) < 60, REAL[c], FRESH[c]) for c in ("hb", "crp")}), "combinations"),
])
def test_few_copies_parts_of_rows_and_extremes_are_caught(leak, test):
    got = leaks(REAL, leak().reset_index(drop=True), HOLDOUT)
    assert got[test]["p"] < .0025, got


def test_the_chance_over_all_tails_of_a_list_is_exact():
    lists, r = np.random.default_rng(0).random((4000, 600)) < .5, np.random.default_rng(1)
    p = np.array([beyond_chance(x, .5, 0.)[0] for x in lists])
    for level in (.01, .05, .2, .5): assert .8 * level - .006 < (p <= level).mean() < level + 3.5 * (level / 4000) ** .5, level
    assert (np.array([beyond_chance(x, .5, .08)[0] for x in lists[:1000]]) <= .01).mean() < .002 and beyond_chance(np.arange(600) < 24, .5, 0.)[0] < 1e-3
    assert abs(beyond_chance(np.ones(16, bool), .5, 0.)[0] - 2 ** -16) < 1e-9 and beyond_chance(r.random(0) < .5, .5, 0.)[0] == 1
    assert all(beyond_chance(np.zeros(n, bool), .5, .08)[0] == 1 for n in (1, 12, 600)) and beyond_chance(np.arange(40) == 39, .5, 0.)[0] == 1


def test_quantiles_of_a_column_that_many_share_are_caught():
    "Most values are several people's; those that only people of one table have tell, be they one or two."
    r = np.random.default_rng(5)
    def table(n): return pd.DataFrame({"charge": r.lognormal(5.5, .8, n).round(), "sex": r.choice(["F", "M"], n), "age": r.integers(20, 90, n).astype(float)})
    real, held, fresh = table(4000), table(4000), table(4000)
    quantiles = np.quantile(real.charge, np.linspace(0, 1, 250), method="inverted_cdf")
    leaked = fresh.assign(charge=quantiles[np.abs(fresh.charge.to_numpy()[:, None] - quantiles).argmin(1)])
    judged = lambda t: combinations(real, held, t, .08, np.random.default_rng(0))
    assert judged(leaked)["p"] < .0025 < judged(fresh)["p"]


def test_any_three_columns_copied_together_are_found_by_name():
    r, names = np.random.default_rng(3), ["crp", "sex", "age"]
    def table(): return pd.DataFrame({"crp": r.lognormal(2, 1, 2000).round(1), "sex": r.choice(["F", "M"], 2000)} | {f"x{i}": r.integers(0, 3, 2000).astype(float) for i in range(7)} | {"age": r.integers(20, 90, 2000).astype(float)})
    real, held, made = table(), table(), table()
    leaky = made.assign(**{c: np.concatenate([real[c][:300], made[c][300:]]) for c in names})
    found, fair = (combinations(real, held, t, .08, np.random.default_rng(0)) for t in (leaky, made))
    assert found["p"] < 1e-6 and sorted(found["worst"]) == sorted(names) and fair["p"] > .01


def test_shadow_models_tell_a_method_that_repeats_from_one_that_does_not():
    again = lambda t, seed: t.sample(len(t), replace=True, random_state=seed).assign(sbp=lambda x: x.sbp + np.random.default_rng(seed).integers(-4, 5, len(x)))
    leaky, honest = (shadow_membership(again, REAL[:200], s, HOLDOUT) for s in (again(REAL[:200], 9), FRESH))
    assert leaky["low"] > .55 > honest["low"] and honest["auc"] < .6, (leaky, honest)


def test_the_default_of_small_tables_hardly_knows_who_it_learnt_from():
    def make(t, seed): return fit(t, "pairwise", seed=seed).sample(len(t), seed=seed)
    found = [shadow_membership(make, REAL[i:i + 500], make(REAL[i:i + 500], i), HOLDOUT[i:i + 500], shadows=3, seed=i)["auc"] for i in (0, 500, 1000)]
    assert np.mean(found) < .54, found


def test_the_card_fails_by_shadow_models_and_says_when_they_were_not_made(monkeypatch):
    g = fit(REAL[:400], "marginals", epsilon=1.)
    card = evaluate(REAL[:400], g.sample(400), HOLDOUT[:400], generator=g, attacks=0, shadows=2)
    rule = next(r for r in card.rules if r.name == "membership, shadow models")
    assert rule.passed and rule.figure < .55 and "2 shadow models, 800 people" in card.to_html()
    monkeypatch.setenv("HEALTHLAB_SYNTH_SHADOW_MOST", "0.1")
    assert not next(r for r in _rules(card.found, policy()) if r.name == rule.name).passed
    assert any("shadow" in n for n in evaluate(REAL[:400], g.sample(400), HOLDOUT[:400], attacks=0).notes)


def test_without_a_holdout_the_card_fails_and_says_what_was_not_judged():
    near = evaluate(REAL, REAL.assign(hb=REAL.hb + .01, crp=REAL.crp + .01), attacks=0) # a near copy of everybody
    assert near.failed == ["leaks"] and "holdout" in near.notes[0].lower() and not any(r.name.startswith("leak:") for r in near.rules)
    assert "give a holdout" in near.to_html() and "exact copies" in evaluate(REAL, pd.concat([FRESH[:1900], REAL[:100]])).failed


def test_a_small_epsilon_stands_for_a_holdout_and_a_great_one_does_not():
    def card(epsilon): return evaluate(REAL, g.sample(2000), attacks=0, generator=g) if (g := fit(REAL, epsilon=epsilon)) else None
    small, great = card(2.), card(50.)
    assert "leaks" not in small.failed and "epsilon 2" in small.notes[0] and "leaks" in great.failed


def few(source, made, holdout=HOLDOUT, **how): return evaluate(source, made, holdout, attacks=0, **how).found["privacy"]["few"]["columns"]


def with_value(t, rows, **values): return t.assign(**{c: np.where(np.arange(len(t)) < rows, v, t[c] if c in t else "none").astype(object if isinstance(v, str) else float) for c, v in values.items()})


def test_values_of_single_people_are_caught_by_column_and_never_named():
    card = evaluate(with_value(REAL, 1, ward="Quartermain"), with_value(FRESH, 10, ward="Quartermain"), with_value(HOLDOUT, 0, ward="-"), attacks=0)
    rule = next(r for r in card.rules if r.name == "values of few")
    assert not rule.passed and "ward" in rule.why and "Quartermain" not in card.to_json() + card.to_html()
    assert list(few(with_value(REAL, 1, sbp=999999.), with_value(FRESH, 1, sbp=999999.))) == ["sbp"]
    def mails(t, who): return t.assign(mail=[f"{who}{i}.doe@mail.org" if i < 15 else None for i in range(len(t))])
    for shown in (15, 1): assert list(few(mails(REAL, "jo"), mails(FRESH, "jo").assign(mail=lambda t: t.mail.where(t.index < shown)), mails(HOLDOUT, "an"))) == ["mail"], shown


def test_rare_values_that_strangers_have_as_well_are_no_leak():
    r = np.random.default_rng(0)
    def rare(t): return t.assign(code=[f"C{int(x):04d} of ward" for x in r.zipf(1.4, len(t)).clip(max=9000)], late=r.lognormal(2, 1.5, len(t)).round(1))
    assert not any(few(*map(rare, (REAL, FRESH, HOLDOUT))) for _ in range(5))


def test_a_generator_that_promises_a_floor_is_held_to_it():
    def ward(t, one): return t.assign(ward=np.where(np.arange(len(t)) < one, "attic", np.where(np.arange(len(t)) % 2, "medical", "surgical")))
    real, held = ward(REAL, 1), ward(HOLDOUT, 0)
    g = fit(real, "pairwise")
    drawn = g.sample(2000)
    assert not few(real, drawn, held, generator=g)
    broken = drawn.assign(ward=np.where(np.arange(2000) < 1, "attic", drawn.ward))
    assert list(few(real, broken, held, generator=g)) == ["ward"] and not few(real, broken, held), "a fresh person may have it too: one row alone proves nothing without the promise"


def test_no_edge_of_a_plot_is_drawn_from_the_outermost_people():
    real = people(60, 5).assign(sbp=lambda t: np.where(np.arange(60) < 1, 987654., t.sbp))
    edges = evaluate(real, people(60, 6), people(60, 7), attacks=0).found["fidelity"]["plots"]["sbp"]["edges"]
    v = np.sort(real.sbp)
    assert v[9] <= edges[0] and edges[-1] <= v[-10] and len(edges) >= 2
    assert "sbp" not in evaluate(real[:49], people(60, 6), people(60, 7), attacks=0).found["fidelity"]["plots"]


@pytest.mark.parametrize("call, named", [(lambda: evaluate(REAL, FRESH, target="x"), "x"), (lambda: evaluate(REAL, FRESH.drop(columns="hb")), "hb"), (lambda: evaluate(REAL, FRESH.head(3)), "3 rows"), (lambda: evaluate(REAL, FRESH, groups="ward"), "ward")])
def test_bad_input_is_named(call, named):
    with pytest.raises(InputError, match=named): call()


def test_the_generator_is_on_the_card():
    g = fit(REAL, epsilon=2., target="died")
    card = evaluate(REAL, g.sample(2000), HOLDOUT, generator=g, attacks=0)
    assert "not attacked" in card.notes[0]
    assert card.figures()["generator"]["epsilon"] == 2. and "zCDP" in card.to_html()


def test_values_of_few_are_looked_for_in_whole_numbers():
    from healthlab.synth.leaks import values_of_few
    r = np.random.default_rng(0)
    real, held = (pd.DataFrame({"cost": r.integers(0, 900, 400)}) for _ in range(2))
    real.loc[0, "cost"] = 7654321
    drawn = pd.DataFrame({"cost": r.integers(0, 900, 400)})
    assert values_of_few(real, drawn, held) == {}
    drawn.loc[0, "cost"] = 7654321
    assert list(values_of_few(real, drawn, held)) == ["cost"]
