"The categories and relations of Text Analytics for health that describe other mentions."
import pytest
from azure.ai.textanalytics import HealthcareEntityCategory, HealthcareEntityRelation

from healthlab.fhir.model import validate
from healthlab.nlp import analyze
from healthlab.nlp.health import KINDS

LINES = {
    "Worsening dyspnea over the past 3 days with improving lower extremity edema.": ("CourseOfCondition(Worsening, dyspnea)", "CourseOfCondition(improving, lower extremity edema)", "TimeOfCondition(past 3 days, dyspnea)"),
    "Right upper quadrant tenderness persists.": ("CourseOfCondition(persists, tenderness)",),
    "Creatinine is improving. WBC trending down. Platelets stable at 110.": ("CourseOfExamination(improving, Creatinine)", "CourseOfExamination(trending down, WBC)", "CourseOfExamination(stable, Platelets)", "ValueOfExamination(110, Platelets)"),
    "Lisinopril was increased to 40 mg. Prednisone is being tapered.": ("CourseOfMedication(increased, Lisinopril)", "CourseOfMedication(tapered, Prednisone)"),
    "Hemoglobin was less than 7 g/dL. Troponin <0.01 ng/mL. Platelets at least 100.": ("RelationOfExamination(less than, Hemoglobin)", "RelationOfExamination(<, Troponin)", "ValueOfExamination(0.01, Troponin)", "UnitOfExamination(ng/mL, Troponin)", "RelationOfExamination(at least, Platelets)"),
    "EGFR overexpression was found; ALK negative, ROS1 negative.": ("ExpressionOfGene(overexpression, EGFR)", "ExpressionOfGene(negative, ALK)", "ExpressionOfGene(negative, ROS1)"),
    "ER+/PR+/HER2- invasive ductal carcinoma of the left breast.": ("ExpressionOfGene(+, ER)", "ExpressionOfGene(+, PR)", "ExpressionOfGene(-, HER2)"),
    "Sequencing showed a heterozygous missense mutation in BRCA1 c.181T>G.": ("MutationTypeOfGene(heterozygous missense, BRCA1)", "VariantOfGene(c.181T>G, BRCA1)"),
    "Deletion of TP53 and amplification of MYC were seen.": ("MutationTypeOfGene(Deletion, TP53)", "MutationTypeOfGene(amplification, MYC)"),
    "CFTR delF508 homozygous.": ("VariantOfGene(delF508, CFTR)", "MutationTypeOfVariant(homozygous, delF508)"),
    "CT abdomen showed a 4.2 cm mass in the pancreatic head and no ascites.": ("ExaminationFindsCondition(CT, mass)", "ExaminationFindsCondition(CT, ascites)", "ValueOfCondition(4.2, mass)", "UnitOfCondition(cm, mass)", "BodySiteOfCondition(pancreatic head, mass)"),
    "Biopsy of the right breast revealed invasive ductal carcinoma.": ("BodySiteOfCondition(right breast, ductal carcinoma)",),
    "Congestive heart failure (CHF) was diagnosed in 2018.": ("Abbreviation(CHF, Congestive heart failure)",),
    "Fever to 39.4 C since yesterday.": ("ValueOfCondition(39.4, Fever)", "UnitOfCondition(C, Fever)", "TimeOfCondition(yesterday, Fever)"),
    "Appendectomy in 2005, left hip replacement 3 years ago. Hemodialysis three times a week.": ("TimeOfTreatment(2005, Appendectomy)", "DirectionOfTreatment(left, hip replacement)", "TimeOfTreatment(3 years ago, hip replacement)", "FrequencyOfTreatment(three times a week, Hemodialysis)"),
    "Headaches twice a week. He smokes 1 pack per day.": ("FrequencyOfCondition(twice a week, Headaches)", "AmountOfSubstanceUse(1 pack per day, smokes)"),
    "Injection into the right shoulder.": ("BodySiteOfTreatment(right shoulder, Injection)",),
    "Rales bilaterally at the bases. Bilateral pleural effusions are unchanged.": ("DirectionOfCondition(bilaterally, Rales)", "DirectionOfCondition(Bilateral, pleural effusions)", "CourseOfCondition(unchanged, pleural effusions)"),
    "PA and lateral chest radiograph. AP pelvis.": ("DirectionOfExamination(PA, chest radiograph)", "DirectionOfExamination(lateral, chest radiograph)", "DirectionOfBodyStructure(AP, pelvis)"),
    "Admitted on 3/2/2024 for pneumonia and discharged on 3/7/2024.": ("TimeOfEvent(3/2/2024, Admitted)", "TimeOfEvent(3/7/2024, discharged)"),
    "Gradual improvement in his ataxia was noted.": ("CourseOfCondition(Gradual improvement, ataxia)",),
    "The right-sided pleural effusion is slightly decreased compared to prior.": ("DirectionOfCondition(right-sided, pleural effusion)", "CourseOfCondition(slightly decreased, pleural effusion)"),
    "Echocardiogram revealed moderate aortic stenosis and mild mitral regurgitation.": ("ExaminationFindsCondition(Echocardiogram, aortic stenosis)", "ExaminationFindsCondition(Echocardiogram, mitral regurgitation)"),
    "Gallstones were identified on ultrasound.": ("ExaminationFindsCondition(ultrasound, Gallstones)",),
    "EEG was negative for seizures.": ("ExaminationFindsCondition(EEG, seizures)",),
    "There is a 6 mm nodule in the right upper lobe.": ("ValueOfCondition(6, nodule)", "UnitOfCondition(mm, nodule)", "BodySiteOfCondition(right upper lobe, nodule)"),
    "INR > 5, platelets below 20, potassium up to 6.2.": ("RelationOfExamination(>, INR)", "RelationOfExamination(below, platelets)", "RelationOfExamination(up to, potassium)"),
    "MSH2 expression is lost; MLH1 is intact.": ("ExpressionOfGene(lost, MSH2)", "ExpressionOfGene(intact, MLH1)"),
    "Homozygous for the C282Y variant of HFE.": ("MutationTypeOfVariant(Homozygous, C282Y)", "VariantOfGene(C282Y, HFE)"),
    "Metoprolol was decreased to 25 mg because of bradycardia.": ("CourseOfMedication(decreased, Metoprolol)", "DosageOfMedication(25 mg, Metoprolol)", "AdverseEventOfMedication(bradycardia, Metoprolol)"),
    "Quit smoking in 2010 after 20 pack-years.": ("AmountOfSubstanceUse(20 pack-years, smoking)",),
    "Physical therapy twice weekly for the left shoulder.": ("FrequencyOfTreatment(twice weekly, Physical therapy)",),
    "Left lateral decubitus chest radiograph.": ("DirectionOfExamination(Left lateral decubitus, chest radiograph)",),
}
WORDS = {"She was seen by the cardiologist and her primary care physician.": {"cardiologist": "HealthcareProfession", "primary care physician": "HealthcareProfession"},
         "Treated with antibiotics and steroids. He takes a statin and an ACE inhibitor.": {"antibiotics": "MedicationClass", "steroids": "MedicationClass", "statin": "MedicationClass", "ACE inhibitor": "MedicationClass"},
         "He left the hospital against medical advice. All right. She is left handed. He fell at home and rose again.": {}}
NEW = ("Course", "Direction", "RelationalOperator", "Expression", "MutationType", "MedicationClass", "HealthcareProfession")


def said(d): return {f"{r.kind}({d.entities[r.source].text}, {d.entities[r.target].text})" for r in d.relations}


@pytest.fixture(scope="module")
def read(): return dict(zip([*LINES, *WORDS], analyze([*LINES, *WORDS])))


@pytest.mark.parametrize("line", LINES)
def test_what_describes_what(read, line):
    assert set(LINES[line]) <= said(read[line]), (said(read[line]), read[line].entities)


@pytest.mark.parametrize("line", WORDS)
def test_words_have_their_category_and_only_where_they_mean_it(read, line):
    assert {e.text: e.label for e in read[line].entities if e.label in NEW} == WORDS[line]


def test_names_are_those_of_the_official_client(read):
    known, kinds = {c.value for c in HealthcareEntityCategory}, {r.value for r in HealthcareEntityRelation}
    assert set(NEW) <= known and kinds <= KINDS and KINDS - kinds == {"AmountOfSubstanceUse", "FrequencyOfSubstanceUse"}
    assert {e.label for d in read.values() for e in d.entities} <= known | {"MedicalDevice"}


def test_a_short_form_and_its_long_one_have_the_clients_roles(read):
    d = next(d for line, d in read.items() if "(CHF)" in line)
    row = next(r for r in d.to_health()["documents"][0]["relations"] if r["relationType"] == "Abbreviation")
    assert [e["role"] for e in row["entities"]] == ["AbbreviatedTerm", "FullTerm"]


def test_an_operator_is_the_observations_comparator(read):
    d = next(d for line, d in read.items() if "Troponin" in line)
    values = {e["resource"]["code"]["text"]: e["resource"]["valueQuantity"] for e in d.to_fhir()["entry"] if e["resource"]["resourceType"] == "Observation"}
    assert values["Troponin"] == {"value": .01, "comparator": "<", "unit": "ng/mL"} and values["Hemoglobin"]["comparator"] == "<" and values["Platelets"]["comparator"] == ">="


def test_every_bundle_validates(read):
    for d in read.values(): assert not [i for i in validate(d.to_fhir(subject="Patient/1")) if i.severity in ("error", "fatal")]


SHORTHAND = {"s/p ex-lap, CRRT started for AKI. Zosyn D3, CVC R IJ, Foley to gravity.": {"ex-lap": "TreatmentName", "CRRT": "TreatmentName", "AKI": "Diagnosis", "Zosyn": "MedicationName", "CVC": "MedicalDevice", "Foley": "MedicalDevice"},
             "Hx of BCC of the nose, AK x 3 on the scalp. Immunizations UTD.": {"BCC": "Diagnosis", "AK": "Diagnosis"},
             "Refused stool softener. 500 mL NS bolus given.": {"stool softener": "MedicationClass", "NS": "MedicationName"},
             "Pneumonia: prophylaxis for PCP with Bactrim.": {"Bactrim": "MedicationName"},
             "She had a suicide attempt in 2019.": {"suicide attempt": "Diagnosis"}}


@pytest.mark.parametrize("line", SHORTHAND)
def test_short_forms_are_what_they_stand_for(line):
    d = analyze(line)[0]
    assert SHORTHAND[line].items() <= {e.text: e.label for e in d.entities}.items(), d.entities
    assert not [e.text for e in d.entities if e.text in ("Hx", "UTD", "stool", "softener") or e.label == "HealthcareProfession"]


def test_short_forms_have_the_codes_of_what_they_stand_for():
    codes = {e.text: [c.code for c in e.codes] for e in analyze("PFO and LVH. BCC. SIADH. HELLP. ITP. RBBB.")[0].entities}
    assert codes["LVH"] == ["I51.7"] and codes["PFO"] == ["Q21.12"] and codes["BCC"] == ["C44.91"] and codes["RBBB"] == ["I45.10"] and codes["ITP"] == ["D69.3"] and codes["SIADH"] == ["E22.2"], codes


@pytest.mark.parametrize("text, problem, wanted", [
    ("3 yo F with h/o BPD, brought in by mom for 4 days of cough and fever.", "cough", ("positive", "current")), ("Seen for f/u of MS.", "MS", ("positive", "current")),
    ("No chest pain since starting metoprolol.", "metoprolol", ("positive", "current"))])
def test_scopes_end_where_another_matter_begins(text, problem, wanted):
    e = next(e for e in analyze(text)[0].entities if e.text == problem)
    assert (e.assertion.certainty, e.assertion.temporality) == wanted


def test_every_reaction_of_a_list_of_allergies_is_told():
    d = analyze("ALLERGIES AND INTOLERANCES\nPenicillin - anaphylaxis\nSulfa drugs: rash\nCodeine (nausea, vomiting)\nShellfish -> hives\n")[0]
    assert {x for x in said(d) if x.startswith("Reaction")} == {f"ReactionOfAllergen({a}, {b})" for a, b in (("anaphylaxis", "Penicillin"), ("rash", "Sulfa"), ("nausea", "Codeine"), ("vomiting", "Codeine"), ("hives", "Shellfish"))}
    assert "ALLERGIES" not in {e.text for e in d.entities}


def test_numbers_are_whole():
    values = {d.entities[r.target].text: d.entities[r.source].text for d in analyze(["EDSS 2.5. Plt <50,000."]) for r in d.relations if r.kind == "ValueOfExamination"}
    assert values == {"EDSS": "2.5", "Plt": "50,000"}
    assert not [e for e in analyze("Stage 2 pressure injury to the sacrum.")[0].entities if e.label == "Age"]


def test_classes_of_medicines_act_as_medicines_do():
    a, b = analyze(["Cough due to ACE inhibitor.", "He takes a statin for hyperlipidemia."])
    assert "AdverseEventOfMedication(Cough, ACE inhibitor)" in said(a) and "TreatsCondition(statin, hyperlipidemia)" in said(b)
    assert [e["resource"]["medicationCodeableConcept"]["text"] for e in b.to_fhir()["entry"] if e["resource"]["resourceType"] == "MedicationStatement"] == ["statin"]


def test_conditions_and_procedures_tell_where_and_how_severe():
    d = analyze("Severe left-sided chest pain; mild edema of the lower extremities bilaterally. Right knee arthroplasty in 2015. No abdominal pain.")[0]
    told = {r["code"]["text"]: ([s["text"] for s in r.get("bodySite", [])], r.get("severity", {}).get("text")) for e in d.to_fhir()["entry"] if (r := e["resource"])["resourceType"] in ("Condition", "Procedure")}
    assert told["chest pain"] == (["left-sided"], "severe") and told["edema"] == (["bilateral lower extremities"], "mild") and told["arthroplasty"] == (["right knee"], None) and told["abdominal pain"] == ([], None)
    assert not [i for i in validate(d.to_fhir(subject="Patient/1")) if i.severity in ("error", "fatal")]


def test_a_variant_that_was_not_detected_is_negative():
    d = analyze("BRAF V600E not detected. KRAS G12D mutation detected.")[0]
    assert {e.text: e.assertion.certainty for e in d.entities if e.label == "Variant"} == {"V600E": "negative", "G12D": "positive"}


def test_how_often_and_by_whom():
    a, b, c = analyze(["He drinks alcohol daily and smokes marijuana on weekends. She drinks two glasses of wine per night.", "Her daughter drives her to appointments. His wife helps with medications.", "Dialysis on Tuesday, Thursday and Saturday."])
    assert {"FrequencyOfSubstanceUse(daily, drinks alcohol)", "FrequencyOfSubstanceUse(on weekends, marijuana)", "AmountOfSubstanceUse(two glasses of wine per night, drinks)"} <= said(a)
    assert [(s.kind, s.adverse) for s in b.social] == [("support", False), ("support", False)] and "Tuesday" in {e.text for e in c.entities}


def test_results_in_words_are_values_and_no_denial_of_the_test():
    d = analyze("SARS-CoV-2 PCR: Not Detected. Blood cultures: no growth to date. LVEF by echo 35%. UA: negative for nitrites, trace protein, 2+ blood.")[0]
    values = {d.entities[r.target].text: d.entities[r.source].text for r in d.relations if r.kind == "ValueOfExamination"}
    assert values["SARS-CoV-2 PCR"] == "Not Detected" and values["Blood cultures"] == "no growth to date" and values["LVEF"] == "35", values
    meant = {e.text: e.assertion.certainty for e in d.entities}
    assert meant["SARS-CoV-2 PCR"] == meant["Blood cultures"] == "positive" and meant["nitrites"] == "negative" and meant["blood"] == "positive", meant


RESULTS = {
    "WBC 15.2 with 85% neutrophils and 10% bands.": ({"ValueOfExamination(15.2, WBC)", "ValueOfExamination(85, neutrophils)", "ValueOfExamination(10, bands)"}, set()),
    "UA with large leukocyte esterase and positive nitrites.": ({"ValueOfExamination(large, leukocyte esterase)", "ValueOfExamination(positive, nitrites)"}, set()),
    "PHQ-9 score 14 today, GAD-7 10.": ({"ValueOfExamination(14, PHQ-9)", "ValueOfExamination(10, GAD-7)"}, set()),
    "Mammogram BI-RADS 2, benign finding.": ({"ValueOfExamination(2, BI-RADS)"}, set()),
    "INR supratherapeutic at 5.6; warfarin held.": ({"ValueOfExamination(5.6, INR)"}, set()),
    "Lactate 4.1 -> 2.2 after fluids.": ({"ValueOfExamination(2.2, Lactate)"}, {"ValueOfExamination(4.1, Lactate)"}),
    "Hgb dropped from 12.1 to 8.4 overnight.": ({"ValueOfExamination(8.4, Hgb)", "TimeOfExamination(overnight, Hgb)"}, set()),
    "EF 35-40% on echo, down from 55%.": ({"ValueOfExamination(35-40, EF)"}, {"ValueOfExamination(55, echo)", "ValueOfExamination(down, echo)"}),
    "CTA negative for PE but notable for a 6 mm RUL nodule.": ({"ValueOfCondition(6, nodule)", "BodySiteOfCondition(RUL, nodule)"}, {"BodySiteOfCondition(RUL, PE)", "ValueOfExamination(6, CTA)"}),
    "MRI brain: no acute infarct.": ({"ExaminationFindsCondition(MRI, infarct)"}, set()),
    "Home meds: metoprolol 50 bid, atorva 80 qhs.": ({"DosageOfMedication(50, metoprolol)", "FrequencyOfMedication(bid, metoprolol)", "DosageOfMedication(80, atorva)"}, set()),
    "Admitted with upper GI bleed while taking warfarin.": ({"AdverseEventOfMedication(upper GI bleed, warfarin)"}, set()),
    "Allergies: PCN (anaphylaxis), sulfa - hives, codeine causes nausea.": ({"ReactionOfAllergen(anaphylaxis, PCN)", "ReactionOfAllergen(hives, sulfa)", "ReactionOfAllergen(nausea, codeine)"}, {"CausesCondition(anaphylaxis, nausea)", "ReactionOfAllergen(nausea, sulfa)"}),
}


@pytest.mark.parametrize("line", RESULTS)
def test_results_belong_to_what_they_are_of(line):
    told, (wanted, wrong) = said(analyze([line])[0]), RESULTS[line]
    assert wanted <= told and not wrong & told


def test_what_ran_out_is_not_taken_and_a_count_of_cells_is_no_differential_diagnosis():
    out, count, test, chest = analyze(["Ran out of her insulin two weeks ago.", "Differential: 62% neutrophils, 28% lymphocytes.", "UA negative for nitrites.", "He was treated for UA and NSTEMI in the cath lab."])
    assert next(e for e in out.entities if e.label == "MedicationName").assertion.ended
    assert {e.assertion.certainty for e in count.entities} == {"positive"}
    assert {e.text: e.label for e in test.entities}["UA"] == "ExaminationName" and {e.text: e.label for e in chest.entities}["UA"] == "Diagnosis"


MEANT = {
    "Hgb 8.9, iron studies pending, guaiac negative.": {"Hgb": "ExaminationName", "iron studies": "ExaminationName", "guaiac": "ExaminationName"},
    "Immunizations: influenza 10/2023, Pneumovax 2020.": {"influenza": "MedicationName", "10/2023": "Date", "Pneumovax": "MedicationName"},
    "He uses methamphetamine daily.": {"methamphetamine": "SubstanceUse"},
    "s/p fall 2 days ago with L wrist fx.": {"L wrist fx": "Diagnosis"},
    "Stage 2 sacral pressure ulcer, 3 x 2 cm.": {"pressure ulcer": "Diagnosis"},
    "JP drain in place after lap chole.": {"JP drain": "MedicalDevice", "lap chole": "TreatmentName"},
    "N/V/D x 2d.": {"2d": "Time"},
    "EBL 200 mL.": {"200": "MeasurementValue", "mL": "MeasurementUnit"},
    "HIV VL undetectable, CD4 620 on Biktarvy.": {"CD4": "ExaminationName", "620": "MeasurementValue", "Biktarvy": "MedicationName"},
    "Increase sertraline from 50 to 100 mg daily.": {"100 mg": "Dosage"},
}


@pytest.mark.parametrize("line", MEANT)
def test_words_mean_what_stands_around_them_says(line):
    assert MEANT[line].items() <= {e.text: e.label for e in analyze([line])[0].entities}.items()


def test_a_qualifier_belongs_to_the_problem_it_stands_before():
    sepsis, edema = analyze(["Sepsis secondary to community-acquired pneumonia.", "RLE edema > LLE, doppler neg for DVT."])
    assert "QualifierOfCondition(community-acquired, pneumonia)" in said(sepsis) and not any("LLE, DVT" in x for x in said(edema))


def test_lesions_of_valves_by_their_letters_where_a_grade_stands_before_them():
    echo, plus, picture = analyze(["Echo showed moderate-to-severe AS and severe MR.", "2+ MR, 1+ TR.", "MR brain normal, PR interval 180."])
    found = {e.text: (e.label, {c.code for c in e.codes}) for d in (echo, plus) for e in d.entities}
    assert found["AS"] == ("Diagnosis", {"I35.0"}) and found["MR"] == ("Diagnosis", {"I34.0"}) and found["TR"][0] == "Diagnosis"
    assert "ScaleOfCondition(moderate-to-severe, AS)" in said(echo) and {"ScaleOfCondition(2+, MR)", "ScaleOfCondition(1+, TR)"} <= said(plus)
    assert "Diagnosis" not in {e.label for e in picture.entities}


NOTED = {
    "Amoxicillin allergy: rash as a child, tolerated cephalexin since.": {"Amoxicillin": "Allergen", "cephalexin": "MedicationName"},
    "45yo RHD male with a distal radius fracture.": {"RHD": None},
    "Vision 20/40 OD, 20/25 OS.": {"OD": None, "20/40": "MeasurementValue"},
    "Creatinine clearance 45 mL/min by Cockcroft-Gault.": {"Creatinine clearance": "ExaminationName", "Cockcroft-Gault": None},
    "Vitamin D 18, started on vitamin D 1000 units daily.": {"Vitamin D": "ExaminationName", "vitamin D": "MedicationName"},
    "Drinks a fifth of vodka daily.": {"vodka": "SubstanceUse"},
    "Takes ibuprofen 3-4 times a week.": {"3-4 times a week": "Frequency"},
    "Transfused 2 units pRBCs.": {"pRBCs": "MedicationName"},
}


@pytest.mark.parametrize("line", NOTED)
def test_what_else_was_read_in_notes(line):
    told = {e.text: e.label for e in analyze([line])[0].entities}
    assert {k: told.get(k) for k in NOTED[line]} == NOTED[line]


def test_signs_written_as_letters_are_denied_together():
    (d,) = analyze(["Lungs CTAB, no w/r/r; heart RRR, no m/r/g. Ext: no c/c/e."])
    assert {e.text: e.assertion.certainty for e in d.entities if "/" in e.text} == {"w/r/r": "negative", "m/r/g": "negative", "c/c/e": "negative"}
    assert not {"CTAB", "RRR"} & {e.text for e in d.entities}


def test_what_was_found_is_not_to_come_because_it_will_be_looked_for_again():
    found, ordered = analyze(["Colonoscopy 2019: two tubular adenomas, repeat in 5 years.", "MRI ordered for Monday."])
    assert {e.assertion.temporality for e in found.entities if e.label == "Diagnosis"} == {"current"} and ordered.entities[0].assertion.temporality == "future"
