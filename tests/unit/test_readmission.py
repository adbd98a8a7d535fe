"""Index stays and their outcome, on tables small enough to check by hand."""
import numpy as np
import pandas as pd
import pytest

from healthlab.core.errors import InputError
from healthlab.models.readmission import INPUTS, episodes, figures_of, stays, train

ENCOUNTER = ("patient", "class", "start", "end", "priority", "admit_source", "discharge_disposition")


def encounters(*rows):
    "patient, class, start, end, disposition"
    return pd.DataFrame([(p, c, s, e, "EM", "emd", d) for p, c, s, e, d in rows], columns=ENCOUNTER)


PATIENTS = pd.DataFrame({"id": ["a", "b"], "birth_date": ["1950", "1980-02-01"], "gender": ["female", None]})
CONDITIONS = pd.DataFrame({"patient": ["a", "a", "b"], "recorded": ["2019-01-01", "2020-01-04", "2021-01-01"]})
LAST = ("b", "AMB", "2021-06-01", "2021-06-01", None) # the data end here


def test_a_stay_within_30_days_is_a_readmission_and_a_later_one_is_not():
    found = stays(encounters(("a", "IMP", "2020-01-01", "2020-01-05", "home"), ("a", "IMP", "2020-02-03", "2020-02-05", "home"), ("a", "IMP", "2020-04-01", "2020-04-02", "home"), LAST), PATIENTS, CONDITIONS)
    assert found["readmitted"].tolist() == [True, False, False]
    assert found["days"].tolist() == [4, 2, 1] and found["stays_before"].tolist() == [0, 1, 2]
    assert found["age"].tolist() == [70, 70, 70] and found["gender"].tolist() == ["female"] * 3


def test_a_transfer_is_one_episode():
    rows = encounters(("a", "IMP", "2020-01-01T08:00:00Z", "2020-01-05T10:00:00Z", "hosp"), ("a", "ACUTE", "2020-01-05T12:00:00Z", "2020-01-09T10:00:00Z", "home"), LAST)
    assert len(episodes(rows)) == 1
    found = stays(rows, PATIENTS, CONDITIONS)
    assert found["readmitted"].tolist() == [False] and found["discharge_disposition"].tolist() == ["home"]


def test_deaths_and_stays_without_30_days_after_them_are_no_index_stays():
    rows = encounters(("a", "IMP", "2020-01-01", "2020-01-05", "exp"), ("b", "IMP", "2021-05-20", "2021-05-22", "home"), ("b", "IMP", "2021-01-01", "2021-01-03", "home"), LAST)
    found = stays(rows, PATIENTS, CONDITIONS)
    assert len(found) == 1 and found["patient"].tolist() == ["b"]


def test_nothing_after_discharge_goes_in():
    rows = [("a", "IMP", "2020-01-01", "2020-01-03", "home"), LAST]
    later = [("a", "EMER", "2020-01-10", "2020-01-10", None), ("a", "IMP", "2020-06-10", "2020-06-12", "home")]
    first = stays(encounters(*rows), PATIENTS, CONDITIONS)[list(INPUTS)].iloc[0].to_dict()
    assert stays(encounters(*rows, *later), PATIENTS, CONDITIONS)[list(INPUTS)].iloc[0].to_dict() == first
    assert first["conditions"] == 1 # the other was recorded after discharge


def test_emergencies_count_for_half_a_year():
    rows = [("a", "EMER", "2019-03-01", "2019-03-01", None), ("a", "EMER", "2019-12-01", "2019-12-01", None), ("a", "IMP", "2020-01-01", "2020-01-03", "home"), LAST]
    assert stays(encounters(*rows), PATIENTS, CONDITIONS)["emergencies_before"].tolist() == [1]


def test_tables_without_stays_are_refused():
    with pytest.raises(InputError) as e: stays(encounters(LAST), PATIENTS, CONDITIONS)
    assert e.value.code == "no-stays"


def table(n, seed=0, signal=2.0):
    rng = np.random.default_rng(seed)
    found = pd.DataFrame({"patient": [f"p{i // 2}" for i in range(n)], "age": rng.uniform(20, 90, n), "gender": rng.choice(["female", "male"], n), "priority": "EM", "admit_source": "emd",
                          "discharge_disposition": rng.choice(["home", "snf"], n), "days": rng.uniform(1, 10, n), "stays_before": rng.poisson(1, n).astype(float), "emergencies_before": 0.0, "conditions": 3.0})
    return found.assign(readmitted=rng.random(n) < 1 / (1 + np.exp(2 - signal * (found["stays_before"] - 1))))


def test_what_decides_is_learnt_and_noise_is_not():
    assert train(table(600)).figures["auroc"] > 0.75
    noise = train(table(600, signal=0.0)).figures
    assert noise["auroc_low"] < 0.5 < noise["auroc_high"] + 0.05 and noise["auroc"] < 0.6


def test_few_stays_are_refused():
    with pytest.raises(InputError) as e: train(table(40))
    assert e.value.code == "too-few-stays"


def test_figures_of_a_perfect_and_a_useless_order():
    truth = [True] * 20 + [False] * 80
    assert figures_of(truth, [0.9] * 20 + [0.1] * 80)["auroc"] == 1
    assert figures_of(truth, [0.2] * 100)["auroc"] == 0.5
