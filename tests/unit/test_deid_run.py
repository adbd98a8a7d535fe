"""The whole run over a lake: everything arrives pseudonymised, what cannot be made safe is held back, twice is the same."""
import json

import pyarrow as pa
import pytest

from healthlab.hospital import Hospital


@pytest.fixture
def lake(tmp_path, monkeypatch):
    for k, v in {"LAKE_URL": tmp_path / "lake", "KEYS_FILE": tmp_path / "keys/k.key", "AUDIT_PATH": tmp_path / "audit", "ACCESS_ROLE": "steward"}.items(): monkeypatch.setenv(f"HEALTHLAB_{k}", str(v))
    from healthlab.lake import Lake
    lake, rows = Lake(), {}
    for r in Hospital(patients=3, seed=5).resources():
        patient = r["id"] if r["resourceType"] == "Patient" else ((r.get("subject") or r.get("patient") or {}).get("reference") or "").removeprefix("Patient/") or None
        rows.setdefault(r["resourceType"], []).append(dict(id=r["id"], patient=patient, last_updated=None, hash="h", run_id="r", source="Doe_John.json#1", resource=json.dumps(r)))
    rows["Condition"].append(dict(id="broken", patient=None, last_updated=None, hash="h", run_id="r", source="x", resource='{"resourceType": "Condition", "id": '))
    schema = pa.schema([("id", pa.string()), ("patient", pa.string()), ("last_updated", pa.timestamp("us", "UTC")), *((n, pa.string()) for n in ("hash", "run_id", "source", "resource"))])
    for name, held in rows.items(): lake.write("identified", name, pa.Table.from_pylist(held, schema=schema), run_id="r")
    return lake

def test_a_run_over_a_lake(lake):
    from healthlab.deid import deidentify
    report = deidentify(lake, workers=1)
    before, after = ({t: lake.read(z, t).to_pylist() for t in lake.tables(z) if t[0].isupper()} for z in ("identified", "deidentified"))
    assert report.dropped == 1 and report.resources == sum(map(len, before.values())) - 1
    assert not {r["id"] for rs in before.values() for r in rs} & {r["id"] for rs in after.values() for r in rs}
    people = {r["id"] for r in after["Patient"]}
    assert all(r["patient"] in people for r in after["Observation"]) and all(r["source"] == "" for rs in after.values() for r in rs)
    names = {n for r in before["Patient"] for x in json.loads(r["resource"])["name"] for n in [*x["given"], x["family"]] if len(n) > 4}
    assert names and not [n for n in names if any(f'"{n}' in r["resource"] for r in after["Patient"])]
    once = {r["id"]: r["hash"] for rs in after.values() for r in rs}
    deidentify(lake, workers=1)
    assert once == {r["id"]: r["hash"] for t in after for r in lake.read("deidentified", t).to_pylist()}
    assert [row["letter"] for row in report.checklist()] == list("ABCDEFGHIJKLMNOPQR") and report.changes > 100
