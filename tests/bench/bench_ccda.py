"""C-CDA: documents and megabytes a second to FHIR on one core; reading the XML alone against defusedxml in the same run.

    python tests/bench/bench_ccda.py
"""
from pathlib import Path

from cpu import each

from healthlab.fhir.ccda import CcdaError, to_bundle
from healthlab.fhir.cda import read_xml

DATA = Path(__file__).resolve().parents[2].parent / "shared/data/ccda"
COMMAND = "python tests/bench/run.py ccda"


def converted(data):
    try: return to_bundle(data, timezone="UTC")
    except CcdaError: return None


def run():
    if not DATA.is_dir(): return []
    everything = [f.read_bytes() for f in sorted(DATA.rglob("*")) if f.is_file()]
    whole = [d for d in everything if b"<ClinicalDocument" in d]
    size = sum(map(len, whole)) / 1e6
    took = each(converted, whole)
    rows = [dict(name="C-CDA documents to FHIR, one core", figure=len(whole) / took, unit="documents/s", command=COMMAND), dict(name="C-CDA documents to FHIR, one core", figure=size / took, unit="MB/s", command=COMMAND),
            dict(name="C-CDA documents and fragments to FHIR, one core", figure=len(everything) / each(converted, everything), unit="files/s", command=COMMAND)]
    from defusedxml.ElementTree import fromstring
    def parsed(d):
        try: fromstring(d)
        except Exception: pass
    own, theirs = size / each(read_xml, whole), size / each(parsed, whole)
    return [*rows, dict(name="reading the XML safely", figure=own, unit="MB/s", peer="defusedxml.ElementTree", peer_figure=theirs, ratio=own / theirs, command=COMMAND)]


def main():
    rows = run()
    for r in rows: print(f"{r['name']:55} {r['figure']:>10,.1f} {r['unit']}" + (f"   {r['peer']} {r['peer_figure']:,.1f}   ratio {r['ratio']:.1f}" if r.get("peer") else ""))
    return rows


if __name__ == "__main__":
    main()
