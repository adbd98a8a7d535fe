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
