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
