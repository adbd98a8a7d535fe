"Turns: one thread at work, nobody locked out."
import http.client
import threading
import time

from healthlab.service.turns import Turns
from served import serving


def started(f):
    t = threading.Thread(target=f, daemon=True)
    t.start()
    return t


def until(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_first_come_first_served():
    line, order = Turns(patience=30), []
    line.take()
    def come(n):
        line.take(); order.append(n); line.give()
    threads = []
    for n in range(6):
        threads.append(started(lambda n=n: come(n)))
        until(lambda n=n: len(line._line) == n + 1)
    assert not order
    line.give()
    for t in threads: t.join(5)
    assert order == list(range(6))


def test_who_comes_back_from_waiting_goes_before_those_who_have_not_begun():
    line, order, waits = Turns(patience=30), [], threading.Event()
    def aside():
        line.take()
        with line.aside(): waits.wait(5)
        order.append("back"); line.give()
    away = started(aside)
    until(lambda: line._holder is None)
    line.take()
    new = started(lambda: (line.take(), order.append("new"), line.give()))
    until(lambda: len(line._line) == 1)
    waits.set()
    until(lambda: len(line._line) == 2)
    line.give()
    away.join(5); new.join(5)
    assert order == ["back", "new"]


def test_nobody_waits_longer_than_patience_and_a_turn_taken_over_is_not_given_twice():
    line = Turns(patience=0.02)
    line.take()
    at = []
    def other():
        line.take(); at.append("second"); release.wait(5); line.give()
    release = threading.Event()
    second = started(other)
    until(lambda: at == ["second"])
    second_turn = line._holder
    assert line.give() is True              # late: the turn is no longer ours
    assert line._holder is second_turn      # and stays with who took it over
    release.set(); second.join(5)
    assert line._holder is None and line.give() is False


def test_held_nests_and_ends_with_the_outermost():
    line = Turns()
    with line.held():
        mine = line._holder
        with line.held(): assert line._holder is mine
        assert line._holder is mine
    assert line._holder is None


def test_two_processes_share_the_clients_and_a_stopped_one_is_waited_for_no_longer_than_it_may_be(workbench):
    import signal
    import psutil
    with serving(workbench, HEALTHLAB_SERVICE_WORKERS="2", HEALTHLAB_SERVICE_THREADS="4") as (port, process):
        def client():
            made = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            made.request("GET", "/health/live")
            assert made.getresponse().read()
            return made
        def shares(): return sorted(sum(c.status == "ESTABLISHED" for c in w.net_connections("tcp")) for w in workers)
        workers = []
        def both(): # the second may still be starting when the first answers
            workers[:] = [w for w in psutil.Process(process.pid).children() if w.net_connections("tcp")]
            return len(workers) == 2 and all(w.num_threads() for w in workers)
        until(both)
        first = client()
        until(lambda: sum(shares()) >= 1)
        time.sleep(0.5)
        kept = [first, *(client() for _ in range(9))]
        a, b = shares()
        assert a + b == 10 and a >= 4
        fuller = max(workers, key=lambda w: sum(c.status == "ESTABLISHED" for c in w.net_connections("tcp")))
        other = next(w for w in workers if w is not fuller)
        other.send_signal(signal.SIGSTOP) # it hears of newcomers and does nothing
        try: kept += [client() for _ in range(3)]
        finally: other.send_signal(signal.SIGCONT)
        assert len(kept) == 13
