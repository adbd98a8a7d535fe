"""Tables made safe: the optimum against every node, the requirement against the released rows, risk against hand-counted classes, small cells against their bounds."""
import itertools

import numpy as np
import pandas as pd
import pytest

from healthlab.core.errors import InputError
from healthlab.deid.cells import bounds, small_cells
from healthlab.deid.classes import Requirement, classes, diverse, distance, packed
from healthlab.deid.hierarchy import dates, hierarchy, icd10, numbers, of_column, zips
from healthlab.deid.lattice import Problem, best_node, look
from healthlab.deid.table import anonymise, risk

QUASI = ["age", "zip", "ward", "admitted"]


def stays(seed, rows=300):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"age": rng.integers(0, 95, rows), "zip": rng.choice(["02139", "02140", "02215", "10001", "10003", None], rows), "ward": rng.choice(["medicine", "surgery", "ICU", "burns"], rows, p=[.55, .3, .1, .05]),
                         "admitted": rng.choice(pd.date_range("2024-01-01", "2025-12-31").strftime("%Y-%m-%d"), rows), "diagnosis": rng.choice(list("ABCDE"), rows, p=[.5, .2, .1, .1, .1]), "days": rng.integers(1, 9, rows)})


def counts_of(table, column):
    return table.groupby([table[q].astype(str) for q in QUASI])[column].value_counts().unstack(fill_value=0)


@pytest.mark.parametrize("seed,need,share", [(0, dict(k=3), 0), (1, dict(k=5), .05), (2, dict(k=2, l=2), .05), (3, dict(k=2, l=2, diversity="entropy"), .03), (4, dict(k=2, t=.3), .05), (5, dict(k=4, l=3, t=.4), 0), (6, dict(k=2, l=2, diversity="recursive"), .05)])
def test_the_best_node_is_the_best_of_all(seed, need, share):
    df = stays(seed, 120)
    made = [of_column(df[q]) for q in QUASI]
    p = Problem([c for _, c in made], [h for h, _ in made], [pd.factorize(df.diagnosis)[0]] if len(need) > 1 else [], Requirement(**need, ordered=(False,)), int(share * len(df)))
    floor = p.at_least()
    every = [look(p, at, float(floor[at])) for at in itertools.product(*map(range, p.shape))]
    best, looked = best_node(p)
    there = [n.loss for n in every if n.safe]
    assert (best is None) == (not there) and looked < len(every)
    if there: assert best.loss == pytest.approx(min(there), abs=1e-12)


@pytest.mark.parametrize("recoding", ["full-domain", "local"])
@pytest.mark.parametrize("need", [dict(k=5), dict(k=7, l=3), dict(k=4, l=2.5, diversity="entropy"), dict(k=4, l=2, diversity="recursive", c=4), dict(k=5, t=.35)])
def test_every_class_that_is_given_out_fulfils_what_was_asked(need, recoding):
    df = stays(11, 900)
    out = anonymise(df, quasi=QUASI, sensitive="diagnosis", recoding=recoding, **need)
    found = counts_of(out.table, "diagnosis").to_numpy()
    assert len(found) == out.classes and found.sum(1).min() == out.smallest >= need["k"]
    assert len(out.table) + out.suppressed == len(df) and out.suppressed <= .02 * len(df)
    r = Requirement(**need, ordered=(False,))
    if r.l: assert diverse(found, r).all()
    if r.t: assert (distance(found, df.diagnosis.value_counts().sort_index().to_numpy(), False) <= r.t + 1e-9).all()
    assert out.after.prosecutor.highest <= 1 / need["k"] < out.before.prosecutor.highest


def test_an_ordered_value_is_nearer_its_neighbour():
    whole = np.array([10, 10, 10])
    near, far = np.array([[5, 5, 0]]), np.array([[5, 0, 5]])
    assert distance(near, whole, True)[0] == pytest.approx(.25) and distance(far, whole, True)[0] == pytest.approx(1 / 6)
    assert distance(near, whole, False)[0] == distance(far, whole, False)[0] == pytest.approx(1 / 3)


def test_what_cannot_be_made_safe_is_not_given_out():
    out = anonymise(stays(1, 20), quasi=QUASI, sensitive="diagnosis", k=5, l=6)
    assert len(out.table) == 0 and out.suppressed == 20 and out.loss == 1
    assert len(anonymise(stays(1, 20).head(0), quasi=QUASI).table) == 0


def test_neither_order_nor_index_nor_other_columns_tell_whose_row_it_is():
    df = stays(2).assign(mrn=range(300))
    out = anonymise(df, quasi=QUASI, sensitive="days", k=3)
    assert "mrn" not in out.table and list(out.table.index) == list(range(len(out.table)))
    shuffled = anonymise(df.sample(frac=1, random_state=1), quasi=QUASI, sensitive="days", k=3)
    pd.testing.assert_frame_equal(out.table, shuffled.table)


@pytest.mark.parametrize("wrong", [dict(quasi=["nothing"]), dict(quasi=[]), dict(quasi=["age", "age"]), dict(quasi=["age"], l=2), dict(quasi=["age"], k=0), dict(quasi=["age"], k=2.5), dict(quasi=["age"], sensitive="days", t=2), dict(quasi=["age"], suppression=1),
    dict(quasi=["age"], recoding="none"), dict(quasi=["age"], sensitive="age"), dict(quasi=["age"], hierarchies={"ward": "category"}), dict(quasi=["age"], hierarchies={"age": "tree"}), dict(quasi=["ward"], hierarchies={"ward": {"ICU": "acute"}}), dict(quasi=["age"], sensitive="days", l=2, diversity="much")])
def test_a_wrong_request_says_what_is_wrong_and_tells_no_value(wrong):
    with pytest.raises(InputError) as e: anonymise(stays(0), **wrong)
    assert "02139" not in str(e.value) and e.value.remedy


def test_levels_must_nest():
    with pytest.raises(InputError): hierarchy(["a", "b", "c"], [["x", "x", "y"], ["p", "q", "q"]])
    assert hierarchy(["a", "b", "c"], [["x", "x", "y"]]).groups.tolist() == [[0, 1, 2], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("made", [numbers([1.5, 2.25, 90, None, -4]), dates(["2024-02-29", "1999-12-31", None, "2024-03"]), zips(["02139", "021", None]), icd10(["E11.9", "E11", "Z99", "I10", "nothing"])])
def test_every_hierarchy_nests_up_to_saying_nothing(made):
    for fine, coarse in zip(made.groups, made.groups[1:]):
        assert all(len({int(c) for f, c in zip(fine, coarse) if f == g}) == 1 for g in set(fine.tolist())) and coarse.max() < fine.max()
    assert set(made.labels[-1]) == {"*"} and (np.diff(made.cost, axis=0) >= -1e-12).all()


def test_packing_keeps_apart_what_differs_beyond_63_bits():
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, 3, 500) for _ in range(60)]
    at, sizes = classes(packed(columns, [3] * 60))
    assert len(sizes) == len(np.unique(np.array(columns), axis=1).T) and sizes.sum() == 500


def test_risk_is_what_the_classes_say():
    df = pd.DataFrame({"a": [1, 1, 1, 2, 2, 3], "b": [None] * 6})
    r = risk(df, ["a", "b"])
    assert (r.classes, r.unique, r.prosecutor.highest, r.prosecutor.average, r.prosecutor.at_risk) == (3, 1, 1.0, .5, 1.0) and r.journalist == r.prosecutor
    whole = pd.DataFrame({"a": [1] * 10 + [2] * 4 + [3] * 5, "b": [None] * 19})
    j = risk(df, ["a", "b"], population=whole)
    assert j.journalist.highest == .25 and j.marketer == pytest.approx((3 / 10 + 2 / 4 + 1 / 5) / 6) and j.journalist.at_risk == pytest.approx(2 / 6)
    with pytest.raises(InputError): risk(df, "a", population=whole.head(3))
    with pytest.raises(InputError): risk(df, "a", population=3)


def test_the_expected_journalist_risk_is_that_of_samples():
    rng = np.random.default_rng(3)
    whole = pd.DataFrame({"a": rng.integers(0, 60, 4000), "b": rng.integers(0, 12, 4000)})
    said, true = zip(*[(risk(s, ["a", "b"], population=4000).marketer, risk(s, ["a", "b"], population=whole).marketer) for s in (whole.sample(800, random_state=i) for i in range(12))])
    assert np.mean(said) == pytest.approx(np.mean(true), rel=.35) and np.mean(said) < risk(whole.sample(800, random_state=0), ["a", "b"]).marketer


@pytest.mark.parametrize("seed", range(12))
def test_shown_counts_tell_no_more_than_that_a_cell_is_small(seed):
    rng = np.random.default_rng(seed)
    inner = rng.poisson(rng.choice([3, 15, 60], (4, 5)))
    out = small_cells(pd.DataFrame(inner), 10)
    full = np.vstack([np.column_stack([inner, inner.sum(1)]), [*inner.sum(0), inner.sum()]]).astype(float)
    hidden = (out.table == "x").to_numpy()
    assert (out.table.to_numpy()[~hidden] == full[~hidden]).all() and out.small == ((full > 0) & (full < 10)).sum()
    for i, j in np.argwhere((full > 0) & (full < 10)):
        low, high = bounds(full, hidden, (int(i), int(j)))
        assert hidden[i, j] and low <= 1 + 1e-6 and high >= 9 - 1e-6, (i, j, low, high)


def test_nothing_is_left_out_of_a_table_without_small_counts():
    out = small_cells(pd.Series([12, 0, 40], index=list("abc")))
    assert (out.small, out.further) == (0, 0) and out.table.iloc[-1, 0] == 52
    assert small_cells(pd.DataFrame({"a": [3, 20], "b": [30, 40]}), totals=False).further == 0
    for wrong in ([[1.5]], [[-1]], [[np.nan]], []):
        with pytest.raises(InputError): small_cells(pd.DataFrame(wrong))
