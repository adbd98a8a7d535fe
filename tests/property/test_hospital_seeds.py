"""Whatever the seed, the simulated hospital keeps its promises."""
import msgspec
from hypothesis import given, settings, strategies as st

from healthlab.fhir.model import structural
from healthlab.hospital import Hospital


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31 - 2))
def test_any_seed_is_whole(seed):
    h = Hospital(patients=2, seed=seed)
    assert all(not structural(msgspec.json.encode(r)) for r in h.resources())
    for lf in h.lives():
        assert all(a.end < b.start for a, b in zip(lf.visits, lf.visits[1:]))
        assert not lf.death or all(v.end <= lf.death for v in lf.visits)
    for n in h.notes():
        assert all(n.text[s.start:s.end].strip() == n.text[s.start:s.end] != "" for s in [*n.phi, *n.entities])
