"How findings are meant: sentences written for the test, one table an axis; the mention stands in brackets."
import pytest

from healthlab.nlp.assertion import Assertion, classify

CASES = {
    "past": """
He had a [stroke] in 2015.
Status post [appendectomy].
s/p [CABG] x3 in 2008.
Past medical history is significant for [myocardial infarction].
She has a history of [deep vein thrombosis] following knee surgery.
H/o [seizures] as a child.
Prior [stroke] with residual weakness.
Previous [myocardial infarction] noted.
The patient had [pneumonia] two years ago.
Ten years ago she was treated for [breast cancer].
Remote history of [tuberculosis].
[Hepatitis C], treated and cured in 2016.
He was hospitalized last year for [pancreatitis].
Old [myocardial infarction] on ECG.
His [depression] has since resolved.
Childhood [asthma].
Patient previously had [gout].
Significant for a prior [pulmonary embolism].
She was diagnosed with [melanoma] in 1998, which was excised.
Former [smoker].
Had a [TIA] 6 months ago.
In 2012 the patient underwent [cholecystectomy].
Known history of [alcohol abuse].
He used to have [migraines].
history of [prostate cancer], in remission
Healed [rib fractures] are seen.
""",
    "current": """
He presents with a two-day history of [abdominal pain].
3-week history of [cough].
HISTORY OF PRESENT ILLNESS: [chest pain].
The patient has [diabetes] and hypertension.
Compared to prior study, the [effusion] is larger.
He has had [headache] since yesterday.
[Chest pain] began two days ago.
She developed [fever] yesterday.
Patient complains of [nausea] for the past week.
No prior films; [consolidation] is present.
Social history: [smokes] daily.
She presents with [dyspnea] and a history of CHF.
Clinical history: [cough].
The patient is status post fall with [hip pain].
""",
    "other": """
Mother had [breast cancer] at 50.
His father died of [myocardial infarction].
Family history of [colon cancer].
Family history is significant for [diabetes] in both parents.
Her brother has [schizophrenia].
Maternal grandmother with [ovarian cancer].
Strong family hx of [CAD].
FH: [hypertension] in father.
There is [Huntington disease] in the family.
[Breast cancer] in her maternal aunt.
Two siblings have [asthma].
Patient's sister was diagnosed with [lupus].
FHx positive for [stroke].
Dad: [hypertension], mom: diabetes
Paternal history of [glaucoma].
Her son has [autism].
A cousin died of [leukemia].
""",
    "subject": """
His mother reports that he has had [fever].
Wife states the patient had [chest pain].
The patient lives with his father and has [COPD].
No family at bedside; patient has [dementia].
Family history of diabetes; he presents with [polyuria].
Mother brought the child in for [cough].
Her daughter noticed [jaundice].
She is the mother of two and has [anemia].
According to his wife, he had [confusion].
""",
    "negative": """
Patient denies [chest pain] or shortness of breath.
Lungs: no [wheezes], rales or rhonchi.
[Fever]: none.
[Pneumothorax] is not seen.
Negative for [deep vein thrombosis].
She has never had [seizures].
There is no evidence of acute [fracture].
[Malignancy] was ruled out.
MI was ruled out, [PE] was excluded.
without any [swelling]
The patient is free of [pain].
Doppler failed to reveal [thrombus].
No mass, lesion or [hemorrhage] is identified.
The patient does not have [diabetes].
neither [nausea] nor vomiting
Denies fever, chills, night sweats, and [weight loss].
He is not in acute [distress].
Absence of [edema].
No cough, sputum production, [hemoptysis] or dyspnea.
[HIV] negative
Abdomen: soft, non-tender, no [masses].
Workup for [PE] was negative.
chest pain free, no [palpitations]
The CT scan ruled out [appendicitis].
Patient reports no [dizziness].
""",
    "positive": """
No change in the [tumor] size.
No fever, but has [cough].
Not only [nausea] but also vomiting.
He denies alcohol use and reports [headache].
[Pain] is not relieved by morphine.
Without treatment the [infection] worsened.
No improvement in [rash].
No fever; positive for [chills].
Gram negative [bacteremia] was found.
There is no doubt that she has [sarcoidosis].
He has [COPD] without wheezing.
Cannot walk because of [arthritis].
The patient denies smoking. Has [hypertension].
The [wound] does not appear infected.
No interval change in [cardiomegaly].
""",
    "possible": """
Possible [pneumonia].
Cannot rule out [PE].
[Appendicitis] cannot be excluded.
Findings suggestive of [cirrhosis].
Probable [urinary tract infection].
r/o [sepsis]
[Stroke] is suspected.
Concern for [meningitis].
likely [viral syndrome]
Question of [TIA].
This may represent [metastasis].
differential includes [lymphoma]
""",
    "cond": """
Return if you develop [fever].
Call your doctor for [bleeding].
If [chest pain] recurs, take nitroglycerin.
Tylenol as needed for [pain].
Seek care for worsening [dyspnea].
Should [bleeding] occur, apply pressure.
Ibuprofen PRN [headache]
""",
}
SEEN = {"past": lambda a: a.temporality == "past", "current": lambda a: a.temporality == "current", "other": lambda a: a.association == "other", "subject": lambda a: a.association == "subject",
        "negative": lambda a: a.certainty == "negative", "positive": lambda a: a.certainty == "positive", "possible": lambda a: a.certainty.endswith("Possible"), "cond": lambda a: a.conditionality == "conditional"}


@pytest.mark.parametrize("kind", CASES)
def test_each_axis(kind):
    wrong = []
    for line in CASES[kind].strip().split("\n"):
        a, b = line.index("["), line.index("]") - 1
        got = classify(line.replace("[", "").replace("]", ""), [(a, b)])[0]
        if not SEEN[kind](got): wrong.append((line, got))
    assert not wrong


def test_whole_notes_follow_their_sections():
    note = "Family History:\nBreast cancer, diabetes.\n\nAssessment:\nHypertension. No diabetes.\n"
    spans = [(note.index("Breast"), note.index("Breast") + 13), (note.index("Hyper"), note.index("Hyper") + 12), (note.rindex("diabetes"), note.rindex("diabetes") + 8)]
    got = classify(note, spans)
    assert [g.association for g in got] == ["other", "subject", "subject"] and [g.certainty for g in got] == ["positive", "positive", "negative"]


def test_order_and_bounds():
    t = "Cough, no fever."
    assert classify(t, [(10, 15), (0, 5)]) == [Assertion("negative"), Assertion()]
    assert classify(t, []) == []
    with pytest.raises(ValueError): classify(t, [(3, 99)])


def test_axes_of_the_simulated_hospital():
    from healthlab.hospital import Hospital
    right = wrong = 0
    for n in Hospital(patients=3, seed=5).notes():
        found = [e for e in n.entities if e.label in ("Diagnosis", "SymptomOrSign")]
        for e, a in zip(found, classify(n.text, [(e.start, e.end) for e in found])):
            ok = (a.certainty, a.association, a.conditionality) == (e.assertion.certainty, e.assertion.association, e.assertion.conditionality)
            right, wrong = right + ok, wrong + (not ok)
    assert right / (right + wrong) > .98
