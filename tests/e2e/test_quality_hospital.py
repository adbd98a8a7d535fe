"""The labelled defects of the simulated hospital, all the way: emitted as files, ingested into an encrypted lake, assessed, scored."""
import json

from healthlab.hospital import Hospital
from healthlab.ingest import ingest
from healthlab.lake import Lake
from healthlab.quality import assess, score


def assessed(folder, defects, seed=4):
    emitted = Hospital(patients=30, seed=seed).emit(folder / "landing", formats=("bundle",), defects=defects, progress=False)
    lake = Lake()
    report = ingest(folder / "landing", lake, workers=1)
    return emitted, lake, report, assess(lake, "identified", workers=1)


def test_the_hospitals_defects_are_found_and_little_else(workbench):
    emitted, lake, ingested, quality = assessed(workbench, 0.02)
    s = score(quality.findings, emitted.defects)
    assert s.labelled > 100 and len(s.kinds) >= 8
    assert s.recall >= 0.95, {k: v for k, v in s.kinds.items() if v[0] != v[1]}
    assert s.fdr <= 0.05, {k: v for k, v in s.checks.items() if v[1]}
    structural = {(d.resource_type, d.id) for d in emitted.defects if d.stage == "ingest"}
    stopped = {(r["resourceType"], r["id"]) for r in map(json.loads, lake.read("identified", "reject", columns=["raw"])["raw"].to_pylist())}
    assert structural and structural <= stopped


def test_clean_data_raise_next_to_nothing(workbench):
    _, _, ingested, quality = assessed(workbench, 0.0)
    flagged = {(f["resource_type"], f["id"]) for f in quality.findings.to_pylist() if f["severity"] in ("error", "warning")}
    assert ingested.rejected == 0 and len(flagged) / ingested.resources < 0.002
