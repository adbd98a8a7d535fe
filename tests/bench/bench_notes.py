"""Synthetic notes: a small language model learnt from 700 simulated notes of 139 patients (200 drawn, those of 80 others kept out) and asked for notes to the coded
records of patients it has not seen. What it costs, how well it reads (perplexity), whether the note says what the record says, whether a recogniser of entities can be
trained on it, what was refused, and how much it repeats.

    python tests/bench/bench_notes.py
"""
import time
from collections import defaultdict

import numpy as np

from healthlab.hospital import Hospital
from healthlab.synth.notes import Written, cleaned, fit_notes, record_of
from healthlab.synth.retelling import Told, spread, words_of

COMMAND = "python tests/bench/bench_notes.py"
LABELS = ("Diagnosis", "MedicationName", "Dosage", "SymptomOrSign")
SETTINGS = {"width": 128, "epochs": 5, "batch": 8, "context": 1536}


def row(name, figure, unit, asked="", peer="", peer_figure=None): return {"name": name, "figure": figure, "unit": unit, "peer": peer, "peer_figure": peer_figure, "ratio": None, "asked": asked, "command": COMMAND}


def corpus(patients=280, seed=11, most=6):
    "Cleaned notes with records and labels, at most 6 a patient, and what the labelled words mean: (notes, words -> displays)."
    house, rng = Hospital(patients=patients, seed=seed), np.random.default_rng(seed)
    people, items, written, meaning = {}, defaultdict(list), defaultdict(list), defaultdict(set)
    for r in house.resources():
        if r["resourceType"] == "Patient": people[r["id"]] = r
        elif r["resourceType"] in ("Condition", "MedicationRequest"): items[r["subject"]["reference"].split("/")[-1]].append(r)
    for n in house.notes(): written[n.patient].append(n)
    out = []
    for who, notes in written.items():
        for i in sorted(rng.permutation(len(notes))[:most]):
            n = notes[i]
            for e in n.entities: meaning[n.text[e.start:e.end].casefold()] |= {c[2] for c in e.codes}
            out.append(Written(n.text, [n.kind + " note", *record_of(people[who], items[who], n.time.isoformat())], [(e.start, e.end, e.label) for e in n.entities if e.label in LABELS], who))
    return cleaned(out), meaning


def halves(notes, people=200, most=700):
    "Notes learnt from, and notes of other patients."
    known = set(list(dict.fromkeys(n.patient for n in notes))[:people])
    return [n for n in notes if n.patient in known][:most], [n for n in notes if n.patient not in known]


def said(note, record, meaning) -> list:
    "For every diagnosis and drug of a note: does the record have it?"
    has = [r.casefold() for r in record]
    out = []
    for a, b, label in note.spans:
        if label not in ("Diagnosis", "MedicationName"): continue
        word = note.text[a:b].casefold()
        names = {d.casefold() for d in meaning.get(word, ())} | {word}
        out.append(any(d == h or d in h or (label == "MedicationName" and d.split()[0] in h) for d in names for h in has))
    return out


# ---- a recogniser of entities trained on one set of notes, tested on real ones

def tokens(note):
    "Words with their places and labels (B-, I-, O)."
    import re
    out = [(m.start(), m.end(), m[0]) for m in re.finditer(r"\w+|[^\w\s]", note.text)]
    tags = ["O"] * len(out)
    for a, b, label in note.spans:
        inside = [i for i, t in enumerate(out) if t[0] >= a and t[1] <= b]
        for n, i in enumerate(inside): tags[i] = ("B-" if n == 0 else "I-") + label
    return out, tags


def features(words):
    at = lambda i: words[i].lower() if 0 <= i < len(words) else ""
    return [{f"{k}={at(i + k)}": 1 for k in range(-3, 4)} | {"tail=" + w[-3:].lower(): 1, "shape=" + ("X" if w[0].isupper() else "9" if w[0].isdigit() else "x"): 1, "pair=" + at(i - 1) + " " + w.lower(): 1} for i, w in enumerate(words)]


def recogniser(notes):
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.linear_model import SGDClassifier
    hasher, x, y = FeatureHasher(2 ** 17), [], []
    for n in notes:
        t, tags = tokens(n)
        x += features([w for _, _, w in t])
        y += tags
    model = SGDClassifier(loss="log_loss", alpha=1e-6, max_iter=8, tol=None, random_state=0).fit(hasher.transform(x), y)
    return lambda words: model.predict(hasher.transform(features(words)))


def spans_of(places, tags):
    out, start = set(), None
    for i, t in enumerate([*tags, "O"]):
        if start is not None and t != "I-" + tags[start][2:]:
            out.add((places[start][0], places[i - 1][1], tags[start][2:]))
            start = None
        if t[:2] == "B-": start = i
    return out


def f1(recognise, notes):
    "Micro F1 of exact spans and labels."
    right = found = there = 0
    for n in notes:
        places, gold = tokens(n)
        if not places: continue
        a, b = spans_of(places, list(recognise([w for _, _, w in places]))), spans_of(places, gold)
        right, found, there = right + len(a & b), found + len(a), there + len(b)
    return 2 * right / max(1, found + there)


def rows_of(writer, minutes, known, fresh, meaning, drawn=240):
    "The figures of a writer."
    start = time.process_time()
    written = writer.sample([n.record for n in fresh[:drawn]], seed=1)
    seconds, refused = time.process_time() - start, writer.refused
    told = Told([n.text for n in known], [n.patient for n in known])
    (shared, own), (shared_fresh, own_fresh) = (told.longest([n.text for n in x]) for x in (written, fresh))
    share = lambda notes, records: float(np.mean([x for n, r in zip(notes, records) for x in said(n, r, meaning)]))
    order = np.random.default_rng(0).permutation(len(written))
    reads = writer.perplexity(fresh[:100])
    test = fresh[drawn:]
    out = [row("notes: learnt from", len(known), "notes"), row("notes: training", minutes, "CPU minutes, one core"), row("notes: writing", seconds / drawn, "CPU s a note, with its checks"),
           row("notes: perplexity of unseen patients' notes", reads["token"], "a token"), row("notes: the same by the word", reads["word"], "a word"),
           row("notes: diagnoses and drugs that the record has", share(written, [n.record for n in written]), "share", peer="real notes", peer_figure=share(fresh[:drawn], [n.record for n in fresh[:drawn]])),
           row("notes: that another patient's record has", share(written, [written[i].record for i in order]), "share", peer="real notes", peer_figure=share(fresh[:drawn], [fresh[i % drawn].record for i in np.random.default_rng(0).permutation(drawn)])),
           row("notes: entities a note", float(np.mean([len(n.spans) for n in written])), "labels", peer="real notes", peer_figure=float(np.mean([len(n.spans) for n in fresh]))),
           row("notes: recogniser trained on written notes, tested on real ones", f1(recogniser(written), test), "F1", peer="trained on as many real notes", peer_figure=f1(recogniser(known[:len(written)]), test))]
    out += [row(f"notes: refused, {k}", v / drawn, "a note asked for") for k, v in refused.items()]
    for label, a, b in (("shared with a note learnt from", shared, shared_fresh), ("of one patient's alone", own, own_fresh)):
        out += [row(f"notes: longest run {label}, {k}", v, "words", peer="unseen patients' real notes", peer_figure=spread(b)[k]) for k, v in spread(a).items()]
    return out + [row("notes: length", float(np.median([len(words_of(n.text)) for n in written])), "words, median", peer="real notes", peer_figure=float(np.median([len(words_of(n.text)) for n in fresh])))]


def run() -> list[dict]:
    notes, meaning = corpus()
    known, fresh = halves(notes)
    start = time.process_time()
    writer = fit_notes(known, settings=SETTINGS)
    return rows_of(writer, (time.process_time() - start) / 60, known, fresh, meaning)


if __name__ == "__main__":
    from run import table
    print(table(run()))
