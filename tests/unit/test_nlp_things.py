"Devices, genes and variants: what is one, what only looks like one."
import pytest

from healthlab.nlp.entities import recognise
from healthlab.nlp.things import allergens, things

SEEN = {
    "MedicalDevice": ("A [Foley catheter] was placed.", "[drug-eluting stent] to the LAD", "uses [hearing aids]", "[NG tube] to suction", "sleeps with [CPAP]", "[IVC filter] in 2004", "a [walker] at home", "[ICD] shock last night", "[ventriculoperitoneal shunt] revision", "on an [insulin pump]"),
    "GeneOrProtein": ("[BRCA1] carrier", "a mutation of the [XLRS1] gene", "mutations in the [GJB2] gene", "[HER2]-positive tumour", "the [APC] gene", "[MET] amplification"),
    "Variant": ("[c.1521_1523delCTT]", "[p.Val600Glu] was found", "[V600E] mutation", "[rs1801133] typed", "[t(9;22)(q34;q11)]", "homozygous for [C282Y]"),
}
NOT = ("Mr. Walker came by train.", "No ICD codes were given; ICD-10 was used.", "MET with the family. CT and MRI are normal.", "DNA and RNA were extracted; PCR was negative.", "The spine report lies in the sugar cane field.", "L4 to L5 disc, T2N0M0, C5-C6 level, B12 low.", "Vitamin D3 1000 IU, K 4.1, Na 140.")


@pytest.mark.parametrize("label", SEEN)
def test_found(label):
    for line in SEEN[label]:
        a, b = line.index("["), line.index("]") - 1
        text = line.replace("[", "", 1).replace("]", "", 1)
        assert (a, b, label) in [t[:3] for t in things(text)], (line, things(text))


@pytest.mark.parametrize("text", NOT)
def test_left_alone(text): assert things(text) == []


def test_no_overlaps_and_long_texts():
    text = "BRCA1 c.68_69delAG, pacemaker, " * 2000
    found = things(text)
    assert len(found) == 6000 and all(a[1] <= b[0] for a, b in zip(found, found[1:]))


@pytest.mark.parametrize(("text", "wanted"), [
    ("ALLERGIES:  PENICILLIN AND BIAXIN.", ["PENICILLIN", "BIAXIN"]), ("Allergies: Aspirin (hives), IV contrast; sulfa drugs cause rash.", ["Aspirin", "IV contrast", "sulfa"]), ("He is allergic to bee stings and codeine, which makes him itch.", ["bee stings", "codeine"]),
    ("## ALL\npollen - sneezing\n\n## VS\nT 37", ["pollen"]), ("Allergies\n---\ngrass pollen: sneezing\n- eggs\n\nPLAN\nrest", ["grass pollen", "eggs"]), ("She has a peanut allergy.", ["peanut"]),
    ("ALLERGIES: NKDA.", []), ("No known drug allergies. All is well.", []), ("Allergies: none known.", []), ("Sensitivity to light touch is normal.", []), ("ALLERGIES: Refer to chart.", [])])
def test_allergens(text, wanted): assert [text[a:b] for a, b in allergens(text)] == wanted


def test_allergens_of_a_note():
    found = {e.text: e.label for e in recognise(["HISTORY: A 57-year-old woman has had dyspnea for two days. She takes lisinopril.\nALLERGIES: Penicillin (rash), latex."])[0]}
    assert found["Penicillin"] == found["latex"] == "Allergen" and found["lisinopril"] == "MedicationName" and found["rash"] == "SymptomOrSign"


def test_what_words_can_be():
    from healthlab.nlp.plausible import believable
    said = lambda words, label, after="": believable(words + after, 0, len(words), label)
    assert [said("GI", "SymptomOrSign", ":"), said("EXTREMITIES", "SymptomOrSign", ":"), said("left ureteral stone", "BodyStructure"), said("Colorado", "Date"), said("37 years ago", "Date")] == ["", "BodyStructure", "Diagnosis", "", "Date"]
    assert [said("KUB", "Diagnosis"), said("uvula", "Diagnosis"), said("midline", "BodyStructure"), said("patch", "Frequency"), said("tetanus shot", "SymptomOrSign"), said("stroma", "BodyStructure")] == ["ExaminationName", "BodyStructure", "", "MedicationForm", "TreatmentName", "BodyStructure"]
    assert said("Possible", "ConditionQualifier") == said("most likely", "ConditionQualifier") == "" and said("acute", "ConditionQualifier") == "ConditionQualifier"


def test_what_is_smoked_is_no_dose():
    found = {e.text: e.label for e in recognise(["Denies chest pain. Takes metformin 500 mg twice daily for diabetes. Smokes one pack a day."])[0]}
    assert found["one pack a day"] == "SubstanceUseAmount" and found["500 mg"] == "Dosage" and found["Smokes"] == "SubstanceUse"


def test_dictated_notes_are_tidied():
    from healthlab.nlp.entities import recognise
    t = "REVIEW OF SYSTEMS:  GI:  No nausea.  CV:  No chest pain.,IMPRESSION:,  Right ankle sprain.,PLAN:  Motrin 800 mg p.o. t.i.d. p.r.n., laser lithotripsy.  She moved here from Colorado.  Respirations 18 beats per minute."
    found = {e.text: e.label for e in recognise([t])[0]}
    assert found.keys() >= {"p.o.", "t.i.d. p.r.n.", "lithotripsy", "nausea", "Right ankle sprain"} and not found.keys() & {"GI", "CV", "REVIEW OF SYSTEMS", "Colorado", "p.", "r.n."}
    assert found["Right ankle sprain"] == "Diagnosis" and found["p.o."] == "MedicationRoute"


def test_words_of_notes_have_their_codes():
    from healthlab.nlp.entities import Entity
    from healthlab.nlp.linking import link
    names = {"hepatitis": "K75.9", "loss of appetite": "R63.0", "Sore throat": "J02.9", "rheumatoid arthritis": "M06.9"}
    found = link([Entity(0, len(n), n, "Diagnosis") for n in names])
    assert {e.text: next(c.code for c in e.codes if "icd" in c.system) for e in found} == names


def test_results_are_no_denials():
    from healthlab.nlp import analyze
    found = {e.text: (e.label, e.assertion.certainty) for e in analyze(["PHYSICAL EXAM:  No CVA tenderness.  Urinalysis today is microscopically negative.  No echocardiogram was done.  He had a stroke in 2010."])[0].entities}
    assert found["CVA"][0] == "BodyStructure" and found["Urinalysis"] == ("ExaminationName", "positive") and found["echocardiogram"] == ("ExaminationName", "negative")


def test_long_runs_take_no_time():
    import time

    from healthlab.nlp.plausible import marked, phrases
    from healthlab.nlp.prescription import beside, signed
    at = time.process_time()
    for t in ("left " * 20_000, "q. " * 20_000, "a" * 100_000, "one times " * 10_000, "aspirin 5 " * 10_000, "1" * 100_000, "1,111" * 20_000): marked(t); phrases(t); signed(t); beside(t, [(n, n + 7) for n in range(0, len(t) - 10, 10)] if t[0] == "a" else [(0, 4)])
    assert time.process_time() - at < 5


@pytest.mark.parametrize(("text", "wanted"), [
    ("Allergies:\nCephalosporins\nAttending: Dr. Y\nChief Complaint:\ncough\n", ["Cephalosporins"]), ("Allergies:\nNKDA\nMedications:\nAtenolol 25 mg\nAspirin 81 mg", []), ("Allergies:\nlatex\natenolol 50 mg daily\nwarfarin", ["latex"]), ("Allergies: latex & codeine.", ["latex", "codeine"]),
    ("Allergies/ADRs: Tramadol, Codeine (itching)", ["Tramadol", "Codeine"]), ("Intolerance: enalapril (cough)", ["enalapril"]), ("Adverse reactions: vancomycin - flushing", ["vancomycin"]), ("Adverse reactions: nausea, rash.", []), ("Allergies: Ceftriaxone-Rash", ["Ceftriaxone"]), ("Allergies: latex, MEDICATIONS: aspirin, insulin", ["latex"]),
    ("## Allergies\n\n| Type | Allergen | Reaction |\n|---|---|---|\n| Drug | Codeine | Rash |\n\n## Plan\nrest", ["Codeine"]), ("He is allergic to latex and takes warfarin.", ["latex"]), ("Allergies: aspirin: hives, latex: rash", ["aspirin", "latex"]), ("Allergies\nLatex | Hives\nPenicillin -> rash\nEggs: hives\nCodeine\titching\nSulfa   rash\n", ["Latex", "Penicillin", "Eggs", "Codeine", "Sulfa"]), ("ALLERGIES: Latex | Hives", ["Latex"]), ("Heat intolerance: none. Exercise intolerance: yes.", [])])
def test_where_a_list_of_allergens_ends(text, wanted): assert [text[a:b] for a, b in allergens(text)] == wanted


def test_short_notes_have_allergens_and_labels_are_no_entities():
    said = lambda t: {e.text: e.label for e in recognise([t])[0]}
    assert said("Allergies: Penicillin. Takes atenolol.") == {"Penicillin": "Allergen", "atenolol": "MedicationName"} and said("Allergies: PCN") == {"PCN": "Allergen"} and "NKDA" not in said("Allergies: NKDA")
    assert not {"Sig", "Disp", "Refills"} & said("Discharge Medications:\n1. Cephalexin 500 mg Capsule Sig: One (1) Capsule PO Q6H for 7 days.\nDisp:*28 Capsule(s)* Refills:*0*\n").keys()


def test_filling_is_as_before_and_fast():
    import random
    import time

    from healthlab.nlp.entities import Entity, _fill
    r, spans = random.Random(1), lambda n, high: [Entity(a := r.randrange(high), a + r.randrange(1, 9), "", "X", r.random()) for _ in range(n)]
    for _ in range(50):
        have, more = spans(8, 90), spans(30, 90)
        out, taken = list(have), [(e.start, e.end) for e in have]
        for e in sorted(more, key=lambda e: -e.score):
            if all(e.end <= a or b <= e.start for a, b in taken): out.append(e); taken.append((e.start, e.end))
        assert _fill(have, more) == out
    at = time.process_time()
    _fill(spans(20_000, 10**7), spans(20_000, 10**7))
    assert time.process_time() - at < 2
