"""Notes in many styles, written by hand: shorthand, capitals, scans, letters of six countries, dictation, tables. Rules were made with deid_styles.txt in view,
with deid_held.txt not: of those only the totals were ever looked at."""
import re
from pathlib import Path

from healthlab.encoder.words import Example, Span

MARK = re.compile(r"\[\[([A-Z]+):(.*?)\]\]", re.DOTALL)


def read(marked: str) -> Example:
    "A text with [[KIND:identifier]] in it, as text and spans."
    text, spans, at = "", [], 0
    for m in MARK.finditer(marked):
        text += marked[at:m.start()]
        spans.append(Span(len(text), len(text) + len(m[2]), m[1]))
        text, at = text + m[2], m.end()
    return Example(text + marked[at:], spans)


def styles(file: str = "deid_styles.txt") -> dict[str, Example]:
    "Name of a style → its note."
    notes = re.split(r"(?m)^=== (.+)\n", Path(__file__).with_name(file).read_text("utf-8"))[1:]
    return {name: read(note) for name, note in zip(notes[::2], notes[1::2])}
