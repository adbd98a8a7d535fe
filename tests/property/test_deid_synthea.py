"""Real Synthea exports, transformed: nothing of a patient's record comes out, and all of it is still FHIR."""
import base64
import gzip
import json
import re
from datetime import date
from pathlib import Path

import pytest

from healthlab.deid.policy import load_policy
from healthlab.deid.resource import Context, transform
from healthlab.deid.text import known_of
from healthlab.fhir.structure import structural

LANDING = Path(__file__).parents[3] / "shared" / "data" / "landing" / "fhir_bundles"
if not LANDING.is_dir(): pytest.skip("../shared/data/landing/fhir_bundles is absent: no Synthea exports to transform", allow_module_level=True)
FILES = [f for kind in ("hiv", "msft", "smart") for f in sorted((LANDING / kind).glob("*.json*"))[:3]]

def bundle(file): return json.loads(gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes())

def opened(o):
    text = json.dumps(o, ensure_ascii=False)
    return text + "".join(base64.b64decode(d).decode("utf-8", "replace") for d in re.findall(r'"data": "([A-Za-z0-9+/=]+)"', text))

def secrets(p):
    for n in p["name"]: yield from [*n.get("given", []), n.get("family", "")]
    for a in p["address"]: yield from [*a.get("line", []), a.get("postalCode", "")]
    for t in p.get("telecom", []): yield t["value"]
    for i in p["identifier"]: yield i["value"]
    yield p["birthDate"]; yield p["id"]

@pytest.mark.parametrize("file", FILES, ids=lambda f: f.parent.name + "-" + f.stem[-12:-5])
def test_nothing_of_the_record_comes_out(file):
    resources = [e["resource"] for e in bundle(file)["entry"]]
    patient = next(r for r in resources if r["resourceType"] == "Patient")
    known, wrong, leaks = known_of(patient), set(), set()
    signs = [s for s in secrets(patient) if len(s) > 4]
    assert len(signs) > 5
    for r in resources:
        made = transform(json.dumps(r).encode(), Context(load_policy("safe-harbor"), b"k" * 32, patient["id"], known, date(2026, 1, 1), False))
        wrong |= {(r["resourceType"], i.path, i.code) for i in structural(made)}
        text = opened(json.loads(made))
        leaks |= {(r["resourceType"], len(s), s[:1]) for s in signs if re.search(rf"(?<!\w){re.escape(s)}(?!\w)", text)}
    assert not wrong
    assert not leaks
