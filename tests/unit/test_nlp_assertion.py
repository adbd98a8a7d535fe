"How findings are meant: sentences written for the test, one table an axis; the mention stands in brackets."
import pytest

from healthlab.nlp.assertion import Assertion, classify

CASES = {
    "past": """
He has a history of [myocardial infarction].
Past medical history includes [gout] and kidney stones.
She had [breast cancer] in 2009 treated with lumpectomy.
Previously treated for [tuberculosis].
[Appendicitis] at age 12.
Remote [stroke] without residual deficits.
Prior [DVT] in the left leg, off anticoagulation.
As a child he suffered from [rheumatic fever].
Status post [hip fracture] five years ago.
Known prior [TIA] in 2015.
She recovered from [COVID-19] last winter.
Hx of [alcohol abuse], sober for ten years.
The patient reports having had [shingles] several years ago.
In the past he has experienced [kidney stones].
[Depression] in college, resolved.
Old healed [fracture] of the left clavicle.
h/o [PE] 2012
Past surgical history: [cholecystectomy] in 2001.
He was hospitalized for [pancreatitis] in 2018.
Former [smoker], quit in 2010.
Two years prior to admission she was diagnosed with [melanoma].
Childhood [asthma], outgrown.
Long-ago [hepatitis A] infection.
She once had [pneumonia] while living abroad.
Her last [seizure] was in 2016.
The patient had been treated for [syphilis] decades ago.
Previous episodes of [gastrointestinal bleeding] were noted.
Significant past history of [peptic ulcer disease].
He used to suffer from [migraines].
Significant for [pneumonia] in the past, pleurisy.
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
He presents with a 3-day history of [cough].
History of present illness: [abdominal pain] since this morning.
She has had [fatigue] for two weeks.
[Headache] started yesterday.
Patient currently has [pneumonia].
Compared with the previous exam, the [nodule] is unchanged.
The [wound] from last week's surgery is red.
Today he complains of [dizziness].
He gives a history of [malaise] for about two weeks.
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
Mother had [breast cancer] at age 45.
Family history is positive for [colon cancer].
His father died of a [heart attack] at 52.
Two brothers with [type 2 diabetes].
Paternal uncle has [schizophrenia].
FHx: [hypertension], stroke.
There is a strong family history of [premature coronary disease].
[Huntington's disease] runs in her family.
Her sister was recently diagnosed with [multiple sclerosis].
Grandmother passed away from [ovarian cancer].
Both parents suffered from [glaucoma].
He reports that his dad has [Parkinson disease].
Maternal side notable for [thyroid disease].
A first cousin was affected by [cystic fibrosis].
Siblings: one with [epilepsy].
[Asthma] in two of her children.
The patient's son has [autism].
Multiple relatives with [melanoma].
No family history of [heart disease].
Her mother's [dementia] began at 60.
Positive FH of [sickle cell disease].
Family hx significant for [CAD] in father and DM in mother.
Daughter has [type 1 diabetes].
An aunt on her mother's side was treated for [lymphoma].
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
Her mother reports that the patient has had [fever] for two days.
According to his wife, he had [confusion] overnight.
Lives with his brother; complains of [back pain].
She cares for her mother with dementia and feels [exhausted].
The family was told about his [lung cancer].
Patient's daughter noticed [jaundice].
He was brought in by his son because of [vomiting].
Mother is at bedside; child has [rash].
The patient is a mother of three with [anemia].
Spoke with husband regarding her [sepsis].
His sister drove him here for [chest pain].
His wife was present and noted that he looked [pale].
Mother did not have a good explanation for the [weight loss].
He has a family history of heart disease but denies [angina].
Positive family history of coronary disease and history of [Hodgkin disease].
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
Patient denies [chest pain], palpitations, or syncope.
No evidence of [pneumothorax] or pleural effusion on today's film.
She has never had a [seizure].
[Fever] was not present on admission.
There is no [rebound tenderness] or guarding.
The scan ruled out [pulmonary embolism].
Lungs are clear without [wheezes], rales or rhonchi.
He does not have [diabetes].
Cultures showed no growth; no [sepsis].
[Nausea]: denies.
The patient has been free of [angina] since the stent.
Absence of [focal neurological deficit].
We found nothing to suggest [malignancy].
At no time did she experience [dyspnea].
Neither [edema] nor cyanosis was observed.
The biopsy failed to show [carcinoma].
[Hepatomegaly] is absent.
[Stroke] was excluded by MRI.
He isn't complaining of [headache].
Chest x-ray is unremarkable for [infiltrate].
The wound shows no sign of [infection] whatsoever.
Patient lacks [insight impairment].
ROS negative for [weight loss], night sweats, and hemoptysis.
No [fever], chills, cough; positive for rash.
Denied any recent [trauma] or falls.
The abdomen is soft with no palpable [mass].
There was not any [bleeding] noted during the procedure.
Pulmonary embolism was considered, but the CT angiogram did not reveal any [thrombus].
Rapid strep was negative, so [streptococcal pharyngitis] is ruled out.
He couldn't identify any [vision changes].
[Suicidal ideation] was denied.
Review of systems is negative except as above; no [dysuria].
Without [ascites], the liver edge is smooth.
Nor does he report [hematuria].
No longer has [back pain].
Mammogram: no suspicious [calcifications].
Patient w/o [CHF] or COPD.
(-) [fever], (-) chills
There are no family members with a history of [ovarian cancer].
He denies having had similar [discomfort].
She has not had any symptoms of [cardiac disease] other than shortness of breath.
The swelling was not associated with malnutrition or significant [weight loss].
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
The infection was not [improved] by antibiotics.
He did not [tolerate] the mask.
A rapid [virological response] was not achieved.
Laryngoscopy failed to identify a [source of bleeding].
We were unable to appreciate a [thrill].
Abscess and [fistula] were both absent.
The abdomen is devoid of [organomegaly].
Thereafter [fits] never recurred.
Nausea (-), [vomiting] (-).
[Crepitus], none noted.
""",
    "positive": """
Her Ultracet is not quite taking care of her [pain].
Due to his underlying [cardiomyopathy], further chemotherapy was stopped.
Patient refused surgery for [hernia].
She was not aware of her [hypertension] until today.
No racing heart beat, just a lot of localized [swelling].
Studies ruled out any cardiologic cause for the [stroke].
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
Her answer was mostly "no." She was [tearful] throughout.
Lack of fever should not delay a biopsy if a [mass] is present.
The patient was not improved and died of [respiratory failure].
Surgery for the [hernia] was not performed.
She was offered an injection which she declined as she says it made her [dizzy] before.
Blood and pleural [effusion] cultures were negative.
As he denied chemotherapy, [metastases] were found within a month.
The absence of risk factors, finding of [hypokinesia] and rapid recovery pointed to the drug.
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
CASES["ended"] = """
By Day 3, her [tachycardia] had resolved.
He had [pneumonia], which has since completely resolved.
[Acute kidney injury] - resolved
[Hypoxia], now resolved, likely from pneumonia.
With antibiotics for pneumonia the [fever] subsided.
Resolved [hepatitis B].
CT showed complete resolution of the [pleural effusion].
[Cough] resolved without treatment.
MRI confirmed complete removal of the [tumour].
The [neuropathy] had fully recovered.
His [rash] healed completely within a month.
Potassium binders normalized the [hyperkalaemia].
[Hypercalcaemia] normalized after surgery.
Antibiotics eradicated the [infection].
"""
CASES["lasting"] = """
His [fever] has not resolved.
The [effusion] has nearly resolved.
With antibiotics for [pneumonia] the fever resolved.
The [pain] is relieved by rest.
Symptoms resolved after surgery for [hernia].
[Cough] had resolved, but recurred last week.
[Lisinopril] held d/t AKI, AKI resolved by 3/6.
[Diuresed] with lasix, 4L neg.
Cough has resolved but [dyspnea] remains.
Once the [infection] has resolved we will proceed.
[Oedema] persisted, renal function normalized.
His [anaemia] improved but did not fully recover.
The [neuropathy] improved slowly.
The lesion does not cause much [discomfort].
She was cleared for surgery; [angina] stable.
Discharged without further exacerbation of [CHF].
CT excluded embolism and confirmed severe [pulmonary oedema].
A woman with no significant history developed [fatigue].
He complained of [absence of appetite].
She does report having knee surgery for [torn ACL] on the left knee.
"""
CASES["current"] += """Patient is documented to have morbid [obesity].
The patient was ordered Demerol 50 mg IM for [pain].
"""
CASES["negative"] += """Biopsy had ruled out [myocarditis].
Her abdomen was soft and non-[tender].
No enlarged lymph nodes were [palpable].
The [nodule] is no longer visualized.
"""
CASES["possible"] += """Right lower quadrant pain, rule out [appendicitis].
I suspect she has a mild contact [dermatitis].
We think this is [pneumonia].
This could certainly be a [spider bite].
There is concern for [sepsis].
I do not suspect [meningitis].
"""
SEEN = {"ended": lambda a: a.ended and (a.certainty, a.temporality) == ("negative", "past"), "lasting": lambda a: not a.ended and a.certainty == "positive", "past": lambda a: a.temporality == "past", "current": lambda a: a.temporality == "current", "other": lambda a: a.association == "other", "subject": lambda a: a.association == "subject",
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
