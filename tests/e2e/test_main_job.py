"""The main job over the embedded sample, as a person would run it, and what it may not leave behind."""
import gzip
import json
import os
import subprocess
import sys

import pytest
from healthlab.core import audit
from healthlab.hospital import Hospital
from healthlab.lake import Lake
from healthlab.pipelines import find_run, history

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory, root):
    "A folder of a small hospital's exports, and the finished main job over it."
    from notebooks import scratch
    folder = tmp_path_factory.mktemp("main_job")
    hospital = Hospital(patients=6, seed=7)
    hospital.emit(folder / "landing", defects=0.02, progress=False)
    env = {k: v for k, v in os.environ.items() if not k.startswith("HEALTHLAB_")} | scratch(folder)
    p = subprocess.run([sys.executable, "-m", "healthlab.cli", "run", str(folder / "landing")], env=env, cwd=root, capture_output=True, text=True, timeout=600)
    assert p.returncode == 0, p.stdout[-2000:] + p.stderr[-2000:]
    return folder, hospital, p.stdout


@pytest.fixture
def finished(done, monkeypatch):
    from notebooks import scratch
    for k, v in scratch(done[0]).items(): monkeypatch.setenv(k, v)
    return done


def test_it_ends_green_and_says_where_to_look(finished):
    folder, _, said = finished
    assert [r.pipeline for r in reversed(history())] == ["ingest", "quality", "deidentify", "views", "extract", "overview"]
    assert all(r.status == "ok" for r in history())
    page = find_run("latest")[1] / "report.html"
    assert str(page) in said and page.exists()


def test_every_resource_is_accounted_for(finished):
    r = {x.pipeline: x.results for x in history()}
    lake = Lake()
    kept = sum(lake.read("identified", t, columns=["id"]).num_rows for t in lake.tables("identified") if t[0].isupper())
    assert r["ingest"]["written"] == kept > 500
    assert r["ingest"]["resources"] == r["ingest"]["written"] + r["ingest"]["duplicates"] + r["ingest"]["superseded"]
    assert r["ingest"]["rejected"] == lake.read("identified", "reject", columns=["code"]).num_rows
    assert r["deidentify"]["resources"] + r["deidentify"]["dropped"] == kept


def secrets_of(hospital):
    "What identifies the made-up patients: names in full, MRN, SSN, telephone, street, e-mail."
    out = set()
    for resource in hospital.resources():
        if resource["resourceType"] != "Patient": continue
        for i in resource.get("identifier", []): out.add(i["value"])
        for t in resource.get("telecom", []): out.add(t["value"])
        for n in resource.get("name", []):
            out.add(f"{n['given'][0]} {n['family']}")
        for a in resource.get("address", []): out.update(a.get("line", []))
    return {s.encode() for s in out if len(s) > 5}


def files(folder):
    return [p for p in folder.rglob("*") if p.is_file()]


@pytest.mark.parametrize("place", ["reports", "audit", "lake", "keys"])
def test_no_identifier_lies_in_the_open(finished, place):
    """Reports, the audit trail, and every byte of the lake on disk: the identified zone is encrypted, the rest de-identified."""
    import re
    folder, hospital, _ = finished
    pattern = re.compile(b"|".join(re.escape(s) for s in sorted(secrets_of(hospital), key=len, reverse=True)))
    for f in files(folder / place):
        data = f.read_bytes()
        if f.suffix == ".gz": data = gzip.decompress(data)
        assert not pattern.search(data), f"an identifier in {f.relative_to(folder)}"
        assert not pattern.search(str(f).encode())


def test_no_identifier_in_the_deidentified_zones(finished):
    import re
    _, hospital, _ = finished
    pattern = re.compile("|".join(re.escape(s.decode()) for s in sorted(secrets_of(hospital), key=len, reverse=True)))
    lake = Lake()
    for zone in ("deidentified", "research"):
        for t in lake.tables(zone):
            for row in lake.read(zone, t).to_pylist():
                assert not pattern.search(json.dumps(row, default=str)), f"{zone}/{t}"


def test_the_audit_trail_is_whole(finished):
    assert audit.verify().ok


def test_running_it_again_changes_nothing(finished, root):
    folder, _, _ = finished
    lake = Lake()
    before = {t: lake.read("identified", t, columns=["id", "hash"]).sort_by("id").to_pylist() for t in lake.tables("identified") if t[0].isupper()}
    p = subprocess.run([sys.executable, "-m", "healthlab.cli", "ingest", str(folder / "landing")], cwd=root, env=os.environ.copy(), capture_output=True, text=True, timeout=300)
    assert p.returncode == 0, p.stderr
    lake = Lake()
    assert before == {t: lake.read("identified", t, columns=["id", "hash"]).sort_by("id").to_pylist() for t in lake.tables("identified") if t[0].isupper()}
