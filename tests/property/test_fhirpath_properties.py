"""Arbitrary expressions, views and resources give answers or named errors: nothing else, and in bounded time."""
import json

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from healthlab.fhir import temporal
from healthlab.fhir.path import FHIRPathError, evaluate
from healthlab.fhir.ucum import UnitError, convert, unit
from healthlab.fhir.views import ViewDefinition, ViewError, shipped

QUICK = settings(max_examples=150, deadline=5000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
PIECES = ["name", "given", "value", "birthDate", "Patient", "extension", "contained", "id", "$this", "$index", "$total", "%resource", "%x", "{}", "1", "2.5", "'a'", "''", "@2014", "@T10:30",
          "3 days", "4 'mg'", "true", "(", ")", "[", "]", ".", ",", "+", "-", "*", "/", "|", "&", "=", "~", "<", ">=", "and", "or", "implies", "is", "as", "in", "contains", "div", "mod",
          "where", "select", "repeat", "repeatAll", "iif", "aggregate", "sort", "exists", "all", "ofType", "first", "descendants", "children", "count", "join", "replace", "matches", "toString",
          "toQuantity", "lowBoundary", "highBoundary", "power", "round", "resolve", "trace", "defineVariable", "String", "Quantity", "//", "`", "@"]
expressions = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join), st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
calls = st.lists(st.sampled_from(["name", "given", "children()", "descendants()", "repeat($this)", "repeat(children())", "repeatAll(children())", "select($this | $this)", "where(true)", "first()", "sort()",
                                  "toString()", "count()", "ofType(string)", "type()", "id", "extension('u')", "lowBoundary()", "abs()", "join(',')", "distinct()", "combine($this)", "matches('(a|a)*$')"]), max_size=8).map(".".join)
values = st.recursive(st.none() | st.booleans() | st.integers(-10 ** 30, 10 ** 30) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["name", "given", "_given", "value", "valueQuantity", "extension", "url", "coding", "code", "resourceType", "id", "reference", "component", "contained", "x"]), inner, max_size=4), max_leaves=12)
resources = st.fixed_dictionaries({"resourceType": st.sampled_from(["Patient", "Observation", "Bundle", "Nothing"])}, optional={
    k: values for k in ("id", "name", "birthDate", "_birthDate", "contained", "valueQuantity", "valueDateTime", "component", "code", "subject", "effectiveDateTime", "extension", "entry", "active")})


@QUICK
@given(resources, expressions)
@example({"resourceType": "Patient"}, "a" + ".a" * 3000)
@example({"resourceType": "Patient"}, "1" + "+1" * 3000)
@example({"resourceType": "Patient"}, "-" * 5000 + "1")
@example({"resourceType": "Patient"}, "(" * 3000)
@example({"resourceType": "Patient", "birthDate": "0000"}, "birthDate + 1 'd'")
def test_arbitrary_expressions(resource, expression):
    try: assert isinstance(evaluate(resource, expression, strict=False), list)
    except FHIRPathError: pass


@QUICK
@given(resources, calls)
def test_chains_of_calls(resource, expression):
    try: assert isinstance(evaluate(resource, expression or "id", strict=False), list)
    except FHIRPathError: pass


@QUICK
@given(values)
def test_arbitrary_views(obj):
    for view in (obj, {"resource": "Patient", "select": obj}, {"resource": "Patient", "select": [obj]}, {"resource": "Patient", "select": [{"column": obj}]},
                 {"resource": "Patient", "constant": obj, "select": [{"column": [{"name": "a", "path": "id"}]}]}):
        try: ViewDefinition.from_json(view)
        except ViewError: pass


@QUICK
@given(resources, st.sampled_from(["patient", "observation"]))
def test_shipped_views_over_arbitrary_resources(resource, name):
    for given_ in (resource, json.dumps(resource).encode()):
        try: assert shipped_view(name).run([given_]).num_columns == len(shipped_view(name).schema)
        except ViewError: pass


BASE = [
    {"resourceType": "Patient", "id": "p", "active": True, "gender": "female", "birthDate": "1974-12", "deceasedBoolean": False, "address": [{"city": "c", "postalCode": "1"}],
     "generalPractitioner": [{"reference": "Practitioner/d"}], "extension": [{"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race", "extension": [{"url": "ombCategory", "valueCoding": {"display": "x"}}]}]},
    {"resourceType": "Observation", "id": "o", "status": "final", "subject": {"reference": "Patient/p"}, "code": {"coding": [{"system": "s", "code": "c"}], "text": "t"}, "effectiveDateTime": "2024-03-01T10:00:00Z",
     "component": [{"code": {"text": "sys"}, "valueQuantity": {"value": 1.5, "unit": "mg"}}], "valueCodeableConcept": {"coding": [{"code": "v"}]}},
    {"resourceType": "DocumentReference", "id": "d", "status": "current", "date": "2024", "subject": {"reference": "Patient/p/_history/1"}, "content": [{"attachment": {"contentType": "text/plain", "data": "aGVsbG8="}}]},
]


def places(v, at=()):
    "Every place in a JSON value."
    yield at
    for k, x in v.items() if isinstance(v, dict) else enumerate(v) if isinstance(v, list) else (): yield from places(x, (*at, k))


def put(v, at, x):
    if not at: return x
    copy = dict(v) if isinstance(v, dict) else list(v)
    copy[at[0]] = put(v[at[0]], at[1:], x)
    return copy


@QUICK
@given(st.data())
def test_generated_code_and_engine_agree_on_damaged_resources(data):
    resource = data.draw(st.sampled_from(BASE))
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.sampled_from([p for p in places(resource) if p and p[0] != "resourceType"]))
        resource = put(resource, at, data.draw(values))
    name = {"Patient": "patient", "Observation": "observation", "DocumentReference": "document"}[resource["resourceType"]]
    fast, engine = shipped_view(name), engine_view(name)
    got = [answer(fast, resource), answer(fast, json.dumps(resource).encode()), answer(engine, resource)]
    assert got[0] == got[1] == got[2]


def answer(view, resource):
    try: return view.run([resource]).to_pylist()
    except ViewError as e: return e.code


def engine_view(name, kept={}):  # noqa: B006
    if name not in kept:
        kept[name] = ViewDefinition.from_json(shipped_view(name).json)
        kept[name]._fast = None
    return kept[name]


@QUICK
@given(st.binary(max_size=60))
def test_views_over_arbitrary_bytes(data):
    for given_ in (data, b'{"resourceType":"Patient",' + data, b'{"resourceType":"Patient","name":' + data + b"}"):
        try: shipped_view("patient").run([given_])
        except ViewError: pass


def shipped_view(name, kept={}):  # noqa: B006 compiled once for all examples
    if not kept: kept.update(shipped())
    return kept[name]


@QUICK
@given(st.text(alphabet="mgLkd/.{}()[]0123456789*^-+'%uiUHO2 ", max_size=20))
def test_units(text):
    try: assert unit(text).factor > 0 and convert(1, text, text) == 1
    except UnitError: pass


@QUICK
@given(st.text(alphabet="0123456789-:TZ+.", max_size=30))
def test_dates_are_what_they_print(text):
    for kind in temporal.KINDS:
        t = temporal.parse(text, kind)
        if t is not None:
            assert temporal.parse(str(t), kind) == t or temporal.compare(t, t) == 0
            low, high = temporal.boundary(t, False), temporal.boundary(t, True)
            assert low.parts[:1] <= t.parts[:1] <= high.parts[:1]


@QUICK
@given(st.dates(), st.integers(-500, 500), st.sampled_from(["days", "months", "years", "weeks"]))
def test_adding_and_taking_away(day, n, word):
    got = evaluate({}, f"@{day.isoformat()} + {abs(n)} {word}")
    if got and word in ("days", "weeks"): assert evaluate({}, f"@{got[0]} - {abs(n)} {word}") == [day.isoformat()]
