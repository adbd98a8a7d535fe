"The pipeline train_ner: own labels, going on from weights, the mean of several trainings."
import json

from healthlab.nlp.entities import recognise
from healthlab.pipelines import run


def test_training_goes_on_and_is_averaged(tmp_path):
    rows = []
    for n, (wound, place) in enumerate((w, p) for w in ("pressure ulcer", "skin tear", "venous ulcer", "burn", "abrasion") for p in ("sacrum", "left heel", "right shin", "abdomen", "scalp", "elbow")):
        text = f"{wound.capitalize()} of the {place} was cleaned."
        rows.append({"id": str(n), "text": text, "spans": [{"start": 0, "end": len(wound), "label": "Wound"}, {"start": text.index(place), "end": text.index(place) + len(place), "label": "Site"}]})
    (tmp_path / "wounds.jsonl").write_text("\n".join(map(json.dumps, rows)))
    common = {"own": str(tmp_path / "wounds.jsonl"), "notes": 0, "output": str(tmp_path), "hold": .2}
    first = run("train_ner", common | {"name": "one", "epochs": 15, "lr": 1e-3})
    second = run("train_ner", common | {"name": "two", "epochs": 3, "seed": 1, "agree": 2., "resume": str(tmp_path / "one"), "average": str(tmp_path / "one")})
    assert first.status == second.status == "ok" and first.results["f1_own"] > .7 and second.results["f1_own"] > .7
    card, told = (json.loads((tmp_path / name / "card.json").read_text()) for name in ("two", "one"))
    assert card["agree"] == 2 and card["went_on_from"]["steps"] == told["steps"] < card["steps"] and [t["steps"] for t in card["averaged_with"]] == [told["steps"]]
    words = (tmp_path / "two" / "README.md").read_text()
    assert "read twice and the readings held to agree" in words and f"mean of these and of 1 more ({told['steps']} steps, seed 0" in words
    assert {e.label for e in recognise(["Skin tear of the left heel was cleaned."], name=str(tmp_path / "two"), head="own")[0]} == {"Wound", "Site"}
