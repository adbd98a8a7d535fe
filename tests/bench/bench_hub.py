"""The workbench in the browser: from the command to the login page, from the spawn to a JupyterLab one can use, from the click to a dashboard's first content and from a filter to its answer, ten viewers at once, and
what preparing the pages' tables is worth on a large lake. A real hub on loopback, a real Chromium.

The hub holds a simulated hospital's research tables of 1,000 people; the large lake 100,000. There is no peer to run beside: what is asked stands in the column `asked`.
"""
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/hub"))
PAGES = ("overview", "cohorts", "quality", "runs", "synthetic", "text", "models")
PEOPLE = ("steward", "researcher", "stakeholder")
SPAWNS, VIEWERS, LARGE = 20, 10, 100_000
LAKE = """
import sys, numpy as np, pyarrow as pa
from healthlab.core.audit import new_run_id
from healthlab.lake import Lake
n, rng, lake, run = int(sys.argv[1]), np.random.default_rng(0), Lake(), new_run_id()
ids = np.array([f"p{k}" for k in range(n)])
write = lambda name, zone="research", **columns: lake.write(zone, name, pa.table(columns), run_id=run, mode="overwrite")
day = lambda k: (np.datetime64("2012-01-01") + k.astype("timedelta64[D]")).astype(str)
who = rng.integers(0, n, 12 * n); what = rng.integers(0, n, 6 * n); said = rng.integers(0, n, 8 * n)
names = np.array([f"condition {k}" for k in range(120)])[np.minimum(119, rng.geometric(.04, 6 * n))]
write("patient", id=ids, gender=rng.choice(["female", "male"], n), race=rng.choice(["White", "Black", "Asian"], n), birth_date=rng.integers(1930, 2015, n).astype(str), deceased=pa.nulls(n, pa.bool_()), deceased_at=np.where(rng.random(n) < .1, "2021-03-01", None))
start = rng.integers(0, 3500, 12 * n)
stays = dict(id=[f"e{k}" for k in range(12 * n)], patient=ids[who], start=day(start), end=day(start + rng.integers(0, 9, 12 * n)), priority=rng.choice(["EM", "EL", "R"], 12 * n), days=rng.gamma(2, 2, 12 * n))
write("encounter", **{"class": rng.choice(["AMB", "EMER", "IMP"], 12 * n)}, **stays)
write("condition", id=[f"c{k}" for k in range(6 * n)], patient=ids[what], display=names, text=pa.nulls(6 * n, pa.string()), code=pa.nulls(6 * n, pa.string()), clinical_status=pa.array(["active"] * (6 * n)))
write("nlp_entity", document=[f"d{k // 20}" for k in range(8 * n)], patient=ids[said], text=names[rng.integers(0, 6 * n, 8 * n)], display=pa.nulls(8 * n, pa.string()), label=rng.choice(["Diagnosis", "SymptomOrSign", "MedicationName"], 8 * n),
      certainty=rng.choice(["positive", "negative"], 8 * n, p=[.9, .1]), start=pa.array([0] * (8 * n)), end=pa.array([4] * (8 * n)), position=pa.array([0] * (8 * n)))
write("encounter", "synthetic", **{"class": rng.choice(["AMB", "EMER", "IMP"], 3 * n)}, **{k: v[:3 * n] for k, v in stays.items()})
"""
PAGE = """
import sys, time
from importlib import import_module
start = time.perf_counter()
module, _, function = sys.argv[1].partition(":")
import ipywidgets, pandas, healthlab.lake
loaded = time.perf_counter()
page = getattr(import_module(module), function)()
assert "hl-card" in page.view.body, page.view.body[:400]
print(time.perf_counter() - loaded)
"""


def memory_mb(folder: Path) -> float:
    "The memory of a hub's processes, what they share counted once (proportional set size)."
    from running import mine
    total = 0
    for pid in mine(folder):
        try: total += next(int(line.split()[1]) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
        except (OSError, StopIteration): pass
    return total / 1024


def spawns(hub) -> list[float]:
    "Seconds from the request for a server until its JupyterLab page and a kernel answer, again and again."
    from person import Person
    found, person = [], Person(hub.url, "researcher", hub.passwords["researcher"])
    for _ in range(SPAWNS):
        start = time.monotonic()
        person.spawn()
        page = person.ask("GET", "/user/researcher/lab")
        assert page.status_code == 200 and "jupyter-config-data" in page.text
        person.start_kernel()
        assert person.run("print(6 * 7)").strip() == "42"
        found.append(time.monotonic() - start)
        assert person.ask("DELETE", "/hub/api/users/researcher/server").status_code in (202, 204)
        while person.ask("GET", "/hub/api/users/researcher").json().get("servers", {}).get(""): time.sleep(.2)
    return found


def first_content(page, hub, name: str) -> float:
    "Seconds from the click to content."
    start = time.monotonic()
    page.goto(f"{hub.url}/services/dashboards/voila/render/{name}.ipynb", wait_until="commit")
    page.wait_for_selector(".hl-first :is(.hl-cards, .hl-empty, .hl-problem)", state="attached")
    return time.monotonic() - start


def filtered(page, label: str, option: str) -> float:
    "Milliseconds from the choice to the changed page, as the browser sees them."
    box = page.get_by_label(label, exact=True)
    there = [t.replace("\xa0", " ").strip() for t in box.locator("option").all_text_contents()]
    at = next((n for n, t in enumerate(there) if t.startswith(option)), None)
    assert at is not None, f"{label} offers {there[:5]}"
    page.evaluate("""() => { window.acted = new Promise(done => { const start = () => { const began = performance.now()
        new MutationObserver((_, me) => { me.disconnect(); done(performance.now() - began) }).observe(document.querySelector('.hl-live'), {childList: true, subtree: true, characterData: true}) }
        document.addEventListener('change', start, {once: true, capture: true}) }) }""")
    box.select_option(index=at)
    return page.evaluate("window.acted")


def browsed(hub) -> dict:
    "Everything a browser tells."
    from person import signed_in
    from playwright.sync_api import sync_playwright
    out = {}
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = signed_in(browser, hub)
        out["cold"] = first_content(page, hub, "overview") # the first page of a hub that has just come up: the process kernels are forked from may still be importing
        out["warm"] = {name: statistics.median(first_content(page, hub, name) for _ in range(3)) for name in PAGES}
        first_content(page, hub, "cohorts")
        page.wait_for_selector(".hl-live button", state="attached")
        out["filters"] = [filtered(page, label, option) for _ in range(5) for label, option in (("Sex", "female"), ("Age", "40"), ("Condition", "condition 3"), ("Sex", "any"), ("Age", "any"), ("Condition", "any"))]
        before, viewers = memory_mb(hub.folder), [page, *(signed_in(browser, hub, PEOPLE[n % len(PEOPLE)]) for n in range(1, VIEWERS))] # a name may be tried ten times a minute
        for n, viewer in enumerate(viewers): viewer.goto(f"{hub.url}/services/dashboards/voila/render/{PAGES[n % len(PAGES)]}.ipynb", wait_until="commit")
        for viewer in viewers: viewer.wait_for_selector(".hl-live button", state="attached")
        out["memory"], out["memory_before"] = memory_mb(hub.folder), before
        browser.close()
    return out


def prepared() -> list[dict]:
    "A page's own work on a lake of 100,000 people, summed up now and as the pipeline has prepared it."
    from running import environment
    rows = []
    with tempfile.TemporaryDirectory() as there:
        env = environment(Path(there), 1) | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
        def ran(*words): return subprocess.run([sys.executable, *words], env=env, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        ran("-c", LAKE, str(LARGE))
        pages = {"cohorts": "healthlab.ui.cohorts:cohorts", "text": "healthlab.ui.notes:clinical_text", "synthetic": "healthlab.ui.against:synthetic"}
        took = {}
        for when in ("now", "prepared"):
            if when == "prepared":
                start = time.monotonic()
                ran("-c", "from healthlab.lake import Lake; from healthlab.ui.aggregated import aggregate; from healthlab.core.audit import new_run_id; aggregate(Lake(), new_run_id())")
                rows.append(dict(name=f"aggregate, {LARGE:,} people", figure=time.monotonic() - start, unit="s"))
            for name, function in pages.items(): took[name, when] = statistics.median(float(ran("-c", PAGE, function)) for _ in range(3))
    return rows + [dict(name=f"{name}: first content's own work, {LARGE:,} people, prepared", figure=took[name, "prepared"], unit="s", peer="summed up while one waits", peer_figure=took[name, "now"], asked="<= 2 preheated") for name in pages]


def run():
    from running import running
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch), LAKE.replace("sys.argv[1]", "1000")) as hub:
        seen, began = browsed(hub), hub.seconds
        servers = spawns(hub)
    p95 = sorted(servers)[max(0, round(.95 * len(servers)) - 1)]
    rows = [dict(name="from the command to the login page", figure=began, unit="s", asked="<= 10"),
            dict(name=f"spawn to a JupyterLab whose kernel answers, p95 of {len(servers)}", figure=p95, unit="s", asked="<= 8"), dict(name="the same, median", figure=statistics.median(servers), unit="s"),
            dict(name="dashboard, first content, the first of a hub just started", figure=seen["cold"], unit="s", asked="<= 6 cold"),
            *(dict(name=f"dashboard {name}, first content, preheated, median of 3", figure=s, unit="s", asked="<= 2") for name, s in seen["warm"].items()),
            dict(name="filter, 1,000 patients, p95 of 30, in the browser", figure=sorted(seen["filters"])[28], unit="ms", asked="<= 300"), dict(name="the same, median", figure=statistics.median(seen["filters"]), unit="ms"),
            dict(name="hub and services, ten viewers at once, memory", figure=seen["memory"], unit="MB", asked="<= 6,000"), *prepared()]
    for r in rows: r["ratio"] = r["figure"] / r["peer_figure"] if r.get("peer_figure") else None
    return rows


if __name__ == "__main__": print(json.dumps(run(), indent=1))
