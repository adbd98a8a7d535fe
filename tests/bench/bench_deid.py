"""Figures of de-identification: identifiers found (and clinical words spared) on the simulated hospital's gold notes, with and without the
patient's record, and on general sentences; notes and resources a second on one core. Beside presidio-analyzer as it installs from the
package index (no spaCy model is there, so its recognisers of names have none), in the same run. An identifier counts as found when
four fifths of its characters are covered; a span counts as right when it touches one. The rules were developed on seed 11 of the
hospital; the figures are of another seed, from the same writer of notes: expect less on other hospitals' prose.

    python tests/bench/bench_deid.py
"""
import json
import os
import time
from datetime import date
from pathlib import Path

from healthlab.deid.policy import load_policy
from healthlab.deid.resource import Context, transform
from healthlab.deid.text import find, known_of
from healthlab.hospital import Hospital

COMMAND = "python tests/bench/bench_deid.py"
SENTENCES = Path(os.environ.get("HEALTHLAB_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "deid" / "presidio_small" / "generated_small.json"
SEED = 77


def scored(texts, gold, spans) -> tuple[float, float]:
    "Recall of gold spans (four fifths covered) and precision of found ones (touching gold)."
    found = total = right = given = 0
    for t, wanted, got in zip(texts, gold, spans):
        covered, true = bytearray(len(t) + 1), bytearray(len(t) + 1)
        for a, b in got: covered[a:b] = b"\1" * (b - a)
        for a, b in wanted: true[a:b] = b"\1" * (b - a)
        found += sum(sum(covered[a:b]) >= .8 * (b - a) for a, b in wanted); total += len(wanted)
        right += sum(any(true[a:b]) for a, b in got); given += len(got)
    return found / max(total, 1), right / max(given, 1)


def presidio():
    import logging

    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    logging.getLogger("tldextract").setLevel(logging.CRITICAL) # it asks for a newer suffix list and does without
    engine = SpacyNlpEngine()
    engine.nlp = {"en": spacy.blank("en")}
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])
    return lambda t: [(r.start, r.end) for r in analyzer.analyze(t, language="en")]


def timed(fn, items):
    at = time.process_time()
    made = [fn(x) for x in items]
    return made, len(items) / (time.process_time() - at)


def kept(notes, spans) -> float:
    "Share of clinical entities no span touches."
    spared = [not any(a < e.end and e.start < b for a, b in got) for n, got in zip(notes, spans) for e in n.entities if not any(p.start < e.end and e.start < p.end for p in n.phi)]
    return sum(spared) / max(len(spared), 1)


def run() -> list[dict]:
    hospital = Hospital(patients=20, seed=SEED)
    resources, notes = list(hospital.resources()), list(hospital.notes())[:200]
    people = {r["id"]: known_of(r) for r in resources if r["resourceType"] == "Patient"}
    pairs = lambda spans: [(s.start, s.end) for s in spans]
    texts, gold = [n.text for n in notes], [[(p.start, p.end) for p in n.phi] for n in notes]
    find(texts[0]) # lists are read once
    ours, speed = timed(lambda n: pairs(find(n.text)), notes)
    record, _ = timed(lambda n: pairs(find(n.text, people.get(n.patient))), notes)
    peer = presidio()
    peer(texts[0])
    theirs, peer_speed = timed(peer, texts)
    (r, p), (kr, kp), (pr, pp) = scored(texts, gold, ours), scored(texts, gold, record), scored(texts, gold, theirs)
    size = sum(map(len, texts)) / len(texts) / 1000
    row = lambda name, figure, unit, peer_figure=None, asked=None, higher=True: dict(name=name, figure=figure, unit=unit, peer="presidio-analyzer, no model" if peer_figure is not None else "", peer_figure=peer_figure,
                                                                                 ratio=round(figure / peer_figure, 2) if peer_figure else None, asked=asked, command=COMMAND)
    rows = [row(f"recall, {len(notes)} gold notes", round(r, 4), "share", round(pr, 4), ">= 0.97"), row("precision, gold notes", round(p, 4), "share", round(pp, 4), ">= 0.9"),
            row("recall with the patient's record", round(kr, 4), "share"), row("precision with the patient's record", round(kp, 4), "share"), row("clinical entities kept", round(kept(notes, ours), 4), "share", round(kept(notes, theirs), 4)),
            row(f"notes a second of {size:.1f} kB, one core (CPU)", round(speed, 1), "notes/s", round(peer_speed, 1))]
    if SENTENCES.is_file():
        data = json.loads(SENTENCES.read_text())
        texts, gold = [d["full_text"] for d in data], [[(s["start_position"], s["end_position"]) for s in d["spans"]] for d in data]
        (r, p), (pr, pp) = scored(texts, gold, [pairs(find(t)) for t in texts]), scored(texts, gold, [peer(t) for t in texts])
        rows += [row(f"recall, {len(data)} general sentences (presidio_small)", round(r, 4), "share", round(pr, 4)), row("precision, general sentences", round(p, 4), "share", round(pp, 4))]
    patient = lambda x: x["id"] if x["resourceType"] == "Patient" else ((x.get("subject") or x.get("patient") or {}).get("reference") or "").removeprefix("Patient/")
    jobs = [(json.dumps(x).encode(), patient(x)) for x in resources[:6000] if x["resourceType"] != "DocumentReference"]
    policy = load_policy("safe-harbor")
    one = lambda j: transform(j[0], Context(policy, b"k" * 32, j[1] or "none", people.get(j[1]), date(2026, 1, 1), False))
    for j in jobs[:200]: one(j)
    _, speed = timed(one, jobs)
    return [*rows, row("resources a second without notes, one core (CPU)", round(speed), "resources/s")]


def main():
    for r in run(): print({k: v for k, v in r.items() if v not in (None, "") and k != "command"})


if __name__ == "__main__": main()
