"""The evidence of a run, its sample for people, and the way back for who holds the key."""
import json

import pyarrow as pa
import pytest

from healthlab.core import audit
from healthlab.core.errors import AccessDenied, InputError
from healthlab.deid.evidence import REVIEW, draw_review, evidence, record_review, upper_bound
from healthlab.deid.reidentification import reidentify
from healthlab.deid.resource import pseudonym
from healthlab.deid.text import date_offset, number_surrogate, secret
from healthlab.hospital import Hospital


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from healthlab.deid import deidentify
    from healthlab.lake import Lake
    tmp = tmp_path_factory.mktemp("evidence")
    with pytest.MonkeyPatch.context() as m:
        for k, v in {"LAKE_URL": tmp / "lake", "KEYS_FILE": tmp / "keys/k.key", "AUDIT_PATH": tmp / "audit", "ACCESS_ROLE": "steward"}.items(): m.setenv(f"HEALTHLAB_{k}", str(v))
        lake, rows = Lake(), {}
        for r in Hospital(patients=2, seed=9).resources():
            who = r["id"] if r["resourceType"] == "Patient" else ((r.get("subject") or r.get("patient") or {}).get("reference") or "").removeprefix("Patient/") or None
            if len(rows.setdefault(r["resourceType"], [])) < 40: rows[r["resourceType"]].append(dict(id=r["id"], patient=who, last_updated=None, hash="h", run_id="r", source="", resource=json.dumps(r)))
        schema = pa.schema([("id", pa.string()), ("patient", pa.string()), ("last_updated", pa.timestamp("us", "UTC")), *((n, pa.string()) for n in ("hash", "run_id", "source", "resource"))])
        for name, held in rows.items(): lake.write("identified", name, pa.Table.from_pylist(held, schema=schema), run_id="r")
        yield lake, deidentify(lake, workers=1)


def trail(event): return [e | {"detail": json.loads(e["detail"]) if isinstance(e["detail"], str) else e["detail"]} for e in audit.entries().to_pylist() if e["event"] == event]


def test_the_pack_says_what_was_done_and_holds_nothing_of_anybody(run):
    lake, report = run
    pack = evidence(report, lake, sample=12, seed=4)
    d, page = json.loads(pack.to_json()), pack.to_html()
    assert [c["letter"] for c in d["checklist"]] == list("ABCDEFGHIJKLMNOPQR") and d["policy_fingerprint"] == pack.policy.fingerprint and d["key_fingerprint"]
    assert d["letters"] == {c["letter"]: c["changes"] for c in d["checklist"] if c["changes"]} and sum(sum(w.values()) for w in d["where"].values()) == d["changes"] == sum(d["methods"].values())
    people = [json.loads(r["resource"]) for r in lake.read("identified", "Patient").to_pylist()]
    held = {w for p in people for w in [p["id"], p["birthDate"], *(x["family"] for x in p["name"]), *(i["value"] for i in p["identifier"])]}
    assert held and not [w for w in held if w in page or w in pack.to_json()]
    assert "12 (6 notes)" in page and all(f"<td>{k}</td>" in page for k in "ABCDEFGHIJKLMNOPQR")


def test_the_sample_is_drawn_by_its_seed_and_pairs_before_with_after(run):
    lake, report = run
    drawn = [draw_review(lake, run_id, 10, seed) for run_id, seed in (("one", 1), ("again", 1), ("other", 2))]
    rows = lake.read("identified", REVIEW).to_pylist()
    of = lambda run_id: sorted((r["type"], r["id"]) for r in rows if r["run_id"] == run_id)
    assert of("one") == of("again") != of("other") and drawn[0] == {"zone": "identified", "table": REVIEW, "size": 10, "seed": 1, "notes": 5}
    assert REVIEW not in lake.tables("deidentified")
    patients = {r["id"]: json.loads(r["resource"]) for r in lake.read("identified", "Patient").to_pylist()}
    for r in rows:
        assert r["before"] != r["after"] and r["id"] not in r["after"] and not [n["family"] for p in patients.values() for n in p["name"] if f'"{n["family"]}"' in r["after"]]


def test_a_review_has_a_bound_and_is_audited(run):
    said = record_review(run[1].run_id, 300, 0, "Ada")
    assert said["at_most"] < .01 and trail("deid.review")[-1]["detail"]["found"] == 0 and "0.9" in evidence(run[1], review=said).to_json()
    for wrong in ((0, 0, "Ada"), (10, 11, "Ada"), (10, 0, " "), (10, -1, "Ada")):
        with pytest.raises(InputError): record_review("r", *wrong)
    assert upper_bound(0, 300) == pytest.approx(1 - .05 ** (1 / 300)) and upper_bound(5, 5) == 1


def test_evidence_under_another_policy_is_refused(run):
    with pytest.raises(InputError): evidence(run[1], policy="limited-data-set")


def test_who_holds_the_key_finds_the_patient_and_the_trail_says_so(run):
    lake, _ = run
    p = next(json.loads(r["resource"]) for r in lake.read("identified", "Patient").to_pylist())
    for surrogate, of in ((pseudonym(secret(), "Patient", p["id"]), "Patient.id"), (number_surrogate(secret(), p["id"], p["identifier"][0]["value"]), "identifier")):
        found = reidentify(surrogate, by="Ada", approved_by="Grace", reason="finding needs treatment, call 617-555-0188", lake=lake)
        assert (found.patient, found.of, found.days) == (p["id"], of, date_offset(secret(), p["id"])) and p["id"] not in repr(found) and p["id"] in str(found)
    asked = trail("reidentify.asked")[-1]["detail"]
    assert asked["by"] == "Ada" and asked["approved_by"] == "Grace" and "0188" not in asked["reason"] and p["id"] not in json.dumps(trail("reidentify.answered"), default=str)


@pytest.mark.parametrize("by,approved,reason", [("Ada", "Ada", "finding needs treatment"), ("Ada", " ADA ", "finding needs treatment"), ("", "Grace", "finding needs treatment"), ("Ada", "", "finding needs treatment"), ("Ada", "Grace", "because")])
def test_without_a_second_person_and_a_reason_nobody_is_found(run, by, approved, reason):
    before = len(trail("reidentify.refused"))
    with pytest.raises(AccessDenied): reidentify("anything", by=by, approved_by=approved, reason=reason, lake=run[0])
    assert len(trail("reidentify.refused")) == before + 1


def test_a_researcher_is_refused_and_an_unknown_surrogate_is_nobody(run, monkeypatch):
    with pytest.raises(InputError): reidentify("0" * 32, by="Ada", approved_by="Grace", reason="finding needs treatment", lake=run[0])
    monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", "researcher")
    with pytest.raises(AccessDenied): reidentify("0" * 32, by="Ada", approved_by="Grace", reason="finding needs treatment", lake=run[0])
