"""Pictures of every dashboard for the documentation, in a real browser at a real hub; of simulated data only.

    make screenshots     simulates a hospital, runs the main job on it in a workbench of its own, and keeps the pictures under nbs/images
"""
import io, shutil, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = """
import os
from pathlib import Path
import pandas as pd, pyarrow as pa
import healthlab.pipelines as pipelines
from healthlab.core.audit import new_run_id
from healthlab.core.errors import HealthlabError
from healthlab.fhir.views import shipped
from healthlab.hospital import Hospital
from healthlab.lake import Lake
from healthlab.models import register, stays, train, watch
from healthlab.models.readmission import INPUTS, times

landing = Path(os.environ["HEALTHLAB_LANDING_URL"])
Hospital(patients=60, seed=5).emit(landing, formats=("ndjson", "notes"), defects=.01, progress=False)
pipelines.journey(str(landing), echo=print)

kept = {"Patient": [], "Encounter": [], "Condition": []} # a model and a generator need more stays than 60 people have
for r in Hospital(patients=500, seed=5).resources():
    if r["resourceType"] in kept: kept[r["resourceType"]].append(r)
encounters, people, conditions = (shipped()[t.lower()].run(kept[t]).to_pandas() for t in ("Encounter", "Patient", "Condition"))
start, end, who = times(encounters["start"]), times(encounters["end"]), people.set_index("id").reindex(encounters["patient"])
visit = pd.DataFrame({"id": encounters["id"], "patient": encounters["patient"], "class": encounters["class"], "gender": who["gender"].values, "race": who["race"].values, "month": start.dt.month.astype(str),
    "age": start.dt.year - pd.to_numeric(who["birth_date"].str[:4].values).astype(float), "hours": ((end - start).dt.total_seconds() / 3600).round(1)}).sample(6000, random_state=0)
Lake().write("research", "visit", pa.Table.from_pandas(visit, preserve_index=False), run_id=new_run_id(), mode="overwrite")
for name, given in (("quality", {"zone": "identified"}), ("synthesize", {"table": "visit", "reason": "pictures"})):
    try: print(pipelines.run(name, given).seconds, name, flush=True)
    except HealthlabError as e: print(name, e, flush=True) # a failed run is something to see, too
assert "visit" in Lake().tables("synthetic"), "no synthetic table: its card did not pass"

found = stays(encounters, people, conditions).sort_values("ended")
early = found[:len(found) * 3 // 5]
trained = train(early, source="simulated hospital, 500 patients")
register(trained.model, "readmission", early[list(INPUTS)], card=trained.card, figures=trained.figures, parameters={"seed": 0, "patients": int(early["patient"].nunique()), "stays until": f"{early['ended'].max():%Y-%m-%d}"}, recipe="readmission")
for at in pd.date_range(early["ended"].max(), found["ended"].max(), periods=7)[1:]: print(watch(Lake(), at=at, days=1095, least=20, recipes={"readmission": lambda lake: found}), flush=True)
print(pipelines.run("aggregate").seconds, "aggregate", flush=True)
"""
DESK, PHONE = 1200, 390
SHOTS = [(name, name, DESK, "light", {"text": {"Open": "note 1"}, "quality": {"Failing rows of": 1}, "synthetic": {"Table": "visit"}}.get(name, {})) for name in ("overview", "cohorts", "quality", "runs", "synthetic", "text", "models")] # file, dashboard, width, colours, what is chosen before
SEEN = {"Open": "The note", "Failing rows of": "Failing rows of", "Table": "The card"} # the heading that comes with the choice
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
        first = signed_in(browser, hub)
        session = first.context.storage_state() # signed in once: a name may be tried only so often
        first.context.close()
        for file, name, width, colors, chosen in SHOTS:
            page = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=colors, storage_state=session).new_page()
            page.set_default_timeout(120_000)
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
