"""Whatever comes in, issues come out: never an exception, never a hang; and the fast path never vouches for what the slow path refuses."""
import copy
import io
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from healthlab.fhir.bundle import entries, iter_ndjson, stream_entries
from healthlab.fhir.issues import Issue, ResourceError
from healthlab.fhir.model import parse, structural, validate
from healthlab.fhir.structure import explain, typed

SEEDS = [
    {"resourceType": "Observation", "id": "o1", "meta": {"lastUpdated": "2026-01-01T10:00:00Z", "profile": ["http://x/p"]}, "status": "final",
     "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
     "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6", "display": "Systolic"}], "text": "BP"}, "subject": {"reference": "Patient/p1"},
     "effectivePeriod": {"start": "2026-01-01", "end": "2026-01-02"}, "component": [{"code": {"text": "a"}, "valueQuantity": {"value": 1.5, "unit": "mmHg"}}]},
    {"resourceType": "Patient", "id": "p1", "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},
     "extension": [{"url": "http://x/e", "valueCoding": {"system": "http://x", "code": "a b"}}, {"url": "http://x/f", "extension": [{"url": "g", "valueDecimal": 0.00010}]}],
     "name": [{"given": ["Ada", None], "_given": [None, {"extension": [{"url": "http://x", "valueBoolean": True}]}], "period": {"start": "2020"}}],
     "_birthDate": {"id": "b"}, "birthDate": "1974-02-28", "multipleBirthInteger": 2, "photo": [{"contentType": "image/png", "data": "QUJD"}],
     "contact": [{"relationship": [{"text": "wife"}], "name": {"family": "O"}}], "contained": [{"resourceType": "Organization", "id": "g", "name": "G"}],
     "managingOrganization": {"reference": "#g"}},
    {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": "urn:uuid:0b6d4c52-1a6c-4a35-b1c5-1f7a8a2f0d11", "resource": {"resourceType": "Condition", "clinicalStatus":
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]}, "subject": {"reference": "Patient/1"}, "onsetDateTime": "2025"},
         "request": {"method": "POST", "url": "Condition"}},
        {"fullUrl": "urn:uuid:1b6d4c52-1a6c-4a35-b1c5-1f7a8a2f0d11", "resource": {"resourceType": "Parameters", "parameter": [{"name": "a", "resource": {"resourceType": "Basic", "code": {"text": "b"}}}]},
         "request": {"method": "POST", "url": "Parameters"}}]},
]
JSON = st.recursive(st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats() | st.text(max_size=8) | st.sampled_from(["2026-02-30", "#a", "Patient/1", " ", "a  b", "\u0001", "\u00a0x"]),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.sampled_from(["id", "extension", "resourceType", "value", "_value", "url"]), inner, max_size=3), max_leaves=12)


def spots(value, path=()):
    "Every place inside a JSON value."
    yield path
    for k, v in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from spots(v, (*path, k))


@st.composite
def mutated(draw):
    "A valid resource with one to three places changed, removed, renamed or doubled."
    value = copy.deepcopy(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([p for p in spots(value) if p] or [()]))
        if not path: break
        at = value
        for step in path[:-1]: at = at[step]
        kind = draw(st.sampled_from(["replace", "remove", "rename", "wrap", "unwrap"]))
        if kind == "replace": at[path[-1]] = draw(JSON)
        elif kind == "remove": del at[path[-1]]
        elif kind == "wrap": at[path[-1]] = [at[path[-1]]]
        elif kind == "unwrap" and isinstance(at[path[-1]], list) and at[path[-1]]: at[path[-1]] = at[path[-1]][0]
        elif kind == "rename" and isinstance(at, dict): at[draw(st.sampled_from(["_" + path[-1], path[-1] + "x", "id", "valueString", "contained", "extension"]))] = at.pop(path[-1])
    return value


def agree(data: bytes):
    "The fast path says fine only where the slow path finds no error; parse, validate and structural say the same."
    slow = any(i.stops for i in explain(data))
    try: fast = typed(data) is not None
    except Exception: fast = False
    assert not (fast and slow), explain(data)
    assert any(i.stops for i in structural(data)) == slow
    issues = validate(data)
    assert all(isinstance(i, Issue) for i in issues) and (not slow or any(i.stops for i in issues))
    try: made = parse(data)
    except ResourceError as e: assert slow and e.issues
    else:
        assert not slow
        again = made.to_json()
        assert not any(i.stops for i in explain(again)), (explain(again), again)


@settings(max_examples=250, deadline=None)
@given(mutated(), st.booleans())
def test_mutated(value, spaced):
    agree(json.dumps(value, indent=1 if spaced else None, ensure_ascii=spaced).encode("utf-8", "surrogatepass"))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_mutated_bytes(value, data):
    text = bytearray(json.dumps(value).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at:at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3) | st.sampled_from([b'"', b"{", b"}", b"[", b",", b":", b"\\", b"\\u0022", b'"id":"a",']))
    agree(bytes(text))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data):
    agree(data)
    list(iter_ndjson(io.BytesIO(data)))
    list(stream_entries(io.BytesIO(data)))


@settings(max_examples=200, deadline=None)
@given(JSON, st.sampled_from(["Patient", "Observation", "Bundle", "Parameters", "Questionnaire", "StructureDefinition", None]))
def test_any_json(value, kind):
    if kind and isinstance(value, dict): value["resourceType"] = kind
    agree(json.dumps(value).encode("utf-8", "surrogatepass"))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=6), JSON), max_size=4), st.integers(1, 40), st.sampled_from([None, -1, 1]))
def test_streams_agree_with_decoding(rows, size, cut):
    class Pieces(io.BytesIO):
        def read(self, n=-1): return super().read(size)
    data = json.dumps({"resourceType": "Bundle", "x": [r[1] for r in rows], "entry": [{"fullUrl": u, "resource": {"v": v}} for u, v in rows]}, allow_nan=False).encode() \
        if not any("NaN" in json.dumps(v) or "Infinity" in json.dumps(v) for _, v in rows) else b'{"resourceType":"Bundle","entry":[]}'
    if cut is not None:
        list(stream_entries(Pieces(data[:cut])))
        return
    try: whole = entries(data)
    except ResourceError: return   # half a surrogate pair
    assert [e for _, e in stream_entries(Pieces(data))] == whole
