"""Store and lake: what clients wrote reaches zone identified, what ingest put there is served, each once, whatever is killed in between."""
import json
import os
import signal
import subprocess
import sys

import pytest

from healthlab.ingest import ingest
from healthlab.lake import Lake
from healthlab.service.store import Refused
from healthlab.service.synchronise import synchronise


@pytest.fixture
def store(http): return http.app.extensions["healthlab.store"]


@pytest.fixture
def lake(): return Lake()


def landed(workbench, lake, name, *resources):
    "Ingests resources as one file of a hospital's export."
    folder = workbench / "exports" / name
    folder.mkdir(parents=True)
    (folder / f"{name}.ndjson").write_text("\n".join(json.dumps(r) for r in resources))
    return ingest(folder, lake, workers=1)


def patient(id, family, updated=None): return dict(resourceType="Patient", id=id, name=[dict(family=family)], **(dict(meta=dict(lastUpdated=updated)) if updated else {}))
def family(body): return json.loads(body)["name"][0]["family"]
def in_lake(lake, kind="Patient"): return dict(zip(*(lake.read("identified", kind)[c].to_pylist() for c in ("id", "resource")))) if kind in lake.tables("identified") else {}
def both(store, lake): return synchronise(store, lake, workers=1)


def test_what_a_client_wrote_reaches_the_lake_once(http, store, lake):
    http.add(**patient("ann", "Example"))
    http.add(resourceType="Observation", id="o", status="final", code=dict(text="x"), subject=dict(reference="Patient/ann"))
    first, second = both(store, lake), both(store, lake)
    assert first.types == {"Patient": 1, "Observation": 1} and (second.sent, second.loaded) == (0, 0)
    assert family(in_lake(lake)["ann"]) == "Example" and lake.read("identified", "Observation")["patient"].to_pylist() == ["ann"]
    assert "Provenance" not in lake.tables("identified") # the service's own notes stay with it


def test_what_ingest_put_in_the_lake_is_served_and_searchable(http, store, lake, workbench):
    landed(workbench, lake, "one", patient("ann", "Example"), patient("bob", "Muster"), dict(resourceType="Condition", id="c", subject=dict(reference="Patient/ann"), code=dict(text="Fever")))
    assert both(store, lake).types == {"Condition": 1, "Patient": 2}
    assert http.ids("Patient?name=Muster") == ["bob"] and http.ids("Condition?subject:Patient.name=Example") == ["c"]
    assert len(http.get("/fhir/Patient/ann/$everything").json["entry"]) == 2
    again = both(store, lake)
    assert (again.loaded, again.sent) == (0, 0)


def test_a_resource_changed_here_and_there_ends_as_the_newer(http, store, lake, workbench):
    landed(workbench, lake, "one", patient("ann", "Old", "2020-01-01T00:00:00Z"), patient("bob", "Old", "2020-01-01T00:00:00Z"))
    both(store, lake)
    http.put("/fhir/Patient/ann", patient("ann", "Here"))
    landed(workbench, lake, "two", patient("ann", "Earlier", "2021-01-01T00:00:00Z"), patient("bob", "There", "2099-01-01T00:00:00Z"))
    report = both(store, lake)
    assert (report.sent, report.loaded, report.kept) == (1, 1, 1)
    for id, name in (("ann", "Here"), ("bob", "There")):
        assert family(store.read("Patient", id).body) == family(in_lake(lake)[id]) == name


def test_a_deletion_travels_both_ways(http, store, lake, workbench):
    landed(workbench, lake, "one", patient("ann", "A"), patient("bob", "B"), patient("eve", "C"))
    both(store, lake)
    http.delete("/fhir/Patient/ann")
    kept = lake.read("identified", "Patient").to_pylist()
    import pyarrow as pa
    lake.write("identified", "Patient", pa.Table.from_pylist([r for r in kept if r["id"] != "bob"], schema=lake.schema("identified", "Patient")), run_id="retention", mode="overwrite")
    report = both(store, lake)
    assert (report.sent_deleted, report.loaded_deleted) == (1, 1) and set(in_lake(lake)) == {"eve"}
    for id in ("ann", "bob"):
        with pytest.raises(Refused) as e: store.read("Patient", id)
        assert e.value.status == 410
    assert both(store, lake).types == {}


def test_what_was_deleted_there_and_changed_here_comes_back(http, store, lake, workbench):
    landed(workbench, lake, "one", patient("ann", "A"))
    both(store, lake)
    http.put("/fhir/Patient/ann", patient("ann", "Changed"))
    lake.write("identified", "Patient", lake.read("identified", "Patient").slice(0, 0), run_id="retention", mode="overwrite")
    assert both(store, lake).sent == 1 and family(in_lake(lake)["ann"]) == "Changed"


def test_ingest_still_knows_what_it_took_in(http, store, lake, workbench):
    landed(workbench, lake, "one", patient("ann", "A"))
    http.add(**patient("bob", "B"))
    both(store, lake)
    again = ingest(workbench / "exports" / "one", lake, workers=1)
    assert (again.written, again.skipped) == (0, 1) # its journal of files was not thrown away


KILLED = """
import os, signal, sys
from healthlab.ingest.run import Committer
from healthlab.lake import Lake
from healthlab.service import synchronise as s
from healthlab.service.store import Store
def end(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "after the lake has it": Index = s.Index; Index.commit = end
if sys.argv[1] == "before the store notes it": s.note = end
if sys.argv[1] == "in the middle of loading": s.dropped = end; s.taken = end
s.synchronise(Store(), Lake(), workers=1)
"""


@pytest.mark.parametrize("when", ["after the lake has it", "before the store notes it", "in the middle of loading"])
def test_killed_anywhere_everything_arrives_once(http, store, lake, workbench, when):
    landed(workbench, lake, "one", *(patient(f"l{n}", "There") for n in range(5)))
    for n in range(5): http.add(**patient(f"s{n}", "Here"))
    assert subprocess.run([sys.executable, "-c", KILLED, when], env=os.environ).returncode == -signal.SIGKILL
    both(store, lake)
    assert sorted(lake.read("identified", "Patient")["id"].to_pylist()) == sorted(http.ids("Patient")) == sorted([f"l{n}" for n in range(5)] + [f"s{n}" for n in range(5)])
    assert [v for n in range(5) for v in (store.read("Patient", f"l{n}").version, store.read("Patient", f"s{n}").version)] == [1] * 10
    assert both(store, lake).types == {}


def test_the_command_says_what_travelled(http, workbench, capsys):
    from healthlab import cli
    http.add(**patient("ann", "Example"))
    assert cli.main(["sync", "--workers", "1"]) == 0 and capsys.readouterr().out.startswith("to the lake 1 and 0 deletions; to the store 0")


def test_a_client_starts_it_as_a_job(http, as_client, workbench):
    from healthlab.service.jobs import run_worker
    steward = as_client("ingest jobs system/*.cruds")
    steward.add(**patient("ann", "Example"))
    answer = steward.post("/v1/sync")
    assert answer.status_code == 202
    run_worker(http.app.extensions["healthlab.jobs"])
    done = steward.get(answer.headers["Location"]).json
    assert (done["state"], done["result"]["sent"]) == ("done", 1) and set(in_lake(Lake())) == {"ann"}
    assert as_client("ingest", role="researcher", name="r").post("/v1/sync").status_code == 403
    assert as_client("nlp", name="n").post("/v1/sync").status_code == 403
