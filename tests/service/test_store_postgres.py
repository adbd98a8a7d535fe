"""The store in PostgreSQL: a real server, and the file in SQLite as the second opinion."""
import json
import os
import subprocess
import sys
import threading

import pytest

import postgresql
from healthlab.core.errors import KeyUnavailable, SettingsError, StorageError
from healthlab.service.accesses import Access, listed
from healthlab.service.postgres import address, words_of
from healthlab.service.search import counted, page, query
from healthlab.service.store import Refused, Store, create, delete, draft, update

pytestmark = pytest.mark.skipif(bool(postgresql.missing()), reason=postgresql.missing() or "-")


@pytest.fixture(scope="module")
def server():
    with postgresql.server() as made: yield made


@pytest.fixture
def database(server, workbench, monkeypatch, request):
    "A schema of its own for every test."
    url = f"{server[1]}&schema=t{abs(hash(request.node.nodeid)) % 10**9}"
    monkeypatch.setenv("HEALTHLAB_SERVICE_DATABASE", url)
    return url


@pytest.fixture
def store(database):
    store = Store()
    yield store
    store.close()


def patient(family="Example", **more): return json.dumps(dict(resourceType="Patient", name=[dict(family=family)], **more)).encode()
def put(store, data, id, **access): return store.write(lambda con: update(con, draft(data), id), Access("U", "update", **access))


def test_versions_deletion_and_history(store):
    put(store, patient("One"), "p"), put(store, patient("Two"), "p")
    first = store.position()[0]
    store.write(lambda con: delete(con, "Patient", "p"))
    with pytest.raises(Refused) as e: store.read("Patient", "p")
    assert e.value.status == 410 and b"One" in store.read("Patient", "p", 1).body and b"Two" in store.read("Patient", "p", 2).body
    assert [r[1] for r in store.resources("Patient", at=first)] == ["p"] and not list(store.resources("Patient")) and [r[2] for r in store.deleted()] == ["p"]


def test_the_whole_interface_works_on_it(database, app, http):
    http.add(resourceType="Patient", id="ann", name=[dict(family="Example")])
    http.add(resourceType="Observation", id="o", status="final", code=dict(coding=[dict(system="http://loinc.org", code="718-7")]), subject=dict(reference="Patient/ann"))
    assert http.ids("Observation?subject:Patient.name=exam&code=718-7") == ["o"] and http.ids("Patient?_has:Observation:patient:code=718-7") == ["ann"]
    assert len(http.get("/fhir/Patient/ann/$everything").json["entry"]) == 3 and http.get("/fhir/Patient/ann/_history").json["total"] == 1
    seen = http.get("/fhir/AuditEvent?patient=ann").json
    assert seen["total"] == 6 and app.extensions["healthlab.store"].verify() == []
    app.extensions["healthlab.store"].db.write(listed)
    assert [http.get(f"/fhir/AuditEvent?{asked}").json["total"] for asked in ("patient=ann", "entity=Patient/ann")] == [6, 4]
    half = http.post("/fhir", dict(resourceType="Bundle", type="transaction", entry=[dict(resource=dict(resourceType="Patient", id=i), request=dict(method="PUT", url=f"Patient/{i}", **m)) for i, m in (("x", {}), ("y", dict(ifMatch='W/"7"')))]))
    assert half.status_code == 412 and http.get("/fhir/Patient/x").status_code == 404


def test_bodies_words_and_questions_are_unreadable_where_they_lie(store, server):
    note = patient("Example", text=dict(status="generated", div='<div xmlns="http://www.w3.org/1999/xhtml">Zirkumferenz unauffaellig</div>'))
    put(store, note, "p", query="name=Quastenflosser")
    store.db._writer.run("checkpoint")
    with store.db.snapshot() as con: assert [v.id for v in page(con, query("Patient", [("_content", "zirkumferenz unauffaellig")])).found] == ["p"]
    assert subprocess.run(["grep", "-rlaiE", "zirkumferenz|quastenflosser|resourceType", server[0]], capture_output=True).stdout == b""
    assert subprocess.run(["grep", "-rlai", "example", server[0]], capture_output=True).stdout # an index value: said to be readable


def test_another_key_is_refused_at_the_door(store, database, monkeypatch, workbench):
    put(store, patient(), "p")
    monkeypatch.setenv("HEALTHLAB_KEYS_FILE", str(workbench / "another" / "key"))
    monkeypatch.setenv("HEALTHLAB_LAKE_URL", str(workbench / "another" / "lake"))
    with pytest.raises(KeyUnavailable) as e: Store()
    assert e.value.code == "key-wrong"


def test_a_unit_that_fails_leaves_nothing_and_the_record_has_no_gap(store):
    def broken(con):
        create(con, draft(patient("Half")), "half")
        raise ValueError("late")
    def run(n):
        start.wait()
        try: store.write(broken if n % 3 == 0 else lambda con: create(con, draft(patient()), f"p{n}"), Access("C", "create", id=f"p{n}"))
        except ValueError: failed.append(n)
    start, failed = threading.Barrier(9), []
    threads = [threading.Thread(target=run, args=(n,)) for n in range(9)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert sorted(failed) == [0, 3, 6] and store.types() == {"Patient": 6} and store.verify() == []


WRITER = """
import sys
from healthlab.service.accesses import Access, listed
from healthlab.service.store import Store, create, draft
store = Store()
for n in range(40): store.write(lambda con: create(con, draft(b'{"resourceType":"Patient"}'), f"{sys.argv[1]}-{n}"), Access("C", "create"))
store.close()
"""


def test_processes_take_turns(store):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(n)], env=os.environ) for n in range(3)]
    assert [w.wait(60) for w in writers] == [0, 0, 0]
    rows = store.db.reader().execute("select seq, updated from version order by seq").fetchall()
    assert len(rows) == 120 and store.verify() == []


def test_a_server_that_died_is_met_again_with_all_it_was_told(workbench, monkeypatch):
    with postgresql.server() as (data, url):
        monkeypatch.setenv("HEALTHLAB_SERVICE_DATABASE", url)
        store = Store()
        put(store, patient("Kept"), "p")
        account = "postgres" if os.getuid() == 0 else None
        subprocess.run([postgresql.programs() / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], check=True, user=account, cwd=data.parent, stdout=subprocess.DEVNULL)
        for attempt in (lambda: store.read("Patient", "p"), lambda: put(store, patient("Lost"), "p")):
            with pytest.raises(StorageError): attempt()
        subprocess.run([postgresql.programs() / "pg_ctl", "-D", data, "-w", "-l", data.parent / "log", "-o", f"-k {data.parent} -c listen_addresses=''", "start"], check=True, user=account, cwd=data.parent, stdout=subprocess.DEVNULL)
        assert b"Kept" in store.read("Patient", "p").body and put(store, patient("Again"), "p").version == 2
        store.close()


SEARCHES = [("Patient", "name=a"), ("Patient", "name:contains=e"), ("Patient", "gender=female"), ("Patient", "gender:not=female"), ("Patient", "birthdate=lt1980&_sort=birthdate"), ("Patient", "birthdate=ap1970"), ("Patient", "_sort=family,-birthdate"),
            ("Patient", "_has:Observation:patient:_sort=x"), ("Observation", "code=8867-4,8480-6"), ("Observation", "code=http://loinc.org|"), ("Observation", "value-quantity=gt80"), ("Observation", "value-quantity=ge36||Cel"),
            ("Observation", "combo-code-value-quantity=8867-4$gt80"), ("Observation", "code-value-quantity=http://loinc.org|8867-4$lt80"), ("Observation", "date=ge2020&_sort=-date"), ("Observation", "date=sa2021-06"), ("Observation", "subject:Patient.gender=male"),
            ("Observation", "encounter.class=AMB"), ("Observation", "value-quantity:missing=true"), ("Observation", "_content=heart"), ("Observation", "_sort=code"), ("Condition", "code:text=hyper"), ("Condition", "_text=hypertension"), ("Encounter", "date=2021"),
            ("Encounter", "_sort=-date&status=finished"), ("MedicationRequest", "_lastUpdated=ge2020"), ("Patient", "identifier:missing=false"), ("Patient", "address-state:exact=MA"), ("Condition", "onset-date=ge2010&clinical-status=active"), ("Patient", "_id=x,y")]


def test_it_finds_what_the_file_finds(store, workbench):
    from healthlab.hospital import Hospital
    file = Store(workbench / "store.db")
    drafts = [draft(json.dumps(r).encode()) for r in Hospital(patients=2, seed=11).resources()]
    for s in (store, file): s.write(lambda con: [create(con, d, d.id) for d in drafts] and None)
    found = 0
    for kind, text in SEARCHES:
        given, answers = [tuple(p.split("=", 1)) for p in text.split("&")], []
        for s in (store, file):
            with s.db.snapshot() as con:
                try:
                    q = query(kind, [*given, ("_count", "1000")])
                    answers.append(([v.id for v in page(con, q).found], counted(con, q._replace(at=10**9))))
                except Refused as e: answers.append(e.where)
        assert answers[0] == answers[1], text
        found += bool(answers[0][0])
    assert found > 20
    file.close()


@pytest.mark.parametrize("text", ["", "Ångström-Unit 5_mg", "a.b,c", "\0x", "x" * 5000, "ligature ﬁne"])
def test_any_text_can_be_stored_and_its_words_found(store, text):
    d = draft(json.dumps(dict(resourceType="Patient", id="p", name=[dict(text=text or "-")], address=[dict(city=text or "-")])).encode())
    store.write(lambda con: create(con, d, "p"))
    with store.db.snapshot() as con:
        for w in words_of(text): assert [v.id for v in page(con, query("Patient", [("_content", w)])).found] == ["p"]
    put(store, patient("After"), "p") # its rows go again, long ones too
    assert store.db.reader().execute("select count(*) from string where seq = 1").get == 0


@pytest.mark.parametrize("url", ["mysql://a/b", "postgresql://a", "postgresql://a/b?schema=x;drop", "postgresql://a/b?x=1"])
def test_an_address_that_cannot_be_meant_is_refused(url):
    with pytest.raises(SettingsError): address(url)


def test_beyond_this_machine_only_with_tls():
    assert address("postgresql://a@db.example.org/b")["ssl_context"].check_hostname and address("postgresql://a@127.0.0.1/b")["ssl_context"] is None
