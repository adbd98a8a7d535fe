"""Random mutations of the audit trail: every one is found."""
import os
import random
from pathlib import Path

from hypothesis import HealthCheck, given, settings, strategies as st

from healthlab.core.audit import record, verify

KEPT = {}


def whole():
    "A trail of 30 entries, made once a test."
    f = Path(os.environ["HEALTHLAB_AUDIT_PATH"]) / "audit-000001.jsonl"
    if KEPT.get("path") != f:
        for i in range(30): record("write", zone="identified", table=f"T{i % 3}", detail=dict(rows=i))
        KEPT.update(path=f, raw=f.read_bytes())
    return f, KEPT["raw"]


def mutate(raw: bytes, kind: str, rng: random.Random) -> bytes:
    lines = raw.splitlines(keepends=True)
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    at = rng.randrange(len(raw))
    if kind == "byte": return raw[:at] + bytes([raw[at] ^ (1 << rng.randrange(8))]) + raw[at + 1:]
    if kind == "insert": return raw[:at] + bytes([rng.randrange(256)]) + raw[at:]
    if kind == "remove": return raw[:at] + raw[at + 1 + rng.randrange(50):]
    if kind == "cut": return raw[:at]
    if kind == "delete": del lines[min(i, j):max(i, j) + 1]
    if kind == "swap": lines[i], lines[j] = lines[j], lines[i]
    if kind == "repeat": lines.insert(j, lines[i])
    if kind == "move": lines.insert(j, lines.pop(i))
    if kind == "append": lines.append(lines[i])
    return b"".join(lines)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["byte", "insert", "remove", "cut", "delete", "swap", "repeat", "move", "append"]), seed=st.integers(0, 1 << 32))
def test_every_mutation_is_found(kind, seed):
    f, raw = whole()
    changed = mutate(raw, kind, random.Random(seed))
    f.write_bytes(changed)
    try: assert verify().ok == (changed == raw)
    finally: f.write_bytes(raw)
