"How medicines are taken, what was measured, and short texts: read from lines as clinicians write them."
import pytest

from healthlab.nlp import analyze
from healthlab.nlp.prescription import attribute, beside, signed

TAKEN = {  # line → what is said of the medicine before the bar
    "metoprolol succinate|ER 50 mg PO daily": "50 mg, PO, daily", "warfarin|5 mg M/W/F": "5 mg, M/W/F", "vancomycin|1 g IV q12h x 14 days": "1 g, IV, q12h, 14 days", "Zosyn|3.375 g IV q6h": "3.375 g, IV, q6h",
    "albuterol|HFA 90 mcg/actuation 2 puffs q4-6h prn wheezing": "HFA, 90 mcg/actuation, 2 puffs, q4-6h prn", "Advair|Diskus 250/50 one inhalation twice a day": "250/50, one inhalation, twice a day", "Norco|10/325": "10/325",
    "hydrocodone-acetaminophen|5/325 1-2 tabs q6h prn pain": "5/325, 1-2 tabs, q6h prn", "fentanyl|patch 25 mcg/hr q72h": "patch, 25 mcg/hr, q72h", "nitroglycerin|0.4 mg SL q5min x3 prn chest pain": "0.4 mg, SL, q5min x3 prn",
    "heparin|drip at 18 units/kg/hr": "drip, 18 units/kg/hr", "vitamin D3|2000 IU daily": "2000 IU, daily", "KCl|20 mEq PO BID": "20 mEq, PO, BID", "timolol|0.5% 1 gtt OU BID": "0.5%, 1 gtt, OU, BID", "hydrocortisone|1% cream BID": "1%, cream, BID",
    "levothyroxine|112 mcg every morning on an empty stomach": "112 mcg, every morning on an empty stomach", "insulin lispro|sliding scale TID with meals": "sliding scale, TID with meals", "cisplatin|75 mg/m2 every 21 days": "75 mg/m2, every 21 days",
    "amoxicillin-clavulanate|875/125 mg BID x10d": "875/125 mg, BID, 10d", "D5W|at 75 mL/hr": "75 mL/hr", "sertraline|100 mg 1.5 tablets daily": "100 mg, 1.5 tablets, daily", "naloxone|nasal spray 4 mg": "nasal spray, 4 mg", "normal saline|1 L bolus": "1 L",
    "Furosemide|40 mg IV BID, then transition to 40 mg PO daily": "40 mg, IV, BID, 40 mg, PO, daily"}


def test_how_medicines_are_taken():
    for d, (line, wanted) in zip(analyze([k.replace("|", " ") for k in TAKEN]), TAKEN.items()):
        n = next(n for n, e in enumerate(d.entities) if e.text == line.split("|")[0] and e.label == "MedicationName")
        said = [d.entities[r.source] for r in d.relations if r.target == n and r.kind.endswith("OfMedication")]
        assert [e.text for e in sorted(said, key=lambda e: e.start)] == wanted.split(", "), (line, d.entities)


@pytest.mark.parametrize("text", ["Glucose 98 mg/dL, AST 40 units/L, digoxin 2 ng/mL, protein 300 mg/24 h.", "She has two patches of eczema and 3 children.", "D-dimer 1.8 mcg/mL FEU; room 5, 2 of 4 bottles.", "Smokes 1 ppd, 20 pack-years."])
def test_results_and_counts_are_no_doses(text): assert not [s for s in signed(text) if s[2] == "Dosage"]


def test_what_ends_what_is_said_of_a_medicine():
    def said(text, *names): return [text[a:b] for a, b, *_ in beside(text, [(text.index(n), text.index(n) + len(n)) for n in names], [text.index("urine")] if "urine" in text else [])]
    assert said("aspirin was given. He ate 2 g of salt daily", "aspirin") == [] and said("aspirin, urine 300 mL daily", "aspirin") == [] and said("started aspirin 6/10", "aspirin") == []
    assert said("normal saline, then IV heparin", "saline", "heparin") == ["IV"] and said("20 units of insulin", "insulin") == ["20 units"] and said("2 g ceftriaxone", "ceftriaxone") == ["2 g"]
    assert said("Tylenol OD last night", "Tylenol") == [] and said("timolol OD daily", "timolol") == ["OD", "daily"] and said("digoxin with PR prolongation", "digoxin") == []
    assert attribute("cream") == "MedicationForm" and attribute("SL") == "MedicationRoute" and attribute("aspirin") == attribute("") == ""


def test_what_was_measured_has_value_and_unit():
    lines = {"LDL 142 mg/dL": ("LDL", "142", "mg/dL"), "eGFR 45 mL/min/1.73 m2": ("eGFR", "45", "mL/min/1.73 m2"), "creatinine 2.1 (baseline 1.2)": ("creatinine", "2.1", None), "glucose (H) 245": ("glucose", "245", None), "LVEF was estimated at 55-60%": ("LVEF", "55-60", "%"),
             "Potassium was low at 2.9.": ("Potassium", "2.9", None), "Hemoglobin dropped from 12.1 to 8.4 g/dL": ("Hemoglobin", "8.4", "g/dL"), "digoxin level 2.4 ng/mL": ("digoxin level", "2.4", "ng/mL"), "A1C: 7.1": ("A1C", "7.1", None), "Platelets 45K": ("Platelets", "45", "K"), "BNP 1,240 pg/mL": ("BNP", "1,240", "pg/mL")}
    for d, (line, (test, value, unit)) in zip(analyze(list(lines)), lines.items()):
        by = {(r.kind, d.entities[r.target].text): d.entities[r.source].text for r in d.relations if any(c.isdigit() for c in d.entities[r.source].text) or r.kind == "UnitOfExamination"}
        assert by.get(("ValueOfExamination", test)) == value and by.get(("UnitOfExamination", test)) == unit, (line, d.entities, d.relations)


def test_short_texts_are_read_as_notes():
    wanted = {"Denies any h/o MI, CVA or PE.": {"MI": "Diagnosis", "CVA": "Diagnosis", "PE": "Diagnosis"}, "HbA1c was 8.2% in March.": {"HbA1c": "ExaminationName"}, "Evaluate for DVT.": {"DVT": "Diagnosis"}, "Status post appendectomy.": {"appendectomy": "TreatmentName"},
              "Pain 7/10": {"Pain": "SymptomOrSign", "7/10": "MeasurementValue"}, "COVID-19 PCR negative": {"COVID-19 PCR": "ExaminationName"}, "He underwent CABG x3 in 2015.": {"CABG x3": "TreatmentName"}}
    for d, labels in zip(analyze(list(wanted)), wanted.values()):
        found = {e.text: e.label for e in d.entities}
        assert {k: found.get(k) for k in labels} == labels, found


def test_a_cue_inside_a_date_or_a_frequency_counts():
    dated, asked, before = analyze(["She had a heart attack three years ago.", "epinephrine 0.3 mg auto-injector as needed for anaphylaxis", "Prior stroke on 12/20."])
    meant = lambda d, word: next(e.assertion for e in d.entities if e.text == word)
    assert meant(dated, "heart attack").temporality == meant(before, "stroke").temporality == "past" and meant(asked, "anaphylaxis").conditionality == "conditional"


def test_dosages_as_fhir():
    d = analyze("tramadol 50 mg q6h as needed. Potassium was low at 2.9 mmol/L.", dates=["2024-05-20"])[0]
    found = {e["resource"]["resourceType"]: e["resource"] for e in d.to_fhir()["entry"]}
    dose = found["MedicationStatement"]["dosage"][0]
    assert dose["asNeededBoolean"] is True and dose["doseAndRate"][0]["doseQuantity"] == {"value": 50.0, "unit": "mg"} and "q6h as needed" in dose["text"]
    assert found["Observation"]["valueQuantity"] == {"value": 2.9, "unit": "mmol/L"} and found["Observation"]["interpretation"] == [{"text": "low"}]


def test_shorthand_of_the_emergency_room():
    d = analyze("CC: abd pain\nHPI: 34F p/w RLQ pain, n/v x3. All: PCN -> hives. SH: -tob, -etoh, -drugs.\nVS: T 37.9 HR 108 BP 112/68\nPE: soft abdomen.\nA/P: d/c home on Keflex 500 QID x 10d.", dates=["2024-06-15"])[0]
    found = {e.text: e.label for e in d.entities}
    assert {k: found.get(k) for k in ("34", "F", "n/v", "PCN", "BP", "Keflex")} == {"34": "Age", "F": "Gender", "n/v": "SymptomOrSign", "PCN": "Allergen", "BP": "ExaminationName", "Keflex": "MedicationName"}
    assert not {"CC", "PE", "SH", "HPI"} & found.keys() and {(s.kind, s.status) for s in d.social} == {("substance tobacco", "never"), ("substance alcohol", "never"), ("substance drug", "never")}


def test_a_size_is_no_age():
    found = {e.text: e.label for e in analyze("34F with a 16F Foley catheter, protein +, temperature 98F.")[0].entities}
    assert found.get("34") == "Age" and found.get("16") != "Age" and found.get("98") != "Age"


def test_common_medicines_are_known_by_name():
    found = {e.text: e.label for e in analyze("He has taken Avandia and miralax for years; digoxin level was 1.2, ASA class 3. CAD s/p CABG in 2015.")[0].entities}
    assert found["Avandia"] == found["miralax"] == "MedicationName" and found["digoxin level"] == "ExaminationName" and (found["CAD"], found["CABG"]) == ("Diagnosis", "TreatmentName")
