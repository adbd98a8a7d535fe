"""Figures of healthlab.nlp: entities on held-out documents (a tenth of each public corpus by identifier, notes of another simulated
hospital; passages of transcriptions), each head by itself and as `analyze` answers; negation on case reports (half of them had not been looked at while the cues were written; since, what was answered wrongly in either half has been read), and negation,
history and family in sentences of transcriptions labelled by hand before the cues' answers were seen (assertions.json, whose errors the cues have since been mended by, and assertions_held.json, labelled
afterwards and not mended by; both hold offsets and labels, no text), beside medspacy and negspacy on the same sentences and spans; linking on the hospital's codes; social determinants; speed and memory of one
process on one core. The public test parts are not read.

    python tests/bench/bench_nlp.py

Peers live in a virtual environment of their own (medspacy wants numpy<2): HEALTHLAB_BENCH_NLP_PEERS names its python.
"""
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from healthlab.hospital import Hospital
from healthlab.nlp.assertion import classify
from healthlab.nlp.corpora import Mention, hospital, longest, score
from healthlab.nlp.document import analyze
from healthlab.nlp.entities import Entity, abbreviations, recognise
from healthlab.nlp.linking import ICD10CM, candidates, link
from healthlab.nlp.names import SHORT, concept_of, concepts, corpora
from healthlab.nlp.sections import sentences
from healthlab.nlp.terms import terms
from healthlab.nlp.training import published, split

COMMAND = "python tests/bench/bench_nlp.py"
SHARED = Path(os.environ.get("HEALTHLAB_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
PEERS = os.environ.get("HEALTHLAB_BENCH_NLP_PEERS", "")
SEED = 78


def row(name, figure, unit, asked=None, peer=None, peer_figure=None):
    return {"name": name, "figure": round(figure, 4), "unit": unit, "peer": peer, "peer_figure": peer_figure, "ratio": round(figure / peer_figure, 2) if peer_figure else None, "asked": asked, "command": COMMAND}


def mentions(found, names=None):
    return [[Mention(e.start, e.end, names[e.label] if names else e.label) for e in r if not names or e.label in names] for r in found]


def entities():
    out = []
    parts = {k: split(v, .1) for k, v in published(SHARED / "ner").items()} if (SHARED / "ner").is_dir() else {}
    parts["hospital"] = ([], hospital(12, seed=SEED, notes=100))
    for name, (learn, docs) in parts.items():
        gold = [longest([Mention(m.start, m.end, m.label) for m in e.mentions]) for e in docs]
        s = score(gold, mentions(recognise([e.text for e in docs], head=name)))
        asked = {"bc5cdr": .87, "ncbi": .85, "hospital": .95}.get(name)
        out.append(row(f"entities: {name}, own head, exact F1 ({len(docs)} documents)", s["all"].f1, "F1", asked))
        if name == "maccrobat":
            often = {k for k, n in Counter(m.label for e in docs + learn for m in e.mentions).items() if n >= 100}
            for what, main in (("20 mentions or more in these documents", [k for k, v in s.items() if k != "all" and v.true + v.missed >= 20]), ("100 mentions or more in the whole corpus", sorted(often & s.keys()))):
                out.append(row(f"entities: maccrobat, macro F1 over the {len(main)} labels with {what}", sum(s[k].f1 for k in main) / len(main), "F1", .70))
        if name in ("bc5cdr", "ncbi"):
            back = {"MedicationName": "Chemical", "Diagnosis": "Disease", "SymptomOrSign": "Disease"}
            if name == "ncbi": back.pop("MedicationName")
            s = score(gold, mentions(recognise([e.text for e in docs]), back))
            out.append(row(f"entities: {name}, default answer, exact F1", s["all"].f1, "F1", asked))
        if name == "hospital": out.append(row("entities: hospital, default answer, exact F1", score(gold, mentions(recognise([e.text for e in docs])))["all"].f1, "F1", asked))
    return out


def landing(kept: dict, name: str, row_: int) -> str:
    "A transcription of the landing folder; `kept` holds what was read."
    import csv
    csv.field_size_limit(1 << 30)
    folder = SHARED / "landing"
    if name not in kept: kept[name] = [(folder / "notes" / name).read_text(errors="replace")] if name.endswith(".txt") else [max(r.values(), key=lambda v: len(v or "")) for r in csv.DictReader((folder / "notes_csv" / name).open(newline=""))]
    return kept[name][row_]


GROUP = {"Diagnosis": "P", "SymptomOrSign": "P", "ExaminationName": "T", "MedicationName": "M", "MedicationClass": "M", "TreatmentName": "R", "BodyStructure": "A"}


def dictated():
    """Mentions in passages of transcriptions, labelled by hand before the answers were seen (passages.json: offsets and labels, no text): problem, test, medicine, treatment, anatomy. The
    whole note is read; a mention counts as found where an answer of its group overlaps it, an answer as right where it overlaps a mention of its group (anatomy inside a problem is right);
    answers on words of doubtful reading do not count. How the heads are mixed was chosen on the first twelve passages; `healthlab.nlp.plausible` was written after reading what the first 23
    had wrong, and the last ten were labelled after that, before any answer on them was seen (F1 .839 without it, .847 with it as it stood then; what they had wrong has been read since)."""
    if not (SHARED / "landing" / "notes_csv").is_dir(): return []
    kept, hit, all_, right, told = {}, 0, 0, 0, 0
    rows = [(landing(kept, name, n), *rest) for name, n, *rest in json.loads(Path(__file__).with_name("passages.json").read_text())]
    for (_, a, b, gold, doubtful), found in zip(rows, recognise([r[0] for r in rows])):
        answers = [(e.start, e.end, GROUP[e.label]) for e in found if e.label in GROUP and a <= e.start and e.end <= b]
        over = lambda x, y: x[0] < y[1] and y[0] < x[1]
        all_ += len(gold); hit += sum(any(over(g, e) and e[2] in g[2] for e in answers) for g in gold)
        answers = [e for e in answers if not any(over(e, d) for d in doubtful)]
        told += len(answers); right += sum(any(over(g, e) and (e[2] in g[2] or e[2] == "A" and "P" in g[2]) for g in gold) for e in answers)
    p, r = right / max(1, told), hit / all_
    return [row(f"entities: transcriptions, overlap F1 ({all_} mentions of {len(rows)} passages, labelled by hand)", 2 * p * r / (p + r), "F1"), row("entities: transcriptions, precision", p, "share"), row("entities: transcriptions, recall", r, "share")]


# --- negation

def polarity(halves=(1,)):
    "(sentence, [(start, end, negated)]) of every second case report, or of all: signs and diseases that MACCROBAT annotates with their polarity."
    for n, ann in enumerate(sorted((SHARED / "ner" / "maccrobat").glob("*.ann"))):
        if n % 2 not in halves: continue
        text, spans, events, told = ann.with_suffix(".txt").read_text("utf-8"), {}, {}, {}
        for line in ann.read_text("utf-8").splitlines():
            f = line.split("\t")
            if line[0] == "T": label, at = f[1].split(" ", 1); spans[f[0]] = (label, int(at.split()[0]), int(at.split()[-1]))
            elif line[0] == "E": events[f[0]] = f[1].split()[0].split(":")[1]
            elif line[0] == "A" and "POLARITY" in line: told[f[1].split()[1]] = f[1].split()[2]
        found = sorted((spans[t][1], spans[t][2], told.get(e) == "NEG") for e, t in events.items() if spans[t][0] in ("Sign_symptom", "Disease_disorder"))
        for a, b in sentences(text):
            mine, end = [], 0
            for x, y, neg in found:
                if a <= x and y <= b and x >= end: mine.append((x - a, y - a, neg)); end = y
            if mine: yield text[a:b], mine


_PEER = '''
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import spacy
rows = json.load(sys.stdin)
from spacy.util import filter_spans
def run(name):
    nlp = spacy.blank("en"); nlp.add_pipe("sentencizer")
    if name == "medspacy":
        import medspacy.context
        pipe = nlp.add_pipe("medspacy_context")
        seen = lambda e: (e._.is_negated, e._.is_historical, e._.is_family)
    else:
        import negspacy.negation
        pipe = nlp.add_pipe("negex", config={"ent_types": ["X"]})
        seen = lambda e: (e._.negex, False, False)
    out, at = [], time.process_time()
    for text, spans in rows:
        doc = nlp.make_doc(text)
        doc = nlp.get_pipe("sentencizer")(doc)
        ents = [doc.char_span(a, b, label="X", alignment_mode="expand") for a, b in spans]
        doc.ents = filter_spans([e for e in ents if e is not None])
        doc = pipe(doc)
        by = {(e.start, e.end): [bool(x) for x in seen(e)] for e in doc.ents}
        out.append([by.get((e.start, e.end), [False] * 3) if e is not None else [False] * 3 for e in ents])
    return out, len(rows) / (time.process_time() - at)
print("RESULT" + json.dumps({n: run(n) for n in ("medspacy", "negspacy")}))
'''


def f1(gold, found):
    t = sum(g and f for g, f in zip(gold, found))
    return 2 * t / max(1, sum(gold) + sum(found))


def peers(rows, rates=None):
    "Name → for each sentence's spans whether the peer calls them negated, historical, of the family; sentences a CPU second go into `rates`."
    if not PEERS: return {}
    done = subprocess.run([PEERS, "-c", _PEER], input=json.dumps(rows), capture_output=True, text=True)
    if "RESULT" not in done.stdout: raise RuntimeError(f"the peers did not run: {done.stderr[-400:]}")
    told = json.loads(done.stdout.split("RESULT")[1])
    if rates is not None: rates |= {k: round(v[1]) for k, v in told.items()}
    return {k: v[0] for k, v in told.items()}


def negation():
    if not (SHARED / "ner" / "maccrobat").is_dir(): return []
    rows = list(polarity())
    gold = [n for _, s in rows for *_, n in s]
    at = time.process_time()
    ours = [a.certainty == "negative" for t, s in rows for a in classify(t, [(a, b) for a, b, _ in s])]
    rate, rates = len(rows) / (time.process_time() - at), {}
    theirs = {k: f1(gold, [x[0] for r in v for x in r]) for k, v in peers([(t, [s[:2] for s in ss]) for t, ss in rows], rates).items()}
    mine = f1(gold, ours)
    name = f"negation on case reports ({sum(gold)} of {len(gold)} mentions negated; findings that are over count as negated)"
    every = [(t, ss) for t, ss in polarity((0, 1))]
    whole, told = ([n for _, ss in every for *_, n in ss], [(a.certainty == "negative", a.ended) for t, ss in every for a in classify(t, [s[:2] for s in ss])])
    both = [row(f"negation on all case reports ({sum(whole)} of {len(whole)} mentions negated)", f1(whole, [n for n, _ in told]), "F1"), row("negation on all case reports, findings that are over not counted as negated", f1(whole, [n and not e for n, e in told]), "F1")]
    return ([row(name, mine, "F1", .97, k, round(v, 4)) for k, v in theirs.items()] or [row(name, mine, "F1", .97)]) + both, [row("negation: sentences a CPU second, one core", rate, "sentences/s", 1000, k, v) for k, v in rates.items()] or [row("negation: sentences a CPU second, one core", rate, "sentences/s", 1000)]


def labelled(file="assertions.json"):
    """(sentence, [(start, end, labels)]) of transcriptions: labels are letters of N (negated), P (historical: over before this episode, or introduced as
    history) and F (a relative's); mentions of uncertain reading are left out."""
    kept = {}
    for name, row_, marks in json.loads(Path(__file__).with_name(file).read_text()):
        text = landing(kept, name, row_)
        low, high = next((a, b) for a, b in sentences(text) if a <= marks[0][0] < b)
        yield text[low:high], [(a - low, b - low, l) for a, b, l in marks]


def transcriptions():
    "Rows for negation, history and family; a mention that is negated or a relative's does not count for history."
    if not (SHARED / "landing" / "notes_csv").is_dir(): return []
    rows, out = list(labelled()), []
    mine = [[(a.certainty == "negative", a.temporality == "past", a.association == "other") for a in classify(t, [s[:2] for s in ss])] for t, ss in rows]
    answers = {"": mine, **peers([(t, [s[:2] for s in ss]) for t, ss in rows])}
    for k, (letter, what, asked) in enumerate((("N", "negation", .97), ("P", "history", .90), ("F", "family", .90))):
        keep = [[letter != "P" or not set(l) & set("NF") for *_, l in ss] for _, ss in rows]
        gold = [letter in l for (_, ss), ks in zip(rows, keep) for (*_, l), y in zip(ss, ks) if y]
        figure = {n: f1(gold, [x[k] for r, ks in zip(v, keep) for x, y in zip(r, ks) if y]) for n, v in answers.items()}
        name = f"{what} in transcriptions ({sum(gold)} of {len(gold)} mentions, labelled by hand)"
        out += [row(name, figure[""], "F1", asked, n, round(v, 4)) for n, v in figure.items() if n and not (n == "negspacy" and k)] or [row(name, figure[""], "F1", asked)]
    rows = list(labelled("assertions_held.json"))
    gold = [l == "N" for _, ss in rows for *_, l in ss]
    own = f1(gold, [a.certainty == "negative" for t, ss in rows for a in classify(t, [s[:2] for s in ss])])
    name = f"negation in transcriptions, a second set ({sum(gold)} of {len(gold)} mentions, labelled by hand once the cues stood)"
    return out + ([row(name, own, "F1", .97, n, round(f1(gold, [x[0] for r in v for x in r]), 4)) for n, v in peers([(t, [s[:2] for s in ss]) for t, ss in rows]).items()] or [row(name, own, "F1", .97)])


# --- linking, social, speed

def linking():
    right = all_ = 0
    for n in Hospital(patients=8, seed=SEED).notes():
        order = sorted(n.entities, key=lambda e: e.start)
        found = link([Entity(e.start, e.end, n.text[e.start:e.end], e.label) for e in order])
        for e, f in zip(order, found):
            for system, code, _ in e.codes: all_ += 1; right += any(c.system == system and c.code == code for c in f.codes)
    return [row(f"linking: hospital's codes, top-1 ({all_})", right / all_, "share", .95)]


def disease_names():
    """(name, ICD-10-CM codes that are right, whether it was learnt or stands in ICD-10-CM to the letter) of the diseases marked in held-out documents of BC5CDR and NCBI
    whose MeSH concept ICD-10-CM has (`healthlab.nlp.names.concepts`, written before any answer was seen; a code stands for its subdivisions). Short forms a text
    defines count as what they stand for, others are left out; a name counts once a concept."""
    found, store = {}, terms()
    for e in split(corpora(SHARED / "ner"), .1)[1]:
        short = {k: e.text[a:b] for k, (a, b) in abbreviations(e.text).items()}
        for m in e.mentions:
            name = short.get(e.text[m.start:m.end], e.text[m.start:m.end])
            if m.label != "Chemical" and concept_of(m.ids) and not SHORT.fullmatch(name): found[name.lower(), concept_of(m.ids)] = e.id
    return [(name, concepts()[c], any(s == ICD10CM for s, *_ in store.find(name))) for name, c in sorted(found)]


def icd():
    "Top-1 and top-5 of names of diseases in ICD-10-CM, over all, and over those the store does not know to the letter."
    if not (SHARED / "ner" / "bc5cdr").is_dir(): return []
    rows = disease_names()
    at = time.process_time()
    ranks = [next((n for n, c in enumerate(candidates(name, ICD10CM, k=5)) if any(c.code.startswith(g) for g in codes)), 9) for name, codes, _ in rows]
    rate, fresh = len(rows) / (time.process_time() - at), [r for r, (*_, known) in zip(ranks, rows) if not known]
    return [row(f"linking: names of diseases in ICD-10-CM, top-5 ({len(rows)} names)", sum(r < 5 for r in ranks) / len(rows), "share", .85), row("linking: names of diseases in ICD-10-CM, top-1", sum(r < 1 for r in ranks) / len(rows), "share"),
            row(f"linking: those no list holds to the letter, top-5 ({len(fresh)})", sum(r < 5 for r in fresh) / max(1, len(fresh)), "share"), row("linking: names a CPU second", rate, "names/s")]


def coded():
    "How many mentions in dictated notes the starter set gives a code; whether it is the right one the rows above tell, of other texts."
    files = sorted(p for p in (SHARED / "landing" / "notes").rglob("*") if p.is_file())[:110]
    if not files: return []
    seen, got = Counter(), Counter()
    for d in analyze([f.read_text("utf-8", errors="replace") for f in files]):
        for e in d.entities: seen[e.label] += 1; got[e.label] += bool(e.codes)
    return [row(f"linking: {what} of {len(files)} dictated notes with a code ({seen[k]})", got[k] / max(1, seen[k]), "share") for k, what in (("MedicationName", "medicines"), ("ExaminationName", "tests"), ("Allergen", "allergens"), ("Diagnosis", "diseases"), ("SymptomOrSign", "signs"))]


def measured_socially():
    "A classifier learnt on four fifths, asked about the fifth; and how many of those answers change with the patient's sex, origin and age."
    if not (SHARED / "sdoh").is_dir(): return []
    from sklearn.metrics import f1_score
    from sklearn.model_selection import train_test_split

    from healthlab.nlp.social import background, fit, probabilities, read
    texts, labels = read(SHARED / "sdoh")
    none = background(seed=SEED)[:400]
    one, other, first, second = train_test_split(texts + none, labels + ["none"] * len(none), test_size=.2, stratify=labels + ["none"] * len(none), random_state=SEED)
    learnt = fit(one, first)
    told = lambda texts: [learnt["labels"][k] for k in probabilities(texts, learnt)[1].argmax(1)]
    swap = {"she": "he", "her": "his", "woman": "man", "mother": "father", "wife": "husband", "daughter": "son", "sister": "brother"}
    swap |= {v: k for k, v in swap.items()}
    changed = [re.sub(r"\b(" + "|".join(swap) + r")\b", lambda m: swap[m[0].lower()], t, flags=re.I) for t in other]
    flips = sum(a != b for a, b in zip(told([f"The patient is a 30-year-old white man. {t}" for t in other]), told([f"The patient is a 70-year-old Hispanic woman. {t}" for t in changed]))) / len(other)
    return [row(f"social determinants: macro F1 on a fifth not learnt from ({len(other)} sentences)", float(f1_score(second, told(other), average="macro")), "F1", .80), row("social determinants: answers on them changed by swapping sex, origin and age", flips, "share", .02)]


def socially():
    card = json.loads((Path(__file__).parents[2] / "healthlab/encoder/weights/social/card.json").read_text())
    return measured_socially() + [row("social determinants: macro F1, five-fold (of the weights' card)", card["figures"]["macro_f1"], "F1", .80), row("social determinants: answers changed by swapping demographics", card["figures"]["flips"], "share", .02)]


def speed():
    texts = [n.text[:1000] for n in Hospital(patients=14, seed=SEED).notes()][:120]
    from healthlab.nlp.entities import model
    tokens = sum(len(e.ids) for e in model().encoder.tokenizer.encode_batch(texts))
    analyze(texts[:4], threads=1)
    at = time.process_time(); recognise(texts, threads=1); a = time.process_time() - at
    at = time.process_time(); analyze(texts, threads=1); b = time.process_time() - at
    return [row("entities: tokens a CPU second, one core, int8", tokens / a, "tokens/s", 10000), row("analyze: notes of 1 KB a CPU second, one core", len(texts) / b, "notes/s", 20),
            row("analyze: memory of the process", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB", 1229)]


def first_call():
    code = "import time; t = time.perf_counter(); from healthlab.nlp import analyze; analyze(['No fever.']); print(time.perf_counter() - t)"
    times = [float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]).stdout.split()[-1]) for _ in range(2)]
    return [row("analyze: import and first call", min(times), "s", 5)]


def run() -> list[dict]:
    fast = speed() # first: its memory is that of analysing alone
    said, rates = negation() or ([], [])
    return entities() + dictated() + said + transcriptions() + rates + linking() + icd() + coded() + socially() + fast + first_call()


def main():
    for r in run(): print(f"{r['name']:<90} {r['figure']:>12} {r['unit']:<12} asked {r['asked']}" + (f"   {r['peer']} {r['peer_figure']}" if r["peer"] else ""))


if __name__ == "__main__": main()
