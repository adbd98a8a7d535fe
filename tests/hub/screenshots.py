"""Pictures of every dashboard for the documentation, in a real browser at a real hub; of simulated data only.

    make screenshots     simulates a hospital, runs the main job on it in a workbench of its own, and keeps the pictures under nbs/images
"""
import io, shutil, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = """
import os
from pathlib import Path
import healthlab.pipelines as pipelines
from healthlab.core.errors import HealthlabError
from healthlab.fhir.views import shipped
from healthlab.hospital import Hospital
from healthlab.models import register, stays, train
from healthlab.models.evidence import drift
from healthlab.models.readmission import INPUTS

landing = Path(os.environ["HEALTHLAB_LANDING_URL"])
Hospital(patients=60, seed=5).emit(landing, formats=("ndjson", "notes"), defects=.01, progress=False)
pipelines.journey(str(landing), echo=print)
for name, given in (("quality", {"zone": "identified"}), ("synthesize", {"table": "encounter", "reason": "screenshots"}), ("aggregate", {})):
    try: print(pipelines.run(name, given).seconds, name, flush=True)
    except HealthlabError as e: print(name, e, flush=True) # a failed run is something to see, too

kept = {"Patient": [], "Encounter": [], "Condition": []} # a model needs more stays than 60 people have
for r in Hospital(patients=500, seed=1).resources():
    if r["resourceType"] in kept: kept[r["resourceType"]].append(r)
found = stays(*(shipped()[t.lower()].run(kept[t]).to_pandas() for t in ("Encounter", "Patient", "Condition")))
trained, x = train(found, source="simulated hospital, 500 patients"), found[list(INPUTS)]
register(trained.model, "readmission", x, card=trained.card, figures=trained.figures | drift(x[:len(x) // 2], x[len(x) // 2:]), parameters={"seed": 0, "patients": 500})
"""
DESK, PHONE = 1200, 390
SHOTS = [(name, name, DESK, "light", {"text": {"Open": "note 1"}, "quality": {"Failing rows of": 1}}.get(name, {})) for name in ("overview", "cohorts", "quality", "runs", "synthetic", "text", "models")] # file, dashboard, width, colours, what is chosen before
SEEN = {"Open": "The note", "Failing rows of": "Failing rows of"} # the heading that comes with the choice
SHOTS += [("cohorts-dark", "cohorts", DESK, "dark", {}), ("overview-phone", "overview", PHONE, "light", {}), ("cohorts-phone-dark", "cohorts", PHONE, "dark", {})]


def small(png: bytes, limit: int = 110_000) -> bytes:
    "The picture in as many colours as its size allows."
    from PIL import Image
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for colors in (192, 128, 64):
        out = io.BytesIO()
        picture.quantize(colors, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        if out.tell() < limit: break
    return out.getvalue()


def take(hub, to: Path):
    "Every picture."
    from person import signed_in
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox", "--disable-dev-shm-usage"])
        for file, name, width, colors, chosen in SHOTS:
            page = signed_in(browser, hub, viewport={"width": width, "height": 800}, color_scheme=colors)
            page.goto(f"{hub.url}/services/dashboards/voila/render/{name}.ipynb", wait_until="commit")
            page.wait_for_selector(".hl-live button", state="attached")
            for label, option in chosen.items():
                box = page.get_by_label(label, exact=True)
                if not box.count(): continue
                page.wait_for_timeout(1000)
                box.select_option(index=option) if isinstance(option, int) else box.select_option(option)
                page.wait_for_selector(f"#hl-live h2:has-text('{SEEN[label]}')", timeout=60_000)
            page.wait_for_timeout(500)
            height = min(page.evaluate("document.documentElement.scrollHeight"), 2400 if width == PHONE else 1300)
            (to / f"{file}.png").write_bytes(small(page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height})))
            print(f"{file}.png", (to / f"{file}.png").stat().st_size, flush=True)
            page.context.close()
        browser.close()


def main(to: Path = ROOT / "nbs/images"):
    from running import running
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch), SAMPLE) as hub: take(hub, to)


if __name__ == "__main__": main(*map(Path, sys.argv[1:]))
