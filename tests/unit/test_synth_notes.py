"""Synthetic notes: what is written is labelled, says what the record says, repeats nobody and names nobody; the memorisation check sees copies; DP-SGD keeps to its epsilon."""
import base64
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from healthlab.core import audit
from healthlab.core.errors import InputError, KeyUnavailable
from healthlab.fhir.model import validate
from healthlab.hospital import Hospital
from healthlab.lake import Lake
from healthlab.release import scan
from healthlab.synth import load, save, synthesize_notes
from healthlab.synth.documents import charts, heeded, judge_notes, kinds_for, membership, parted, _expected
from healthlab.synth.notes import Written, allowed, cleaned, common_words, fit_notes, lake_notes, record_of, worded, _Heeding, _Lexicon, _read, _rows, _spelt
from healthlab.synth.retelling import Told, words_of
from notebooks import scratch

DRUGS = ("metformin", "ramipril", "aspirin")
SMALL = {"width": 64, "layers": 2, "vocabulary": 400, "epochs": 4, "batch": 4, "context": 96}


def short(i, extra=""):
    drug = DRUGS[i % 3]
    text = f"Seen on the ward. Takes {drug} daily. BP {90 + 7 * i % 83}/80.{extra}"
    return Written(text, ["female", drug], [(24, 24 + len(drug), "MedicationName")], f"p{i}")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    workbench = scratch(tmp_path_factory.mktemp("workbench"))
    with pytest.MonkeyPatch.context() as m:
        for k, v in workbench.items(): m.setenv(k, v)
        return fit_notes([short(i) for i in range(100)], settings=SMALL), workbench["HEALTHLAB_KEYS_FILE"]


@pytest.fixture
def writer(fitted, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_KEYS_FILE", fitted[1])
    return fitted[0]


def test_notes_say_what_the_record_says_and_carry_labels(writer):
    written = writer.sample([["female", DRUGS[i % 3]] for i in range(18)], seed=1)
    assert len(written) + writer.refused["given up"] == 18 and len(written) >= 12
    labelled = [[w.text[a:b] for a, b, label in w.spans if label == "MedicationName"] for w in written]
    assert np.mean([w.record[1] in x for w, x in zip(written, labelled)]) > .7, labelled
    assert all(x == w.record[1] for w, found in zip(written, labelled) for x in found), "no drug is labelled that the record does not have"
    assert any(x not in w.record for w in writer.sample([["female", "warfarin"]] * 6, seed=2) for a, b, _ in w.spans for x in [w.text[a:b]]), "a record without words leaves the model free"


def test_words_stand_for_the_item_of_the_record_they_go_with():
    def note(i):
        ill, word, rare = i % 2, ("HTN", "high blood pressure")[i // 2 % 2], i == 1
        text = f"Has {'quinsy' if rare else word if ill else 'asthma'}. Feels well."
        return Written(text, ["female", f"{20 + i % 40} years", *(["Hypertension"] if ill else ["Asthma (disorder)"]), "aspirin"], [(4, text.index("."), "Diagnosis"), (len(text) - 5, len(text) - 1, "Symptom")], f"p{i // 2}")
    found = worded([note(i) for i in range(60)])
    assert found == {"Diagnosis": (1., {"Hypertension": ["HTN", "high blood pressure"], "Asthma (disorder)": ["asthma"]})}, "what one patient's notes say is not kept; how anybody feels is nothing the record decides"
    assert worded([note(i) for i in range(8)]) == {"Diagnosis": (1., {"Asthma (disorder)": ["asthma"]})}, "too few patients: what is left are words the item has itself"


def test_an_age_is_said_of_every_record_and_words_without_an_item_of_any():
    def note(i):
        sex, ill = ("male", "female")[i % 2], ("Tuberculosis", "Sprain of ankle")[i // 2 % 2]
        text = f"{20 + i} year-old non-hispanic {sex} with {ill.casefold()}; influenza vaccine; has smoked since 17."
        at = lambda w: (text.index(w), text.index(w) + len(w))
        return Written(text, ["Visit", sex, f"{20 + i} years", ill], [(*at(f"{20 + i} year-old"), "Age"), (*at("non-"), "Age"), (*at("17"), "Age"), (*at(f" {sex}"), "Gender"), (*at(ill.casefold()), "Diagnosis"), (*at("influenza"), "Diagnosis")], f"p{i}")
    found = worded([note(i) for i in range(40)])
    words = lambda label, *record: allowed(found[label][1], ["Visit", *record])
    assert words("Age", "male", "71 years") == (["71 year-old"], ["17", "non-"]) and words("Age", "male", "0 years") == ([], []), "an infant's age is said in months: the model says it"
    assert words("Gender", "female", "71 years") == ([" female"], []) and words("Gender", "male") == ([" male"], [])
    assert words("Diagnosis", "male", "Tuberculosis") == (["tuberculosis"], ["influenza"]) and words("Diagnosis", "male", "Gout") == ([], []), "nothing of it in the notes: the model is left alone"
    assert all(share == 1. for share, _ in found.values())


def test_what_goes_with_no_item_comes_where_the_model_says(writer):
    import torch
    ids = lambda text: writer.words(text, add_special_tokens=False)["input_ids"]
    heeding = _Heeding(writer.words, {"MedicationName": (1., {"aspirin": ["aspirin"], "": ["metformin"]})}, [["aspirin"]] * 200, np.random.default_rng(0))
    heeding.told([writer.words.convert_tokens_to_ids("<|MedicationName|>")] * 200)
    p = torch.full((200, len(writer.words)), 1e-9)
    p[:, ids("ramipril")[0]], p[:, ids("metformin")[0]] = .7, .3 # of the record's words the model thinks nothing: they come all the same, where no free ones do
    came = Counter(heeding.narrowed(p).argmax(1).tolist())
    assert {*came} == {ids("aspirin")[0], ids("metformin")[0]} and 100 < came[ids("aspirin")[0]] < 180, came


def test_no_words_are_made_up(writer):
    common = common_words([short(i, " Seldom." if i < 4 else " Often.") for i in range(20)])
    assert {"Seen", "ramipril", "Often"} <= common and not {"seen", "Seldom", "90"} & common, "four patients' word is nobody else's"
    lexicon = _Lexicon(writer.words, common, [["female", "Quinsy"], ["male"]])
    def may(i, text, mark=""):
        lexicon.open = ["", ""]
        ids = writer.words(text, add_special_tokens=False)["input_ids"]
        for t in [*ids, *([writer.words.convert_tokens_to_ids(mark)] if mark else [])]:
            if not lexicon.may(i)[t]: return False
            lexicon.told([t] * 2)
        return True
    assert may(0, "Seen. Often Takes quinsy 1234.5", "<|end|>") and not may(1, "quinsy ") and not may(0, "Seldom.") and not may(0, "TakeS "), "what the record has may be said in its note"
    assert not may(0, "Takest") and may(0, "Take") and not may(0, "Take", "<|end|>") and not may(0, "Take", "<|/|>") and may(0, "Takes", "<|/|>") and not may(0, "Takesramipril ")
    for told in writer.sample([["female", DRUGS[i % 3]] for i in range(9)], seed=5, temperature=3.): assert {w for w in words_of(told.text) if w.isalpha()} <= {w.casefold() for w in writer.common} | {"female"}


def test_words_that_often_stand_beside_an_item_by_chance_do_not_stand_for_it():
    notes = [Written("Is married.", ["male", *(["Tuberculosis"] if i % 10 < 6 else [])], [(3, 10, "LivingStatus")], f"p{i}") for i in range(30)] + [Written("Is single.", ["male"], [(3, 9, "LivingStatus")], f"q{i}") for i in range(30)]
    assert worded(notes) == {}, "three in five of the married had it, nobody else: no more than chance among few"


def test_a_note_ends_where_it_ends_and_one_that_is_cut_off_is_not_given(writer, monkeypatch):
    end = writer.words.convert_tokens_to_ids("<|end|>")
    (whole, _), (cut, _) = _rows(writer.words, [short(0), short(0, " And so on." * 40)], writer.settings, 96)
    assert whole[-1] == end and len(cut) == 96 and end not in cut, "where a note is cut off is no place to learn to stop"
    monkeypatch.setattr(writer, "settings", writer.settings | {"context": 12})
    assert writer.sample([["female", "aspirin"]] * 3, tries=1) == [] and writer.refused == {"identifier": 0, "retold": 0, "unfinished": 3, "given up": 3}


def test_the_same_seed_writes_the_same_notes_also_after_saving(writer, tmp_path):
    again = load(save(writer, tmp_path / "m"))
    ask = [["female", "aspirin"]] * 3
    assert [w.text for w in writer.sample(ask, seed=3)] == [w.text for w in again.sample(ask, seed=3)]
    assert again.figures()["notes"] == 100 and again.figures()["epsilon"] is None


def test_faults_name_identifiers_and_retold_notes(writer, monkeypatch):
    secret = "Found asleep beside the grand piano at noon by the gardener who fetched her daughter from the bakery next door."
    writer.told, old = Told([short(0, " " + secret).text, short(1).text], ["a", "b"]), writer.told
    try:
        asked = [Written("Takes aspirin daily."), Written("Mrs. Abigail Thornberry, phone 617-555-0148, takes aspirin."), Written(secret), Written(" ")]
        assert writer.faults(asked) == [None, "identifier", "retold", "unfinished"]
        monkeypatch.setenv("HEALTHLAB_SYNTH_SPAN_MOST", "40")
        assert writer.faults(asked)[2] is None
        monkeypatch.setenv("HEALTHLAB_SYNTH_RUN_MOST", "10")
        assert writer.faults(asked)[2] == "retold"
    finally: writer.told = old


def test_a_note_that_may_not_be_given_is_written_anew_and_then_given_up(writer, monkeypatch):
    monkeypatch.setattr(type(writer), "faults", lambda self, written: ["retold"] * len(written))
    assert writer.sample([["female", "aspirin"]] * 4, tries=2) == [] and writer.refused["retold"] == 8 and writer.refused["given up"] == 4


def test_what_was_learnt_is_kept_under_the_projects_key(tmp_path, monkeypatch):
    flat = []
    for name in ("one", "other"):
        monkeypatch.setenv("HEALTHLAB_KEYS_FILE", str(tmp_path / name))
        told = Told(["Lives with nine cats above a shuttered cinema."])
        flat.append(set(told.flat))
        assert told.longest(["with nine cats"])[0][0] == 3
    assert not flat[0] & flat[1]
    monkeypatch.setenv("HEALTHLAB_KEYS_FILE", str(tmp_path / "one"))
    with pytest.raises(KeyUnavailable, match="another key"): told.longest(["with nine cats"])


def test_runs_are_measured_in_words_and_formulas_do_not_count():
    formula = "Lungs clear to auscultation on both sides, no wheezing, no rales, heart regular."
    told = Told([formula + " Lives with nine cats above a shuttered cinema in the harbour.", formula], ["a", "b"])
    shared, own = told.longest([formula, "She lives with nine cats above a shuttered cinema in the harbour.", "Other words"])
    assert shared[0] == len(words_of(formula)) and own[0] == 0 and shared[1] == own[1] == 12 and not shared[2] + own[2] == 12
    a, b = "one two three four five six seven", "six seven one two three four"
    assert list(Told([a]).longest([b])[0]) == [4] and list(Told([a]).longest([a])[1]) == [7]


def test_before_training_identifiers_become_tags_and_spans_move_along():
    for n in list(Hospital(patients=4, seed=5).notes())[:6]:
        note = Written(n.text, [], [(e.start, e.end, e.label) for e in n.entities if e.label in ("Diagnosis", "MedicationName")])
        clean, = cleaned([note])
        gold = {n.text[s.start:s.end] for s in n.phi if s.label in ("NAME", "MRN", "PHONE")}
        assert clean.text != n.text and not [g for g in gold if len(g) > 5 and g in clean.text]
        assert {clean.text[a:b] for a, b, _ in clean.spans} <= {n.text[a:b] for a, b, _ in note.spans}
        assert _read(_spelt(Written(clean.text, [], []))) == (clean.text, [])


def test_record_holds_what_was_known_at_the_date():
    items = [{"code": {"coding": [{"display": "Asthma"}]}, "recordedDate": "2020-01-05"}, {"medicationCodeableConcept": {"coding": [{"display": "salbutamol"}]}, "authoredOn": "2021-01-05"}]
    assert record_of({"gender": "male", "birthDate": "1950-06-01"}, items, "2020-05-31") == ["male", "69 years", "Asthma"]
    assert record_of({"gender": "male", "birthDate": "1950-06-01"}, items, "2021-06-01") == ["male", "71 years", "salbutamol", "Asthma"]
    assert record_of({"gender": "male", "birthDate": "1950-06-01"}, [], "1941-06-01") == ["male"], "nobody is minus nine"


def test_notes_of_the_lake_come_with_their_records(tmp_path, monkeypatch):
    for k, v in {"LAKE_URL": "lake", "KEYS_FILE": "key", "AUDIT_PATH": "audit"}.items(): monkeypatch.setenv(f"HEALTHLAB_{k}", str(tmp_path / v))
    lake, text = Lake(), "Takes salbutamol."
    resources = {"Patient": {"id": "p", "gender": "male", "birthDate": "1950-06-01"}, "Condition": {"id": "c", "code": {"coding": [{"display": "Asthma"}]}, "recordedDate": "2020-01-05"},
                 "DocumentReference": {"id": "d", "date": "2021-06-01T08:00:00Z", "type": {"text": "Progress note"}, "content": [{"attachment": {"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()}}]}}
    row = lambda r, kind, p="p": {"id": r["id"], "patient": p, "resource": json.dumps(r | {"resourceType": kind})}
    stray = [row(resources["DocumentReference"] | {"id": p or "d0"}, "DocumentReference", p) for p in (None, "stranger")]
    for kind, r in resources.items(): lake.write("deidentified", kind, pd.DataFrame([row(r, kind), *([row(r, kind, None)] if kind == "Condition" else stray if kind == "DocumentReference" else [])]), run_id="test")
    note, *others = lake_notes(lake, spans=lambda document, text: [(6, 16, "MedicationName")])
    assert note == Written(text, ["Progress note", "male", "71 years", "Asthma"], [(6, 16, "MedicationName")], "p")
    assert [n.record for n in others] == [["Progress note"]] * 2, "what is on record of nobody is not this nobody's"
    with pytest.raises(InputError, match="identified"): lake_notes(lake, "identified")


def test_dp_sgd_keeps_to_its_epsilon():
    writer = fit_notes([short(i) for i in range(24)], epsilon=8., settings=SMALL | {"width": 16, "layers": 1, "epochs": 1, "context": 64})
    f = writer.figures()
    assert f["epsilon"] == 8. and 0 < f["spent"] <= 8. and "RDP" in f["accountant"] and 0 < f["delta"] < 1 / 24
    assert writer.said == {} and writer.common is None, "words counted without noise would be beyond the claim"
    assert len(writer.words) < 300 # the vocabulary is bytes and labels: words would be read off the notes


@pytest.mark.parametrize("call, named", [(lambda w: fit_notes([short(0)]), "1 notes"), (lambda w: fit_notes([short(i) for i in range(30)], settings={"depth": 3}), "depth"), (lambda w: fit_notes([short(i) for i in range(30)], epsilon=0), "epsilon"),
                                         (lambda w: fit_notes([short(i) for i in range(30)], checkpoint="/nowhere/model"), "checkpoint|language model"), (lambda w: w.sample(["female"]), "records")])
def test_bad_input_is_named(writer, call, named):
    with pytest.raises(InputError, match=named): call(writer)


def put(lake, zone, kind, resources):
    lake.write(zone, kind, pd.DataFrame([{"id": r["id"], "patient": r.pop("patient"), "resource": json.dumps(r | {"resourceType": kind})} for r in resources]), run_id="test", mode="overwrite")


@pytest.fixture
def ward(tmp_path, monkeypatch):
    "A lake of 130 notes of as many patients, their drugs, and the labels that extraction found."
    for k, v in {"LAKE_URL": "lake", "KEYS_FILE": "key", "AUDIT_PATH": "audit", "SYNTH_MODELS": "models"}.items(): monkeypatch.setenv(f"HEALTHLAB_{k}", str(tmp_path / v))
    lake, notes = Lake(), [short(i) for i in range(130)]
    drug = lambda i, p: {"id": f"m{i}", "patient": p, "medicationCodeableConcept": {"coding": [{"display": DRUGS[i % 3]}]}, "authoredOn": "2020-01-01"}
    patient = lambda p: {"id": p, "patient": p, "gender": "female"}
    put(lake, "deidentified", "Patient", [patient(n.patient) for n in notes])
    put(lake, "deidentified", "MedicationRequest", [drug(i, n.patient) for i, n in enumerate(notes)])
    put(lake, "deidentified", "DocumentReference", [{"id": f"d{i}", "patient": n.patient, "date": "2021-06-01", "type": {"text": "Ward note"}, "content": [{"attachment": {"contentType": "text/plain", "data": base64.b64encode(n.text.encode()).decode()}}]} for i, n in enumerate(notes)])
    lake.write("deidentified", "DocumentReference", pd.DataFrame([{"id": f"x{i}", "patient": "", "resource": json.dumps({"resourceType": "DocumentReference", "id": f"x{i}", "content": [{"attachment": {"contentType": "text/plain", "data": base64.b64encode(b"A sample.").decode()}}]})} for i in range(5)]), run_id="test")
    lake.write("research", "nlp_entity", pd.DataFrame([{"document": f"d{i}", "start": a, "end": b, "label": x} for i, n in enumerate(notes) for a, b, x in n.spans]), run_id="test")
    put(lake, "synthetic", "Patient", [patient(f"s{i}") for i in range(12)])
    put(lake, "synthetic", "MedicationRequest", [drug(i, f"s{i}") for i in range(12)])
    put(lake, "synthetic", "Encounter", [{"id": f"e{i}", "patient": f"s{i}", "period": {"start": "2022-03-04T10:00:00Z"}} for i in range(12)])
    return lake


def test_notes_are_written_to_synthetic_patients_and_kept_when_the_card_passes(ward, monkeypatch, tmp_path):
    for k, v in {"NOTE_GAP": ".6", "GIVEN_UP_MOST": ".7"}.items(): monkeypatch.setenv(f"HEALTHLAB_SYNTH_{k}", v)
    made = synthesize_notes(ward, settings=SMALL, reason="teaching")
    assert made.card.passed and "Longest runs of words" in made.card.to_html() and made.learnt == 104 and made.asked == 12 and made.writer.figures()["left out: nobody on record"] == 5, made.card
    assert all(r["passed"] is True for r in json.loads(made.card.to_json())["rules"])
    made.card.found["generator"]["tokens"] = 101589
    for kind, text in (("html", made.card.to_html()), ("json", made.card.to_json())):
        (tmp_path / f"card.{kind}").write_text(text)
        assert not scan(tmp_path / f"card.{kind}").findings, "a card may leave"
    rows, labels = ward.read("synthetic", "DocumentReference").to_pylist(), ward.read("synthetic", "note_entity").to_pylist()
    assert len(rows) == len(made.notes) == made.figures()["notes"] and {r["patient"] for r in rows} <= {f"s{i}" for i in range(12)}
    text = {r["id"]: base64.b64decode(json.loads(r["resource"])["content"][0]["attachment"]["data"]).decode() for r in rows}
    assert labels and all(text[x["document"]][x["start"]:x["end"]] == x["text"] for x in labels)
    assert not [i for r in rows for i in validate(r["resource"].encode()) if i.severity in ("error", "fatal")]
    events = audit.entries().column("event").to_pylist()
    assert "synth.ask" in events and "synth.made" in events
    monkeypatch.setenv("HEALTHLAB_SYNTH_RUN_MOST", "0")
    card = judge_notes(made.writer, made.notes, [short(i) for i in range(60)], [short(i) for i in range(60, 90)], 12)
    assert not card.passed and "longest run of words" in [r.name for r in card.rules if not r.passed]


def test_an_attacker_with_the_notes_knows_whose_were_repeated():
    notes = [Written(f"Came on day {i * 37 % 101} by the {i * 53 % 97} tram, wore {i * 71 % 89} rings, spoke of {i * 29 % 83} ships.") for i in range(80)]
    assert membership(notes[:40], notes[:40], notes[40:])["low"] > .9 and membership(notes[:40], notes[40:60], notes[60:])["low"] < .55


def test_an_attacker_is_judged_among_notes_of_a_kind_and_by_patients():
    form, letter = (lambda i: Written(f"Form of the day. Feels well, no complaints, nothing changed. {i}", ["form"], [], f"p{i}")), (lambda i: Written(f"Dear {i}", ["letter"], [], f"q{i}"))
    written, known, kept_out = [form(i) for i in range(900, 930)], [form(i) for i in range(40)] + [letter(i) for i in range(10)], [form(i) for i in range(40, 50)] + [letter(i) for i in range(40, 80)]
    assert membership(written, known, kept_out)["auc"] == pytest.approx(.5, abs=.02), "that forms share more with forms tells nobody who was learnt from"
    known, kept_out = ([Written(f"{w} sat {i} on {i * 7 % 50} mats", ["note"], [], f"{w}{i % 4}") for i in range(60)] for w in ("cat", "dog"))
    found = membership(known[::2], known, kept_out)
    assert found["auc"] > .7 and found["patients"] == [4, 4] and found["high"] - found["low"] > .3, "sixty notes of four patients are four patients"


def test_few_notes_of_a_patient_are_learnt_and_nobody_is_on_both_sides():
    notes = [Written(f"n{i}", ["note"], [], f"p{i % 8}") for i in range(320)] + [Written(f"m{i}", ["note"]) for i in range(60)]
    known, kept_out = parted(notes, 0, 700)
    for part in (known, kept_out): assert max(Counter(n.patient for n in part if n.patient).values(), default=0) <= 10, "700 notes of 68 patients: ten of each"
    assert max(Counter(n.patient for part in parted(notes, 0, 100) for n in part if n.patient).values()) <= 6
    assert not {n.patient for n in known if n.patient} & {n.patient for n in kept_out if n.patient} and not {n.text for n in known} & {n.text for n in kept_out}
    assert min(sum(not n.patient for n in part) for part in (known, kept_out)) >= 5, "notes of nobody known are each another's"
    twice = parted([Written(f"n{i % 20}", ["note"], [], f"p{i}") for i in range(60)], 0, 700)
    assert sorted(n.text for part in twice for n in part) == sorted(f"n{i}" for i in range(20)), "one text of three patients is read once"


def test_people_get_the_kinds_of_notes_that_people_alike_have(ward):
    notes = [Written("x", [kind, sex, f"{age} years"]) for kind, sex, ages in (("Obstetrics", "female", (20, 40)), ("Well child", "male", (0, 10)), ("Urology", "male", (50, 90))) for age in range(*ages)]
    assert {*kinds_for(notes, ["male", "70 years"])} == {"Urology"} and {*kinds_for(notes, ["male", "4 years"], 5)} == {"Well child"} and {*kinds_for(notes, ["female", "4 years"])} == {"Obstetrics"}
    assert {*kinds_for(notes, ["unknown"], 99)} == {"Obstetrics", "Well child", "Urology"}
    assert {record[0] for _, _, record in charts(ward, notes)} == {"Obstetrics"}, "the ward's patients are women"


def test_length_and_labels_are_those_of_notes_with_records_as_long():
    note = lambda items, words, who="": Written("word " * words, ["note", *map(str, range(items))], [(0, 4, "Diagnosis")] * words, who)
    real = [note(2, 10, f"p{i}") for i in range(60)] + [note(12, 40, f"q{i}") for i in range(30)]
    ill = lambda t: _expected(t, real, lambda n: len(n.spans))
    assert ill([note(2, 1)] * 4) == 10 and ill([note(12, 1)] * 4) == 40 and ill([note(14, 1), note(2, 1)]) == 25
    assert _expected([note(2, 1)], real[:5], lambda n: len(n.text.split())) == 10, "few notes"


def test_infants_are_said_to_be_months_old_and_nobody_else():
    def note(i):
        years, words = (0, f"{3 + i % 4} month-old") if i % 3 == 0 else (30 + i, f"{30 + i} year-old")
        return Written(f"A {words}.", ["male", f"{years} years"], [(2, 2 + len(words), "Age")], f"p{i}")
    by = worded([note(i) for i in range(90)])["Age"][1]
    assert allowed(by, ["male", "0 years"])[0] == [f"{k} month-old" for k in (3, 4, 5, 6)] and allowed(by, ["male", "64 years"]) == (["64 year-old"], [])


def test_whether_a_record_is_heeded_is_asked_with_another_patients():
    class Reader:
        def perplexity(self, notes): return {"word": float(np.mean([n.text != n.record[0] for n in notes]))}
    assert heeded(Reader(), [Written(f"p{i // 9}", [f"p{i // 9}"], [], f"p{i // 9}") for i in range(90)]) == {"own": 0., "another's": 1.}


def test_without_synthetic_patients_no_notes_are_written(ward):
    put(ward, "synthetic", "Encounter", [{"id": "e", "patient": "nobody", "period": {"start": "2022"}}])
    ward.write("synthetic", "Patient", pd.DataFrame({"id": pd.Series(dtype=str), "patient": pd.Series(dtype=str), "resource": pd.Series(dtype=str)}), run_id="test", mode="overwrite")
    with pytest.raises(InputError, match="synth histories"): synthesize_notes(ward)
