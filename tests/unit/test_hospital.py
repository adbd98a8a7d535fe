"""The simulated hospital: determinism, gold spans, validity, references, intervals, prevalence, readmission, defects."""
import collections
import datetime as dt
import gzip
import hashlib
import json
import re
from pathlib import Path

import msgspec
import pytest

from healthlab.fhir.hl7v2 import parse, split_batch
from healthlab.fhir.model import structural, validate
from healthlab.hospital import Hospital, gold_folder
from healthlab.hospital import defects, records
from healthlab.hospital.catalogue import LOINC, SNOMED, table

START, END = dt.date(2019, 1, 1), dt.date(2025, 12, 31)


def tree(folder):
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def lives(): return list(Hospital(patients=1600).lives())


@pytest.fixture(scope="module")
def resources(): return list(Hospital(patients=40, seed=1).resources())


@pytest.fixture(scope="module")
def notes(): return list(Hospital(patients=60, seed=3).notes())


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital") / "landing"
    return folder, Hospital(patients=30, seed=5).emit(folder, defects=.05, progress=False, workers=1)


def test_same_seed_is_byte_identical_whatever_the_workers(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    Hospital(patients=30, seed=2).emit(one / "x", defects=.05, progress=False, workers=1)
    Hospital(patients=30, seed=2).emit(two / "x", defects=.05, progress=False, workers=2)
    assert tree(one) == tree(two)


def test_another_seed_is_another_hospital():
    a, b = (next(Hospital(patients=1, seed=s).lives()).person for s in (0, 1))
    assert (a.family, a.birth, a.mrn, a.id) != (b.family, b.birth, b.mrn, b.id)


def test_a_patient_does_not_depend_on_how_many_there_are():
    assert list(Hospital(patients=3, seed=4).lives())[2] == list(Hospital(patients=7, seed=4).lives())[2]


def test_every_resource_is_valid_fhir(resources):
    problems = collections.Counter((r["resourceType"], i.path, i.message) for r in resources for i in validate(msgspec.json.encode(r)) if i.severity in ("error", "fatal"))
    assert not problems


def test_ids_are_unique_and_references_resolve(resources):
    ids = collections.Counter((r["resourceType"], r["id"]) for r in resources)
    assert max(ids.values()) == 1
    known = {f"{t}/{i}" for t, i in ids}
    refs = {m for r in resources for m in re.findall(r'"reference":"([^"]+)"', msgspec.json.encode(r).decode())}
    assert refs and refs <= known


def test_fhir_resources_agrees(resources):
    """Second opinion: pydantic models of fhir.resources (R4B) accept one of each type."""
    import importlib
    for kind in {r["resourceType"] for r in resources}:
        model = getattr(importlib.import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
        for r in [r for r in resources if r["resourceType"] == kind][:15]: model.model_validate(r)


def test_life_is_in_order(lives):
    for lf in lives:
        edge = lf.death or dt.datetime.combine(END, dt.time())
        for a, b in zip(lf.visits, lf.visits[1:]): assert a.end < b.start
        for v in lf.visits:
            assert v.start < v.end <= edge and v.start.date() >= lf.person.birth
            assert all(v.start <= o.time <= v.end for o in v.obs)
            assert all(v.start <= s < e <= v.end for _, s, e in v.procedures)
            assert all(v.start <= t <= v.end for _, t in v.notes)
        for q in lf.problems: assert q.onset <= q.recorded and (q.abated is None or q.recorded <= q.abated <= edge) and q.onset.date() >= lf.person.birth
        for m in lf.meds: assert m.start <= edge and (m.end is None or m.start <= m.end)


def test_values_are_plausible_and_units_fixed(resources):
    units = collections.defaultdict(set)
    for r in resources:
        for o in [r, *r.get("component", ())] if r["resourceType"] == "Observation" else ():
            if q := o.get("valueQuantity"): units[o["code"]["coding"][0]["code"]].add(q["code"])
    assert units and all(len(u) == 1 for u in units.values())
    ranges = {t["loinc"]: (float(t["floor"] or 0), float(t["ceil"])) for t in table("observations").values()}
    for r in resources:
        if r["resourceType"] == "Observation" and "valueQuantity" in r:
            low, high = ranges[r["code"]["coding"][0]["code"]]
            assert low <= r["valueQuantity"]["value"] <= high


def test_sex_specific_conditions(lives):
    for lf in lives:
        for q in lf.problems:
            want = table("conditions")[q.key]["sex"]
            assert not want or want == lf.person.sex


# share of adults, plausible for a population served by a hospital (older than the general one):
# hypertension 48 %, diabetes 12-18 %, obesity 42 % (NHANES 2017-2020); asthma 8-16 % lifetime (NHIS); CKD 14 % (CDC 2023); depression 18 % lifetime
# (CDC BRFSS 2020); heart failure 2-6 % (AHA 2024, higher in care); COPD 6 % (CDC); hypothyroidism 5-12 % (NHANES); AF 2-6 % (AHA)
@pytest.mark.parametrize("key,low,high", [("htn", .38, .55), ("t2dm", .10, .22), ("obesity", .33, .46), ("asthma", .08, .2), ("ckd3", .06, .16), ("depression", .14, .28), ("hf", .025, .09), ("copd", .035, .1), ("hypothyroid", .05, .13), ("afib", .02, .08)])
def test_prevalence(lives, key, low, high):
    adults = [lf for lf in lives if (END - lf.person.birth).days > 18 * 365.25]
    assert low <= sum(key in lf.body.onset for lf in adults) / len(adults) <= high


def test_diabetes_drives_kidney_disease_and_sugar(lives):
    old = [lf for lf in lives if 55 < (END - lf.person.birth).days / 365.25 < 80]
    share = lambda group: sum("ckd3" in lf.body.onset for lf in group) / len(group)
    assert share([x for x in old if "t2dm" in x.body.onset]) > 1.4 * share([x for x in old if "t2dm" not in x.body.onset])
    values = lambda yes: [o.value for lf in old if ("t2dm" in lf.body.onset) == yes for v in lf.visits for o in v.obs if o.key == "a1c"]
    mean = lambda x: sum(x) / len(x)
    assert mean(values(True)) > mean(values(False)) + 1


def test_readmission_can_be_learned(lives):
    """A logistic model on covariates of the record finds it; chance was given a risk whose own AUROC leaves room but not much."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    rows, y, risk, group = [], [], [], []
    for lf in lives:
        stays = [v for v in lf.visits if v.kind == "inpatient"]
        for n, v in enumerate(stays):
            if v.died: continue
            has = lambda k, onset=lf.body.onset, day=v.end.date(): onset.get(k, dt.date.max) <= day
            last = {o.key: o.value for o in v.obs}
            meds = sum(m.start <= v.end and (m.end is None or m.end > v.end) and not m.given for m in lf.meds)
            rows.append([(v.end.date() - lf.person.birth).days / 365.25, sum((v.start - s.end).days <= 365 for s in stays[:n]), has("hf"), has("copd"), has("ckd3"), has("ckd4"), has("depression"), (v.end - v.start).days, last.get("hgb", 13) < 11, last.get("sodium", 140) < 135,
                         lf.person.housing == "unstable", lf.person.alone, meds, v.reason in ("pregnancy", "preeclampsia"), v.disposition == "snf", has("colon_ca") or has("breast_ca")])
            y.append(n + 1 < len(stays) and stays[n + 1].readmission); risk.append(v.risk); group.append(lf.person.index)
    assert .06 < sum(y) / len(y) < .22   # 30-day readmission in US adults: 14 % (HCUP 2020)
    p = cross_val_predict(make_pipeline(StandardScaler(), LogisticRegression(C=.2)), rows, y, groups=group, cv=GroupKFold(5), method="predict_proba")[:, 1]
    assert roc_auc_score(y, p) > .64 and .7 < roc_auc_score(y, risk) < .85


def test_gold_spans_are_exact(notes):
    for n in notes:
        for s in [*n.phi, *n.entities]:
            piece = n.text[s.start:s.end]
            assert 0 <= s.start < s.end <= len(n.text) and piece == piece.strip() and "\n" not in piece
        spans = sorted((s.start, s.end) for s in n.phi)
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:]))
        for r in n.relations: assert max(r.source, r.target) < len(n.entities) and r.kind.endswith(("Medication", "Examination"))


def test_all_phi_of_the_patient_is_labelled(notes):
    """Wherever a number of the person stands in a note, a span covers it: the family name in running text as well, unless it is an ordinary word."""
    people = {lf.person.id: lf.person for lf in Hospital(patients=60, seed=3).lives()}
    found = 0
    for n in notes:
        p = people[n.patient]
        covered = lambda a, b, spans=n.phi: any(s.start <= a and b <= s.end for s in spans)
        for value in (p.mrn, p.ssn, p.phone, p.mobile, p.email, p.member, p.account, p.address.line, p.employer, p.relative[3], p.licence, p.plate, p.device):
            for m in re.finditer(re.escape(value), n.text) if value else ():
                found += 1
                assert covered(*m.span()), (n.kind, value)
        for m in re.finditer(rf"\b(?:Mr|Mrs|Ms)\. {re.escape(p.family)}\b", n.text): assert covered(m.end() - len(p.family), m.end())
    assert found > 200


def test_language_is_rich(notes):
    assert {n.kind for n in notes} >= {"admission", "progress", "discharge", "radiology", "nursing", "social"}
    assert {s.label for n in notes for s in n.phi} >= {"NAME", "LOCATION", "ORGANIZATION", "DATE", "PHONE", "EMAIL", "SSN", "MRN", "HEALTHPLAN", "ACCOUNT", "LICENSE", "VEHICLE", "DEVICE", "URL", "IP", "ID", "FAX"}
    a = [e.assertion for n in notes for e in n.entities]
    assert {x.certainty for x in a} == {"positive", "negative", "neutralPossible", "negativePossible", "positivePossible"}
    assert {x.association for x in a} == {"subject", "other"} and {x.temporality for x in a} == {"current", "past", "future"} and {x.conditionality for x in a} == {None, "hypothetical", "conditional"}
    assert len({e.label for n in notes for e in n.entities}) >= 18
    assert len({n.text[s.start:s.end] for n in notes for s in n.phi if s.label == "DATE"}) > 500


def test_ages_over_89_are_phi():
    ages = [(int(re.match(r"\d+", n.text[e.start:e.end])[0]), any(s.label == "AGE" and s.start == e.start for s in n.phi)) for n in Hospital(patients=150, seed=6).notes() for e in n.entities if e.label == "Age" and n.text[e.start].isdigit() and n.text[e.end - 1] not in "0123456789"]
    assert any(a > 89 for a, _ in ages) and all(marked == (a > 89) for a, marked in ages)


def test_notes_tell_the_record(notes):
    lives = {lf.person.id: lf for lf in Hospital(patients=60, seed=3).lives()}
    for n in notes:
        if n.kind != "discharge": continue
        v = next(v for v in lives[n.patient].visits if v.id == n.visit)
        assert any((SNOMED, table("conditions")[v.reason]["snomed"]) == c[:2] for e in n.entities for c in e.codes)
        values = {f"{o.value:.{table('observations')[o.key]['decimals']}f}" for o in v.obs} | {f"{a.value:.0f}/{b.value:.0f}" for a, b in zip(v.obs, v.obs[1:]) if a.key == "sbp"}
        for r in n.relations:
            if r.kind == "ValueOfExamination": assert n.text[n.entities[r.source].start:n.entities[r.source].end] in values


def test_formats_tell_the_same(emitted):
    folder, made = emitted
    bundles = {}
    for f in folder.glob("bundle/*.json.gz"):
        for e in json.loads(gzip.decompress(f.read_bytes()))["entry"]: bundles[e["resource"]["resourceType"], e["resource"]["id"]] = e
    lines = {}
    for f in folder.glob("ndjson/*.ndjson"):
        for row in f.read_bytes().splitlines():
            try: r = json.loads(row)
            except ValueError: continue
            lines[r["resourceType"], r["id"]] = r
    damaged = {(d.resource_type, d.id) for d in made.defects if d.kind in defects.RAW}
    assert set(bundles) - set(lines) <= damaged
    mrns = {i["value"] for (t, _), r in lines.items() if t == "Patient" for i in r["identifier"] if i["system"] == records.MRN_SYSTEM}
    rows = "".join(f.read_text() for f in folder.glob("csv/demographics.*.csv"))
    messages = [parse(m) for f in folder.glob("hl7v2/*.hl7") for m in split_batch(f.read_bytes())]
    assert len(mrns) == 30 and all(m in rows for m in mrns) and {m.first("PID").value(3) for m in messages} <= mrns
    texts = {f.stem for f in folder.glob("notes/*.txt")}
    assert texts == {i for t, i in lines if t == "DocumentReference"}


def test_messages_are_well_formed(emitted):
    folder, made = emitted
    kinds = collections.Counter()
    for f in folder.glob("hl7v2/*.hl7"):
        for m in split_batch(f.read_bytes()):
            x = parse(m)
            kinds[x.type] += 1
            assert x.version == "2.5.1" and x.first("PID").value(5) and x.control_id
    assert {("ADT", "A01"), ("ADT", "A03"), ("ADT", "A04"), ("ADT", "A08"), ("ADT", "A40"), ("ORU", "R01"), ("ORM", "O01"), ("MDM", "T02")} <= {k[:2] for k in kinds}


def test_messages_become_fhir(emitted):
    from healthlab.fhir.hl7v2 import to_bundle
    folder, _ = emitted
    messages = [m for f in folder.glob("hl7v2/*.hl7") for m in split_batch(f.read_bytes())]
    for m in messages[:: max(1, len(messages) // 60)]:
        bundle = to_bundle(m)
        assert {"Patient"} <= {e["resource"]["resourceType"] for e in bundle["entry"]}


def test_defects_are_labelled_where_they_are(emitted):
    folder, made = emitted
    assert made.defects and len({d.kind for d in made.defects}) >= 20 and {d.stage for d in made.defects} >= {"ingest", "quality"}
    assert len((gold_folder(folder) / "defects.jsonl").read_bytes().splitlines()) == len(made.defects)
    read = {}
    for d in made.defects:
        for name, position in d.places:
            if name not in read:
                data = (folder / name).read_bytes()
                read[name] = json.loads(gzip.decompress(data))["entry"] if name.endswith(".gz") else data.splitlines()
            if name.endswith(".gz"):
                r = read[name][position]["resource"]
                assert (r["resourceType"], r["id"]) == (d.resource_type, d.id)
            elif d.kind not in defects.RAW: assert d.id.encode() in read[name][position - 1]


def test_stage_says_what_the_validator_says(emitted):
    """What is labelled `ingest` is structurally invalid; what is labelled `quality` is not."""
    folder, made = emitted
    read = {}
    for d in made.defects:
        name, position = next((n, p) for n, p in d.places if n.startswith("ndjson"))
        if name not in read: read[name] = (folder / name).read_bytes().splitlines()
        row = read[name][position - 1]
        assert bool(structural(row)) == (d.stage == "ingest"), d.kind


def test_clean_data_holds_no_defect(tmp_path):
    made = Hospital(patients=5, seed=9).emit(tmp_path / "x", progress=False, workers=1, formats=("ndjson",))
    assert not made.defects and not (gold_folder(tmp_path / "x") / "defects.jsonl").exists()
    assert all(not structural(row) for f in (tmp_path / "x").glob("ndjson/*") for row in f.read_bytes().splitlines())


def test_bad_input_is_refused(tmp_path):
    from healthlab.core.errors import InputError
    with pytest.raises(InputError): Hospital(patients=0)
    with pytest.raises(InputError): Hospital(patients=1).emit(tmp_path, formats=("xml",))
    with pytest.raises(InputError): Hospital(patients=1).emit(tmp_path, defects=2)


def test_codes_have_their_check_digits():
    from healthlab.quality.codes import code_problem
    for name in ("conditions", "symptoms", "procedures"):
        for r in table(name).values(): assert code_problem(SNOMED, r["snomed"]) is None, r["key"]
    for r in table("observations").values(): assert code_problem(LOINC, r["loinc"]) is None, r["key"]
