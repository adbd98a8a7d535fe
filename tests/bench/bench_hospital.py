"""The simulated hospital: patients a second in all formats, resources a second against fhir.resources building the same resources.

No generator of longitudinal FHIR is on the package index (Synthea is a Java program), so the peer is what a Python team would build resources with:
constructing and serialising the same resources through fhir.resources' R4B models, in the same process."""
import resource
import tempfile
import time
from importlib import import_module
from pathlib import Path

COMMAND = "python tests/bench/run.py hospital"
PATIENTS, SAMPLE = 1000, 30


def run() -> list[dict]:
    from healthlab.hospital import Hospital
    from healthlab.hospital.records import encode

    row = lambda name, figure, unit, peer="", peer_figure=None, ratio=None, asked=None: dict(name=name, figure=figure, unit=unit, peer=peer, peer_figure=peer_figure, ratio=ratio, asked=asked, command=COMMAND)
    with tempfile.TemporaryDirectory() as d:
        wall = time.monotonic()
        made = Hospital(patients=PATIENTS).emit(Path(d) / "two", progress=False, workers=2)
        wall, cpu = time.monotonic() - wall, time.process_time()
        Hospital(patients=PATIENTS // 10).emit(Path(d) / "one", progress=False, workers=1)
        cpu = time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    total = sum(n for k, n in made.counts.items() if k[0].isupper())

    start = time.process_time()
    items = list(Hospital(patients=SAMPLE, seed=1).resources())
    data = [encode(r) for r in items]
    ours = time.process_time() - start
    models = {t: getattr(import_module(f"fhir.resources.R4B.{t.lower()}"), t) for t, _, _ in data}
    start = time.process_time()
    for r in items: models[r["resourceType"]].model_validate(r).model_dump_json()
    peer = time.process_time() - start
    return [
        row(f"{PATIENTS:,} patients, all formats, 2 workers: wall", round(wall, 1), "s", asked="about 60"),
        row(f"{PATIENTS:,} patients, all formats: CPU, both cores together (from {PATIENTS // 10} in this process)", round(cpu * 10, 1), "s", asked="about 120"),
        row("resources written (bundles and NDJSON each)", total, "resources"),
        row("simulated and encoded, one core (CPU)", round(len(items) / ours), "resources/s", "fhir.resources, constructing and serialising alone", round(len(items) / peer), round(peer / ours, 1)),
        row("peak resident memory of this process, chunks made in it included", round(memory), "MB"),
    ]


def main():
    for r in run(): print({k: v for k, v in r.items() if v is not None and k != "command"})


if __name__ == "__main__": main()
