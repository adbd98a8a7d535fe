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
    ("[aspirin|MedicationName] [81 mg|Dosage] [PO|MedicationRoute] [daily|Frequency], [metformin|MedicationName] [500 mg|Dosage] [BID|Frequency]", {("DosageOfMedication", "81 mg", "aspirin"), ("RouteOfMedication", "PO", "aspirin"), ("FrequencyOfMedication", "daily", "aspirin"), ("DosageOfMedication", "500 mg", "metformin"), ("FrequencyOfMedication", "BID", "metformin")}),
    ("[Na|ExaminationName] [140|MeasurementValue] [mmol/L|MeasurementUnit], [K|ExaminationName] [4.1|MeasurementValue]", {("ValueOfExamination", "140", "Na"), ("UnitOfExamination", "mmol/L", "Na"), ("ValueOfExamination", "4.1", "K")}),
    ("[Lisinopril|MedicationName] caused [cough|SymptomOrSign].", {("AdverseEventOfMedication", "cough", "Lisinopril")}),
    ("[Rash|SymptomOrSign] due to [penicillin|MedicationName].", {("AdverseEventOfMedication", "Rash", "penicillin")}),
    ("[Amoxicillin|MedicationName] for [otitis|Diagnosis].", {("TreatsCondition", "Amoxicillin", "otitis")}),
    ("[pain|SymptomOrSign] in the [left knee|BodyStructure]", {("BodySiteOfCondition", "left knee", "pain")}),
    ("[Sepsis|Diagnosis] due to [pneumonia|Diagnosis].", {("CausesCondition", "pneumonia", "Sepsis")}),
    ("[Penicillin|Allergen] ([hives|SymptomOrSign])", {("ReactionOfAllergen", "hives", "Penicillin")}),
    ("[aspirin|MedicationName]\n[10 mg|Dosage] [warfarin|MedicationName]", {("DosageOfMedication", "10 mg", "warfarin")}),
    ("Some relief from her [chest pain|SymptomOrSign] after she got [nitroglycerin|MedicationName].", set()),
    ("No [distress|SymptomOrSign] after receiving [morphine|MedicationName].", set()),
    ("[Antibiotics|MedicationName] are not indicated for [influenza|Diagnosis].", set()),
    ("[Diabetes|Diagnosis] requiring [insulin|MedicationName] for 26 years, [reflux|Diagnosis].", set()),
    ("[Clindamycin|MedicationName] for 7 days caused [rash|SymptomOrSign], [hives|SymptomOrSign].", {("AdverseEventOfMedication", "rash", "Clindamycin"), ("AdverseEventOfMedication", "hives", "Clindamycin")}),
    ("[Anemia|Diagnosis] and [sed rate|ExaminationName] due to [neuropathy|Diagnosis].", set()),
    ("[Vascular disease|Diagnosis], admitted because of [swelling|SymptomOrSign].", set()),
    ("[Lasix|MedicationName] ([furosemide|MedicationName]) [40 mg|Dosage]", {("DosageOfMedication", "40 mg", "Lasix"), ("DosageOfMedication", "40 mg", "furosemide")})])
def test_relations(text, wanted):
    t, e = marked(text)
    assert {(r.kind, e[r.source].text, e[r.target].text) for r in relate(t, e)} == wanted


def test_values_the_model_left():
    t, e = marked("[creatinine|ExaminationName]: 1.4 mg/dL and [BP|ExaminationName] 120/80")
    assert [x.text for x in measured(t, e)] == ["creatinine", "1.4", "mg/dL", "BP", "120/80"]


@pytest.mark.parametrize("text, start, end", [
    ("yesterday", "2024-05-19", "2024-05-19"), ("3 days ago", "2024-05-17", "2024-05-17"), ("two weeks ago", "2024-05-03", "2024-05-09"), ("six months ago", "2023-11-01", "2023-11-30"), ("in 2015", "2015-01-01", "2015-12-31"), ("12/24/23", "2023-12-24", "2023-12-24"),
    ("2024-01-05", "2024-01-05", "2024-01-05"), ("March 3, 2021", "2021-03-03", "2021-03-03"), ("3 Mar 2021", "2021-03-03", "2021-03-03"), ("June 2019", "2019-06-01", "2019-06-30"), ("07/2018", "2018-07-01", "2018-07-31"), ("last March", "2024-03-01", "2024-03-31"), ("last Friday", "2024-05-17", "2024-05-17"),
    ("on 5/2", "2024-05-02", "2024-05-02"), ("June 3", "2023-06-03", "2023-06-03"), ("follow up June 3", "2024-06-03", "2024-06-03"), ("the past two weeks", "2024-05-03", "2024-05-20"), ("in the 1990s", "1990-01-01", "1999-12-31"), ("in 3 months", "2024-08-01", "2024-08-31"), ("last year", "2023-01-01", "2023-12-31")])
def test_dates(text, start, end):
    w = expressions(f"Pain {text}.", NOTE)
    assert [(x.start, x.end) for x in w] == [(start, end)]


@pytest.mark.parametrize("text, start, end", [
    ("12.05.2024", "2024-05-12", "2024-05-12"), ("since March", "2024-03-01", "2024-03-31"), ("in January", "2024-01-01", "2024-01-31"), ("on Monday", "2024-05-20", "2024-05-20"), ("on Friday", "2024-05-17", "2024-05-17"), ("Q3 2022", "2022-07-01", "2022-09-30"),
    ("in the spring of 2015", "2015-03-01", "2015-05-31"), ("winter 2020", "2020-12-01", "2021-02-28"), ("over the weekend", "2024-05-18", "2024-05-19"), ("from 2015 to 2019", "2015-01-01", "2019-12-31"), ("(1998-2003)", "1998-01-01", "2003-12-31"), ("from 5/1 to 5/7", "2024-05-01", "2024-05-07"),
    ("from May 2018 until March 2019", "2018-05-01", "2019-03-31"), ("between 2019 and 2020", "2019-01-01", "2020-12-31"), ("in '09", "2009-01-01", "2009-12-31"), ("since 5/2", "2024-05-02", "2024-05-02")])
def test_further_dates(text, start, end): assert [(x.start, x.end) for x in expressions(f"Pain {text}.", NOTE)] == [(start, end)]


def test_times_of_a_life_and_what_came_later():
    assert [(w.start, w.end) for w in expressions("Diabetes at age 45, asthma as a child, gout in his 50s.", NOTE, born=1961)] == [("2006-01-01", "2007-12-31"), ("1961-01-01", "1974-12-31"), ("2011-01-01", "2021-12-31")]
    assert expressions("Diabetes at age 45, asthma as a child; jaundice at 3 weeks of age; pain from 8/10 to 4/10; two weeks later a rash.", NOTE) == []
    assert [(w.start, w.end) for w in expressions("Fell on May 2, 2024; three days later fever.", NOTE)] == [("2024-05-02", "2024-05-02"), ("2024-05-05", "2024-05-05")]
    assert [w.start for w in expressions("Strokes in 2010 and 2015.", NOTE)][:1] == ["2010-01-01"] and expressions("Strokes in 2010 and 2015.", NOTE)[0].end == "2010-12-31"
    assert [w.start for w in expressions("Intubated on 5/23.", NOTE, admitted=NOTE)] == ["2024-05-23"] and [w.start for w in expressions("Intubated on 5/23.", NOTE)] == ["2023-05-23"]


@pytest.mark.parametrize("text, wanted", [
    ("62-year-old man with [gout|Diagnosis] since age 30 and [asthma|Diagnosis] as a child. Her 70-year-old father is well.", {"asthma": ("1961-01-01", "1974-12-31")}), ("[Pneumonia|Diagnosis] in [January|Date].", {"Pneumonia": ("2024-01-01", "2024-01-31")}),
    ("[Tonsillectomy|TreatmentName], [1985|Date].", {"Tonsillectomy": ("1985-01-01", "1985-12-31")}), ("[Tamoxifen|MedicationName] until 11/2012.", {"Tamoxifen": (None, "2012-11-30")}), ("On 2 May 2024 an [MRI|ExaminationName] showed a [meningioma|Diagnosis].", {"MRI": ("2024-05-02",) * 2, "meningioma": ("2024-05-02",) * 2}),
    ("Appointment [6/22|Date] for [gout|Diagnosis].", {"gout": ("2024-05-20",) * 2}), ("A week ago [cough|SymptomOrSign], and 2 days later [fever|SymptomOrSign].", {"cough": ("2024-05-10", "2024-05-16"), "fever": ("2024-05-12", "2024-05-18")})])
def test_events_at_them(text, wanted):
    t, e = marked(text)
    got = {e[v.entity].text: (v.start, v.end) for v in timeline(t, e, NOTE)}
    assert {k: got[k] for k in wanted} == wanted


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


@pytest.mark.parametrize("text, wanted", [
    ("Lost her job three weeks ago.", {("employment", True)}), ("Skips doses of insulin to save money.", {("finances", True)}), ("Missed his appointment because he had no ride.", {("transport", True)}), ("Feels unsafe at home; partner hits her.", {("relationship", True)}),
    ("Power was shut off last month.", {("finances", True)}), ("Denies domestic violence.", {("relationship", False)}), ("He had no car accident.", set())])
def test_needs_in_plain_words(text, wanted): assert {(s.kind, s.adverse) for s in social(text)} == wanted


@pytest.mark.parametrize("text, wanted", [
    ("Former smoker, quit in 2010, 20 pack-year history.", [("substance tobacco", "past", "20 pack-year")]), ("Smokes marijuana daily.", [("substance drug", "current", "daily")]), ("Smokes marijuana and cigarettes.", [("substance drug", "current", None), ("substance tobacco", "current", None)]), ("Drinks a glass of wine with dinner.", [("substance alcohol", "current", "a glass of wine with dinner")])])
def test_substances_told_in_parts(text, wanted): assert sorted((s.kind, s.status, s.amount) for s in social(text) if s.kind.startswith("substance")) == wanted


def test_swapped_demographics_change_nothing():
    a, b = "A 30-year-old white man who lost his job; his wife drives him.", "A 72 yo Hispanic woman who lost her job; her husband drives her."
    assert neutral(a).replace("him", "") == neutral(b).replace("their.", ".").replace("drives their", "drives them") or probabilities([a, b])[1].argmax(1).tolist()[0] == probabilities([a, b])[1].argmax(1).tolist()[1]


def test_tone_and_summary():
    assert [t.kind for t in sentiment("She failed outpatient therapy. Patient is difficult and unmotivated. The airway was difficult to see; antibiotics failed.").phrases] == ["blame", "difficult", "blame"]
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


@pytest.mark.parametrize("text, wanted", [
    ("[AF|Diagnosis] on [warfarin|MedicationName]", {("TreatsCondition", "warfarin", "AF")}), ("[Gout|Diagnosis], well controlled on [allopurinol|MedicationName]", {("TreatsCondition", "allopurinol", "Gout")}), ("Developed a [rash|SymptomOrSign] on [cephalexin|MedicationName].", {("AdverseEventOfMedication", "rash", "cephalexin")}),
    ("[HTN|Diagnosis] on [losartan|MedicationName], [gout|Diagnosis] on [allopurinol|MedicationName].", {("TreatsCondition", "losartan", "HTN"), ("TreatsCondition", "allopurinol", "gout")}),
    ("[Nausea|SymptomOrSign] and [rash|SymptomOrSign] due to [codeine|MedicationName] and [tramadol|MedicationName].", {("AdverseEventOfMedication", a, b) for a in ("Nausea", "rash") for b in ("codeine", "tramadol")}), ("[Hypoxia|SymptomOrSign] on [room air|TreatmentName].", set())])
def test_on_a_medicine_is_no_harm(text, wanted):
    t, e = marked(text)
    assert {(r.kind, e[r.source].text, e[r.target].text) for r in relate(t, e)} == wanted


def resources(text, kind):
    from healthlab.fhir.model import validate
    from healthlab.nlp.resources import bundle
    t, e = marked(text)
    b = bundle(t, e, relate(t, e))
    assert not [i for i in validate(b) if i.severity in ("error", "fatal")]
    return [x["resource"] for x in b["entry"] if x["resource"]["resourceType"] == kind]


@pytest.mark.parametrize("text, wanted", [
    ("[furosemide|MedicationName] [60 mg|Dosage] [IV|MedicationRoute], then [20 mg|Dosage] [PO|MedicationRoute] [daily|Frequency].", ["60 mg IV", "20 mg PO daily"]), ("Increase [losartan|MedicationName] from [25 mg|Dosage] to [50 mg|Dosage] [daily|Frequency]", ["50 mg daily"]), ("[losartan|MedicationName] increased to [50 mg|Dosage] from [25 mg|Dosage] [daily|Frequency]", ["50 mg daily"]),
    ("[Cephalexin|MedicationName] [500 mg|Dosage] [Capsule|MedicationForm] Sig: [One|Dosage] (1) Capsule [PO|MedicationRoute]\n[Q6H|Frequency] (every 6 hours) for [7 days|Time].\nDisp:*[28|Dosage] Capsule(s)*", ["500 mg Capsule One PO Q6H 7 days"]), ("[losartan|MedicationName] [25 mg|Dosage] [daily|Frequency], Newdrug [10 mg|Dosage] [BID|Frequency]", ["25 mg daily"]),
    ("[IV|MedicationRoute] [penicillin|MedicationName], [IV|MedicationRoute] [gentamicin|MedicationName]", ["IV", "IV"])])
def test_dosages(text, wanted): assert [d["text"] for r in resources(text, "MedicationStatement") for d in r.get("dosage", ())] == wanted


@pytest.mark.parametrize("text, wanted", [
    ("FAMILY HISTORY: [Asthma|Diagnosis] (mother), [gout|Diagnosis] (father).", {"mother": ["Asthma"], "father": ["gout"]}), ("Family history: Mother with [asthma|Diagnosis] and father had [gout|Diagnosis].", {"mother": ["asthma"], "father": ["gout"]}), ("Family History:\n[Lung cancer|Diagnosis] Father 61\n[Stroke|Diagnosis] Mother 70", {"father": ["Lung cancer"], "mother": ["Stroke"]}),
    ("Family history of [asthma|Diagnosis] in his maternal aunt and [gout|Diagnosis] in his father.", {"maternal aunt": ["asthma"], "father": ["gout"]}), ("Family History: Mother and sister with [asthma|Diagnosis].", {"mother": ["asthma"], "sister": ["asthma"]})])
def test_whose_disease(text, wanted): assert {r["relationship"]["text"]: [c["code"]["text"] for c in r["condition"]] for r in resources(text, "FamilyMemberHistory")} == wanted


def test_what_is_claimed_of_the_patient():
    status = lambda t: {r["code"]["text"]: r.get("clinicalStatus", {"coding": [{"code": None}]})["coding"][0]["code"] for r in resources(t, "Condition")}
    assert status("h/o [pneumonia|Diagnosis]. History of [ulcer|Diagnosis] in 2009. Former [asthma|Diagnosis] as a child. Has [gout|Diagnosis].") == {"pneumonia": None, "ulcer": "inactive", "asthma": "inactive", "gout": "active"}
    from healthlab.nlp.linking import link
    from healthlab.nlp.resources import _status
    t, e = marked("h/o [COPD|Diagnosis]")
    assert _status(t, link(e)[0]) == "active"
    for t in ("Sick contacts: cousin's friend with [measles|Diagnosis]", "Coworker was diagnosed with [measles|Diagnosis]"): assert not resources(t, "Condition")
    for t in ("No sick contacts, [measles|Diagnosis] since Monday", "Roommate noticed [seizure|Diagnosis]", "A friend is with the patient, who has [measles|Diagnosis]"): assert len(resources(t, "Condition")) == 1
    assert not resources("Mother is allergic to [codeine|Allergen].", "AllergyIntolerance") and not resources("[Codeine|Allergen] ([hives|SymptomOrSign])", "Condition")


# minutes, far years, social negation

def test_minutes_and_years_nobody_lived():
    for text, wanted in (("Pain 45 minutes ago", ["2024-05-20"]), ("Pain 36 hours ago", ["2024-05-19"]), ("2500 years ago", []), ("the past 4000 months", []), ("on 2150-03-05", ["2150-03-05"]), ("[**2151-7-1**]", ["2151-07-01"]), ("in 2150 patients", [])):
        assert [w.start for w in expressions(text, NOTE)] == wanted, text
    t, e = marked("[Fever|SymptomOrSign] for 80 minutes. [Rash|SymptomOrSign] for 3000 years.")
    assert [v.start for v in timeline(t, e, NOTE)] in (["2024-05-20", None], [None, "2024-05-20"])


def test_social_clauses_negation_and_others():
    for text, wanted in (("No food insecurity.", [("food", False, None)]), ("Denies financial strain or hunger.", [("finances", False, None), ("food", False, None)]), ("Denies homelessness.", [("housing", False, None)]), ("Cannot afford food.", [("finances", True, None), ("food", True, None)]), ("Denies smoking but drinks 3 beers a day.", [("substance alcohol", False, "3 beers a day"), ("substance tobacco", False, None)]),
                         ("Brother is an alcoholic.", []), ("Encourage drinking fluids; alcohol swab used.", [])):
        assert sorted((s.kind, s.adverse, s.amount) for s in social(text)) == wanted, text
    for text, wanted in (("Smokes despite history of emphysema.", "current"), ("History of gout and smokes.", "current"), ("Smoker, advised to quit.", "current"), ("History of tobacco use.", "past"), ("Past smoker.", "past")):
        assert [s.status for s in social(text)] == [wanted], text
    got = social("Social History:\nTobacco: quit 2011\nAlcohol: 5 beers daily\nDrugs: cocaine weekly\n")
    assert [(s.kind, s.status, s.amount) for s in got] == [("substance tobacco", "past", None), ("substance alcohol", "current", "5 beers daily"), ("substance drug", "current", None)]


@pytest.mark.parametrize("text, want", [
    ("Social History: Negative for smoking and drinking.", {("substance tobacco", False, "never"), ("substance alcohol", False, "never")}),
    ("She denied any history of drug use or alcohol abuse.", {("substance drug", False, "never"), ("substance alcohol", False, "never")}),
    ("No known history of drug or alcohol abuse.", {("substance drug", False, "never"), ("substance alcohol", False, "never")}),
    ("She had smoked 10-15 cigarettes per day for years, but had quit two months ago.", {("substance tobacco", False, "past")}),
    ("Has a smoking history, but he quit in 2010.", {("substance tobacco", False, "past")}),
    ("Smokes daily and has not quit.", {("substance tobacco", True, "current")}),
    ("He no longer uses cocaine.", {("substance drug", False, "past")}),
    ("Allergic to sulfa drugs.", set()), ("A PPD was placed and read as negative.", set()), ("Someone put it in his drink.", set()), ("He was not hungry.", set()), ("Volunteers at a homeless shelter.", set()), ("Works at a homeless shelter.", {("employment", False, None)}),
    ("Smokes 1 ppd.", {("substance tobacco", True, "current")}),
    ("He lives at a skilled nursing facility.", {("living", False, None)}),
    ("He is homeless.", {("housing", True, None)}), ("Denies homelessness.", {("housing", False, None)}), ("She lives in her car.", {("housing", True, None)})])
def test_substances_and_roofs_in_prose(text, want):
    found = social(text)
    assert {(s.kind, s.adverse, s.status) for s in found} == want
    assert all(s.amount is None for s in found if s.status == "never")


def test_a_range_of_cigarettes_is_one_amount():
    assert [s.amount for s in social("Smoked 10-15 cigarettes per day until 2019.")] == ["10-15 cigarettes per day"]


@pytest.mark.parametrize("text, wanted", [
    ("Metformin was discontinued due to diarrhea.", {("AdverseEventOfMedication", "diarrhea", "Metformin")}), ("Discontinue hydrochlorothiazide because of hyponatremia.", {("AdverseEventOfMedication", "hyponatremia", "hydrochlorothiazide")}), ("Metformin was stopped because of AKI.", set()),
    ("He takes lisinopril for hypertension and atorvastatin for hyperlipidemia.", {("TreatsCondition", "lisinopril", "hypertension"), ("TreatsCondition", "atorvastatin", "hyperlipidemia")}), ("Warfarin for atrial fibrillation, complicated by GI bleed.", {("TreatsCondition", "Warfarin", "atrial fibrillation")}),
    ("Acute kidney injury in the setting of vancomycin.", {("AdverseEventOfMedication", "Acute kidney injury", "vancomycin")})])
def test_what_a_medicine_was_stopped_for(text, wanted):
    from healthlab.nlp import analyze
    d = analyze(text)[0]
    assert {(r.kind, d.entities[r.source].text, d.entities[r.target].text) for r in d.relations if r.kind in ("TreatsCondition", "AdverseEventOfMedication")} == wanted
