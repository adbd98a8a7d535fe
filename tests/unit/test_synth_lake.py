"""From the lake to zone synthetic: only what passes is written, what was asked is in the audit, identified data are refused. And the canaries' check of the DP claim."""
import json

import numpy as np
import pandas as pd
import pytest

from healthlab.core import audit
from healthlab.core.errors import InputError
from healthlab.lake import Lake
from healthlab.synth import fit, load, synthesize
from healthlab.synth.canaries import epsilon_from_errors, lower_bound


@pytest.fixture
def lake(tmp_path, monkeypatch):
    for k, v in {"LAKE_URL": "lake", "KEYS_FILE": "key", "AUDIT_PATH": "audit", "SYNTH_MODELS": "models"}.items(): monkeypatch.setenv(f"HEALTHLAB_{k}", str(tmp_path / v))
    monkeypatch.setenv("HEALTHLAB_SYNTH_SHADOWS", "2")
    r = np.random.default_rng(0)
    age = r.integers(20, 90, 1200)
    stays = pd.DataFrame({"id": [f"e{i:05d}" for i in range(1200)], "patient": [f"p{i // 2}" for i in range(1200)], "age": age, "sbp": (100 + age / 2 + r.normal(0, 10, 1200)).round(),
                          "ward": r.choice(["medical", "surgical"], 1200), "comment": [f"seen on round {i} by the team" for i in range(1200)]})
    out = Lake()
    out.write("research", "stays", stays, run_id="test")
    return out


def test_a_table_that_passes_is_written_and_the_request_is_audited(lake, tmp_path):
    made = synthesize(lake, "stays", rows=900, reason="feasibility")
    assert made.card.passed and made.card.found["privacy"]["shadows"]["shadows"] == 2, made.card
    rows, source = lake.read("synthetic", "stays").to_pandas(), lake.read("research", "stays").to_pandas()
    assert len(rows) == 900 and not set(rows.id) & set(source.id) and set(rows) == {"id", "age", "sbp", "ward"} and made.left_out == ["patient", "comment"]
    events = audit.entries().column("event").to_pylist()
    assert "synth.ask" in events and "synth.made" in events
    folder, = (tmp_path / "models").iterdir()
    assert load(folder).figures()["method"] == "pairwise" and made.figures()["passed"]
    assert made.folder == folder and json.loads((folder / "card.json").read_text())["passed"] and "pass" in (folder / "card.html").read_text(), "the card is kept beside the model"


def test_a_table_that_fails_is_withheld(lake, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_SYNTH_ACCURACY_GAP", "-1")
    made = synthesize(lake, "stays", rows=300)
    assert not made.card.passed and made.rows == 0 and "stays" not in lake.tables("synthetic")
    assert "synth.withheld" in audit.entries().column("event").to_pylist()


@pytest.mark.parametrize("how, named", [({"zone": "identified"}, "identified"), ({"table": "nothing"}, "nothing")])
def test_what_cannot_be_learnt_is_refused(lake, how, named):
    with pytest.raises(InputError, match=named): synthesize(lake, **{"table": "stays"} | how)


def test_canaries_do_not_refute_the_claim():
    r = np.random.default_rng(0)
    t = pd.DataFrame({"sex": r.choice(["F", "M"], 150), "ward": r.choice(["a", "b", "c"], 150), "died": r.random(150) < .2})
    found = lower_bound(lambda x: fit(x, epsilon=1., delta=1e-5), t, models=25, rows=500, delta=1e-5)
    assert found["epsilon"] <= 1.


def test_bound_of_a_perfect_attack_grows_with_the_models():
    assert epsilon_from_errors(50, 0, 50) > epsilon_from_errors(10, 0, 10) > .5
    assert epsilon_from_errors(5, 5, 10) == 0
