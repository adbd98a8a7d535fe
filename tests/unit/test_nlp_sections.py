"""Sections and sentences: offsets cover the text, kinds are right, layouts of exports are read."""
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthlab.nlp.sections import kind, section_at, sections, sentences

LANDING = Path(__file__).resolve().parents[3] / "shared/data/landing/notes"


@pytest.mark.parametrize("title, want", [
    ("HPI", "history_present_illness"), ("A/P", "assessment_plan"), ("FAMILY HISTORY", "family_history"), ("Fam Hx", "family_history"), ("Meds", "medications"),
    ("DISCHARGE MEDICATIONS", "discharge_medications"), ("Labs on admission", "results"), ("OCCUPATIONAL /SOCIAL HISTORY", "social_history"), ("Sample Name", None), ("Allergies/ADRs", "allergies"), ("SOCH", "social_history")])
def test_kind(title, want):
    assert kind(title) == want


@pytest.mark.parametrize("text, want", [
    ("HPI:\nCough.\n\nPMH: asthma\n", ["history_present_illness", "past_medical_history"]),
    ("## Allergies\nNKDA\n## Plan\nrest\n", ["allergies", "plan"]),
    ("Social History\n--------------\nLives alone.\n", ["social_history"]),
    ("PHYSICAL EXAM\nHEENT: normal\nLungs: clear\n", ["physical_examination"]),   # systems stay inside the examination
    ("Family History\n• Gout Mother 52\n\nAssessment\nPneumonia\n", ["family_history", "assessment"]),   # as record systems print them
    ("Family History:\nGout - father\nAssessment and Plan\nrest\nHPI\nCough", ["family_history", "assessment_plan", "history_present_illness"]),
    ("PMH: asthma\nPE\nMRI\nTobacco\nGout\n", ["past_medical_history"]),   # entries of a list
    ("We went through the\nPlan\nand more.", ["other"]),
    ("She saw us today and we had a long talk on the whole\nTreatment\nthat is ahead.", ["other"]),   # a wrapped line
    ("Stable.,PAST MEDICAL HISTORY: ,Asthma.,PLAN: ,Rest.", ["header", "past_medical_history", "plan"]),
    ("No heading at all.", ["other"]), ("", [])])
def test_sections(text, want):
    found = sections(text)
    assert [s.kind for s in found] == want
    assert "".join(text[s.start:s.end] for s in found) == text


def test_sections_of_the_hospital():
    from healthlab.hospital import Hospital
    seen = set()
    for n in Hospital(patients=12, seed=5).notes():
        found = sections(n.text)
        assert "".join(n.text[s.start:s.end] for s in found) == n.text
        seen |= {s.kind for s in found}
        for e in n.entities:
            if e.label == "FamilyRelation" and e.assertion.association == "other": assert section_at(found, e.start).kind == "family_history"
    assert {"history_present_illness", "past_medical_history", "family_history", "social_history", "medications", "physical_examination", "results", "assessment_plan"} <= seen


@pytest.mark.parametrize("text, want", [
    ("Seen by Dr. Lee at 8 a.m. today. Improved.", ["Seen by Dr. Lee at 8 a.m. today.", "Improved."]),
    ("Na 139. K 4.2. No fever", ["Na 139.", "K 4.2.", "No fever"]),
    ("1. Aspirin 81 mg p.o. q.d.\n2. Lasix", ["1. Aspirin 81 mg p.o. q.d.", "2. Lasix"]),
    ("The patient came in with a cough that had been present\nfor three days and fever.", ["The patient came in with a cough that had been present\nfor three days and fever."]),
    ("Plan\n\nRest", ["Plan", "Rest"]), ("Pain? No! Really.", ["Pain?", "No!", "Really."]), ("   \n ", []), ("J. Smith, MD saw him.", ["J. Smith, MD saw him."])])
def test_sentences(text, want):
    assert [text[a:b] for a, b in sentences(text)] == want


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab A.\n:,1-#?éß\t", max_size=200))
def test_nothing_is_lost(text):
    found, at = sections(text), 0
    assert "".join(text[s.start:s.end] for s in found) == text
    for a, b in sentences(text):
        assert text[at:a].strip(" \t\n\r,") == "" and a < b and text[a:b] == text[a:b].strip()
        at = b
    assert text[at:].strip() == ""


def test_real_notes():
    if not LANDING.exists(): pytest.skip("../shared/data/landing/notes is not there")
    known = total = 0
    for f in sorted(LANDING.glob("*.txt")):
        text = f.read_text()
        found = sections(text)
        assert "".join(text[s.start:s.end] for s in found) == text
        total += len(found); known += sum(s.kind not in ("other", "header") for s in found)
        assert max(b - a for a, b in sentences(text)) < 1500
    assert known / total > .6


@pytest.mark.parametrize("text, want", [
    ("SpO2 97% on [RA].", ""), ("Sat: 95 [RA]", ""), ("[RA] sat 95%", ""), ("Dilated [RA] and RV.", ""), ("Methotrexate for [RA].", "Diagnosis"), ("[RA] on adalimumab since 2019", "Diagnosis"),
    ("[MS] 2 mg IV", "MedicationName"), ("Altered [MS]", ""), ("Severe [MS] with MR", ""), ("Relapsing [MS] on natalizumab", "Diagnosis")])
def test_short_forms_that_mean_something_else(text, want):
    from healthlab.nlp.plausible import believable, marked
    at, text = text.index("["), text.replace("[", "").replace("]", "")
    assert believable(text, at, at + 2, "Diagnosis") == want
    assert [text[a:b] for a, b, *_ in marked(text) if b - a == 2 and a == at] == ([text[at:at + 2]] if want == "Diagnosis" else [])
