"""CPU time of a piece of work: what else the machine does counts less than in wall time."""
import time
from statistics import median


def seconds(work, repeat: int = 3) -> float:
    """Median CPU seconds of this process."""
    def once():
        start = time.process_time()
        work()
        return time.process_time() - start
    return median(once() for _ in range(repeat))


def each(work, items, repeat: int = 3) -> float:
    """Median CPU seconds of this process for the work on every item in turn."""
    def all_of_them():
        for i in items: work(i)
    return seconds(all_of_them, repeat)


def speed(steps: int = 500_000) -> float:
    """Million steps of a plain loop a CPU second: how fast the machine is now, so that files of different days can be compared."""
    def loop():
        for i in range(steps): i * i
    return steps / 1e6 / min(seconds(loop, 1) for _ in range(5))
