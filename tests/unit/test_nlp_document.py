"analyze from end to end: what every note may be, Bundles that validate, the shape of Text Analytics for health, tables, the lake."
import json
import re
from pathlib import Path

import pytest

from healthlab.core.errors import InputError
from healthlab.fhir.model import validate
from healthlab.hospital import Hospital
from healthlab.nlp import analyze, language, response, tables
from healthlab.nlp.entities import model, recognise
from healthlab.nlp.extract import notes_of
from healthlab.nlp.multitask import viterbi
from healthlab.nlp.tables import SCHEMA, rows

NOTE = """Date: 2024-05-20
History of Present Illness: Mr. Smith is a 60-year-old man with hypertension who presents with cough for 3 days. Denies fever.
Medications: lisinopril 10 mg PO daily
Allergies: penicillin (rash)
Social History: He smokes 1 pack per day.
Family History: Mother had breast cancer.
Assessment: Possible pneumonia. Started azithromycin 500 mg PO daily for pneumonia.
"""


@pytest.fixture(scope="module")
def document(): return analyze([NOTE], ids=["n1"])[0]


@pytest.fixture(scope="module")
def hospital(): return [n for n, _ in zip(Hospital(patients=3, seed=9).notes(), range(10))]


def test_one_note_end_to_end(document):
    by = {e.text: e for e in document.entities}
    assert document.error is None and document.date.isoformat() == "2024-05-20"
    assert by["fever"].assertion.certainty == "negative" and by["breast cancer"].assertion.association == "other" and by["pneumonia"].codes
    assert all(NOTE[e.start:e.end] == e.text for e in document.entities)
    said = {(r.kind, document.entities[r.source].text, document.entities[r.target].text) for r in document.relations}
    assert ("DosageOfMedication", "10 mg", "lisinopril") in said and ("DosageOfMedication", "500 mg", "azithromycin") in said
    assert any(s.kind == "substance tobacco" and s.amount == "1 pack per day" for s in document.social)
    assert any(v.start == "2024-05-17" for v in document.timeline) and document.summary and "kind='medications'" in repr(document.sections)


def test_bundles_validate(document, hospital):
    documents = [document, *analyze([n.text for n in hospital], dates=[n.time for n in hospital], ids=[n.document_id for n in hospital])]
    for d in documents:
        b = d.to_fhir(subject="Patient/p1")
        assert not [i for i in validate(b) if i.severity in ("error", "fatal")]
        for x in b["entry"][1:]:
            span = x["resource"]["extension"][0]["extension"]
            assert span[0]["valueReference"]["reference"] == b["entry"][0]["fullUrl"] and 0 <= span[1]["valueInteger"] < span[2]["valueInteger"] <= len(d.text)
    kinds = {x["resource"]["resourceType"] for d in documents for x in d.to_fhir()["entry"]}
    assert {"DocumentReference", "Condition", "MedicationStatement", "Observation", "FamilyMemberHistory"} <= kinds
    assert document.to_fhir() == analyze([NOTE], ids=["n1"])[0].to_fhir()


def test_hospital_notes_are_recognised(hospital):
    from healthlab.nlp.corpora import Mention, longest, score
    found = recognise([n.text for n in hospital])
    s = score([longest([Mention(e.start, e.end, e.label) for e in n.entities]) for n in hospital], [[Mention(e.start, e.end, e.label) for e in r] for r in found])
    assert s["all"].f1 > .95


BAD = ["", "   \n", "x" * 5, "🙂" * 50, "\x00\x01\x02 fever \ufffd", "No fever " * 4000, "a" * 30_000, "|" * 3000, "<div><p>No <b>fever</b>.</p><br/></div>", "[NAME] seen on [DATE] by **NAME[AAA]: no fever.", b"caf\xe9 au lait spots", None, 17, ["x"], "El paciente no tiene fiebre y se queja de dolor en el pecho desde hace tres días. La paciente es tratada con aspirina en el hospital.", "患者は発熱と咳を訴えた。" * 5, "\ud800 lone surrogate, no fever", "Temp\t37\nPulse\t80\n" * 40]


def test_no_note_stops_the_others():
    got = analyze([*BAD, NOTE])
    assert len(got) == len(BAD) + 1 and got[-1].error is None and got[-1].entities
    errors = {n: d.error.code for n, d in enumerate(got) if d.error}
    assert errors == {11: "note-type", 12: "note-type", 13: "note-type", 14: "note-language", 15: "note-language"}
    assert got[14].language == "Spanish" and got[15].language == "Japanese"
    for d in got:
        if d.error: assert d.entities == [] and "fiebre" not in str(d.error)
        else: assert all(0 <= e.start < e.end <= len(d.text) for e in d.entities) and d._repr_html_() and not [i for i in validate(d.to_fhir()) if i.severity in ("error", "fatal")]


def test_markup_keeps_offsets():
    t = "<div><p>Patient denies <b>fever</b> and has cough.</p></div>"
    d = analyze([t])[0]
    assert d.warnings[0] == "markup was blanked" and {e.text for e in d.entities} >= {"fever", "cough"} and all(t[e.start:e.end] == e.text for e in d.entities)


def test_arguments_that_do_not_fit(monkeypatch):
    with pytest.raises(InputError): analyze(["a", "b"], dates=["2024-01-01"])
    assert analyze(["No fever."], dates=["soon"])[0].error.code == "note-date"
    monkeypatch.setenv("HEALTHLAB_NLP_LONGEST", "100")
    from healthlab.core import settings as s
    if hasattr(s.settings, "cache_clear"): s.settings.cache_clear()
    assert analyze(["No fever. " * 20])[0].error.code == "note-long"
    monkeypatch.undo()
    if hasattr(s.settings, "cache_clear"): s.settings.cache_clear()
    assert analyze([]) == [] and language("ok") == "English"


def test_shape_of_text_analytics_for_health(document):
    bad = analyze(["患者は発熱と咳を訴えた。" * 5])[0]
    r = response([bad, document], ["a", "b"], fhir=True)
    assert r["errors"][0]["id"] == "a" and [d["id"] for d in r["documents"]] == ["b"] and json.dumps(r)
    d = r["documents"][0]
    fever = next(e for e in d["entities"] if e["text"] == "fever")
    assert fever["assertion"] == {"certainty": "negative"} and fever["category"] == "SymptomOrSign" and NOTE[fever["offset"]:fever["offset"] + fever["length"]] == "fever"
    assert any(link["dataSource"] == "ICD10CM" for e in d["entities"] for link in e.get("links", ()))
    dose = next(x for x in d["relations"] if x["relationType"] == "DosageOfMedication")
    assert [x["role"] for x in dose["entities"]] == ["Dosage", "Medication"] and dose["entities"][0]["ref"].startswith("#/results/documents/0/entities/")
    assert d["fhirBundle"]["resourceType"] == "Bundle"
    t = analyze(["😀 No fever."])[0]
    places = [response([t], unit=u)["documents"][0]["entities"][0]["offset"] for u in ("UnicodeCodePoint", "Utf16CodeUnit")]
    assert places[1] == places[0] + 1
    with pytest.raises(InputError): response([t], unit="bytes")


def test_tables_and_displays(document):
    made = tables([document, analyze([None])[0]], ["p1", "p2"])
    assert {k: t.schema for k, t in made.items()} == SCHEMA and set(made["nlp_entity"]["patient"].to_pylist()) == {"p1"}
    assert made["nlp_entity"].num_rows == len(document.entities) and made["nlp_social"].num_rows == len(document.social)
    assert "line-through" in document._repr_html_() and "DosageOfMedication" in document.graph()._repr_html_() and document.chronicle()._repr_html_().startswith("<svg")
    assert "<script" not in analyze(["<script>alert(1)</script> no fever"])[0]._repr_html_()


def test_notes_in_document_references():
    assert notes_of({"resourceType": "DocumentReference", "content": [{"attachment": {"contentType": "application/pdf", "data": "AAAA"}}, {"attachment": {"contentType": "text/plain"}}, {}]}) == []
    assert [n.text for n in notes_of({"id": "d", "content": [{"attachment": {"contentType": "text/plain", "data": "Tm8gZmV2ZXIu"}}]})] == [b"No fever."]


def test_model_answers_by_head():
    heads = model().card["heads"]
    assert {"bc5cdr", "ncbi", "maccrobat", "anatem", "hospital"} <= set(heads)
    found = recognise(["Severe hepatitis after fluconazole."], head="bc5cdr")[0]
    assert {(e.text, e.label) for e in found} >= {("fluconazole", "Chemical")}
    with pytest.raises(Exception) as e: recognise(["x"], head="nothing")
    assert e.value.code == "nlp-head"


def test_dictated_reports_are_no_abstracts():
    "A dictated report is read by the heads of notes and case reports; an abstract on the same matter by those of the literature."
    report = ("EXAM:,MRI RIGHT KNEE.,CLINICAL:,This is a 40-year-old male with knee pain and swelling after a fall.,FINDINGS:,There is a tear of the medial meniscus. The cruciate ligaments are intact. "
              "There is a small joint effusion. No fracture of the patella is seen.,IMPRESSION:,Meniscal tear.")
    abstract = ("Aspirin and bleeding in patients after knee surgery. We studied 120 patients treated with aspirin or warfarin; groups were compared. Results: haemorrhage was more frequent with warfarin, "
                "and thrombosis was rare in both groups. Conclusions: in these patients aspirin was safe.")
    found, literature = recognise([report, abstract])
    labels = {e.text.lower(): e.label for e in found}
    assert labels["40-year-old"] == "Age" and labels["mri"] == "ExaminationName" and labels["medial meniscus"] == "BodyStructure", labels
    assert {"SymptomOrSign", "Diagnosis"} & {l for w, l in labels.items() if "pain" in w} and any("swelling" in w for w in labels) and any("fracture" in w for w in labels)
    assert {e.label for e in literature} <= {"MedicationName", "Diagnosis", "BodyStructure"} and {"aspirin", "warfarin", "haemorrhage", "thrombosis"} <= {e.text.lower() for e in literature}

def test_decoding_is_the_likeliest_of_the_legal():
    import itertools
    import numpy as np
    from healthlab.nlp.multitask import legal
    rng = np.random.default_rng(0)
    def allowed(path): return all(not t or t % 2 or (i and path[i - 1] in (t, t - 1)) for i, t in enumerate(path))
    for n, tags in [(25, 7)] * 30 + [(5, 5)] * 30:
        logp, adds = np.log(rng.dirichlet(np.ones(tags) * .3, size=n)), rng.normal(size=(tags, tags))
        for follows in (None, legal(tags) + adds):
            path = viterbi(logp, follows)
            assert allowed(path)
            if n > 5: continue
            def worth(p): return sum(logp[i, t] for i, t in enumerate(p)) + (0 if follows is None else sum(adds[a, b] for a, b in itertools.pairwise(p)))
            assert worth(path) > max(worth(p) for p in itertools.product(range(tags), repeat=n) if allowed(p)) - 1e-9


def test_weights_and_card_are_there():
    folder = Path(__file__).parents[2] / "healthlab" / "encoder" / "weights" / "ner"
    assert (folder / "README.md").read_text().startswith("# Clinical entity recogniser") and (folder / "weights.safetensors").stat().st_size < 15_000_000


def test_cards_to_read_tell_the_figures_of_the_weights():
    from healthlab.nlp.social import WEIGHTS, model_card
    card, told = (json.loads((WEIGHTS / "ner" / "card.json").read_text()), (WEIGHTS / "ner" / "README.md").read_text())
    for head, figures in card["held_out"].items(): assert re.search(rf"\| {head} \| \d+ \| {figures['all']:.3f} \|", told), head
    rows, macro = dict(re.findall(r"^\| (\w+) \| \d+ \| ([\d.]+) \|$", told, re.M)), re.search(r"over the (\d+) labels with 20 or more of these: ([\d.]+); over the \d+ labels with 100 or more in the whole corpus: [\d.]+", told)
    assert len(rows) == int(macro[1]) and abs(sum(map(float, rows.values())) / len(rows) - float(macro[2])) < .002
    assert (WEIGHTS / "social" / "README.md").read_text("utf-8") == model_card(json.loads((WEIGHTS / "social" / "card.json").read_text()))


def test_notes_of_a_lake():
    import base64

    import pyarrow as pa

    from healthlab.core.audit import entries
    from healthlab.core.keys import keys
    from healthlab.lake.zones import Lake
    from healthlab.nlp.extract import extract
    keys()
    lake = Lake()
    assert extract(lake, run_id="r0").notes == 0 and lake.read("research", "nlp_entity").num_rows == 0
    texts = ["Denies chest pain. Has asthma, on albuterol 2 puffs daily.", "El paciente no tiene fiebre y se queja de dolor en el pecho desde hace tres días en el hospital.", "Smokes 1 pack per day."]
    rows = [{"id": f"d{n}", "patient": f"p{n}", "resource": json.dumps({"resourceType": "DocumentReference", "id": f"d{n}", "date": "2024-05-20T08:00:00Z", "content": [{"attachment": {"contentType": "text/plain", "data": base64.b64encode(t.encode()).decode()}}]})} for n, t in enumerate(texts)]
    lake.write("deidentified", "DocumentReference", pa.Table.from_pylist(rows), run_id="t")
    report = extract(lake, run_id="r1", part=2)
    assert (report.notes, report.rejected, report.rejects) == (3, 1, {"note-language": 1}) and report.figures()["entities"] == lake.read("research", "nlp_entity").num_rows > 0
    assert lake.read("research", "nlp_reject").to_pylist() == [{"id": "d1", "patient": "p1", "document": "d1", "code": "note-language", "reason": "a note is not in English"}]
    assert {(r["document"], r["kind"]) for r in lake.read("research", "nlp_social").to_pylist()} == {("d2", "substance tobacco")}
    assert extract(lake, run_id="r2").entities == lake.read("research", "nlp_entity").num_rows
    assert [e["run_id"] for e in entries().to_pylist() if e["event"] == "extract"] == ["r0", "r1", "r2"]


def test_what_is_over_happened():
    d = analyze(["Date: 2024-05-20\nAssessment: Pneumonia, which has since completely resolved. No asthma. Diabetes."], ids=["n2"])[0]
    conditions = [x["resource"] for x in d.to_fhir()["entry"] if x["resource"]["resourceType"] == "Condition"]
    said = {c["code"]["text"].lower(): (c.get("clinicalStatus", {"coding": [{"code": None}]})["coding"][0]["code"], c["verificationStatus"]["coding"][0]["code"]) for c in conditions}
    assert said == {"pneumonia": ("resolved", "confirmed"), "asthma": (None, "refuted"), "diabetes": ("active", "confirmed")}
    row = next(r for r in rows(d)["nlp_entity"] if r["text"] == "Pneumonia")
    assert (row["certainty"], row["temporality"]) == ("positive", "past") and [d.entities[e.entity].text for e in d.timeline if d.entities[e.entity].text == "Pneumonia"]


def test_markup_and_relatives():
    d = analyze(["<p>Assessment:<br/>Type&nbsp;2 diabetes &amp; hypertension.</p><p>Mother had asthma.</p>"])[0]
    assert [(e.text, e.assertion.association) for e in d.entities if e.label == "Diagnosis"] == [("Type 2 diabetes", "subject"), ("hypertension", "subject"), ("asthma", "other")]
    assert all(c for e in d.entities if e.label == "Diagnosis" for c in [e.codes])


def test_two_readings_and_what_follows_what():
    import numpy as np

    from healthlab.nlp.multitask import decode, followed, head_of, logits, readings
    tagger, text = model(), "She had severe abdominal pain and a serum creatinine of 2.1 mg/dL. " * 14
    (words,), (once,) = logits(tagger, [text])
    _, (twice,) = logits(tagger, [text], readings=2)
    assert once.shape == twice.shape and not np.allclose(once, twice) and np.abs(once - twice).mean() < 2
    h, after = head_of(tagger, "maccrobat"), followed(tagger, "maccrobat")
    assert readings(tagger, "maccrobat") == 2 and readings(tagger, "bc5cdr") == 1 and followed(tagger, "bc5cdr") is None
    begins, goes_on = 1 + 2 * h.labels.index("Severity"), 2 + 2 * h.labels.index("Sign_symptom")
    assert after[begins, goes_on] == -np.inf and after[goes_on - 1, goes_on] > 0 and after[begins, goes_on - 1] > after[0, goes_on - 1] # a severity stands before a sign
    y = np.zeros((3, once.shape[1]), np.float32)
    y[0, h.offset + begins] = y[1, h.offset + goes_on] = y[2, h.offset] = 4
    found = decode([("", 0, 1, 1), ("", 2, 3, 2), ("", 4, 5, 3)], y, h, after)
    assert [(m.start, m.end, m.label) for m, _ in found] == [(0, 3, "Sign_symptom")] and len(recognise([text], head="maccrobat")[0]) > 20

def test_words_that_never_end_a_mention():
    from healthlab.nlp.multitask import trimmed
    for text, left in (("Examination of the", "Examination"), ("two weeks after the", "two weeks after"), ("CA)", "CA"), ("hepatitis A", "hepatitis A"), ("CEA (high)", "CEA (high)"), ("and spleen", "spleen"), ("of the", "")):
        a, b = trimmed(text, 0, len(text))
        assert text[a:b] == left
    assert trimmed("vesico-pustular rash", 0, 7) == (0, 6) and trimmed("HBsAg -", 0, 7) == (0, 7)


def test_dates_of_the_head_and_the_stay():
    from datetime import date

    from healthlab.nlp.document import _own_dates
    for head, own, admitted in (("Date of Birth: 05/06/1948\nDate: 07/08/2023", date(2023, 7, 8), None), ("DOB 5/6/1948 Date of visit: 7/8/2023", date(2023, 7, 8), None), ("Admission Date: 2023-07-01 Discharge Date: 2023-07-08", date(2023, 7, 8), date(2023, 7, 1)), ("Admission Date:  [**2151-7-1**]   Discharge Date: [**2151-7-8**]", date(2151, 7, 8), date(2151, 7, 1)), ("Date of birth: 1950-01-02", None, None)):
        assert _own_dates(head) == (own, admitted), head
    d = analyze(["Admission Date: 2023-07-01 Discharge Date: 2023-07-08\nCough began 3 days prior to admission."])[0]
    assert ("2023-06-28", "2023-06-28") in {(v.start, v.end) for v in d.timeline}


def test_short_notes_in_other_languages_and_marks_of_byte_order():
    for text, said in (("Motivo: tos. Niega disnea. Antecedentes: asma.", "Spanish"), ("Anamnese: Husten. Keine Atemnot. Allergien: keine.", "German"), ("Motif: toux. Aucune fièvre. Antécédents: asthme.", "French"), ("Nega febbre. Allergie: nessuna.", "Italian"), ("Queixa: tosse. Nega dor, sem febre.", "Portuguese"), ("Calor, dolor, rubor of the wrist.", "English"), ("CC: cough\nROS: neg", "English")):
        assert language(text) == said, text
    assert analyze("No fever.".encode("utf-16"))[0].text == analyze(bytearray(b"No fever."))[0].text == "No fever."
    for wrong in (None, 5, {"a": "b"}):
        with pytest.raises(InputError): analyze(wrong)
