"Relations, time, social facts, tone and summary on sentences written for the test."
from datetime import date

import pytest

from healthlab.nlp.assertion import classify
from healthlab.nlp.entities import Entity, abbreviations, repeated
from healthlab.nlp.relations import measured, relate
from healthlab.nlp.social import neutral, probabilities, social, substances
from healthlab.nlp.summary import summarise
from healthlab.nlp.timeline import expressions, timeline
from healthlab.nlp.tone import sentiment

NOTE = date(2024, 5, 20) # a Monday


def marked(text):
    "[words|Label] → text and entities."
    import re
    out, found = "", []
    for part in re.split(r"(\[[^\]]+\])", text):
        if part.startswith("["):
            words, label = part[1:-1].split("|")
            found.append(Entity(len(out), len(out) + len(words), words, label)); out += words
        else: out += part
    for e, a in zip(found, classify(out, [(e.start, e.end) for e in found])): e.assertion = a
    return out, found


@pytest.mark.parametrize("text, wanted", [
    ("[aspirin|MedicationName] [81 mg|Dosage] [PO|MedicationRoute] [daily|Frequency], [metformin|MedicationName] [500 mg|Dosage] [BID|Frequency]", {("DosageOfMedication", "81 mg", "aspirin"), ("RouteOrModeOfMedication", "PO", "aspirin"), ("FrequencyOfMedication", "daily", "aspirin"), ("DosageOfMedication", "500 mg", "metformin"), ("FrequencyOfMedication", "BID", "metformin")}),
    ("[Na|ExaminationName] [140|MeasurementValue] [mmol/L|MeasurementUnit], [K|ExaminationName] [4.1|MeasurementValue]", {("ValueOfExamination", "140", "Na"), ("UnitOfExamination", "mmol/L", "Na"), ("ValueOfExamination", "4.1", "K")}),
    ("[Lisinopril|MedicationName] caused [cough|SymptomOrSign].", {("AdverseEventOfMedication", "cough", "Lisinopril")}),
    ("[Rash|SymptomOrSign] due to [penicillin|MedicationName].", {("AdverseEventOfMedication", "Rash", "penicillin")}),
    ("[Amoxicillin|MedicationName] for [otitis|Diagnosis].", {("TreatsCondition", "Amoxicillin", "otitis")}),
    ("[pain|SymptomOrSign] in the [left knee|BodyStructure]", {("BodySiteOfCondition", "left knee", "pain")}),
    ("[Sepsis|Diagnosis] due to [pneumonia|Diagnosis].", {("CausesCondition", "pneumonia", "Sepsis")}),
    ("[Penicillin|Allergen] ([hives|SymptomOrSign])", {("ReactionOfAllergen", "hives", "Penicillin")}),
    ("[aspirin|MedicationName]\n[10 mg|Dosage] [warfarin|MedicationName]", {("DosageOfMedication", "10 mg", "warfarin")})])
def test_relations(text, wanted):
    t, e = marked(text)
    assert {(r.kind, e[r.source].text, e[r.target].text) for r in relate(t, e)} == wanted


def test_values_the_model_left():
    t, e = marked("[creatinine|ExaminationName]: 1.4 mg/dL and [BP|ExaminationName] 120/80")
    assert [x.text for x in measured(t, e)] == ["1.4", "mg/dL", "120/80"]


@pytest.mark.parametrize("text, start, end", [
    ("yesterday", "2024-05-19", "2024-05-19"), ("3 days ago", "2024-05-17", "2024-05-17"), ("two weeks ago", "2024-05-03", "2024-05-09"), ("six months ago", "2023-11-01", "2023-11-30"), ("in 2015", "2015-01-01", "2015-12-31"), ("12/24/23", "2023-12-24", "2023-12-24"),
    ("2024-01-05", "2024-01-05", "2024-01-05"), ("March 3, 2021", "2021-03-03", "2021-03-03"), ("3 Mar 2021", "2021-03-03", "2021-03-03"), ("June 2019", "2019-06-01", "2019-06-30"), ("07/2018", "2018-07-01", "2018-07-31"), ("last March", "2024-03-01", "2024-03-31"), ("last Friday", "2024-05-17", "2024-05-17"),
    ("on 5/2", "2024-05-02", "2024-05-02"), ("June 3", "2023-06-03", "2023-06-03"), ("follow up June 3", "2024-06-03", "2024-06-03"), ("the past two weeks", "2024-05-03", "2024-05-20"), ("in the 1990s", "1990-01-01", "1999-12-31"), ("in 3 months", "2024-08-01", "2024-08-31"), ("last year", "2023-01-01", "2023-12-31")])
def test_dates(text, start, end):
    w = expressions(f"Pain {text}.", NOTE)
    assert [(x.start, x.end) for x in w] == [(start, end)]


def test_what_is_no_date():
    assert expressions("BP 120/80, took 2 tablets, 02/30/2020, room 2015", NOTE) == []
    assert [w.duration for w in expressions("cough for 3 days, x 2 weeks", NOTE)] == ["P3D", "P2W"]
    assert [w.start for w in expressions("hospital day 3", NOTE, admitted=date(2024, 5, 10))] == ["2024-05-12"]


def test_timeline_orders_and_leaves_out():
    t, e = marked("[Stroke|Diagnosis] in 2015. Now [headache|SymptomOrSign] for 3 days. No [fever|SymptomOrSign]. Mother had [cancer|Diagnosis]. History of [gout|Diagnosis]. [Colonoscopy|ExaminationName] scheduled for June 3, 2024.")
    got = [(e[v.entity].text, v.start, v.end) for v in timeline(t, e, NOTE)]
    assert got == [("Stroke", "2015-01-01", "2015-12-31"), ("headache", "2024-05-17", "2024-05-20"), ("gout", None, "2024-05-20"), ("Colonoscopy", "2024-06-03", "2024-06-03")]


@pytest.mark.parametrize("text, wanted", [
    ("Smokes 2 packs per day.", [("substance tobacco", "current", "2 packs per day")]), ("Former smoker, quit in 2010.", [("substance tobacco", "past", None)]), ("Never smoker.", [("substance tobacco", "never", None)]), ("Denies alcohol use.", [("substance alcohol", "never", None)]),
    ("Drinks two beers per week.", [("substance alcohol", "current", "two beers per week")]), ("No tobacco, alcohol or illicit drug use.", [("substance alcohol", "never", None), ("substance drug", "never", None), ("substance tobacco", "never", None)]), ("Nonsmoker, drinks wine socially.", [("substance alcohol", "current", "socially"), ("substance tobacco", "never", None)])])
def test_substances(text, wanted):
    assert sorted((s.kind, s.status, s.amount) for s in substances(text, 0, len(text))) == wanted


def test_social_kinds_and_needs():
    labels, p = probabilities(["Patient was evicted and is staying at a homeless shelter.", "She has no car and misses appointments because the bus does not run.", "Lungs are clear to auscultation bilaterally."])
    assert [labels[k] for k in p.argmax(1)] == ["housing adverse", "transport adverse", "none"]
    found = social("Social History:\nHe was evicted last month and now lives in a shelter. Cannot afford food.\n\nFamily History:\nFather smoked.\n")
    assert {"housing", "food"} <= {s.kind for s in found} and not any(s.kind == "substance tobacco" for s in found)


def test_swapped_demographics_change_nothing():
    a, b = "A 30-year-old white man who lost his job; his wife drives him.", "A 72 yo Hispanic woman who lost her job; her husband drives her."
    assert neutral(a).replace("him", "") == neutral(b).replace("their.", ".").replace("drives their", "drives them") or probabilities([a, b])[1].argmax(1).tolist()[0] == probabilities([a, b])[1].argmax(1).tolist()[1]


def test_tone_and_summary():
    s = sentiment("She is pleased with her progress. Patient was non-compliant and claims pain.")
    assert s.patient == "positive" and s.writer == "negative" and all(t.instead for t in s.phrases if t.voice == "writer")
    assert sentiment("No acute distress. Lungs clear.").patient == "neutral" and sentiment("").writer == "neutral"
    t, e = marked("HPI: Has [asthma|Diagnosis]. No [pneumonia|Diagnosis].\nAssessment: [asthma|Diagnosis], start [albuterol|MedicationName].")
    got = summarise(t, e)
    assert [p.name for p in got] == ["asthma"] and len(got[0].entities) == 2 and all(t[x.start:x.end] == x.text for x in got[0].lines)


def test_abbreviations_and_repetitions():
    t = "Ataxia telangiectasia (A-T) and Wilms tumor (WT). WT is rare; A-T too."
    assert abbreviations(t)["WT"] == (32, 43)
    assert [x.start for x in repeated(t, [Entity(32, 43, "Wilms tumor", "Diagnosis", .95)]) if x.text == "WT"] == [45, 50]


def test_words_are_hashed_as_scikit_learn_hashes_them_without_importing_it():
    import subprocess
    import sys

    from sklearn.feature_extraction.text import HashingVectorizer

    from healthlab.hospital import Hospital
    from healthlab.nlp.social import hashed
    texts = [line for note in Hospital(patients=3, seed=5).notes() for line in note.text.splitlines()] + ["", "a", "Älter, é ü: 日本 語語 smokes smokes smokes"]
    ours = hashed(texts)
    theirs = HashingVectorizer(ngram_range=(1, 2), n_features=ours.shape[1], alternate_sign=False).transform(texts)
    assert ours.shape == theirs.shape and ours.nnz == theirs.nnz > 1000 and abs(ours - theirs).max() == 0 and hashed([""]).nnz == 0
    said = subprocess.run([sys.executable, "-c", "import sys; from healthlab.nlp.social import probabilities; probabilities(['He lives in a shelter.']); print('sklearn' in sys.modules)"], capture_output=True, text=True)
    assert said.stdout.strip() == "False", said.stderr
