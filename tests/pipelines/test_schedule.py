"""The timetable, the ledger and the scheduler; runs are real processes, the clock is ours."""
import http.server, json, os, signal, subprocess, sys, threading, time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import nbformat
import pytest
from healthlab.core import audit
from healthlab.core.errors import Busy, HealthlabError, InputError
from healthlab.pipelines import history, schedule
from healthlab.pipelines.ledger import Ledger, Occasion, text
from healthlab.pipelines.notify import notify
from healthlab.pipelines.timetable import Schedule, cronjobs, followers, timetable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import scheduler_day

MIDNIGHT = datetime(2026, 11, 21, tzinfo=timezone.utc)


class Clock:
    def __init__(self): self.now = MIDNIGHT
    def __call__(self): return self.now
    def pass_(self, **time): self.now += timedelta(**time)


@pytest.fixture
def notebooks(workbench, monkeypatch):
    "A folder of pipelines; returns how to add one."
    folder = workbench / "notebooks"
    folder.mkdir()
    monkeypatch.setenv("HEALTHLAB_PIPELINES_NOTEBOOKS", str(folder))
    monkeypatch.setenv("HEALTHLAB_SCHEDULE_PATH", str(workbench / "schedule"))
    def add(name, plan, *code):
        cells = [nbformat.v4.new_code_cell("n: int = 1  # a number", metadata={"tags": ["parameters"]}), *map(nbformat.v4.new_code_cell, code)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"healthlab": {"schedule": plan}} if plan is not None else {}), folder / f"{name}.ipynb")
    return add


@pytest.fixture
def keeper(notebooks):
    "Makes schedulers under a clock; closes them."
    made, clock = [], Clock()
    def make(**options):
        made.append(schedule.Scheduler(clock=clock, **{"tell": lambda o: None, **options}))
        return made[-1]
    make.clock = clock
    yield make
    for s in made: s.close()


def until(condition, scheduler, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        scheduler.tick()
        time.sleep(.05)


def sleeper(seconds, code=0):
    return lambda o, s, log: subprocess.Popen([sys.executable, "-S", "-c", f"import time; time.sleep({seconds}); raise SystemExit({code})"], start_new_session=True)


# --- the timetable ------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("plan, said", [
    ({"cron": "61 * * * *"}, "cron line cannot be read"), ({"cron": "daily"}, "cron line cannot be read"), ({"corn": "0 2 * * *"}, "corn is no field"), ({"cron": "0 2 * * *", "timezone": "Europe/Atlantis"}, "timezone"),
    ({"cron": "0 2 * * *", "retries": "two"}, "retries is not int"), ({"cron": "0 2 * * *", "timeout": 0}, "too small"), ({}, "neither cron nor after"), ({"after": ["nobody"]}, "has no schedule"), ({"after": ["it"]}, "circle"),
    ({"cron": "0 2 * * *", "missed": "perhaps"}, "missed"), ({"cron": "0 2 * * *", "parameters": {"m": 1}}, "m is no parameter"), ([], "not an object"), ({"cron": 5}, "cron is not str"), ({"cron": "0 2 * * *", "timeout": True}, "timeout is not int")])
def test_a_schedule_that_cannot_work_is_refused_with_the_place(notebooks, plan, said):
    notebooks("it", plan)
    with pytest.raises(InputError, match="it.*") as e: timetable()
    assert said in str(e.value) and e.value.code in ("pipeline-schedule", "pipeline-parameters")


def test_pipelines_come_after_those_they_wait_for(notebooks):
    notebooks("a", {"after": ["c"]}), notebooks("b", {"after": ["a", "c"]}), notebooks("c", {"cron": "0 2 * * *"}), notebooks("unscheduled", None)
    assert list(timetable()) == ["c", "a", "b"]


def test_the_shipped_pipelines_keep_a_timetable(root, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_PIPELINES_NOTEBOOKS", str(root / "nbs/pipelines"))
    table = timetable()
    assert list(table)[0] == "ingest" and "overview" in table and table["deidentify"].after == ("ingest",)
    (job,) = [j for j in cronjobs("registry.example.org/healthlab:1") if j["metadata"]["name"] == "healthlab-ingest"]
    inner = job["spec"]["jobTemplate"]["spec"]
    (box,) = inner["template"]["spec"]["containers"]
    assert box["command"] == ["healthlab", "pipelines", "once", "ingest"] and "initContainers" not in inner["template"]["spec"] # a failing one would keep the overview from running
    assert job["spec"]["concurrencyPolicy"] == "Forbid" and inner["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [0, 4]
    assert inner["activeDeadlineSeconds"] >= sum(table[n].timeout for n in followers(table, "ingest"))


def test_a_pipeline_and_those_that_follow_it_run_once_and_some_always(notebooks, workbench, monkeypatch, capsys):
    from healthlab.cli import main
    notebooks("first", {"cron": "0 2 * * *"}), notebooks("second", {"after": ["first"]}), notebooks("third", {"after": ["second"]}), notebooks("report", {"after": ["first", "second", "third"], "always": True})
    notebooks("other", {"cron": "0 3 * * *"}), notebooks("both", {"after": ["other", "first"]})
    begun, once = [], schedule.once
    def start(o, s, log):
        begun.append(o.pipeline)
        return sleeper(0, code=2 if o.pipeline == "second" else 0)(o, s, log)
    monkeypatch.setattr(schedule, "once", lambda name, **options: once(name, start=start, tell=lambda o: None, **options))
    assert main(["pipelines", "once", "first"]) == 6 # one failed
    said = {line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert said == {"first": "ok", "second": "failed", "third": "skipped", "report": "ok", "both": "ok"} and sorted(begun) == ["both", "first", "report", "second"]
    assert main(["pipelines", "once", "nobody"]) == 2 and not (workbench / "schedule" / "ledger.db").exists()


def test_an_hour_that_does_not_exist_and_one_that_comes_twice():
    s = Schedule("x", cron="30 2 * * *", timezone="Europe/Berlin")
    for day in (datetime(2026, 3, 28, 12, tzinfo=timezone.utc), datetime(2026, 10, 24, 12, tzinfo=timezone.utc)): assert len(s.times(day, day + timedelta(days=1))) == 1


@pytest.mark.parametrize("missed, states", [("once", ["skipped", "skipped", "waiting"]), ("all", ["waiting"] * 3), ("skip", ["skipped"] * 3)])
def test_what_was_missed_is_written_down(missed, states):
    found = schedule.come(Schedule("x", cron="0 * * * *", missed=missed), MIDNIGHT, MIDNIGHT + timedelta(hours=3, minutes=30))
    assert [state for _, state, _ in found] == states and all((why == "") == (state == "waiting") for _, state, why in found)


def test_what_is_only_a_little_late_was_not_missed():
    found = schedule.come(Schedule("x", cron="0 * * * *", missed="skip"), MIDNIGHT, MIDNIGHT + timedelta(hours=1, minutes=4))
    assert [state for _, state, _ in found] == ["waiting"]


# --- the scheduler ------------------------------------------------------------------------------------------------------------------

def test_a_chain_runs_in_order_and_a_failure_skips_what_follows(notebooks, keeper):
    notebooks("first", {"cron": "0 * * * *"}), notebooks("second", {"after": ["first"]}, "raise ValueError('Jane Doe')"), notebooks("third", {"after": ["second"]})
    told = []
    s = keeper(tell=told.append)
    s.tick()
    keeper.clock.pass_(hours=1)
    until(lambda: len(s.ledger.occasions(state=("ok", "failed", "skipped"))) == 3, s)
    one, two, three = s.ledger.occasions()
    assert (one.state, two.state, three.state) == ("ok", "failed", "skipped") and three.reason.startswith("second of 2026-11-21T01:00:00Z was failed") and told == [two]
    assert {r.run_id: r.status for r in history()} == {one.run_id: "ok", two.run_id: "failed"} and two.reason == "ValueError"
    assert "Doe" not in (s.ledger.path.parent / "logs" / f"{two.run_id}.log").read_text()


def test_a_pipeline_that_is_new_has_nothing_to_make_up_for(notebooks, keeper):
    notebooks("it", {"cron": "0 * * * *", "missed": "all"})
    keeper().tick()
    assert Ledger().occasions() == []


def test_a_run_that_never_ends_is_stopped_and_said_so(notebooks, keeper):
    notebooks("it", {"cron": "0 * * * *", "timeout": 600}, "import time; time.sleep(600)")
    told = []
    s = keeper(tell=told.append)
    s.tick()
    keeper.clock.pass_(hours=1)
    until(lambda: history("it"), s)
    (o,) = s.ledger.occasions(state="running")
    keeper.clock.pass_(seconds=601)
    s.tick()
    (ended,) = s.ledger.occasions()
    assert ended.state == "failed" and "600 s" in ended.reason and told == [ended] and history("it")[0].error["type"] == "Timeout"
    until(lambda: schedule.born(o.pid) is None, s, 10)


def test_what_cannot_be_started_is_tried_again_with_growing_delays(notebooks, keeper):
    notebooks("it", {"cron": "0 * * * *", "retries": 2})
    tries = []
    def start(o, s, log):
        tries.append(keeper.clock.now)
        raise OSError(12, "Cannot allocate memory")
    s = keeper(start=start)
    s.tick()
    keeper.clock.pass_(hours=1)
    for _ in range(300): s.tick(); keeper.clock.pass_(seconds=1)
    (o,) = s.ledger.occasions()
    gaps = [b - a for a, b in zip(tries, tries[1:])]
    assert (o.state, o.attempt, len(tries)) == ("failed", 3, 3) and gaps[1] > gaps[0] and "Cannot allocate" in o.reason


def test_a_notebook_that_takes_all_memory_or_disk_is_stopped_alone(notebooks, keeper, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_PIPELINES_MEMORY_MB", "4000"), monkeypatch.setenv("HEALTHLAB_PIPELINES_FILE_MB", "100")
    notebooks("it", {"cron": "0 * * * *"}, """import os
said = []
for what in (lambda: bytearray(5 << 30), lambda: open(os.environ['HEALTHLAB_RUN_FOLDER'] + '/big', 'wb').truncate(200 << 20)):
    try: what()
    except (MemoryError, OSError) as e: said.append(type(e).__name__)
from healthlab.pipelines import Step
Step().result(said=said)""", "x = bytearray(5 << 30)")
    s = keeper()
    s.tick()
    keeper.clock.pass_(hours=1)
    until(lambda: s.ledger.occasions(state="failed"), s)
    (run,) = history("it")
    assert run.results["said"] == ["MemoryError", "OSError"] and run.error["type"] == "MemoryError" and s.ledger.occasions()[0].reason == "MemoryError"


def test_a_run_survives_its_scheduler(notebooks, keeper):
    notebooks("it", {"cron": "0 * * * *"}, "import time; time.sleep(2)")
    s = keeper()
    s.tick()
    keeper.clock.pass_(hours=1)
    until(lambda: history("it"), s)
    s.close()
    heir = keeper()
    until(lambda: heir.ledger.occasions(state="ok"), heir)
    assert len(history("it")) == 1 and heir.ledger.occasions()[0].attempt == 1


def test_a_run_whose_process_is_lost_is_recorded_and_repeated(notebooks, keeper):
    notebooks("it", {"cron": "0 * * * *"}, "import time; time.sleep(1 if n == 1 else 0)")
    s = keeper()
    s.tick()
    keeper.clock.pass_(hours=1)
    until(lambda: history("it"), s)
    os.killpg(s.ledger.occasions(state="running")[0].pid, signal.SIGKILL)
    until(lambda: s.ledger.occasions(state="waiting"), s, 20)
    keeper.clock.pass_(minutes=5)
    until(lambda: s.ledger.occasions(state="ok"), s)
    assert [a["state"] for a in s.ledger.attempts("it")] == ["lost", "ok"] and sorted(r.status for r in history("it")) == ["failed", "ok"]


def test_a_run_does_not_begin_before_the_ledger_knows_it(notebooks, keeper):
    notebooks("it", {"cron": "0 * * * *"})
    s = keeper()
    s.tick()
    keeper.clock.pass_(hours=1)
    schedule.write_down(s, s.table["it"], keeper.clock.now)
    (o,) = s.ledger.occasions()
    process = schedule.launch(s.ledger.take(o, "20261121T010000Z-aaaaaa", text(keeper.clock.now)), s.table["it"], schedule.log_file(s, replace(o, run_id="x")))
    os.close(process.gate) # the scheduler dies here
    assert process.wait(60) == 4 and history("it") == []


def test_one_run_at_a_time(notebooks, keeper):
    for name in "ab": notebooks(name, {"cron": "*/10 * * * *", "missed": "all"})
    s = keeper(start=sleeper(30))
    s.tick()
    keeper.clock.pass_(minutes=31)
    s.tick(), s.tick()
    assert len(s.ledger.occasions(state="running")) == 1 and len(s.ledger.occasions(state="waiting")) == 5
    for o in s.ledger.occasions(state="running"): schedule.stop(o.pid, hard=True)


def test_a_second_scheduler_is_refused(notebooks, keeper):
    notebooks("it", {"cron": "0 * * * *"})
    keeper()
    with pytest.raises(Busy, match="running already"): schedule.Scheduler()


def test_a_day_with_kills_loses_nothing_and_repeats_nothing():
    found = scheduler_day.day(kills=3, hours=5, pace=3000, quickly=True)
    assert (found["occasions"], found["ok"], found["failed"]) == (50, 45, 5)


def test_the_service_starts_sets_its_alarms_and_stops(notebooks, workbench):
    notebooks("it", {"cron": "0 3 * * *"})
    child = subprocess.Popen([sys.executable, "-m", "healthlab.cli", "pipelines", "scheduler"], stderr=subprocess.PIPE)
    alarms = workbench / "schedule" / "jobs.db"
    end = time.monotonic() + 60
    while not ("schedule.start" in set(audit.entries()["event"].to_pylist())) and time.monotonic() < end and child.poll() is None: time.sleep(.2)
    child.terminate()
    assert child.wait(30) == 0 and child.stderr.read() == b"" and b"it" in alarms.read_bytes()
    assert audit.entries()["event"].to_pylist()[-1] == "schedule.stop"


# --- telling ------------------------------------------------------------------------------------------------------------------------

def test_a_webhook_is_told_and_redirects_are_not_followed(monkeypatch):
    got = []
    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(302 if self.path == "/away" else 200)
            if self.path == "/away": self.send_header("Location", "/elsewhere")
            self.end_headers()
        def log_message(self, *_): pass
    server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    failed = Occasion("ingest", "2026-11-21T02:30:00Z", "failed", 2, "20261121T023000Z-1f00ba", reason="KernelDied")
    monkeypatch.setenv("HEALTHLAB_SCHEDULE_WEBHOOK", f"http://127.0.0.1:{server.server_port}/hook")
    assert notify(failed) == ["webhook"] and got[0][1]["pipeline"] == "ingest" and "KernelDied" in got[0][1]["text"]
    monkeypatch.setenv("HEALTHLAB_SCHEDULE_WEBHOOK", f"http://127.0.0.1:{server.server_port}/away")
    with pytest.raises(HealthlabError, match="HTTP 302"): notify(failed)
    assert [path for path, _ in got] == ["/hook", "/away"]
    server.shutdown()


@pytest.mark.parametrize("webhook", ["http://127.0.0.1:9/", "ftp://example.org/"], ids=["down", "of another scheme"])
def test_a_notice_that_cannot_be_sent_does_not_stop_the_scheduler(notebooks, keeper, monkeypatch, webhook):
    monkeypatch.setenv("HEALTHLAB_SCHEDULE_WEBHOOK", webhook)
    notebooks("it", {"cron": "0 * * * *"})
    s = keeper(start=sleeper(0, code=2), tell=None)
    s.tick()
    keeper.clock.pass_(hours=1)
    until(lambda: s.ledger.occasions(state="failed"), s)
    assert "schedule.untold" in audit.entries()["event"].to_pylist()
