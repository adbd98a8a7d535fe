"""Pictures of every dashboard for the documentation, in a real browser at a real hub; of simulated data only.

    make screenshots     simulates a hospital, runs the main job on it in a workbench of its own, and keeps the pictures under docs/screenshots
"""
import io, shutil, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = """
import os
from pathlib import Path
from healthlab.cli import _journey
from healthlab.hospital import Hospital
landing = Path(os.environ["HEALTHLAB_LANDING_URL"])
Hospital(patients=60, seed=5).emit(landing, formats=("ndjson", "notes"), defects=.01, progress=False)
_journey(landing)
"""
SHOTS = [ # file, dashboard, width, colours, what is chosen before
    ("overview", "overview", 1200, "light", {}), ("cohorts", "cohorts", 1200, "light", {}), ("quality", "quality", 1200, "light", {}), ("runs", "runs", 1200, "light", {}),
    ("synthetic", "synthetic", 1200, "light", {}), ("text", "text", 1200, "light", {"Open": "note 1"}), ("models", "models", 1200, "light", {}), ("overview-phone-dark", "overview", 390, "dark", {}),
]


def small(png: bytes, limit: int = 150_000) -> bytes:
    "The picture in as many colours as its size allows."
    from PIL import Image
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for colors in (256, 128, 64, 32):
        out = io.BytesIO()
        picture.quantize(colors).save(out, "PNG", optimize=True)
        if out.tell() < limit: break
    return out.getvalue()


def take(hub, to: Path):
    "Sign in as a steward and take every picture."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox", "--disable-dev-shm-usage"])
        for file, name, width, colors, chosen in SHOTS:
            page = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=colors).new_page()
            page.set_default_timeout(120_000)
            page.goto(f"{hub.url}/hub/login")
            page.fill("input[name=username]", "steward"); page.fill("input[name=password]", hub.passwords["steward"])
            page.click("[type=submit]")
            page.wait_for_url(lambda url: "/hub/login" not in url, wait_until="commit")
            page.goto(f"{hub.url}/services/dashboards/voila/render/{name}.ipynb", wait_until="commit")
            page.wait_for_selector(".hl-live button", state="attached")
            for label, option in chosen.items():
                if (box := page.get_by_label(label)).count():
                    box.select_option(option)
                    page.wait_for_timeout(1500)
            page.wait_for_timeout(800)
            height = min(page.evaluate("document.documentElement.scrollHeight"), 1500)
            (to / f"{file}.png").write_bytes(small(page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height})))
            print(f"{to / file}.png", (to / f"{file}.png").stat().st_size, flush=True)
            page.context.close()
        browser.close()


def main(to: Path = ROOT / "docs/screenshots"):
    from running import running
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch), SAMPLE) as hub: take(hub, to)


if __name__ == "__main__": main()
