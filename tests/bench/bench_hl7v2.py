"""HL7 v2: messages a second, parsed and mapped to FHIR on one core; parse only against the parsers people use (hl7apy, hl7) in the same run.

    python tests/bench/bench_hl7v2.py
"""
from pathlib import Path

from cpu import each

from healthlab.fhir.hl7v2 import parse, split_batch, to_bundle

LANDING = Path(__file__).resolve().parents[2].parent / "shared/data/landing/hl7v2"
COMMAND = "python tests/bench/run.py hl7v2"
# used where the public samples are not at hand: an admission and a panel of twelve results
PANEL = "".join(f"OBX|{n}|NM|{n}-4^Test {n}^LN||{n}.5|mmol/L^^UCUM|1-9|N|||F|||20260103080000\r" for n in range(1, 13))
OWN = [b"MSH|^~\\&|ADT1|GH|||20260101120000+0100||ADT^A01^ADT_A01|1|P|2.5\rEVN|A01|20260101120000\rPID|1||77^^^GH^MR||Doe^Jane^Q||19700102|F|||1 High St^^Town^ST^12345||5551234^PRN^PH\rPV1|1|I|W^389^1|E|||4711^Welby^Marcus||||||||||||V1\rDG1|1||I50.9^Heart failure^I10||20260101|A\r",
       ("MSH|^~\\&|LAB|GH|||20260103081500+0100||ORU^R01^ORU_R01|2|P|2.5\rPID|1||77^^^GH^MR||Doe^Jane||19700102|F\rORC|RE|P1|F1\rOBR|1|P1|F1|24323-8^CMP^LN|||20260103080000||||||||||||||||||F\r" + PANEL).encode()]


def samples():
    if not LANDING.is_dir(): return OWN * 100
    return [m for f in sorted(LANDING.rglob("*")) if f.is_file() for m in split_batch(f.read_bytes())]


def rate(work, items, repeat=5):
    "Items a second of CPU time."
    return len(items) / each(work, items, repeat)


def peers():
    "Parse-only functions of the peers that are installed."
    out = {}
    try:
        import hl7
        out["hl7 (parse)"] = lambda t: hl7.parse(t)
    except ImportError: pass
    try:
        from hl7apy.consts import VALIDATION_LEVEL
        from hl7apy.parser import parse_message
        def apy(t):
            try: parse_message(t, find_groups=False, validation_level=VALIDATION_LEVEL.TOLERANT)
            except Exception: pass # it refuses some samples; the time until then counts in its favour
        out["hl7apy (parse)"] = apy
    except ImportError: pass
    return out


def run():
    messages = samples()
    texts = ["\r".join(m.decode("utf-8", "replace").lstrip("\ufeff").split("\r")) for m in messages]
    rows = [dict(name="HL7 v2 parse + map to FHIR, public samples, one core", figure=rate(lambda m: to_bundle(m, timezone="UTC"), messages), unit="messages/s", asked=">= 1,000", command=COMMAND),
            dict(name="HL7 v2 parse + map to FHIR, admission and 12-result panel, one core", figure=rate(lambda m: to_bundle(m, timezone="UTC"), OWN * 100), unit="messages/s", asked=">= 1,000", command=COMMAND)]
    own = rate(parse, texts)
    for name, work in peers().items():
        theirs = rate(work, texts, 3 if "apy" not in name else 1)
        rows.append(dict(name="HL7 v2 parse only", figure=own, unit="messages/s", peer=name, peer_figure=theirs, ratio=own / theirs, command=COMMAND))
    for name, work in peers().items():
        theirs = rate(work, texts, 1)
        rows.append(dict(name="HL7 v2 parse + map against the peer's parse alone", figure=rows[0]["figure"], unit="messages/s", peer=name, peer_figure=theirs, ratio=rows[0]["figure"] / theirs, command=COMMAND))
    return rows


def main():
    rows = run()
    for r in rows: print(f"{r['name']:70} {r['figure']:>10,.0f} {r['unit']}" + (f"   {r['peer']} {r['peer_figure']:,.0f}   ratio {r['ratio']:.1f}" if r.get("peer") else ""))
    return rows


if __name__ == "__main__":
    main()
