"""One walk over a text finds what sixty would: the finder against `finditer`, on notes, on notes spoilt at random, and on strings made of the forms' own pieces."""
import random
import re

import pytest

from healthlab.deid import patterns
from healthlab.deid.starts import Finder, beginnings
from healthlab.hospital import Hospital

PIECES = ["MRN", "MR#", "SSN", "S/N", "fax", "Tel.", "ext", "x", "Dr", "Dr.", "Smith", "O'Brien", "JONES", "MD", ", M.D.", "PA-C", "PT", "IL", "TX 75001", ", MA", "the", "3rd", "of", "March", "Mar", "12", "3", "2021", "05", "9", "617", "(617)", "+1", "5550123", "555-0123",
          "95", "year old", "yo", "12 Oak Street", "Apt 4", "St", "Hospital", "Medical Center", "General", "Cardiology", "@", "example", ".org", " dot com", " at ", "www.", "http://", "10.0.0.1", "ab:cd:ef:01:23:45", "1HGCM82633A004352", "DE89370400440532013000", "4111 1111 1111 1111",
          "zip", "02155", "P.O. Box 12", "wife", "his", "patient", "Name:", "signed by", "ABC", "-", "/", ".", ",", " ", " ", " ", "\n", ":", "#", "é", "ſ", "K", "٣", "’", "_", "19-2345-67", "A-123456"]


def spoilt(text, draw):
    "The text in capitals, cut, or with characters exchanged."
    turn = draw.randrange(4)
    if turn == 0: return text.upper()
    if turn == 1: return text.replace(" ", draw.choice(["  ", "\n", "\t"]))
    if turn == 2: return "".join(c if draw.random() > .04 else draw.choice("0123456789-/. :,#()@+xXAZaz'_ſKıéß٣") for c in text)
    return text[draw.randrange(len(text)):][:700]


@pytest.fixture(scope="module")
def texts():
    draw = random.Random(11)
    notes = [n.text for n in Hospital(patients=6, seed=31).notes()][:50]
    return notes + [spoilt(t, draw) for t in notes for _ in range(3)] + ["".join(draw.choice(PIECES) + draw.choice(["", " ", " "]) for _ in range(draw.randrange(3, 60))) for _ in range(600)]


def test_a_walk_finds_what_finditer_finds(texts):
    finder, found = patterns._finder(), 0
    whole = [patterns.DATE] + [parts[0] for parts in finder.all[1:]]
    for text in texts:
        for e, each in zip(whole, finder(text)):
            assert [m.span() for m in each] == [m.span() for m in e.finditer(text)], (e.pattern[:60], text[:200])
            found += len(each)
    assert found > 2000


def test_an_expression_that_cannot_be_told_is_looked_for_everywhere():
    assert beginnings(r"[A-Za-z]+@\w+") is None       # any word
    assert beginnings(r"(?:MRN|ID)\d") is None         # may begin inside a word
    assert beginnings(r"(?<![A-Z])\d{4}") is None      # may begin inside a number
    assert beginnings(r"\d?-x") is None
    assert [m[0] for m in Finder([re.compile(r"[a-z]+@\w+")])("so a@b, c@d")[0]] == ["a@b", "c@d"]


def test_letters_beyond_ascii_that_match_when_capitals_do_not_matter():
    assert [m[0] for m in Finder([re.compile(r"\bssn:\d+", re.IGNORECASE)])("ſSN:12 and SSN:34")[0]] == ["ſSN:12", "SSN:34"]
