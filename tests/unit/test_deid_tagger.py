"""The tagger of identifiers among the other detectors: what it finds, what it leaves, hidden letters, long and odd input, the same in any company; the corpus and the measure."""
import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from healthlab.deid import gold, text as reading
from healthlab.deid.corpus import LABELS, documents, filled, held_out, spoilt
from healthlab.deid.lexica import vocabulary
from healthlab.deid.model import MEMORY, segments, votes
from healthlab.deid.patterns import luhn, mod97
from healthlab.deid.templates import templates
from healthlab.deid.text import find, find_all, known_of, scrub
from healthlab.deid.voting import readable
from healthlab.hospital import Hospital

DATA = Path(os.environ.get("HEALTHLAB_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "deid"

GO = [ # no form and no list tells these: what must not be left
    ("Sometimes people call me Zvonimir", ["Zvonimir"]), ("please deliver to Rua das Flores 12, Vila Nova", ["Flores", "Vila Nova"]), ("she used to work for Quantivex in Turku", ["Quantivex", "Turku"]),
    ("my mum is called tomislava and she lives in oulu", ["tomislava", "oulu"]), ("You can reach Ngozi on 031 45 22 71", ["Ngozi", "45 22 71"]), ("Mr. Burns has burns on both arms.", ["Mr. Burns"]), ("PATIENT: OKONKWO, CHIDINMA   ROOM 12", ["OKONKWO", "CHIDINMA"]),
    ("Wohnhaft Schillerstraße 14, 70173 Stuttgart", ["Schiller", "70173", "Stuttgart"]), ("Paciente natural de Zaragoza, remitida por la Dra. Lizarraga.", ["Zaragoza", "Lizarraga"]), ("card 4556 0319 0475 7957, IBAN GB82 WEST 1234 5698 7654 32", ["0475", "5698"]),
    ("mail me: j.doe [at] mail.example [dot] org", ["doe", "mail.example"]), ("call six one seven five five five oh one four two", ["five five five"]),
    ("Transfer on Tues 12/9. CABG 8/89, clinic 15.iii.2019, worse on the 9th, visiting until April.", ["Tues", "12/9", "8/89", "15.iii", "9th", "April"]), ("seen march third two thousand nineteen, record two two zero nine eight one", ["third", "zero nine"]),
    ("Mother died at 94. Brother, 91, well. This is a ninety-two y/o widow.", ["94", "91", "ninety-two"]), ("IMPRESSION: OK.\nTVI/ramirez  DD: 03/17/94\nTech: RLM", ["TVI", "ramirez", "RLM"]),
    ("Lot ref 00-5980-047-01, plate 7KLM392, RAMQ BOUL 5201 1415, MRN ending 8841, twitter @tb_504", ["5980", "7KLM", "5201", "8841", "tb_504"]), ("Phone: (4l5) 555-O188 Patlent seen l2/01/2Ol5", ["4l5", "O188", "2Ol5"]),
]
STAY = ["Mark the site before surgery. Bill for 20 minutes.", "Hope to discharge soon. Will follow. May shower.", "Lewy body dementia; Purkinje cells; circle of Willis; Los Angeles grade B esophagitis.", "OSA on CPAP, GERD on Prilosec, HLD on Lipitor, CAD s/p CABG.",
        "BP 137/97, HR 72, RR 16, SpO2 97% on RA. Strength 5/5, reflexes 2/4.", "Glasgow Coma Scale 15, Apgar 8 and 9, Gleason 3+4, NYHA III.", "Continue Flovent 2 puffs BID, Singulair 10 mg qHS, Humalog per sliding scale.", "ASSESSMENT AND PLAN: COPD exacerbation. Start prednisone 40 mg daily x 5 days.",
        "The patient denies chest pain, shortness of breath, nausea or vomiting.", "Quit smoking in 2009, 20 pack-years. Diagnosed with asthma in 1998.",
        "RA 8, RV 42/6, PA 40/18, PCWP 14. Nodes 3/09 of 12 lymph nodes; vision 6/60.", "MAE x4, 94% on RA, T 98.6 F, ninety-two percent.", "Nurse removed the Foley. Graves dz, r/o Cushing's syndrome. On vanco/zosyn 0700-1900.", "CC: CP x 2h, diaphoretic. s/p Synvisc x3, Medtronic pump.", "True True", "share alive, with 95 % interval (Kaplan–Meier); Mann-Whitney test"]


@pytest.mark.parametrize("text,gone", GO, ids=[g[0][:24] for g in GO])
def test_goes(text, gone):
    made = scrub(text, method="redact")[0].text
    assert not [g for g in gone if g in made], made


@pytest.mark.parametrize("text", STAY, ids=[s[:24] for s in STAY])
def test_stays(text): assert scrub(text)[0].text == text


HIDDEN = ["Seen by Dr. Del\u200bgado in Low\u00adell", "Seen by Dr. D\u0435lg\u0430do in Low\u0435ll", "\u202eSeen by Dr. Delgado in Lowell\u202c", "Seen by Dr. Ｄｅｌｇａｄｏ in Ｌｏｗｅｌｌ", "S\u2062een by Dr. Delg\ufeffado in L\u200fowell", "seen by dr. delgado in lowell", "SEEN BY DR. DELGADO IN LOWELL"]

@pytest.mark.parametrize("text", HIDDEN)
def test_hidden_letters_hide_nothing(text):
    spans = find(text)
    assert [s.label for s in spans] == ["NAME", "LOCATION"]
    plain = [readable(text[s.start:s.end])[0].lower() for s in spans]
    assert plain == ["delgado", "lowell"]


@pytest.mark.parametrize("text,gone", [("Seen O3/l4/2O21 by nurse", "2O21"), ("DOB: l2/O5/l961", "l961"), ("admitted 03/14/2021\x00 by", "03/14/2021")])
def test_scanned_dates_go(text, gone): assert gone not in scrub(text)[0].text


def test_undecodable_bytes_are_read_on():
    text = b"\xff\xfeSeen by Dr. Delgado\xc3 on 03/14/2021 in Lowell"
    made = scrub([text])[0]
    assert not any(x in made.text for x in ("Delgado", "03/14/2021", "Lowell")) and made.text.count("\ufffd") == 3


def test_a_long_note_in_bounded_memory():
    "Half a megabyte (twenty times that takes twenty times as long): what stands at its end goes too; memory does not grow with the square of anything."
    line = "Vitals stable, afebrile. Continue metformin 500 mg twice daily.\n"
    text = line * 8000 + "Seen by Dr. Quillfeather-Marsh of Turku."
    at = time.process_time()
    made = scrub(text, method="tag")[0]
    assert len(text) > 500_000 and made.text.endswith("Seen by Dr. [NAME] of [LOCATION].") and time.process_time() - at < 60


def test_nothing_and_blanks():
    assert [s.text for s in scrub(["", " ", "\n\n", "\u200b", None])] == ["", " ", "\n\n", "\u200b", ""]
    assert scrub([]) == []


ODD = st.text(alphabet=st.one_of(st.sampled_from("abc DRdr.,:/-'0123456789\n\t@#"), st.characters()), max_size=300)

@settings(max_examples=60, deadline=None)
@given(st.lists(ODD, min_size=1, max_size=4))
def test_any_text_comes_out_with_spans_inside_it(texts):
    for t, s in zip(texts, scrub(texts, method="redact")):
        assert len(s.text) == len(t) and all(0 <= x.start < x.end <= len(t) for x in s.spans) and all(a.end <= b.start for a, b in zip(s.spans, s.spans[1:]))
        kept = "".join(c for i, c in enumerate(t) if not any(x.start <= i < x.end for x in s.spans))
        assert kept == "".join(c for i, c in enumerate(s.text) if not any(x.start <= i < x.end for x in s.spans))


def test_a_text_gets_the_same_in_any_company():
    texts = [e.text for e in documents(30, random.Random(4), measure=True)]
    together = find_all(texts, [None] * len(texts))
    MEMORY.clear()
    alone = []
    for t in reversed(texts): alone.append(find(t)); MEMORY.clear()
    assert together == alone[::-1]


def test_scrub_on_two_threads_is_scrub():
    notes = [n.text for n in Hospital(patients=16, seed=9).notes()][:150]
    assert sum(map(len, notes)) > 1 << 17  # several groups, so that the tagger runs beside the rules
    assert [s.spans for s in scrub(notes)] == [find(n) for n in notes]


def test_what_has_nothing_to_find_is_not_read():
    assert segments("the patient denies fever, chills and cough. no chest pain on 2 L of oxygen.\nFoley catheter in place; Metformin 500 mg BID.") == []
    assert votes(["no fever"])[0].starts == [] and votes([""])[0].support(0, 0) == 1


def test_forms_with_check_digits():
    assert luhn("4556 0319 0475 7957") and not luhn("4556 0319 0475 7958") and not luhn("0000000000000000")
    assert mod97("GB82 WEST 1234 5698 7654 32") and not mod97("GB83 WEST 1234 5698 7654 32")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_every_template_fills_and_spoils_in_place(seed):
    rng = random.Random(seed)
    pieces = filled(rng.choice(sum(templates().values(), [])), rng)
    assert [len(t) for t, _ in spoilt(pieces, rng)] == [len(t) for t, _ in pieces] and {l for _, l in pieces} <= {None, *LABELS}


def test_no_template_is_on_both_sides():
    every = [t for ts in templates().values() for t in ts]
    out = {t for t in every if held_out(t)}
    assert .1 < len(out) / len(every) < .3 and held_out("Call  {phone}!") == held_out("call {phone}")
    measured = [e.text for e in documents(300, random.Random(1), measure=True)]
    assert not [t for t in every if t not in out and "{" not in t and any(t in m for m in measured)]


def test_the_measure():
    e = gold.Example("Seen by Ana Ruiz, 3/4/21.", [gold.Span(8, 16, "NAME"), gold.Span(18, 24, "DATE")])
    m = gold.measured([e], [[(8, 15), (0, 4)]], [[(0, 4)]])
    assert m == {"recall": .5, "precision": .5, "kept": 0.0, "marked": 2, "found": 2, "missed": {"DATE": 1}}


def reached(examples, clinical=(), known=None):
    return gold.measured(examples, find_all([e.text for e in examples], known or [None] * len(examples)), clinical)


def test_gold_notes():
    hospital = Hospital(patients=8, seed=501)
    notes = list(hospital.notes())[:60]
    m = reached(gold.hospital(notes), [[(e.start, e.end) for e in n.entities] for n in notes])
    assert m["recall"] >= .98 and m["precision"] >= .93 and m["kept"] >= .99, m


def test_held_out_general_sentences():
    files = sorted(DATA.glob("presidio_small/*.json"))
    if not files: pytest.skip("absent: ../shared/data/deid/presidio_small")
    m = reached([e for f in files for e in gold.presidio(f, True)][:300])
    assert m["recall"] >= .96 and m["precision"] >= .92, m


def test_held_out_spanish_reports():
    if not (DATA / "meddocan_es").is_dir(): pytest.skip("absent: ../shared/data/deid/meddocan_es")
    m = reached(gold.meddocan(DATA / "meddocan_es", True)[:20])
    assert m["recall"] >= .96 and m["precision"] >= .92, m


def test_the_record_knows_its_own_misspelt_and_in_pieces():
    "Names with a slip of the keyboard, numbers regrouped, in prose that gives no hint: nothing of the record is left."
    left, asked = [], 0
    people = [r for r in Hospital(patients=40, seed=6).resources() if r["resourceType"] == "Patient"]
    for r in people:
        n, phone = r["name"][0], r["telecom"][0]["value"]
        family = n["family"]
        slip = family[:2] + family[3] + family[2] + family[4:] if len(family) > 5 and family.isalpha() else family
        number = "".join(c for c in phone if c.isdigit())[-10:]
        given = n["given"][0] if n["given"][0].lower() in vocabulary() else n["given"][0].lower() # "will" in small letters is a word
        text = f"ok w {given} today, told {slip} to come back. rang {number[:3]}.{number[3:6]} {number[6:]} twice, also {family.upper()}"
        made = scrub(text, known=known_of(r), method="redact")[0].text
        for x in (given, slip, number[6:], family.upper()):
            asked += 1
            if x in made: left.append(x)
    assert len(left) / asked <= .002, left


def test_training_from_the_corpus_makes_a_tagger_with_a_card(tmp_path):
    "The pipeline's steps, small: what is trained, saved and loaded reads the same in any company and says what it was made of."
    from healthlab.deid.lexica import listed
    from healthlab.deid.training import card_text, gather, train
    from healthlab.encoder import Tagger
    parts = gather(None, made=60, notes=3, seed=4)
    made = train(parts, layers=1, epochs=1, seconds=4)
    again = Tagger.load(made.save(tmp_path / "t"), channels={"list": listed}, checkpoint="")
    texts = [e.text for e in parts["templates"][:12]]
    assert again.tag(texts) == [again.tag([t])[0] for t in texts]
    assert again.card["texts"] == {"templates": 60, "presidio": 0, "meddocan": 0, "hospital": 3, "prose": 0}
    assert "60 texts of templates" in card_text(again, {"templates": gold.measured(parts["templates"], again.tag([e.text for e in parts["templates"]]))})


def test_a_day_of_the_week_moves_with_its_date():
    from datetime import date, timedelta
    for text, day in (("Monday, March 7, 2022", date(2022, 3, 7)), ("Tues 12/9", date(2001, 12, 9))):
        for days in (-40, -33, -365):
            new = day + timedelta(days)
            made = reading.date_surrogate(text, days)
            if "Tues" in text and days == -365: assert made is None; continue # a year to the day, and no year to tell: a tag goes there
            assert made.startswith((date(2022, 3, 7) + timedelta(days)).strftime("%A") if "March" in text else "") and str(new.day) in made and made[0].isupper()
    assert reading.date_surrogate("Thurs", -7) == "Thu" and reading.date_surrogate("friday", -1) == "thursday" and reading.date_surrogate("8/89", -365) == "8/88"


def test_a_name_goes_wherever_it_stands_in_a_note_longer_than_a_piece(monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 600)
    note = "Seen with Dr. Okonkwo-Lindqvist on 03/14/2021.\n" + "The abdomen is soft and not tender. \n" * 60 + "Discussed with lindqvist over the telephone.\n"
    made = scrub(note, method="tag")[0].text
    assert "indqvist" not in made.lower() and made.count("The abdomen is soft and not tender.") == 60
    assert "".join(x.text for x in scrub("x1 " * 900, method="tag")).count("x1") == 900 # cut between words
