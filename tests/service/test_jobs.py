"""Jobs: nothing accepted is lost, nothing runs twice, nobody sees another's. Runners are real processes, killed for real."""
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from healthlab.core.audit import entries
from healthlab.core.errors import Busy, HealthlabError, InputError, StorageError
from healthlab.service import jobs as module
from healthlab.service.jobs import Jobs, Missing, kind, read_file, run_worker

FUNCTIONS = '''
import os, time
from healthlab.core.errors import HealthlabError

def steps(params, progress):
    "Leaves a line for each step it does, in a file outside."
    for i in range(progress.kept.get("next", 0), params["n"]):
        with open(params["log"], "a") as f: f.write(f"{i}\\n")
        progress.write(f"part-{i}.txt", [str(i).encode() * 10])
        progress.checkpoint({"next": i + 1})
        progress(i / params["n"], "stepping")
        time.sleep(params.get("pause", 0))
    return {"steps": params["n"], "pid": os.getpid()}

def deaf(params, progress):
    time.sleep(600)

def breaks(params, progress):
    raise ValueError("Erika Musterfrau, born 1970-01-01")

def refuses(params, progress):
    raise HealthlabError("the data cannot be used", "table patient", "Ingest it first", "data-unfit")
'''


@pytest.fixture
def jobs(workbench, monkeypatch, tmp_path):
    (tmp_path / "job_functions.py").write_text(FUNCTIONS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HEALTHLAB_JOBS_IDLE_SECONDS", "0")
    monkeypatch.setattr(module, "KINDS", {})
    for name in ("steps", "deaf", "breaks", "refuses"): kind(name, f"job_functions:{name}", resume=name == "steps")
    kind("once", "job_functions:steps")
    made = Jobs()
    yield made
    made._stop.set()
    for pid in processes(made): os.kill(pid, signal.SIGKILL)
    made.close()


def processes(jobs):
    "The runners of these jobs."
    out = []
    for p in os.listdir("/proc"):
        if p.isdigit():
            try: words = open(f"/proc/{p}/cmdline", "rb").read().decode().split("\0")
            except OSError: continue
            if str(jobs.folder) in words: out.append(int(p))
    return out


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def ended(jobs, id, owner="a"):
    return until(lambda: (job := jobs.get(id, owner)).over and job)


def quiet(jobs):
    jobs.wake = lambda: False
    return jobs


def test_a_job_is_run_by_a_process_that_comes_and_goes(jobs, tmp_path):
    id = jobs.submit("steps", {"n": 3, "log": str(tmp_path / "log")}, "a")
    job = ended(jobs, id)
    assert (job.state, job.share, job.result["steps"]) == ("done", 1.0, 3) and job.result["pid"] != os.getpid()
    assert b"".join(read_file(jobs, id, "part-2.txt")) == b"2" * 10
    until(lambda: not processes(jobs))


def test_killed_while_running_it_goes_on_from_its_checkpoint(jobs, tmp_path):
    log = tmp_path / "log"
    id = jobs.submit("steps", {"n": 8, "log": str(log), "pause": 0.2}, "a")
    until(lambda: log.exists() and log.read_text().count("\n") >= 3)
    for pid in processes(jobs): os.kill(pid, signal.SIGKILL)
    assert jobs.get(id, "a").state == "running" # nobody is left to say otherwise
    until(Jobs(jobs.folder).wake) # as the service does when it starts; a killed process holds its lock for some milliseconds
    job = ended(jobs, id)
    steps = [int(line) for line in log.read_text().split()]
    assert job.state == "done" and job.attempts == 2
    assert sorted(set(steps)) == list(range(8)) and len(steps) <= 9 # the step under way at the kill may be done again, no other


def test_a_kind_that_cannot_resume_ends_failed_with_the_reason(jobs, tmp_path):
    log = tmp_path / "log"
    id = jobs.submit("once", {"n": 100, "log": str(log), "pause": 0.2}, "a")
    until(log.exists)
    for pid in processes(jobs): os.kill(pid, signal.SIGKILL)
    until(jobs.wake)
    job = ended(jobs, id)
    assert (job.state, job.code) == ("failed", "job-interrupted") and "stopped while the job ran" in job.error


def test_a_job_that_kills_its_process_is_not_tried_for_ever(jobs, tmp_path, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_JOBS_ATTEMPTS", "2")
    (tmp_path / "job_functions.py").write_text("import os\ndef steps(params, progress): os._exit(9)\n")
    id = jobs.submit("steps", {}, "a")
    job = until(lambda: (jobs.wake(), jobs.get(id, "a"))[1].over and jobs.get(id, "a"))
    assert (job.state, job.code, job.attempts) == ("failed", "job-interrupted", 2)


def test_a_job_of_a_runner_that_is_no_more_is_found_by_any_other(jobs, tmp_path, monkeypatch):
    id = quiet(jobs).submit("steps", {"n": 1, "log": str(tmp_path / "log")}, "a")
    jobs._set(id, state="running", slot=5, attempts=1) # the settings had six runners when its process died
    assert Jobs(jobs.folder).wake() and ended(jobs, id).state == "done"
    until(lambda: not processes(jobs))
    assert not Jobs(jobs.folder).wake() # nothing is left to do


def test_an_idle_runner_is_used_before_another_is_started(jobs, tmp_path, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_JOBS_IDLE_SECONDS", "600")
    pids = {ended(jobs, jobs.submit("steps", {"n": 1, "log": str(tmp_path / "log")}, "a")).result["pid"] for _ in range(3)}
    assert len(pids) == 1
    until(lambda: len(processes(jobs)) == 1)


def test_asked_to_stop_the_runner_gives_its_job_back(jobs, tmp_path):
    log = tmp_path / "log"
    id = jobs.submit("steps", {"n": 6, "log": str(log), "pause": 0.3}, "a")
    until(log.exists)
    os.kill(until(lambda: processes(jobs))[0], signal.SIGTERM)
    until(lambda: not processes(jobs))
    assert jobs.get(id, "a").state == "queued"
    jobs.wake()
    assert ended(jobs, id).state == "done" and sorted(set(map(int, log.read_text().split()))) == list(range(6))


def test_the_runner_ends_with_its_service(jobs, tmp_path, monkeypatch):
    service = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    monkeypatch.setenv("HEALTHLAB_SERVICE_PID", str(service.pid))
    monkeypatch.setenv("HEALTHLAB_JOBS_IDLE_SECONDS", "600")
    jobs.submit("steps", {"n": 1, "log": str(tmp_path / "log")}, "a")
    until(lambda: processes(jobs))
    service.kill()
    service.wait()
    until(lambda: not processes(jobs))


def test_the_runner_ends_when_its_folder_is_gone(jobs, tmp_path):
    id = jobs.submit("deaf", {}, "a")
    until(lambda: jobs.get(id, "a").state == "running")
    jobs.folder.rename(tmp_path / "elsewhere")
    try: until(lambda: not processes(jobs))
    finally: (tmp_path / "elsewhere").rename(jobs.folder)


def test_a_running_job_is_cancelled_and_its_files_go(jobs, tmp_path):
    id = jobs.submit("steps", {"n": 1000, "log": str(tmp_path / "log"), "pause": 0.1}, "a")
    until(lambda: (jobs.folder / id).exists())
    jobs.cancel(id, "a")
    assert ended(jobs, id).state == "cancelled" and not (jobs.folder / id).exists()


def test_a_job_that_does_not_listen_is_stopped_all_the_same_and_the_next_one_runs(jobs, tmp_path, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_JOBS_GRACE_SECONDS", "0.5")
    monkeypatch.setenv("HEALTHLAB_JOBS_RUNNERS", "1")
    stuck = jobs.submit("deaf", {}, "a")
    until(lambda: jobs.get(stuck, "a").state == "running")
    after = jobs.submit("steps", {"n": 1, "log": str(tmp_path / "log")}, "b")
    jobs.cancel(stuck, "a")
    assert ended(jobs, stuck).state == "cancelled" and ended(jobs, after, "b").state == "done"


def test_a_job_may_take_only_so_long(jobs, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_JOBS_HOURS", str(1 / 3600))
    job = ended(jobs, jobs.submit("deaf", {}, "a"))
    assert (job.state, job.code) == ("failed", "job-too-long")


def test_a_long_job_does_not_hold_up_another_client(jobs, tmp_path):
    long = jobs.submit("deaf", {}, "a")
    until(lambda: jobs.get(long, "a").state == "running")
    assert ended(jobs, jobs.submit("steps", {"n": 1, "log": str(tmp_path / "log")}, "b"), "b").state == "done"
    assert jobs.get(long, "a").state == "running"


def test_failures_tell_what_is_known_to_be_safe_and_nothing_else(jobs, caplog):
    quiet(jobs)
    bad, clear = jobs.submit("breaks", {}, "a"), jobs.submit("refuses", {}, "a")
    assert run_worker(jobs) == 2
    job = jobs.get(bad, "a")
    assert (job.state, job.code, job.public()["error"]) == ("failed", "job-error", "the job failed: ValueError. Ask the service's operator, with the job's id")
    assert jobs.get(clear, "a").public()["code"] == "data-unfit" and "Ingest it first" in jobs.get(clear, "a").error
    assert "Musterfrau" not in caplog.text + str(entries().to_pylist()) and bad in caplog.text


def test_another_owner_finds_nothing(jobs):
    id = quiet(jobs).submit("steps", {"n": 1}, "a")
    for act in (jobs.get, jobs.cancel):
        with pytest.raises(Missing): act(id, "b")
    for wrong in ("", "x" * 32, id.upper(), id + "\0", None, 7):
        with pytest.raises(Missing): jobs.get(wrong, "a")
    assert jobs.list("b") == [] and [j.id for j in jobs.list("a")] == [id] and jobs.get(id, "a").state == "queued"


@pytest.mark.parametrize("name", ["../jobs.db", "..", ".", "/etc/passwd", "part-0.txt/..", "", "a\0b", "Ä", "x" * 300])
def test_a_file_is_looked_up_never_opened_by_what_was_sent(jobs, name, tmp_path):
    id = quiet(jobs).submit("steps", {"n": 1, "log": str(tmp_path / "log")}, "a")
    run_worker(jobs)
    assert b"".join(read_file(jobs, id, "part-0.txt")) == b"0" * 10
    with pytest.raises(Missing): read_file(jobs, id, name)
    with pytest.raises(Missing): read_file(jobs, "../" + id[3:], "part-0.txt")


def test_nothing_on_the_disk_can_be_read_without_the_key(jobs, tmp_path):
    id = quiet(jobs).submit("steps", {"n": 1, "log": str(tmp_path / "log"), "patient": "Musterfrau-4711"}, "a")
    run_worker(jobs)
    held = [p for p in jobs.folder.rglob("*") if p.is_file()]
    assert len(held) >= 3 and all(b"Musterfrau" not in p.read_bytes() and b"0000000000" not in p.read_bytes() for p in held)
    assert all(p.stat().st_mode & 0o077 == 0 for p in held if p.name not in ("jobs.db-wal", "jobs.db-shm")) and jobs.folder.stat().st_mode & 0o077 == 0
    (jobs.folder / id / "part-0.txt").write_bytes(b"something else")
    with pytest.raises(StorageError): b"".join(read_file(jobs, id, "part-0.txt"))


def test_it_is_kept_for_its_time_and_no_longer(jobs, tmp_path, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_JOBS_KEEP_HOURS", str(0.3 / 3600))
    id = quiet(jobs).submit("steps", {"n": 1, "log": str(tmp_path / "log")}, "a")
    run_worker(jobs)
    reading = read_file(jobs, id, "part-0.txt")
    time.sleep(0.4)
    with pytest.raises(Missing): jobs.get(id, "a")
    assert not (jobs.folder / id).exists() and b"".join(reading) == b"0" * 10 # who was reading reads to the end
    (jobs.folder / ("ab" * 16)).mkdir()
    assert jobs.sweep() == 1 and not (jobs.folder / ("ab" * 16)).exists()


def test_one_client_cannot_fill_the_queue(jobs, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_JOBS_PER_OWNER", "2")
    quiet(jobs)
    for _ in range(2): jobs.submit("steps", {"n": 1}, "a")
    with pytest.raises(Busy) as e: jobs.submit("steps", {"n": 1}, "a")
    assert e.value.code == "jobs-full" and jobs.submit("steps", {"n": 1}, "b")


def test_the_queue_is_fair_between_clients(jobs, tmp_path):
    quiet(jobs)
    first = [jobs.submit("steps", {"n": 1, "log": str(tmp_path / "log")}, "a") for _ in range(3)]
    other = jobs.submit("steps", {"n": 1, "log": str(tmp_path / "log")}, "b")
    assert module._claim(jobs, 0)[2].id == first[0] and module._claim(jobs, 1)[2].id == other # not all of a's before b's


def test_many_submit_at_once_and_each_runs_once(jobs, tmp_path, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_JOBS_PER_OWNER", "100")
    log, ids = tmp_path / "log", []
    threads = [threading.Thread(target=lambda: ids.append(jobs.submit("steps", {"n": 1, "log": str(log)}, "a"))) for _ in range(20)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert len({*ids}) == 20 and all(ended(jobs, id).state == "done" for id in ids) and log.read_text().count("\n") == 20
    assert all(jobs.get(id, "a").attempts == 1 for id in ids)


def test_an_unknown_kind_is_refused(jobs):
    with pytest.raises(InputError): jobs.submit("os.system", {}, "a")
    assert isinstance(Missing(), HealthlabError)
