"Terminology releases in the formats their publishers use, made small; linking and abstention."
import importlib

import pytest

from healthlab.core.errors import HealthlabError, InputError
from healthlab.hospital.catalogue import ICD10CM, LOINC, RXNORM, SNOMED
from healthlab.nlp.corpora import Example, Mention
from healthlab.nlp.entities import Entity
from healthlab.nlp.linking import candidates, link, variants
from healthlab.nlp.names import concepts, learn, learnt
from healthlab.nlp.releases import load_release
from healthlab.nlp.terms import ATC, UMLS, Name, Terms, plain, terms


nlp_terms = importlib.import_module("healthlab.nlp.terms")


@pytest.fixture
def store(tmp_path): return Terms(tmp_path / "terms.db")


def test_plain_form():
    assert plain("Carcinoma of the Breasts") == plain("breast carcinoma") != plain("breast")
    assert plain("β-blocker") == plain("beta blockers") and plain("Crohn's disease") == plain("crohn disease")


def test_snomed_rf2(tmp_path, store):
    d = tmp_path / "Snapshot"
    d.mkdir()
    (d / "sct2_Concept_Snapshot_INT.txt").write_text("id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId\n22298006\t2020\t1\tm\td\n1\t2020\t0\tm\td\n")
    head = "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId\n"
    (d / "sct2_Description_Snapshot-en_INT.txt").write_text(head + "a\t2020\t1\tm\t22298006\ten\t900000000000003001\tMyocardial infarction (disorder)\tc\nb\t2020\t1\tm\t22298006\ten\t900000000000013009\tHeart attack\tc\nc\t2020\t0\tm\t22298006\ten\t900000000000013009\tGone\tc\ne\t2020\t1\tm\t1\ten\t900000000000013009\tInactive\tc\n")
    load_release("snomed", tmp_path, store, "INT")
    assert ("22298006" in {c for _, c, _ in store.find("heart attacks")}) and store.display(SNOMED, "22298006") == "Myocardial infarction (disorder)"
    assert not [1 for _, c, _ in store.find("Gone") + store.find("Inactive")] and {k for s, c, k in store.find("heart attack") if c == "22298006"} == {"diagnosis"}


def _rrf(**k):
    row = [""] * 18
    for at, v in k.items(): row[int(at[1:])] = v
    return "|".join(row) + "|\n"


def test_rxnorm_and_umls_rrf(tmp_path, store):
    (tmp_path / "RXNCONSO.RRF").write_text(_rrf(c0="6809", c11="RXNORM", c12="IN", c14="metformin", c16="N") + _rrf(c0="6809", c11="MTHSPL", c12="SU", c14="METFORMIN X", c16="N") + _rrf(c0="7", c11="RXNORM", c12="IN", c14="oldone", c16="O"))
    load_release("rxnorm", tmp_path, store)
    assert (RXNORM, "6809", "medication") in store.find("Metformin") and not store.find("oldone") and not store.find("METFORMIN X")
    (tmp_path / "MRCONSO.RRF").write_text(_rrf(c0="C0020538", c1="ENG", c2="P", c4="PF", c6="Y", c14="Hypertensive disease", c16="N") + _rrf(c0="C0020538", c1="SPA", c14="hipertensión", c16="N"))
    assert load_release("umls", tmp_path, store) == 1 and store.display(UMLS, "C0020538") == "Hypertensive disease"


def test_loinc_and_atc_csv(tmp_path, store):
    (tmp_path / "Loinc.csv").write_text('"LOINC_NUM","COMPONENT","LONG_COMMON_NAME","STATUS"\n"718-7","Hemoglobin","Hemoglobin [Mass/volume] in Blood","ACTIVE"\n"0-0","Old","Old one","DEPRECATED"\n')
    load_release("loinc", tmp_path, store)
    assert store.display(LOINC, "718-7") == "Hemoglobin [Mass/volume] in Blood" and not store.find("old one")
    (tmp_path / "atc.csv").write_text("ATC code,ATC name\nA10BA02,metformin\n")
    load_release("atc", tmp_path / "atc.csv", store)
    assert (ATC, "A10BA02", "medication") in store.find("metformin")


def test_releases_that_are_none(tmp_path, store):
    for kind in ("snomed", "rxnorm", "umls", "loinc"):
        with pytest.raises(InputError): load_release(kind, tmp_path, store)
    (tmp_path / "RXNCONSO.RRF").write_text("6809|short\n")
    with pytest.raises(InputError) as e: load_release("rxnorm", tmp_path, store)
    assert "line 1" in e.value.where and not store.releases()
    with pytest.raises(InputError): load_release("icd11", tmp_path, store)
    with pytest.raises(InputError): store.load("x", [])
    (tmp_path / "bad.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(HealthlabError): Terms(tmp_path / "bad.db")


def test_a_failed_load_leaves_what_was_there(store):
    store.load("x", [Name("1", "one")])
    def broken():
        yield Name("2", "two")
        raise RuntimeError
    with pytest.raises(RuntimeError): store.load("x", broken())
    assert [c for c, *_ in store.names("x")] == ["1"]


def test_icd_names():
    for name, code in (("hypertension", "I10"), ("breast cancer", "C50"), ("Crohn's disease", "K50"), ("asthma", "J45"), ("type 2 diabetes mellitus", "E11"), ("acute renal failure", "N17"), ("prostatic adenocarcinoma", "C61")):
        assert any(c.code.startswith(code) for c in candidates(name, ICD10CM)), name


def test_names_no_list_prints():
    for name, code in (("rise in arterial blood pressure", "I10"), ("haemorrhagic complications", "R58"), ("ovarian carcinoma", "C56"), ("hypotensive", "I95"), ("hepatic injury", "K71"), ("severely impaired renal insufficiency", "N19"), ("loss of vision", "H54")):
        assert any(c.code.startswith(code) for c in candidates(name, ICD10CM)), name
    found = [c.code for c in candidates("sudden weakness of an arm", ICD10CM)]
    assert len(found) == 5 and max(sum(f[:3] == c for f in found) for c in {f[:3] for f in found}) <= 2


def test_names_are_learnt_from_one_concept_only():
    text = "Wilms tumour. Wilms tumour. ALS. cold feet, cold feet."
    at = lambda word, ids, n=0: Mention(text.index(word, n), text.index(word, n) + len(word), "Disease", ids)
    seen = [Example("1", text, [at("Wilms tumour", ("D009396",)), at("Wilms tumour", ("MESH:D009396",), 5), at("ALS", ("D009396",)), at("cold feet", ("D009396",)), at("cold feet", ("D006973",), 40)])]
    assert learn(seen) == [("C64", "wilms tumour")]
    shipped = dict((name, code) for code, name in learnt())
    assert shipped["wilms tumor"] == "C64" and all(any(code == c[0] for c in concepts().values()) for code in shipped.values())


def test_the_starter_set_follows_its_sources_and_leaves_releases(tmp_path, monkeypatch):
    store = Terms(tmp_path / "kept.db")
    store.load(ICD10CM, [Name("I10", "old", True)], "simple-icd-10-cm before")
    store.load("http://snomed.info/sct", [Name("1", "a licensed name")], "International 2026")
    monkeypatch.setattr(nlp_terms, "_edition", lambda: "simple-icd-10-cm next")
    monkeypatch.setattr(nlp_terms, "icd10cm", lambda: iter([Name("I10", "Essential (primary) hypertension", True, "diagnosis")]))
    again = terms(tmp_path / "kept.db").releases()
    assert again[ICD10CM][0] == "simple-icd-10-cm next" and again["http://snomed.info/sct"] == ("International 2026", 1)


def test_links_prefer_the_dose_and_abstain():
    e = link([Entity(0, 10, "lisinopril", "MedicationName"), Entity(11, 16, "10 mg", "Dosage")])
    assert "10 MG" in e[0].codes[0].display.upper()
    assert link([Entity(0, 8, "qqwrtzx", "Diagnosis")])[0].codes == [] and link([Entity(0, 8, "qqwrtzx", "Diagnosis")], deep=False)[0].codes == []
    assert candidates("", ICD10CM) == [] and len(variants("severe asthma")) > 1


def test_a_clinical_drug_only_where_strength_and_route_agree():
    def code(name, dose="", route=""):
        return {c.code for c in link([Entity(0, 12, name, "MedicationName"), *([Entity(13, 20, dose, "Dosage")] if dose else []), *([Entity(21, 23, route, "MedicationRoute")] if route else [])], deep=False)[0].codes}
    for args, wanted in ((("lisinopril", "5 mg"), {"29046"}), (("Zestril",), {"29046"}), (("lisinopril", "40mg", "PO"), {"197884"}), (("metformin", "850 mg"), {"6809"}), (("warfarin", "3 mg"), {"11289"}), (("Synthroid", "75 mcg"), {"966222"}), (("levothyroxine", "0.1 mg"), {"10582"}),
                         (("Lasix", "40 mg"), {"313988"}), (("Lasix", "40 mg", "IV"), {"1719286"}), (("furosemide", "80 mg"), {"4603"}), (("vancomycin", "1 g", "IV"), {"1807513"}), (("enoxaparin", "80 mg", "SC"), {"67108"}), (("Percocet", "5/325 mg"), {"1049221"}), (("gabapentin", "10 mg/kg"), {"25480"})):
        assert code(*args) == wanted, args


def test_letters_types_and_codes_that_can_be_billed():
    def codes(name): return {c.code for c in link([Entity(0, len(name), name, "Diagnosis")], deep=False)[0].codes if c.system == ICD10CM}
    for name, wanted in (("hepatitis C", "B19.20"), ("chronic hep C", "B18.2"), ("hepatitis A", "B15.9"), ("hepatitis B", "B19.10"), ("bipolar I", "F31.9"), ("bipolar disorder type 2", "F31.81"), ("NSTEMI", "I21.4"), ("bleeding disorder", "D68.9"), ("secondary hypertension", "I15.9"),
                         ("pancreatic carcinoma", "C25.9"), ("lung cancer", "C34.90"), ("type 2 diabetes", "E11.9"), ("diabetes type 1", "E10.9"), ("fever", "R50.9"), ("hemophilia B", "D67"),
                         ("hypoglycemia", "E16.2"), ("allergic rhinitis", "J30.9"), ("gastritis", "K29.70"), ("synovitis", "M65.90"), ("cancer", "C80.1"), ("neoplasm", "D49.9"), ("substance abuse", "F19.10"), ("acute hepatitis", "B17.9")):
        assert codes(name) == {wanted}, (name, codes(name))
    assert [c.code for c in link([Entity(0, 10, "troponin I", "ExaminationName")], deep=False)[0].codes] == ["10839-9"] and SNOMED not in {c.system for c in link([Entity(0, 9, "secondary hypertension", "Diagnosis")], deep=False)[0].codes}
    assert plain("Hepatitis A") != plain("hepatitis") and plain("fracture of a rib") == plain("rib fracture")


def _check_digit(loinc: str) -> bool:
    body, digit = loinc.split("-")
    doubled = [int(c) * (2 - n % 2) for n, c in enumerate(reversed(body))]
    return (10 - sum(d - 9 * (d > 9) for d in doubled) % 10) % 10 == int(digit)


def test_common_medicines_and_tests_have_codes():
    from healthlab.nlp.terms import LOINC, RXNORM, common
    seen: dict = {}
    for system, n in common():
        assert _check_digit(n.code) if system == LOINC else n.code.isdigit(), n
        assert seen.setdefault((system, plain(n.name)), n.code) == n.code, n # one name, one code
    code = lambda name, label: [c.code for c in link([Entity(0, len(name), name, label)], deep=False)[0].codes][:1]
    for name, wanted in (("Coumadin", "11289"), ("furosemide", "4603"), ("Z-Pak", "18631"), ("amoxicillin-clavulanate", "19711"), ("Toprol-XL", "6918"), ("Vicodin", "214182"), ("Lantus", "274783")): assert code(name, "MedicationName") == [wanted]
    for name, wanted in (("alk phos", "6768-6"), ("SGPT", "1742-6"), ("platelet count", "777-3"), ("PTT", "14979-9"), ("sed rate", "4537-7"), ("CBC", "58410-2")): assert code(name, "ExaminationName") == [wanted]
    assert code("erythromycin", "Allergen") == ["4053"] and RXNORM in {s for s, _ in common()}


def test_a_loaded_release_takes_the_place_of_the_lists(tmp_path):
    from healthlab.nlp.terms import RXNORM
    store = Terms(tmp_path / "own.db")
    store.load(RXNORM, [Name("1", "only this", True, "medication")], "RxNorm 2026")
    assert {c for s, c, _ in terms(tmp_path / "own.db").find("furosemide") if s == RXNORM} == set() and terms(tmp_path / "own.db").releases()[RXNORM] == ("RxNorm 2026", 1)


def test_every_entry_of_the_index_is_a_code_that_can_be_billed():
    import simple_icd_10_cm as icd
    from healthlab.nlp.names import index
    wrong = {name: code for name, code in index().items() if not icd.is_valid_item(code) or code[0] not in "ST" and not icd.is_leaf(code)}
    forms = [plain(name) for name in index()]
    assert not wrong and len(set(forms)) == len(forms) and all(forms)


@pytest.mark.parametrize("name, code", [
    ("right breast cancer", "C50.911"), ("left lung cancer", "C34.92"), ("bilateral carpal tunnel syndrome", "G56.03"), ("right DVT", "I82.401"), ("bilateral hearing loss", "H91.93"), ("left sciatica", "M54.32"),
    ("left renal cell carcinoma", "C64.2"), ("right hydronephrosis", "N13.30"), ("left and right knee pain", "M25.569"), ("left ventricular hypertrophy", "I51.7")])
def test_the_side_that_is_named_is_the_codes(name, code):
    assert [c.code for c in candidates(name, ICD10CM, k=1)] == [code]


@pytest.mark.parametrize("name, code", [
    ("alcohol abuse", "F10.10"), ("cocaine abuse", "F14.10"), ("opioid dependence", "F11.20"), ("nicotine dependence", "F17.200"), ("atrial flutter", "I48.92"), ("Pulmonary embolism", "I26.99"), ("inguinal hernia", "K40.90"),
    ("ventral hernia", "K43.9"), ("gallstones", "K80.20"), ("acute appendicitis", "K35.80"), ("diverticulosis", "K57.90"), ("Right bundle branch block", "I45.10"), ("fatigue", "R53.83"), ("ascites", "R18.8"), ("TIA", "G45.9"),
    ("small bowel obstruction", "K56.609"), ("PTSD", "F43.10"), ("shingles", "B02.9"), ("renal insufficiency", "N28.9"), ("Abdominal aortic aneurysm", "I71.40"), ("seborrheic keratoses", "L82.1"), ("multiple myeloma", "C90.00"),
    ("gestational diabetes", "O24.419"), ("diabetic ketoacidosis", "E11.10"), ("chronic systolic heart failure", "I50.22"), ("left knee pain", "M25.562"), ("hepatitis", "K75.9"), ("NSTEMI", "I21.4"), ("myasthenia gravis", "G70.00"), ("Esophageal varices", "I85.00"), ("narcolepsy", "G47.419"), ("intracranial hemorrhage", "I62.9"), ("urosepsis", None), ("uncontrolled diabetes", None)])
def test_bare_names_of_problem_lists_have_the_code_of_the_index(name, code):
    from healthlab.nlp.names import index
    found = [c.code for c in link([Entity(0, len(name), name, "Diagnosis", .99)])[0].codes if c.system == ICD10CM]
    assert found[:1] == [code] if code else name not in index()
