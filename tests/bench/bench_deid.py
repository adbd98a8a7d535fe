"""Figures of de-identification, all detectors on: identifiers found, finds that are right and clinical words spared, beside presidio-analyzer,
philter-ucsf, scrubadub and pydeid on the same texts in the same run; notes and resources a second, memory.

Sets: the simulated hospital's gold notes (another seed than any trained on), held-out templates of microsoft/presidio-research, held-out Spanish case
reports (MEDDOCAN), held-out templates of our own, and notes in many styles written by hand: deid_styles.txt, with which in view rules were made, and
deid_held.txt, of which only totals were looked at. No template of a measured set was trained on; templates of our own, and both files of styles, are by the
writer of the training texts, so they flatter, the first file most. An identifier counts as found when four fifths of its letters and digits are covered; a find counts as right when it touches one
(`healthlab.deid.gold`). presidio-analyzer, philter-ucsf, scrubadub and pydeid live in a virtual environment of their own, named by
HEALTHLAB_BENCH_DEID_PEERS (`uv venv peers && uv pip install presidio-analyzer==2.2.366 philter-ucsf==1.0.3 chardet scrubadub==2.0.1 pydeid==0.0.1 &&
uv pip install --no-deps textblob-aptagger==0.2.0`; there are no spaCy models and no NLTK data on the package index); without it there are our figures alone.

    python tests/bench/bench_deid.py
"""
import json
import os
import random
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from deid_styles import styles

from healthlab.deid import gold
from healthlab.deid.corpus import WEIGHTS, documents
from healthlab.deid.policy import load_policy
from healthlab.deid.resource import Context, transform
from healthlab.deid.text import find_all, known_of
from healthlab.hospital import Hospital

COMMAND = "python tests/bench/bench_deid.py"
DATA = Path(os.environ.get("HEALTHLAB_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "deid"
PEERS = os.environ.get("HEALTHLAB_BENCH_DEID_PEERS", "")
NAMES = {"presidio": "presidio-analyzer", "philter": "philter-ucsf", "scrubadub": "scrubadub", "pydeid": "pydeid"}
SEED = 77
FEW = 100  # texts of a set that peers see too
SPEED = """
import json, sys, time
from healthlab.deid.text import scrub
texts = json.load(sys.stdin)
scrub(texts[:40])
wall, cpu = time.monotonic(), time.process_time()
scrub(texts)
peak = next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith("VmHWM"))  # ru_maxrss would tell the parent's, which it starts from
print(json.dumps([time.monotonic() - wall, time.process_time() - cpu, peak / 1024]))
"""


def sets(notes):
    "Name → (examples, spans of clinical words)."
    out = {"gold notes": (gold.hospital(notes), [[(e.start, e.end) for e in n.entities] for n in notes])}
    general = [e for f in sorted(DATA.glob("presidio_small/*.json")) for e in gold.presidio(f, True)]
    if general: out["general sentences (presidio_small, held-out templates)"] = (general, ())
    if (DATA / "meddocan_es").is_dir(): out["Spanish case reports (MEDDOCAN, held out)"] = (gold.meddocan(DATA / "meddocan_es", True), ())
    shares = [{k: v for k, v in WEIGHTS.items() if (k in ("shorthand", "records")) == haste} for haste in (False, True)]
    for name, own in zip(("held-out templates of our own", "held-out templates of our own: shorthand and records"), shares):
        out[name] = (list(documents(600, random.Random(SEED), measure=True, shares={k: 0 for k in WEIGHTS} | own)), ())
    out["notes in many styles, by hand"] = (list(styles().values()), ())
    out["notes in styles no rule was made for, by hand"] = (list(styles("deid_held.txt").values()), ())
    return out


def peer(name, texts):
    "(spans of each text, texts a CPU second), or why there are none."
    python = Path(PEERS) / "bin" / "python"
    done = subprocess.run([str(python), str(Path(__file__).with_name("deid_peers.py")), name], input=json.dumps(texts), capture_output=True, text=True, timeout=1800, cwd=PEERS)
    if done.returncode: return None, done.stderr.strip().splitlines()[-1][:120]
    made = json.loads(done.stdout)
    return made["spans"], round(len(texts) / made["seconds"], 1)


def row(name, figure, unit, peer="", peer_figure=None, asked=None):
    return dict(name=name, figure=figure, unit=unit, peer=peer, peer_figure=peer_figure, ratio=round(figure / peer_figure, 2) if figure and peer_figure else None, asked=asked, command=COMMAND)


def quality(name, examples, clinical):
    texts = [e.text for e in examples]
    ours = find_all(texts, [None] * len(texts))
    m = gold.measured(examples, ours, clinical)
    rows = [row(f"recall, {len(texts)} {name}", m["recall"], "share", asked=">= 0.98"), row(f"precision, {name}", m["precision"], "share", asked=">= 0.93")]
    if m["kept"] is not None: rows.append(row(f"clinical words kept, {name}", m["kept"], "share", asked=">= 0.99"))
    few = slice(0, FEW)
    mine = gold.measured(examples[few], ours[few], clinical[few] if clinical else ())
    for p in NAMES if PEERS else ():
        found, speed = peer(p, texts[few])
        if found is None: rows.append(row(f"{name}: {NAMES[p]} does not run ({speed})", None, "")); continue
        theirs = gold.measured(examples[few], found, clinical[few] if clinical else ())
        for k in ("recall", "precision", "kept"):
            if mine[k] is not None: rows.append(row(f"{k}, {name}, first {len(texts[few])}", mine[k], "share", NAMES[p], theirs[k]))
        if clinical: rows.append(row(f"notes a second, one core (CPU), first {len(texts[few])}", speed_of(texts[few])[1], "notes/s", NAMES[p], speed))
    return rows


def speed_of(texts):
    "(texts a second by the clock, a CPU second, MiB resident) of scrub in a process of its own."
    done = subprocess.run([sys.executable, "-c", SPEED], input=json.dumps(texts), capture_output=True, text=True, check=True)
    wall, cpu, memory = json.loads(done.stdout)
    return round(len(texts) / wall, 1), round(len(texts) / cpu, 1), round(memory)


def with_record(notes, people):
    "Recall of what the record holds, and of all, when the patient's record is given."
    known = [people.get(n.patient) for n in notes]
    examples = gold.hospital(notes)
    found = find_all([e.text for e in examples], known)
    inside = lambda text, k: text.lower() in " ".join(k.phrases).lower() or "".join(c for c in text.lower() if c.isalnum()) in k.numbers or bool(set(text.lower().replace(",", "").split()) & k.words)
    only = [e._replace(spans=[s for s in e.spans if k and s.label in ("NAME", "LOCATION", "PHONE", "ID") and inside(e.text[s.start:s.end], k)]) for e, k in zip(examples, known)]
    everything, held = gold.measured(examples, found), gold.measured(only, found)
    return [row("recall of what the patient's record holds", held["recall"], "share", asked=">= 0.998"), row("recall of everything, with the patient's record", everything["recall"], "share"), row("precision, with the patient's record", everything["precision"], "share")]


def resources_a_second(resources, people):
    patient = lambda x: x["id"] if x["resourceType"] == "Patient" else ((x.get("subject") or x.get("patient") or {}).get("reference") or "").removeprefix("Patient/")
    jobs = [(json.dumps(x).encode(), patient(x)) for x in resources[:6000] if x["resourceType"] != "DocumentReference"]
    policy = load_policy("safe-harbor")
    one = lambda j: transform(j[0], Context(policy, b"k" * 32, j[1] or "none", people.get(j[1]), date(2026, 1, 1), False))
    for j in jobs[:200]: one(j)
    at = time.process_time()
    for j in jobs: one(j)
    return row("resources a second without notes, one core (CPU)", round(len(jobs) / (time.process_time() - at)), "resources/s")


def run() -> list[dict]:
    hospital = Hospital(patients=20, seed=SEED)
    resources, notes = list(hospital.resources()), list(hospital.notes())[:200]
    people = {r["id"]: known_of(r) for r in resources if r["resourceType"] == "Patient"}
    rows = [r for name, (examples, clinical) in sets(notes).items() for r in quality(name, examples, clinical)]
    texts = [n.text for n in Hospital(patients=120, seed=SEED + 1).notes()][:1500]
    wall, cpu, memory = speed_of(texts)
    size = sum(map(len, texts)) / len(texts) / 1000
    rows += with_record(notes, people) + [row(f"notes of {size:.2f} kB a second, 2 cores (clock)", wall, "notes/s"), row("the same in notes of 1 kB", round(wall * size, 1), "notes/s", asked=">= 250"), row("notes of that size a CPU second", cpu, "notes/s"), row("resident memory after them", memory, "MiB", asked="<= 300")]
    return [*rows, resources_a_second(resources, people)]


def main():
    for r in run(): print({k: v for k, v in r.items() if v not in (None, "") and k != "command"})


if __name__ == "__main__": main()
