"""Figures of the lake: encrypted appends and reads against deltalake's own unencrypted ones on the same rows, merges, and the audit trail."""
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import pyarrow as pa

COMMAND = "python tests/bench/bench_lake.py"
ROWS, ROUNDS = 60_000, 5


def resources() -> list[bytes]:
    """Resources of Synthea bundles as compact JSON; the simulated hospital's where the bundles are absent."""
    from bench_model import lines
    found = lines()
    return (found * (ROWS // len(found) + 1))[:ROWS]


def table() -> pa.Table:
    """The rows as zone identified holds them; ids are made unique, since the bundles are repeated to fill the table."""
    found = resources()
    n = len(found)
    return pa.table(dict(id=[f"{i:036d}" for i in range(n)], patient=[f"{i // 300:036d}" for i in range(n)], last_updated=pa.array([None] * n, pa.timestamp("us", "UTC")),
                         hash=[hashlib.blake2b(b, digest_size=16).hexdigest() for b in found], run_id=["20261121T013000Z-1f00ba"] * n, source=[f"smart/{i // 1000}.json#{i % 1000}" for i in range(n)],
                         resource=pa.array([b.decode() for b in found])))


def seconds(work, rounds=ROUNDS):
    """Median CPU seconds of this process (all its threads): what else the machine does counts less."""
    def once(i):
        start = time.process_time()
        work(i)
        return time.process_time() - start
    return median(once(i) for i in range(rounds))


def figures(lake, folder: Path) -> list[dict]:
    from deltalake import DeltaTable, write_deltalake
    from healthlab.core.audit import record, verify
    t = table()
    n, size = t.num_rows, sum(map(len, t["resource"].to_pylist())) / 1e6
    rows = []
    def row(name, figure, unit, peer="", peer_figure=None, asked=""):
        rows.append(dict(name=name, figure=round(figure, 2), unit=unit, peer=peer, peer_figure=peer_figure and round(peer_figure, 2), ratio=peer_figure and round(figure / peer_figure, 2), asked=asked, command=COMMAND))

    lake.write("identified", "Warm", t.slice(0, 1000), run_id="bench"); write_deltalake(str(folder / "warm"), t.slice(0, 1000))
    ours = seconds(lambda i: lake.write("identified", f"A{i}", t, run_id="bench"))
    theirs = seconds(lambda i: write_deltalake(str(folder / f"p{i}"), t))
    row("append, encrypted and audited", n / ours, "rows/CPU s", "deltalake.write_deltalake, plain", n / theirs)
    row("append, encrypted and audited", size / ours, "MB of JSON/CPU s", "deltalake.write_deltalake, plain", size / theirs)
    ours = seconds(lambda i: lake.read("identified", f"A{i}"))
    theirs = seconds(lambda i: DeltaTable(str(folder / f"p{i}")).to_pyarrow_table())
    row("read all columns, decrypted and audited", n / ours, "rows/CPU s", "deltalake.to_pyarrow_table, plain", n / theirs)
    ours = seconds(lambda i: lake.read("identified", f"A{i}", ["id", "hash"]))
    theirs = seconds(lambda i: DeltaTable(str(folder / f"p{i}")).to_pyarrow_table(columns=["id", "hash"]))
    row("read id and hash", n / ours, "rows/CPU s", "deltalake.to_pyarrow_table, plain", n / theirs)
    stored = lambda top: sum(p.stat().st_size for p in Path(top).rglob("*.parquet")) / 1e6
    row("size on disk", stored(Path(lake.url) / "identified" / "A0"), "MB", "deltalake.write_deltalake, plain", stored(folder / "p0"))

    step = 2000
    def small(i):
        for at in range(0, 20 * step, step): lake.write("identified", f"S{i}", t.slice(at, step), run_id="bench", txn=("bench", at))
    row("20 commits of 2,000 rows each", 20 * step / seconds(small, 3), "rows/CPU s")
    new = t.slice(0, n // 10).set_column(3, "hash", pa.array([f"{i:032x}" for i in range(n // 10)]))
    merged = seconds(lambda i: lake.write("identified", f"A{i}", new, run_id="bench", mode="merge"), 3)
    row("merge of 10 % newer rows into the table", n / 10 / merged, "rows/CPU s")

    count = 300
    start = time.perf_counter()
    for _ in range(count): record("read", zone="identified", table="Patient", detail=dict(columns=["id"]))
    row("audit entries, each on the disk", count / (time.perf_counter() - start), "entries/s")
    have = verify().entries
    row("audit entries verified", have / seconds(lambda i: verify()), "entries/CPU s")
    return rows


def run() -> list[dict]:
    """The figures as rows {name, figure, unit, peer, peer_figure, ratio, asked, command}."""
    held = {k: v for k, v in os.environ.items() if k.startswith("HEALTHLAB_")}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(HEALTHLAB_LAKE_URL=f"{folder}/lake", HEALTHLAB_KEYS_FILE=f"{folder}/keys/healthlab.key", HEALTHLAB_AUDIT_PATH=f"{folder}/audit", HEALTHLAB_ACCESS_ROLE="steward")
        try:
            from healthlab.lake import Lake
            return figures(Lake(), Path(folder))
        finally:
            for k in [k for k in os.environ if k.startswith("HEALTHLAB_")]: del os.environ[k]
            os.environ.update(held)


def main():
    rows = run()
    for r in rows: print(f"{r['name']:<45} {r['figure']:>14,} {r['unit']:<18} {r['peer'] and (r['peer'] + ' ' + format(r['peer_figure'], ',') + ', ratio ' + str(r['ratio']))}")
    return rows


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
