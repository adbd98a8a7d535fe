"""The MLLP listener: an acknowledgement only after the commit, errors answered, nothing partial, bounded input."""
import asyncio

import pytest

from healthlab.fhir.hl7v2 import Hl7Error, parse
from healthlab.ingest.mllp import END, START, Listener, lake_commit, verdict_code


def message(n, kind="ADT^A04"): return f"MSH|^~\\&|ADT1|GH|||20260101120000+0100||{kind}|{n}|P|2.5\rPID|||{n}^^^GH^MR||Doe^Jane\r".encode()


async def talk(listener, *frames, answers=None):
    reader, writer = await asyncio.open_connection(listener.host, listener.port)
    for f in frames: writer.write(f)
    await writer.drain()
    got = []
    for _ in range(len(frames) if answers is None else answers):
        got.append(parse((await asyncio.wait_for(reader.readuntil(END), 20))[:-2]))
    writer.close()
    return got


def framed(m): return START + m + END


def run(coroutine): return asyncio.run(coroutine)


def test_acknowledged_only_after_the_commit():
    order = []
    def commit(messages):
        order.append(("commit", len(messages)))
        return [None] * len(messages)
    async def main():
        async with Listener(commit, window=.05) as l:
            assert l.host == "127.0.0.1"
            got = await talk(l, *(framed(message(n)) for n in range(20)))
            order.append(("acks", len(got)))
            return got
    got = run(main())
    assert [a.value("MSA-2") for a in got] == [str(n) for n in range(20)] and {a.value("MSA-1") for a in got} == {"AA"}
    assert order[-1] == ("acks", 20) and sum(n for k, n in order if k == "commit") == 20 and len(order) < 12, "messages share commits"


def test_a_failed_commit_is_never_acknowledged():
    def commit(messages): raise OSError("disk full: /secret/path")
    async def main():
        async with Listener(commit) as l: return await talk(l, framed(message(1)))
    a, = run(main())
    assert a.value("MSA-1") == "AR" and a.value("ERR-3") == "207" and a.value("ERR-8") == ""


@pytest.mark.parametrize("error, code", [(None, "AA"), (Hl7Error("101", "PID-3"), "AE"), (Hl7Error("200"), "AR"), (Hl7Error("207"), "AR"), (ValueError(), "AR")])
def test_verdicts(error, code):
    assert verdict_code(error) == code


def test_split_and_joined_packets_and_noise_between_frames():
    async def main():
        async with Listener(lambda ms: [None] * len(ms)) as l:
            reader, writer = await asyncio.open_connection(l.host, l.port)
            stream = b"\r\n" + framed(message(1)) + b"\n\n" + framed(message(2) + b"OBX|1|ST|x||a\x1cb\r") + framed(message(3))
            for i in range(0, len(stream), 7):
                writer.write(stream[i:i + 7])
                await writer.drain()
            got = [parse((await asyncio.wait_for(reader.readuntil(END), 20))[:-2]).value("MSA-2") for _ in range(3)]
            writer.close()
            return got
    assert run(main()) == ["1", "2", "3"]


def test_too_long_is_refused_and_the_connection_closed():
    seen = []
    async def main():
        async with Listener(lambda ms: seen.extend(ms) or [None] * len(ms), max_bytes=1000) as l:
            return await talk(l, START + b"MSH|^~\\&|" + b"x" * 50_000, answers=1)
    a, = run(main())
    assert a.value("MSA-1") == "AR" and seen == []


def test_a_frame_that_never_ends_times_out():
    async def main():
        async with Listener(lambda ms: [None] * len(ms), patience=.2) as l: return await talk(l, START + b"MSH|^~", answers=1)
    assert run(main())[0].value("MSA-1") == "AR"


def test_silent_and_vanishing_senders_do_no_harm():
    async def main():
        async with Listener(lambda ms: [None] * len(ms), idle=.2) as l:
            reader, _ = await asyncio.open_connection(l.host, l.port)
            assert await asyncio.wait_for(reader.read(), 5) == b""      # closed for being silent
            _, gone = await asyncio.open_connection(l.host, l.port)
            gone.write(framed(message(1))); gone.close()                 # does not wait for its answer
            return await talk(l, framed(message(2)))
    assert run(main())[0].value("MSA-1") == "AA"


def test_into_the_lake(workbench):
    from healthlab.lake import Lake
    lake = Lake()
    bad = b"MSH|^~\\&|ADT1|GH|||20260101||MFN^M02|9|P|2.5\rMFI|1\r"
    async def main():
        async with Listener(lake_commit(lake)) as l: return await talk(l, framed(message(1)), framed(b"PID|nothing\r"), framed(bad), framed(message(2)), framed(message(1)))
    assert [a.value("MSA-1") for a in run(main())] == ["AA", "AE", "AR", "AA", "AA"]
    assert lake.rows("identified", "Patient") == 2
    refused = lake.read("identified", "reject").to_pylist()
    assert [r["code"] for r in refused] == ["hl7-100", "hl7-200"] and refused[1]["raw"] == bad
    assert set(lake.read("identified", "Patient").column_names) == {"id", "patient", "last_updated", "hash", "run_id", "source", "resource"}
