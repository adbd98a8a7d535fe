"""The runner: small notebooks named for their behaviour, run for real."""
import json

import nbformat
import pytest
from healthlab.core import audit
from healthlab.core.errors import InputError
from healthlab.pipelines import RunFailed, RunRecord, find_run, history, run

PARAMETERS = "limit: int = 3  # the last number"


def pipeline(folder, name, *code, parameters=PARAMETERS):
    path = folder / f"{name}.ipynb"
    cells = [nbformat.v4.new_markdown_cell(f"# {name}\nA fixture."), nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}), *map(nbformat.v4.new_code_cell, code)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def everything_kept(folder):
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


def test_a_run_leaves_record_notebook_and_page(workbench):
    nb = pipeline(workbench, "counts", "from healthlab.pipelines import Step\nstep = Step()\nstep.result(total=sum(range(limit + 1)))\nstep.artifact('x.csv', 'a,b')", "40 + 2")
    record = run("counts", {"limit": "4"}, notebook=nb)
    folder = workbench / "reports/counts" / record.run_id
    assert record.status == "ok" and record.results["total"] == 10 and record.parameters == {"limit": 4}
    assert sorted(record.artifacts) == ["report.html", "report.ipynb", "x.csv"]
    page = (folder / "report.html").read_text()
    assert "42" in page and "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page and "<script src" not in page
    assert RunRecord.load(folder) == record and find_run(record.run_id[:20])[0] == record and history("counts") == [record]
    assert {"run.start", "run.end"} <= set(audit.entries().to_pandas()["event"]) and audit.verify().ok


def test_a_failed_run_keeps_its_notebook_and_one_clear_line(workbench):
    nb = pipeline(workbench, "broken", "rows = 5", "from healthlab.core.errors import InputError\nraise InputError('the folder is empty', 'landing', 'Put files there')", "never = 1")
    with pytest.raises(RunFailed) as e: run("broken", notebook=nb)
    assert "the folder is empty (landing). Put files there" in str(e.value) and "\n" not in str(e.value)
    record, folder = find_run("latest")
    assert record.status == "failed" and record.error["type"] == "InputError" and record.error["cell"] == 3
    kept = nbformat.read(folder / "report.ipynb", 4)
    assert any(o.output_type == "error" for c in kept.cells for o in c.get("outputs", [])) and (folder / "report.html").exists()


def test_one_run_of_a_pipeline_at_a_time_on_a_lake_whoever_starts_it(workbench, monkeypatch):
    import pyarrow as pa
    from healthlab.core.errors import Busy
    from healthlab.lake import Lake
    Lake().write("research", "patient", pa.table({"id": ["a"]}), run_id="20260309T020000Z-000001")
    nb = pipeline(workbench, "counts", "1")
    with Lake().lock("pipeline.counts"):
        monkeypatch.setenv("HEALTHLAB_REPORTS_URL", str(workbench / "another workbench's reports"))
        with pytest.raises(Busy, match="running already on this lake"): run("counts", notebook=nb)
    assert run("counts", notebook=nb).status == "ok"


@pytest.mark.parametrize("code", [
    "float('SECRET-Jane-Doe')",
    "{}['SECRET-Jane-Doe']",
    "try: float('SECRET-Jane-Doe')\nexcept ValueError as e: raise RuntimeError('about SECRET-Jane-Doe') from e",
    "import sys, warnings\nprint('SECRET-Jane-Doe', file=sys.stderr)\nwarnings.warn('SECRET-Jane-Doe')\n1/0",
    "import multiprocessing as mp\ndef f(x): raise ValueError(x)\nwith mp.get_context('fork').Pool(1) as p: p.map(f, ['SECRET-' + 'Jane-Doe'])",
    "raise SystemExit('SECRET-Jane-Doe')",
    "class InputError(Exception): pass\nraise TypeError('SECRET-Jane-Doe')",
], ids=["value", "key", "chained", "stderr", "worker", "exit", "type"])
def test_what_an_exception_quotes_is_withheld(workbench, code, tmp_path):
    hidden = code.replace("SECRET-Jane-Doe", "' + secret + '").replace("'' + ", "").replace(" + ''", "").replace("'SECRET-' + 'Jane-Doe'", "secret")
    (tmp_path / "data.txt").write_text("SECRET-Jane-Doe")  # read from a file, as data are: the source itself must not hold it
    nb = pipeline(workbench, "quotes", f"secret = open({str(tmp_path / 'data.txt')!r}).read()", hidden)
    with pytest.raises(RunFailed) as e: run("quotes", notebook=nb)
    record, folder = find_run("latest")
    assert "SECRET" not in str(e.value) and b"SECRET" not in everything_kept(folder) and b"SECRET" not in everything_kept(workbench / "audit")


def test_nothing_starts_when_a_parameter_is_wrong(workbench):
    nb = pipeline(workbench, "never", "1/0")
    with pytest.raises(InputError): run("never", {"limit": "x"}, notebook=nb)
    assert history() == []


def test_a_kernel_that_dies_and_a_cell_that_hangs_are_explained(workbench, monkeypatch):
    with pytest.raises(RunFailed) as e: run("dies", notebook=pipeline(workbench, "dies", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"))
    assert "kernel died" in str(e.value)
    monkeypatch.setenv("HEALTHLAB_PIPELINES_CELL_TIMEOUT", "3")
    with pytest.raises(RunFailed) as e: run("hangs", notebook=pipeline(workbench, "hangs", "import time\ntime.sleep(60)"))
    assert "cell_timeout" in str(e.value)
    assert [r.status for r in history()] == ["failed", "failed"]


def test_the_record_is_plain_json_and_names_code_and_tables(workbench):
    record = run("tables", notebook=pipeline(workbench, "tables", "import pyarrow as pa\nfrom healthlab.lake import Lake\nLake().write('research', 'patient', pa.table({'id': ['1']}), run_id='r')"))
    raw = json.loads((workbench / "reports/tables" / record.run_id / "run.json").read_text())
    assert raw["tables_before"] == {} and list(raw["tables_after"]) == ["research/patient"] and raw["code"]["healthlab"]


def test_a_trail_rolled_back_together_with_its_head_is_found(workbench):
    import shutil

    from healthlab.core import audit
    from healthlab.core.settings import settings
    from healthlab.pipelines.record import witnesses
    audit.record("read", zone="identified", table="Patient")
    folder = settings().path("audit", "path")
    heads = list(settings().path("keys", "file").parent.glob("audit-*.head"))
    shutil.copytree(folder, workbench / "saved")
    kept = [h.read_bytes() for h in heads]
    run("plain", notebook=pipeline(workbench, "plain", "1 + 1"))
    assert audit.verify(witnesses()).ok
    shutil.rmtree(folder)
    shutil.copytree(workbench / "saved", folder)
    for h, raw in zip(heads, kept): h.write_bytes(raw)
    assert audit.verify().ok, "without a witness the older trail is whole"
    found = audit.verify(witnesses())
    assert not found.ok and "rolled back" in str(found)


def test_an_overview_of_no_run_in_particular_tells_of_the_newest(workbench):
    from healthlab.core.settings import settings
    from healthlab.pipelines.overview import load
    with pytest.raises(InputError, match="healthlab run"): load([])
    for pipeline, run_id in (("ingest", "20260101T000000Z-aaaaaa"), ("ingest", "20260102T000000Z-bbbbbb"), ("quality", "20260101T000100Z-cccccc")):
        folder = settings().path("reports", "url") / pipeline / run_id
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(dict(pipeline=pipeline, run_id=run_id, status="ok")))
    assert {k: r.run_id for k, r in load([]).items()} == {"ingest": "20260102T000000Z-bbbbbb", "quality": "20260101T000100Z-cccccc"}
