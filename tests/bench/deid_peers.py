"""Other tools' identifiers in texts, run by the Python of their own virtual environment (HEALTHLAB_BENCH_DEID_PEERS, see bench_deid.py):

    python deid_peers.py presidio|scrubadub|philter|pydeid < texts.json > {"spans": [[[start, end], …], …], "seconds": CPU seconds}
"""
import importlib.util
import json
import logging
import os
import pickle
import sys
import tempfile
import time
from pathlib import Path


def presidio():
    "Every recogniser that comes with it for English; no spaCy model is on the package index, so its recogniser of names has none."
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    logging.getLogger("tldextract").setLevel(logging.CRITICAL)  # it asks for a newer suffix list and does without
    engine = SpacyNlpEngine()
    engine.nlp = {"en": spacy.blank("en")}
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])
    return lambda texts: [[(r.start, r.end) for r in analyzer.analyze(t, language="en")] for t in texts]


def scrubadub():
    "Its default detectors, with dates of birth and payment cards."
    import scrubadub as s
    scrubber = s.Scrubber()
    for name in ("date_of_birth", "credit_card"):
        if name not in scrubber._detectors: scrubber.add_detector(name)
    return lambda texts: [[(f.beg, f.end) for f in scrubber.iter_filth(t)] for t in texts]


def _part_of_speech(folder: Path):
    "NLTK's tagger without a download: the same averaged perceptron, as the package textblob-aptagger carries it."
    file = next(Path(importlib.util.find_spec("textblob_aptagger").origin).parent.glob("trontagger*.pickle"))
    weights, tags, classes = pickle.loads(file.read_bytes())
    at = folder / "taggers" / "averaged_perceptron_tagger_eng"
    at.mkdir(parents=True)
    for name, value in (("weights", weights), ("tagdict", tags), ("classes", sorted(classes))): (at / f"averaged_perceptron_tagger_eng.{name}.json").write_text(json.dumps(value))


def philter():
    "Its filters philter_delta, over files, as it works; what it stars is what it found."
    import re
    plain = re.compile
    def compiled(pattern, flags=0):
        if isinstance(pattern, str) and "(?i)" in pattern[1:]: pattern = "(?i)" + pattern.replace("(?i)", "")  # Python 3.11 wants flags in front
        return plain(pattern, flags)
    re.compile = compiled
    import philter_ucsf
    from philter_ucsf.philter import Philter
    home = Path(philter_ucsf.__file__).parent
    def find(texts):
        with tempfile.TemporaryDirectory() as made:
            made = Path(made)
            _part_of_speech(made / "nltk")
            import nltk
            nltk.data.path.insert(0, str(made / "nltk"))
            for d in ("in", "out"): (made / d).mkdir()
            for i, t in enumerate(texts): (made / "in" / f"{i}.txt").write_text(t, "utf-8")
            os.chdir(home)  # its filters name files relative to itself
            p = Philter({"verbose": False, "run_eval": False, "finpath": f"{made}/in/", "foutpath": f"{made}/out/", "outformat": "asterisk", "filters": str(home / "configs" / "philter_delta.json"), "cachepos": None})
            p.map_coordinates(); p.transform()
            return [_starred(t, (made / "out" / f"{i}.txt").read_text("utf-8")) for i, t in enumerate(texts)]
    return find


def _starred(text, out):
    spans = []
    for i, (a, b) in enumerate(zip(text, out)):
        if b != "*" or a == "*": continue
        if spans and spans[-1][1] == i: spans[-1][1] = i + 1
        else: spans.append([i, i + 1])
    return spans


def pydeid():
    try: from pydeid import deid_string
    except ImportError: raise ImportError("the package index has only the empty 0.0.1 of it") from None
    return lambda texts: [[(s["start"], s["end"]) for s in deid_string(t)[0]] for t in texts]


def main():
    texts, quiet = json.load(sys.stdin), os.dup(1)
    os.dup2(2, 1)  # what they print is none of the answer
    find = {"presidio": presidio, "scrubadub": scrubadub, "philter": philter, "pydeid": pydeid}[sys.argv[1]]()
    start = time.process_time()
    spans = find(texts)
    os.write(quiet, json.dumps({"spans": spans, "seconds": time.process_time() - start}).encode())


if __name__ == "__main__": main()
