"""Registered models over HTTP: listing, cards, and answers to rows that were checked against the recorded signature."""
import json

import numpy as np
import pandas as pd
import pytest

ROW = dict(age=71.0, smoker=True, ward="A", visits=2)
SECRET = "Jane Q. Example"


def table():
    rng = np.random.default_rng(0)
    found = pd.DataFrame({"age": rng.uniform(20, 90, 80), "smoker": rng.random(80) < 0.3, "ward": rng.choice(["A", "B"], 80), "visits": rng.integers(0, 5, 80)})
    found.loc[0, "age"] = np.nan
    return found


def fitted(found, seed=0):
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    spread = ColumnTransformer([("n", SimpleImputer(), ["age", "smoker", "visits"]), ("w", OneHotEncoder(handle_unknown="ignore"), ["ward"])])
    return make_pipeline(spread, LogisticRegression(random_state=seed)).fit(found, (found["visits"] > 2).to_numpy())


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    "A registry with two versions of a model; the first is the champion."
    from notebooks import scratch
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as m:
        for k, v in scratch(folder).items(): m.setenv(k, v)
        from healthlab.models.registry import register
        found = table()
        assert register(fitted(found), "visits", found, card=dict(intended_use="more than two visits", limits=["made up"]), figures=dict(auroc=0.99), parameters=dict(seed=0)) == 1
        assert register(fitted(found, 1), "visits", found, card=dict(intended_use="the next"), figures=dict(auroc=0.98), champion=False) == 2
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def models(registry, monkeypatch, as_client):
    monkeypatch.setenv("HEALTHLAB_MLFLOW_TRACKING", registry)
    return as_client("models inference", role="researcher")


def test_models_are_listed_with_their_versions(models):
    assert {m["name"]: m["versions"] for m in models.get("/v1/models").json if m["name"] != "nlp"} == {"visits": ["2", "1"]}


def test_the_card_says_what_goes_in_and_how_good_it_is(models):
    card = models.get("/v1/models/visits").json
    assert (card["version"], card["aliases"], card["figures"], card["card"]["intended_use"]) == ("1", ["champion"], {"auroc": 0.99}, "more than two visits")
    assert [(c["name"], c["type"], c["required"]) for c in card["inputs"]] == [("age", "double", False), ("smoker", "boolean", True), ("ward", "string", True), ("visits", "long", True)]
    assert models.get("/v1/models/visits/versions/2").json["card"]["intended_use"] == "the next"


def test_a_model_answers_as_it_does_in_python(models):
    answer = models.post("/v1/inference", dict(model="visits", rows=[ROW, dict(ROW, visits=4, age=None)]), media="application/json").json
    wanted = fitted(table()).predict_proba(pd.DataFrame([ROW, dict(ROW, visits=4, age=np.nan)]))
    assert (answer["model"], answer["version"]) == ("visits", "1")
    assert [p["probabilities"]["true"] for p in answer["predictions"]] == pytest.approx(list(wanted[:, 1]), abs=1e-5)
    assert [p["value"] for p in answer["predictions"]] == ["true" if p > 0.5 else "false" for p in wanted[:, 1]]


def test_a_version_is_asked_by_number_or_alias(models):
    for version, found in (("2", "2"), ("1", "1"), ("champion", "1")):
        assert models.post("/v1/inference", dict(model="visits", version=version, rows=[ROW]), media="application/json").json["version"] == found


@pytest.mark.parametrize("row, where", [(dict(ROW, age=SECRET), "body.rows.1.age"), ({k: v for k, v in ROW.items() if k != "ward"}, "body.rows.1.ward"), (dict(ROW, **{SECRET: 1}), "body.rows.1"),
                                        (dict(ROW, smoker=1), "body.rows.1.smoker"), (dict(ROW, visits=1.5), "body.rows.1.visits"), (dict(ROW, visits=None), "body.rows.1.visits"),
                                        (dict(ROW, ward="A" * 201), "body.rows.1.ward"), (dict(ROW, age=1e300), "body.rows.1.age"), (dict(ROW, ward=[1]), "body.rows.1.ward")])
def test_rows_that_do_not_fit_are_named_and_their_values_are_not(models, row, where):
    answer = models.post("/v1/inference", dict(model="visits", rows=[ROW, row]), media="application/json")
    assert answer.status_code == 422 and answer.content_type == "application/problem+json"
    assert any(e["where"].startswith(where) for e in answer.json["errors"]) and SECRET not in answer.text


@pytest.mark.parametrize("body, status", [(dict(model="nothing", rows=[ROW]), 404), (dict(model="visits", version="99", rows=[ROW]), 404), (dict(model="visits", version="next", rows=[ROW]), 404),
                                          (dict(model="visits"), 422), (dict(model="visits", rows=[]), 422), (dict(model="visits", rows=[ROW], texts=["x"]), 422), (dict(model="visits", texts=["x"]), 422),
                                          (dict(model="nlp", rows=[ROW]), 422), (dict(model="nlp", version="0", texts=["x"]), 404), (dict(model="../../etc", rows=[ROW]), 422), (dict(model="visits", version="../1", rows=[ROW]), 422)])
def test_what_cannot_be_answered_is_refused(models, body, status):
    answer = models.post("/v1/inference", body, media="application/json")
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


def test_notes_are_read_as_python_reads_them(models):
    from healthlab.nlp import analyze
    text = "He denies chest pain. Takes metformin 500 mg daily."
    answer = models.post("/v1/inference", dict(model="nlp", texts=[text]), media="application/json").json
    found = {(e["start"], e["end"], e["label"]) for e in answer["notes"][0]["entities"]}
    assert answer["model"] == "nlp" and found == {(e.start, e.end, e.label) for e in analyze([text])[0].entities}
    assert "metformin" in {text[s:e].lower() for s, e, _ in found}


def test_scopes_and_roles_hold(models, as_client):
    body = dict(model="visits", rows=[ROW])
    assert as_client("models", role="researcher", name="a").post("/v1/inference", body, media="application/json").status_code == 403
    assert as_client("inference", role="researcher", name="b").get("/v1/models").status_code == 403
    assert as_client("inference", role="stakeholder", name="c").post("/v1/inference", body, media="application/json").status_code == 403
    assert models.raw.post("/v1/inference", json=body).status_code == 401


def test_who_asked_is_in_the_audit_trail_and_what_was_asked_is_not(models):
    from healthlab.core.audit import entries
    models.post("/v1/inference", dict(model="visits", rows=[dict(ROW, ward=SECRET)]), media="application/json")
    row = entries("inference").to_pylist()[-1]
    assert (row["actor"], json.loads(row["detail"])) == (models.client["client_id"], dict(model="visits", version="1", n=1))
    assert SECRET not in str(entries().to_pylist())


def test_without_a_registry_nothing_is_made(as_client, tmp_path):
    http = as_client("models inference", role="researcher")
    assert [m["name"] for m in http.get("/v1/models").json] == ["nlp"]
    assert http.get("/v1/models/visits").status_code == 404 and http.get("/v1/models/nlp").json["takes"] == "texts"


def test_a_model_with_code_of_its_own_is_not_registered():
    from healthlab.core.errors import InputError
    from healthlab.models.registry import trusted
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    with pytest.raises(InputError) as e: trusted(make_pipeline(FunctionTransformer(json.loads)))
    assert e.value.code == "model-types"


def test_drift_of_the_champion_is_measured_again_and_again_and_shown(registry, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_MLFLOW_TRACKING", registry)
    from healthlab.models import entry, register, watch
    from healthlab.models.registry import client
    from healthlab.ui.registered import registered, view
    rows = lambda n, older=0: pd.concat([table()] * 3)[:n].reset_index(drop=True).assign(ended=pd.date_range("2026-01-01", periods=n, freq="D", tz="UTC")).assign(age=lambda t: t["age"] + older)
    recipes = lambda given: {"visits": lambda lake: given}
    (first,) = watch(None, recipes=recipes(rows(80)))
    assert (first.version, first.figures) == (1, {}) and "without a recipe" in first.why # and what cannot be watched is named
    found = pd.concat([table()] * 4).reset_index(drop=True)
    found.loc[:3, "ward"] = "C"
    made = register(fitted(found), "visits", found, card={}, figures={}, recipe="visits")
    kept = json.loads(client().get_model_version("visits", str(made)).tags["spread"])
    assert set(kept) == {"age", "smoker", "ward", "visits", "prediction"} and "C" not in kept["ward"]["shares"] and kept["ward"]["shares"]["other"] == pytest.approx(4 / 320, abs=1e-5)
    assert min(share for of in kept.values() for group, share in of["shares"].items() if group != "other") * 320 >= 10 - 1e-3 # no group of fewer than ten
    for given, high in ((rows(200), []), (rows(200, older=40), ["age"])):
        (w,) = watch(None, recipes=recipes(given))
        assert (w.version, w.rows, w.why) == (made, 200, "") and ("age" in w.above) == bool(high)
    past = pd.Timestamp("2026-04-01", tz="UTC")
    assert watch(None, at=past, recipes=recipes(rows(200)))[0].rows == 91 # as it stood then, under its day
    (few,) = watch(None, days=20, recipes=recipes(rows(200)))
    assert few.figures == {} and "fewer than 50" in few.why
    assert watch(None, recipes=recipes(rows(200).drop(columns="ward")))[0].why == "its recipe gives no ward"
    seen = registered()
    history = next(v for v in seen if v["version"] == made)["history"]
    times, indices = zip(*history["age"])
    assert times[0] == past.timestamp() * 1000 and indices[2] == entry("visits").figures["drift.age"] > .25 > indices[1] and len(history["prediction"]) == 3
    page = view(seen, "visits")
    assert "Drift over time" in page.body and "age" in page.body and "wants a new look" in page.body and "measured once" not in page.body and len(page.tables["drift"]) == 15
