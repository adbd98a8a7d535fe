"""The dashboards on a small simulated hospital: they run, they withhold, they say what is missing, they let nothing unchecked out."""
import base64, re, time

import pytest

PAGES = {"overview": "healthlab.ui.overview:overview", "cohorts": "healthlab.ui.cohorts:cohorts", "quality": "healthlab.ui.checked:quality", "runs": "healthlab.ui.runs:runs_and_audit",
         "synthetic": "healthlab.ui.against:synthetic", "text": "healthlab.ui.notes:clinical_text", "models": "healthlab.ui.registered:models"}


def made(name):
    from importlib import import_module
    from healthlab.ui.reading import Reader
    module, _, function = PAGES[name].partition(":")
    page = getattr(import_module(module), function)(Reader({}))
    page.live()
    return page


@pytest.fixture(scope="module")
def workbench(tmp_path_factory):
    "A lake whose research tables hold 240 people, and a run of ingest that went well beside one of views that failed."
    import pyarrow as pa
    from healthlab.lake import Lake
    from healthlab.pipelines.record import RunRecord
    place = tmp_path_factory.mktemp("dashboards")
    with pytest.MonkeyPatch.context() as m:
        for k, v in {"LAKE_URL": "lake", "REPORTS_URL": "reports", "KEYS_FILE": "keys/key", "AUDIT_PATH": "audit", "LANDING_URL": "landing", "MLFLOW_TRACKING": "mlflow.db"}.items():
            m.setenv(f"HEALTHLAB_{k}", f"sqlite:///{place}/{v}" if k == "MLFLOW_TRACKING" else f"{place}/{v}")
        m.delenv("HEALTHLAB_VIEWER_SERVICE", raising=False)
        lake, n = Lake(), 240
        ids = [f"p{k}" for k in range(n)]
        lake.write("research", "patient", pa.table(dict(id=ids, gender=["female" if k % 2 else "male" for k in range(n)], race=["White" if k > 4 else "Asian" for k in range(n)], birth_date=[f"{1930 + k % 70}" for k in range(n)],
                   deceased=pa.array([None] * n, pa.bool_()), deceased_at=["2019-05-01" if k % 5 == 0 else None for k in range(n)])), run_id="20260309T020000Z-000001")
        lake.write("research", "encounter", pa.table(dict(id=ids, patient=ids, start=[f"201{k % 5}-03-01" for k in range(n)], end=["2020-03-02"] * n)), run_id="20260309T020000Z-000001")
        lake.write("research", "condition", pa.table(dict(id=ids, patient=ids, display=["hypertension" if k % 3 == 0 else "gout" if k < 4 else None for k in range(n)], text=pa.array([None] * n, pa.string()), code=pa.array([None] * n, pa.string()), clinical_status=["active"] * n)), run_id="20260309T020000Z-000001")
        for pipeline, status, results in (("ingest", "ok", dict(resources=900, rejected=12, types={"Patient": 240, "Rare": 3}, rejects={"structure": 12})), ("views", "failed", {})):
            folder = place / "reports" / pipeline / "20260309T020000Z-000001"
            folder.mkdir(parents=True)
            RunRecord(pipeline, folder.name, status, "2026-03-09T02:00:00.000Z", "2026-03-09T02:01:00.000Z", 60., results=results, error={} if status == "ok" else {"type": "StorageError", "message": "the disk is full"}).save(folder)
        yield place


@pytest.mark.parametrize("name", PAGES)
def test_every_dashboard_says_what_it_knows_or_that_there_is_nothing_yet(workbench, name):
    body = made(name).view.body
    assert "hl-card" in body or "hl-empty" in body
    assert "could not be drawn" not in body and "hl-problem" not in body


def test_the_overview_shows_what_failed_and_why_and_leaves_rare_types_out(workbench):
    page = made("overview")
    assert "the disk is full" in page.view.body and "Rare" not in page.view.body
    page.filters["pipeline"].value = "ingest"
    assert "the disk is full" not in page.body.value


def test_a_filter_acts_within_300_ms(workbench):
    page = made("cohorts")
    start = time.process_time()
    page.filters["sex"].value = "female"
    page.filters["age"].value = "40–64"
    assert (time.process_time() - start) / 2 < .3


def test_no_number_of_people_that_is_shown_is_small_or_exact(workbench):
    page = made("cohorts")
    for sex in ("any", "female", "male"):
        page.filters["sex"].value = sex
        for r in page.view.tables["distributions"]:
            assert r["people"] == "withheld" or (r["people"] >= 10 and r["people"] % 5 == 0), r
        races = {r["value"]: r["people"] for r in page.view.tables["distributions"] if r["of"] == "race"}
        assert races["Asian"] == "withheld" and races["White"] == "withheld" # one alone could be reckoned back
        assert "gout" not in page.body.value


def test_a_cohort_of_nine_shows_nothing(workbench):
    from healthlab.lake import Lake
    from healthlab.ui.cohorts import People, people, view
    p = People(people(Lake()))
    assert p.has("gout").sum() == 2
    shown = view(p, "any", "any age", "gout")
    assert not shown.tables and "Nothing is shown of so few" in shown.body and "of 240" in shown.said and "hl-bars" not in shown.body


def test_a_page_reads_what_was_prepared_only_while_it_is_true(workbench, monkeypatch):
    import pyarrow as pa
    from healthlab.lake import Lake
    from healthlab.ui.aggregated import aggregate
    from healthlab.ui.cohorts import people
    lake, run = Lake(), "20260309T030000Z-000002"
    summed_up = people(lake).sort_by("id").to_pylist()
    assert [m["made"] for m in aggregate(lake, run)] == [True] and [m["made"] for m in aggregate(lake, run)] == [False]
    with monkeypatch.context() as m:
        m.setattr(Lake, "sql", lambda *_: 1 / 0)
        assert people(lake).sort_by("id").to_pylist() == summed_up # without a query
        lake.write("research", "encounter", pa.table(dict(id=["late"], patient=["p1"], start=["2021-01-01"], end=["2021-01-02"])), run_id=run)
        with pytest.raises(ZeroDivisionError): people(lake)
    (late,) = [r for r in people(lake).to_pylist() if r["id"] == "p1"]
    assert str(late["last"]) == "2021-01-02" and aggregate(lake, run)[0]["made"]


@pytest.fixture
def assessed(workbench):
    "An assessment of zone identified with one check that failed for one patient."
    import pyarrow as pa
    from healthlab.lake import Lake
    from healthlab.pipelines.record import RunRecord
    from healthlab.quality.report import FINDING, RESULT
    run, lake = "20260309T040000Z-000003", Lake()
    full = lambda schema, **given: pa.Table.from_pylist([{f.name: given.get(f.name) for f in schema}], schema)
    lake.write("identified", "quality_result", full(RESULT, run_id=run, check="birth-date", category="plausibility", resource="Patient", severity="error", status="failed", evaluated=180, violations=1, description="Nobody is born in the future"), run_id=run, mode="overwrite")
    lake.write("identified", "quality_finding", full(FINDING, run_id=run, check="birth-date", severity="error", resource_type="Patient", id="pat-4711", path="Patient.birthDate", detail="2999-01-01"), run_id=run, mode="overwrite")
    folder = workbench / "reports/quality" / run
    folder.mkdir(parents=True, exist_ok=True)
    RunRecord("quality", run, "ok", "2026-03-09T04:00:00.000Z", "2026-03-09T04:01:00.000Z", 60., results=dict(checks=1, resources=180, categories={"plausibility": [1, 1, 1]}, top=[dict(check="many-hits", holds="as QualityReport.figures says it", severity="error", violations=25, rate=.1)])).save(folder)


def test_failing_rows_are_for_those_who_may_read_the_zone_and_for_their_eyes_only(assessed, monkeypatch):
    from healthlab.core import audit
    page = made("quality")
    assert "many-hits" in page.view.body and "hl-problem" not in page.view.body
    page.filters["rows_of"].value = "birth-date"
    assert "pat-4711" in page.body.value and "2999-01-01" in page.body.value
    assert any(e["table"] == "quality_finding" for e in audit.entries("read", zone="identified").to_pylist())
    for what in page.what.options:
        page.what.value = what
        page.export()
        link = re.search(r"base64,([^']+)'", page.link.value)
        assert link and b"4711" not in base64.b64decode(link[1]), what
    for role in ("researcher", "stakeholder", "service"):
        monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", role)
        shown = made("quality")
        assert "rows_of" not in shown.filters and "4711" not in shown.body.value and "birth-date" not in shown.body.value


def test_what_is_saved_is_what_is_shown_checked_and_in_the_trail(workbench):
    from healthlab.core import audit
    page = made("cohorts")
    page.what.value = "survival (CSV)"
    page.export()
    link = re.search(r"base64,([^']+)'", page.link.value)
    rows = base64.b64decode(link[1]).decode().splitlines()
    assert rows[0] == "cohort,years,alive,low,high,followed" and len(rows) == len(page.view.tables["survival"]) + 1
    assert audit.entries("export").to_pylist()[-1]["actor"]


def test_what_holds_an_identifier_is_not_handed_out(workbench):
    from healthlab.ui.page import csv, taken
    shown = taken("names.csv", csv([{"patient": "Jane Doe", "phone": "555-867-5309", "ssn": "219-09-9999"}]))
    assert "may not leave" in shown and "href" not in shown and "219" not in shown


def test_a_failure_while_drawing_is_told_without_its_text(workbench):
    from healthlab.ui.page import Page
    from healthlab.ui.reading import Reader
    def draw(): raise KeyError("Jane Doe")
    page = Page("overview", "?", draw, reader=Reader({}))
    assert "could not be drawn" in page.view.body and "Jane" not in page.view.body


@pytest.mark.parametrize("status, said", [(401, "sign-in has ended"), (403, "role may not"), (500, "HTTP 500")])
def test_the_service_refusing_or_failing_is_explained(workbench, status, said):
    import http.server, threading
    from healthlab.core.errors import HealthlabError
    from healthlab.ui.reading import Reader

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self): self.send_response(status); self.end_headers()
        def log_message(self, *a): pass
    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(HealthlabError, match=said): Reader({"HEALTHLAB_VIEWER_SERVICE": f"http://127.0.0.1:{server.server_port}"}).ask("/v1/pipelines")
    finally: server.shutdown(); server.server_close()


def test_headers_a_browser_sends_are_not_believed():
    from healthlab.ui.forked import kernel_environment
    from healthlab.ui.served import HEADERS, configuration
    c = configuration()
    assert c.VoilaConfiguration.show_tracebacks is False and c.VoilaConfiguration.allow_template_override == "NO" and list(HEADERS) == c.VoilaConfiguration.http_header_envs
    given = kernel_environment({"JUPYTERHUB_API_TOKEN": "the service's own", "JUPYTERHUB_CLIENT_ID": "x", "HTTP_X_HEALTHLAB_TOKEN": "the viewer's"})
    assert given["JUPYTERHUB_API_TOKEN"] == "the viewer's" and "the service's own" not in given.values() and "JUPYTERHUB_CLIENT_ID" not in given


KERNEL = """
import asyncio, sys
from healthlab.ui import forked
async def go():
    from jupyter_client.manager import AsyncKernelManager
    said = []
    manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=sys.argv[1])
    await manager.start_kernel()
    client = manager.client(); client.start_channels(); await client.wait_for_ready(60)
    await client.execute_interactive("from healthlab.ui.overview import overview; overview().show(); import time; print('CPU', time.process_time())", output_hook=lambda m: said.append(m["content"].get("text", "")) if m["msg_type"] == "stream" else None)
    client.stop_channels(); await manager.shutdown_kernel(now=True)
    print("".join(said))
forked.preload(); forked.install(); asyncio.run(go())
"""


def test_a_kernel_draws_its_page_in_little_time_of_its_own(workbench):
    "0.2 s of processor time here; a kernel that imported the hub, Voilà or the debugger for itself would need two to four."
    import subprocess, sys, tempfile
    with tempfile.TemporaryDirectory() as short: # names of sockets may not be long
        done = subprocess.run([sys.executable, "-c", KERNEL, f"{short}/k"], capture_output=True, text=True, timeout=180)
    seconds = re.search(r"CPU ([\d.]+)", done.stdout)
    assert seconds and float(seconds[1]) < 1, (done.stdout, done.stderr[-2000:])


def test_a_fork_is_asked_for_in_plain_text():
    "A value of one of Voilà's types in the environment would have every kernel import Voilà."
    from voila.utils import ENV_VARIABLE
    from healthlab.ui.forked import kernel_environment
    assert {type(k) for k in kernel_environment({next(iter(ENV_VARIABLE)): "1", "PATH": "/bin"})} == {str}
