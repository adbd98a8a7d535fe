"""The engine: order, bounded look-ahead, errors that surface, workers that die."""
import os
import signal
import subprocess
import sys
import textwrap
import time

import pyarrow as pa
import pytest
from healthlab.core.engine import WorkerDied, map_batches, map_items, worker_count


def double(x): return 2 * x


def slow_double(x):
    time.sleep(.05 * (5 - x % 5) / 5)
    return 2 * x


def fail_at_three(x):
    if x == 3: raise ValueError("three")
    return x


def die_at_three(x):
    if x == 3: os.kill(os.getpid(), signal.SIGKILL)
    return x


STATE = {}


def remember(value): STATE["value"] = value


def recall(x): return (STATE["value"], x)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers):
    assert list(map_items(slow_double, range(20), workers=workers)) == [2 * x for x in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_of_the_function_is_raised(workers):
    got = map_items(fail_at_three, range(10), workers=workers)
    assert [next(got) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"): list(got)


def test_look_ahead_is_bounded():
    taken = []
    def items():
        for k in range(100):
            taken.append(k)
            yield k
    got = map_items(double, items(), workers=2, inflight=2)
    next(got)
    assert len(taken) <= 2 * 3
    got.close()


def test_a_killed_worker_is_an_error_and_the_next_call_works():
    with pytest.raises(WorkerDied, match="worker process died"): list(map_items(die_at_three, range(10), workers=2))
    assert list(map_items(double, range(4), workers=2)) == [0, 2, 4, 6]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_initialiser_of_this_call_counts(workers):
    for value in ("a", "b"):
        assert {v for v, _ in map_items(recall, range(6), workers=workers, initializer=remember, initargs=(value,))} == {value}


def plus_one(batch): return pa.record_batch({"x": pa.array([v + 1 for v in batch["x"].to_pylist()], pa.int64())})


@pytest.mark.parametrize("workers", [1, 2])
def test_batches(workers):
    batches = [pa.record_batch({"x": pa.array([k], pa.int64())}) for k in range(7)]
    assert [b["x"][0].as_py() for b in map_batches(plus_one, iter(batches), workers=workers)] == list(range(1, 8))
    assert list(map_batches(plus_one, [], workers=workers)) == []


def test_a_script_without_a_main_guard_and_workers_that_leave_with_their_parent(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(textwrap.dedent("""
        import os, time
        from healthlab.core.engine import map_items
        def f(x):
            open(os.environ["PIDS"], "a").write(f"{os.getpid()}\\n")
            time.sleep(30 if x > 1 else 0)
            return x
        print("started", flush=True)
        list(map_items(f, range(4), workers=2))
    """))
    pids = tmp_path / "pids"
    p = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PIDS": str(pids)}, stdout=subprocess.PIPE, text=True)
    deadline = time.time() + 60
    while time.time() < deadline and (not pids.exists() or len(pids.read_text().split()) < 4): time.sleep(.1)
    p.kill()
    assert p.communicate()[0].count("started") == 1
    workers = {int(x) for x in pids.read_text().split()}
    while time.time() < deadline and any(os.path.exists(f"/proc/{w}") for w in workers): time.sleep(.1)
    assert not any(os.path.exists(f"/proc/{w}") for w in workers)


def test_no_workers_asked_for_means_one_a_core():
    assert worker_count(0) == len(os.sched_getaffinity(0)) and worker_count(3) == 3
