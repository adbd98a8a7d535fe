"Whatever is in a lake, the checks end, and say the same however the work is split."
import msgspec, pyarrow as pa
from hypothesis import given, settings, strategies as st, HealthCheck

from healthlab.quality import assess
from healthlab.quality.rows import NEVER, instants

SCHEMA = pa.schema([(c, pa.string()) for c in ("id", "patient", "run_id", "source", "resource")])
TYPES = ["Patient", "Encounter", "Observation", "Condition", "MedicationRequest", "Procedure"]
leaf = st.none() | st.booleans() | st.integers(-10**9, 10**9) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8) | st.sampled_from(["2020-01-01", "2020", "Patient/a", "Encounter/b", "kg", "mg/dL", "http://loinc.org", "29463-7"])
name = st.sampled_from(["id", "subject", "encounter", "reference", "code", "coding", "system", "value", "valueQuantity", "unit", "component", "period", "start", "end", "effectiveDateTime", "birthDate", "deceasedDateTime",
                        "gender", "identifier", "name", "family", "status", "class", "issued", "clinicalStatus", "onsetDateTime", "valueString", "display"])
tree = st.recursive(leaf, lambda x: st.lists(x, max_size=3) | st.dictionaries(name, x, max_size=4), max_leaves=12)
resource = st.dictionaries(name, tree, max_size=8)


class Tables:
    def __init__(self, rows):
        self.t = {}
        for n, (kind, r) in enumerate(rows):
            r = {**r, "resourceType": kind}
            self.t.setdefault(kind, []).append(dict(id=f"r{n}", patient="r0" if n % 3 else None, run_id="r", source=str(n), resource=msgspec.json.encode(r).decode()))
        self.t = {k: pa.Table.from_pylist(v, SCHEMA) for k, v in self.t.items()}
    def tables(self, zone): return list(self.t)
    def version(self, zone, table): return 0
    def batches(self, zone, table, columns=None, where=None, version=None): return self.t[table].select(columns).to_batches(max_chunksize=self.size)
    def read(self, *a, **k): raise AssertionError("nothing to read")
    size = 3


@given(st.lists(st.tuples(st.sampled_from(TYPES), resource), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_resources_never_raise_and_splitting_changes_nothing(rows):
    lake = Tables(rows)
    a = assess(lake, store=False, workers=1)
    lake.size = 100
    b = assess(lake, store=False, workers=1)
    key = lambda r: sorted((f["check"], f["resource_type"], f["id"], f["path"]) for f in r.findings.to_pylist())
    assert key(a) == key(b)
    assert all(0 <= r["violations"] <= max(r["evaluated"], r["violations"]) and r["rate"] >= 0 for r in a.results.to_pylist())
    a.to_json(), a._repr_html_()


@given(st.lists(st.text(max_size=30) | st.none() | st.dates().map(str) | st.datetimes().map(lambda d: d.isoformat() + "Z"), max_size=20))
@settings(max_examples=100, deadline=None)
def test_dates_never_raise_and_are_intervals(texts):
    low, high = instants(texts)
    assert len(low) == len(texts) and ((low == NEVER) | (low <= high)).all()
