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


def eighths(flags: str = "/proc/cpuinfo") -> str:
    """How the processor multiplies 8-bit integers, which decides how fast quantised networks run; empty where it does not say."""
    from pathlib import Path
    said = Path(flags).read_text().split() if Path(flags).exists() else []
    if not {"avx2", "avx512f"} & set(said): return ""
    return "VNNI" if {"avx512_vnni", "avx_vnni"} & set(said) else "AVX-512 without VNNI" if "avx512bw" in said else "AVX2 without VNNI"
