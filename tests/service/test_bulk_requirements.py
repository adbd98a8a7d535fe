"""Every SHALL and SHALL NOT on servers of Bulk Data Access 2.0.0, by its number in the published list of requirements; `bulk_requirements.csv` says what each asks for."""
import base64
import csv
import json
import re
import socket
import ssl
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from served import serving

from healthlab.fhir.model import validate
from healthlab.service.clients import add_client
from healthlab.service.jobs import kind, run_worker
from healthlab.service.store import create, delete, draft, update
from healthlab.service.tokens import issuer

LISTED = {int(r["number"]): r for r in csv.DictReader(open(Path(__file__).with_name("bulk_requirements.csv"), encoding="utf-8"))}
CHECKS = {}


def shall(*numbers):
    "Names the requirements a check stands for."
    def keep(check):
        for n in numbers:
            assert n in LISTED and n not in CHECKS, n
            CHECKS[n] = check
        return check
    return keep


def resource(kind, id, patient=None, **more):
    about = {"subject": {"reference": f"Patient/{patient}"}} if patient else {}
    return dict(resourceType=kind, id=id) | about | more


def observation(id, patient, status="final"): return resource("Observation", id, patient, status=status, code=dict(text="pulse"))
def provenance(id, target, recorded): return resource("Provenance", id, target=[dict(reference=target)], recorded=recorded, agent=[dict(who=dict(display="system"))])


RESOURCES = [resource("Patient", "p1", birthDate="1970-01-01"), resource("Patient", "p2", gender="male"), resource("Patient", "p3"),
             observation("o1", "p1"), observation("o2", "p2"), observation("o3", "p3", "amended"), observation("o4", "p1"),
             resource("Organization", "org", name="Clinic"),
             resource("Group", "g1", type="person", actual=True, member=[dict(entity=dict(reference=f"Patient/{p}")) for p in ("p1", "p2", "p9")]),
             resource("Binary", "b1", contentType="text/plain", data="bm90ZQ==", securityContext=dict(reference="Patient/p1")),
             resource("Binary", "b2", contentType="text/plain", data="Zm9ybQ=="),
             resource("DocumentReference", "d1", "p1", status="current", content=[dict(attachment=dict(contentType="text/plain", url="Binary/b1"))]),
             provenance("v1", "Observation/o1", "2026-01-01T00:00:00Z"), provenance("v2", "Observation/o1", "2026-01-02T00:00:00Z"),
             provenance("v3", "Organization/org", "2026-01-01T00:00:00Z"), provenance("v4", "Patient/p3", "2026-01-01T00:00:00Z")]


class World:
    "A service with records, and the exports made of them."
    def __init__(self, app, jobs, store, folder):
        self.app, self.jobs, self.store, self.http, self.made, self.folder = app, jobs, store, app.test_client(), {}, folder
        self.clients = {"all": add_client("all", scopes=["system/*.rs"], role="steward"), "narrow": add_client("narrow", scopes=["system/Patient.rs"], role="steward")}
        self.tokens = {name: self.token(c, s) for (name, c), s in zip(self.clients.items(), ("system/*.rs", "system/Patient.rs"))}
        self.tokens["less"] = self.token(self.clients["all"], "system/Patient.rs") # the same client, with less

    def token(self, client, scope):
        return self.http.post("/oauth/token", data=dict(grant_type="client_credentials", scope=scope, **client)).json["access_token"]

    def ask(self, method, url, who="all", **more):
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return self.http.open(url.removeprefix(issuer()), method=method, headers=headers | more.pop("headers", {}), **more)

    def begin(self, path="$export", who="all", body=None, headers=None, **query):
        url = f"/fhir/{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")
        if body is None: return self.ask("GET", url, who, headers={"Accept": "application/fhir+json", "Prefer": "respond-async"} | (headers or {}))
        return self.ask("POST", url, who, headers=headers or {}, data=json.dumps(body), content_type="application/fhir+json")

    def export(self, path="$export", who="all", body=None, headers=None, **query):
        "A whole export; the same question is asked once."
        key = (path, who, json.dumps(body), str(headers), str(query))
        if key not in self.made: self.made[key] = Export(self, who, self.begin(path, who, body, headers, **query))
        return self.made[key]


class Export:
    "What a client sees of an export, from the kick-off to its files."
    def __init__(self, world, who, begun):
        assert begun.status_code == 202, begun.text
        self.world, self.who, self.begun, self.where = world, who, begun, begun.headers["Content-Location"]
        self.waiting = world.ask("GET", self.where, who)
        run_worker(world.jobs)
        self.done = world.ask("GET", self.where, who)
        self.manifest = self.done.json

    def files(self, part="output"):
        "[(item, response, resources)]"
        got = [(item, self.world.ask("GET", item["url"], self.who)) for item in self.manifest[part]]
        return [(item, r, [json.loads(line) for line in r.text.splitlines()]) for item, r in got]

    def ids(self, *types):
        "Type/id of everything, or of some types."
        return {f"{r['resourceType']}/{r['id']}" for _, _, found in self.files() for r in found if not types or r["resourceType"] in types}


def broken(params, progress):
    raise ValueError("the disk is on fire")


@pytest.fixture(scope="module", autouse=True)
def workbench(tmp_path_factory):
    "One workbench for the module: what is asked here changes nothing."
    from notebooks import scratch
    folder = tmp_path_factory.mktemp("bulk")
    with pytest.MonkeyPatch.context() as patch:
        for k, v in scratch(folder).items(): patch.setenv(k, v)
        patch.setenv("HEALTHLAB_LIMITS_POLLS", "1000/1000")
        patch.setenv("HEALTHLAB_JOBS_PER_OWNER", "1000")
        yield folder


@pytest.fixture(scope="module")
def world(workbench):
    from healthlab.service.app import create_app
    app = create_app()
    store, jobs = app.extensions["healthlab.store"], app.extensions["healthlab.jobs"]
    jobs.wake = lambda: False # the jobs run here, when the test says so
    for r in RESOURCES: store.write(lambda con: create(con, draft(json.dumps(r).encode()), r["id"]))
    made = World(app, jobs, store, workbench)
    made.export()
    made.before = made.export().manifest["transactionTime"]
    store.write(lambda con: update(con, draft(json.dumps(RESOURCES[1] | {"active": True}).encode()), "p2"))
    for r in ("o2", "o4"): store.write(lambda con: delete(con, "Observation", r))
    yield made
    store.close()
    jobs.close()


@pytest.mark.parametrize("number", LISTED, ids=[f"{n:03d}-{LISTED[n]['kind'].replace(' ', '-')}-{re.sub('[^a-zA-Z0-9]+', '-', LISTED[n]['statement'])[:60]}" for n in LISTED])
def test_requirement(world, number):
    CHECKS[number](world)


def test_the_list_is_whole():
    kinds = [r["kind"] for r in LISTED.values()]
    assert (kinds.count("SHALL"), kinds.count("SHALL NOT")) == (117, 2) and set(CHECKS) == set(LISTED)


LEVELS = ("$export", "Patient/$export", "Group/g1/$export")
RECORD = {"Patient/p1", "Patient/p2", "Patient/p3", "Observation/o1", "Observation/o3", "DocumentReference/d1", "Group/g1"} # of all patients


@shall(5)
def protected_alike(w):
    e = w.export()
    for url in (e.where, e.manifest["output"][0]["url"]):
        assert [w.ask("GET", url, who).status_code for who in (None, "less", "narrow", "all")] == [401, 403, 404, 200]
    assert w.ask("GET", "/fhir/$export", None).status_code == 401


@shall(9, 27, 226)
def only_what_is_authorised(w):
    for level in LEVELS: assert w.export(level, "narrow").ids() and all(i.startswith("Patient/") for i in w.export(level, "narrow").ids())
    refused = w.begin(who="narrow", _type="Patient,Observation")
    assert refused.status_code == 403 and refused.json["resourceType"] == "OperationOutcome"


@shall(12, 19)
def has_an_authorisation_server(w):
    smart = w.http.get("/fhir/.well-known/smart-configuration").json
    answer = w.http.post(smart["token_endpoint"].removeprefix(issuer()), data=dict(grant_type="client_credentials", scope="system/*.rs", **w.clients["all"]))
    assert answer.status_code == 200 and answer.json["token_type"].lower() == "bearer" and answer.json["expires_in"] <= 300
    assert w.http.post("/oauth/token", data=dict(grant_type="client_credentials", scope="system/*.rs", client_id=w.clients["all"]["client_id"], client_secret="x")).status_code == 401


@shall(13, 20, 29, 299, 300, 301)
def accepts_kick_offs(w):
    begun = w.export().begun
    assert begun.status_code == 202 and begun.headers["Content-Location"].startswith(issuer() + "/") and begun.json["resourceType"] == "OperationOutcome"


@shall(14, 24, 148, 204, 206)
def serves_the_files(w):
    assert all(r.status_code == 200 and found for e in map(w.export, LEVELS) for _, r, found in e.files())


@shall(21, 132, 310)
def tells_the_status(w):
    for e in map(w.export, LEVELS):
        assert e.waiting.status_code == 202 and 0 < len(e.waiting.headers["X-Progress"]) < 100 and int(e.waiting.headers["Retry-After"]) > 0


@shall(22, 144, 145, 147)
def gives_the_manifest(w):
    for e in map(w.export, LEVELS):
        assert (e.done.status_code, e.done.mimetype) == (200, "application/json") and isinstance(e.manifest, dict)
        assert {"transactionTime", "request", "requiresAccessToken", "output", "error"} <= set(e.manifest)
        assert parsedate_to_datetime(e.done.headers["Expires"]) > datetime.now().astimezone()


@shall(25, 175)
def files_lie_on_this_server(w):
    assert all(item["url"].startswith(issuer() + "/") for item in w.export().manifest["output"])


def pattern(level):
    def follows(w):
        e = w.export(level)
        assert (e.begun.status_code, e.waiting.status_code, e.done.status_code) == (202, 202, 200) and e.manifest["output"]
        second = w.begin(level).headers["Content-Location"]
        assert w.ask("DELETE", second).status_code == 202 and w.ask("GET", second).status_code == 404
    return follows


shall(28, 223, 227, 229)(pattern("$export"))
shall(225, 272, 273, 297)(pattern("Patient/$export"))
shall(224, 249, 250, 298)(pattern("Group/g1/$export"))


@shall(32)
def repeated_is_as_with_commas(w):
    once, twice = w.export(_type="Patient,Organization"), w.export(_type=["Patient", "Organization"])
    assert once.ids() == twice.ids() and {i.split("/")[0] for i in once.ids()} == {"Patient", "Organization"}
    assert w.export(_elements=["birthDate", "gender"], _type="Patient").files()[0][2] == w.export(_elements="birthDate,gender", _type="Patient").files()[0][2]


def takes_formats(level, *formats):
    def takes(w):
        for f in formats:
            assert all(r.headers["Content-Type"] == "application/fhir+ndjson" for _, r, _ in w.export(level, _outputFormat=f, _type="Patient").files())
        refused = w.begin(level, _outputFormat="application/xml")
        assert refused.status_code == 400 and refused.json["issue"][0]["code"] == "not-supported"
    return takes


shall(47, 231)(takes_formats("$export", "application/fhir+ndjson"))
shall(251)(takes_formats("Group/g1/$export", "application/fhir+ndjson"))
shall(274)(takes_formats("Patient/$export", "application/fhir+ndjson"))
shall(51)(takes_formats("$export", "application/fhir+ndjson"))
shall(52)(takes_formats("$export", "application/ndjson", "ndjson"))


@shall(49, 209)
def newline_delimited_json(w):
    for item, r, found in w.export().files():
        assert r.data.endswith(b"\n") and b"\r" not in r.data and len(r.data.splitlines()) == len(found) == item["count"]
        for line in found: assert not [i for i in validate(line) if i.severity in ("error", "fatal")]


def since(level, changed):
    def gives(w):
        assert w.export(level, _since=w.before).ids() == changed # the update, and nothing older
        assert w.export(level, _since="2001-01-01T00:00:00Z").ids() == w.export(level, _since="2001-01-01T00:00:00+01:00").ids() > changed
        assert w.export(level, _since="2100-01-01T00:00:00Z").manifest["output"] == []
        assert w.begin(level, _since="yesterday").status_code == 400
    return gives


shall(53, 59, 234)(since("$export", {"Patient/p2"}))
shall(254)(since("Group/g1/$export", {"Patient/p2"}))


@shall(62)
def only_the_named_types(w):
    assert {i["type"] for i in w.export(_type="Observation").manifest["output"]} == {"Observation"}
    assert w.export("Patient/$export", _type="Observation,DocumentReference").ids() == {"Observation/o1", "Observation/o3", "DocumentReference/d1"}
    assert w.begin(_type="Nonsense").status_code == 400 and w.begin("Patient/$export", _type="Organization").status_code == 400


@shall(63)
def without_type_everything(w):
    there = {f"{r['resourceType']}/{r['id']}" for r in RESOURCES}
    assert w.export().ids() - {i for i in w.export().ids() if i.startswith(("Provenance/", "AuditEvent/"))} == {i for i in there - {"Binary/b1"} if not i.startswith("Provenance/")}
    assert w.export("Patient/$export").ids() - w.export("Patient/$export").ids("Provenance") == RECORD


@shall(77)
def root_elements_only(w):
    assert w.begin(_elements="Patient.name.family").status_code == 400
    found = {r["id"]: r for _, _, rs in w.export(_type="Patient,Organization", _elements="Patient.birthDate").files() for r in rs}
    assert found["p1"]["birthDate"] == "1970-01-01" and "gender" not in found["p2"] and found["org"]["name"] == "Clinic"
    assert found["p2"]["meta"]["tag"][0]["code"] == "SUBSETTED" and "tag" not in found["org"]["meta"]


def patients(*references): return dict(resourceType="Parameters", parameter=[dict(name="patient", valueReference=dict(reference=r)) for r in references])


@shall(85)
def nothing_of_other_patients(w):
    e = w.export("Patient/$export", body=patients("Patient/p3"))
    assert e.ids() - e.ids("Provenance") == {"Patient/p3", "Observation/o3"} and e.ids("Provenance") == {"Provenance/v4"}
    only = w.export("Group/g1/$export", body=patients("Patient/p1")).ids()
    assert {"Patient/p1", "Observation/o1"} <= only and not only & {"Patient/p2", "Patient/p3", "Observation/o3", "Provenance/v4"}
    for wrong in (patients("Patient/p3"), patients("Patient/p9")): assert w.begin("Group/g1/$export", body=wrong).status_code == 400
    assert w.begin("$export", body=patients("Patient/p1")).status_code == 400


def by(w, *values): return w.export(_type="Observation", includeAssociatedData=",".join(values))


@shall(92)
def returns_or_omits_associated(w):
    assert w.export(_type="Observation").ids("Provenance") == set() and by(w, "RelevantProvenanceResources").ids("Provenance") >= {"Provenance/v1"}
    assert w.begin(includeAssociatedData="_custom").status_code == 400


@shall(96)
def the_wider_of_two_holds(w):
    assert by(w, "LatestProvenanceResources", "RelevantProvenanceResources").ids("Provenance") == by(w, "RelevantProvenanceResources").ids("Provenance") == by(w, "RelevantProvenanceResources", "LatestProvenanceResources").ids("Provenance")


@shall(97, 98)
def the_latest_and_no_other(w):
    found = by(w, "LatestProvenanceResources")
    assert found.ids("Observation") == {"Observation/o1", "Observation/o3"} and found.ids("Provenance") == {"Provenance/v2"}


@shall(99)
def all_relevant(w):
    assert by(w, "RelevantProvenanceResources").ids("Provenance") == {"Provenance/v1", "Provenance/v2"}


@shall(103)
def filtered(w):
    e = w.export(_type="Observation,Patient", _typeFilter="Observation?status=amended")
    assert e.ids() == {"Observation/o3", "Patient/p1", "Patient/p2", "Patient/p3"}
    assert w.export("Patient/$export", _typeFilter="Observation?subject=Patient/p1", _type="Observation").ids() == {"Observation/o1"}
    for wrong in ("Observation?_include=Observation:subject", "Observation?_sort=date", "Observation?no-such-parameter=1", "Patient", "Nonsense?a=b"):
        assert w.begin(_type="Observation", _typeFilter=wrong).status_code == 400, wrong


@shall(117)
def repeated_filters_add_up(w):
    both = ["Observation?status=amended", "Observation?status=final"]
    assert w.export(_type="Observation", _typeFilter=both).ids() == w.export(_type="Observation", _typeFilter=",".join(both)).ids() == {"Observation/o1", "Observation/o3"}


@shall(109, 110)
def a_record_has_its_provenance(w):
    assert w.export("Patient/$export").ids("Provenance") == {"Provenance/v1", "Provenance/v2", "Provenance/v4"}
    assert w.export("Group/g1/$export").ids("Provenance") == {"Provenance/v1", "Provenance/v2"}


@shall(111, 112)
def the_system_has_all_provenance(w):
    assert {f"Provenance/v{i}" for i in range(1, 5)} <= w.export().ids("Provenance") and w.export(_type="Patient").ids("Provenance") == set()


@shall(122, 305, 306)
def gone_after_delete(w):
    running, finished = w.begin().headers["Content-Location"], Export(w, "all", w.begin(_type="Patient"))
    for where in (running, finished.where):
        told = w.ask("DELETE", where)
        assert told.status_code == 202 and told.json["resourceType"] == "OperationOutcome"
        after = w.ask("GET", where)
        assert (after.status_code, after.json["resourceType"], after.mimetype) == (404, "OperationOutcome", "application/fhir+json")
    assert run_worker(w.jobs) == 0 and w.ask("GET", finished.manifest["output"][0]["url"]).status_code == 404


@shall(136, 137)
def a_failed_export(w):
    kind("export", f"{__name__}:broken")
    try: e = Export(w, "all", w.begin())
    finally: kind("export", "healthlab.service.export:run", resume=True)
    assert (e.done.status_code, e.done.mimetype, e.done.json["resourceType"]) == (500, "application/fhir+json", "OperationOutcome") and "fire" not in e.done.text


@shall(142, 143, 191, 192, 193, 196)
def says_what_could_not_be_exported(w):
    e = w.export("Group/g1/$export") # p9 is a member and is not here
    assert e.done.status_code == 200 and w.export().manifest["error"] == []
    (item, r, found), = e.files("error")
    assert set(item) >= {"type", "url"} and item["type"] == "OperationOutcome" and r.headers["Content-Type"] == "application/fhir+ndjson"
    assert found[0]["resourceType"] == "OperationOutcome" and "1 members of the group are not on this server" in found[0]["issue"][0]["diagnostics"]
    left = w.export(_type="Patient,Nonsense", headers={"Prefer": "respond-async, handling=lenient"})
    assert left.ids() == {"Patient/p1", "Patient/p2", "Patient/p3"} and "_type" in left.files("error")[0][2][0]["issue"][0]["diagnostics"]


@shall(150, 151, 152, 154)
def the_moment(w):
    start = datetime.now().astimezone()
    e = Export(w, "all", w.begin(_type="Patient"))
    told = e.manifest["transactionTime"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", told) and start <= datetime.fromisoformat(told) <= datetime.now().astimezone()
    times = [datetime.fromisoformat(r["meta"]["lastUpdated"]) for _, _, found in e.files() for r in found]
    assert len(times) == 3 and max(times) <= datetime.fromisoformat(told)
    assert w.export(_since=told).ids("Patient", "Observation") == set() # nothing was missed, nothing comes twice


@shall(155, 156, 157)
def the_request(w):
    assert w.export(_type="Patient,Organization").manifest["request"] == f"{issuer()}/fhir/$export?_type=Patient%2COrganization"


@shall(158)
def the_request_of_a_post(w):
    assert w.export("Patient/$export", body=patients("Patient/p3")).manifest["request"] == f"{issuer()}/fhir/Patient/$export"


@shall(159, 160, 161, 162)
def says_that_files_need_a_token(w):
    e = w.export()
    assert e.manifest["requiresAccessToken"] is True and w.ask("GET", e.manifest["output"][0]["url"], None).status_code == 401


@shall(164, 165, 166, 168)
def output_items(w):
    for e in map(w.export, LEVELS): assert e.manifest["output"] and all({"type", "url"} <= set(item) for item in e.manifest["output"])
    assert len({item["url"] for item in w.export().manifest["output"]}) == len(w.export().manifest["output"])


@shall(169, 170)
def one_type_a_file(w):
    for e in map(w.export, LEVELS):
        for item, _, found in e.files(): assert {r["resourceType"] for r in found} == {item["type"]}


@shall(178)
def counted(w):
    for item, _, found in w.export().files(): assert type(item["count"]) is int and item["count"] == len(found)


@shall(180, 181, 187, 188, 189, 190)
def deletions(w):
    e = w.export(_since=w.before)
    (item, r, bundles), = e.files("deleted")
    assert {"type", "url", "count"} <= set(item) and item["type"] == "Bundle" and item["count"] == len(bundles) and r.headers["Content-Type"] == "application/fhir+ndjson"
    assert all(b["resourceType"] == "Bundle" and b["type"] == "transaction" and b["entry"] for b in bundles)
    entries = [en["request"] for b in bundles for en in b["entry"]]
    assert {en["url"] for en in entries} == {"Observation/o2", "Observation/o4"} and {en["method"] for en in entries} == {"DELETE"}
    assert w.export().manifest["deleted"] == [] # nothing without _since
    assert [en["request"]["url"] for _, _, bs in w.export("Patient/$export", body=patients("Patient/p1") | {"parameter": [*patients("Patient/p1")["parameter"], dict(name="_since", valueInstant=w.before)]}).files("deleted") for b in bs for en in b["entry"]] == ["Observation/o4"]


@shall(186)
def deleted_is_not_in_output(w):
    e = w.export(_since="2001-01-01T00:00:00Z")
    gone = {en["request"]["url"] for _, _, bs in e.files("deleted") for b in bs for en in b["entry"]}
    assert gone == {"Observation/o2", "Observation/o4"} and not gone & e.ids()


@shall(198, 199)
def extension(w):
    assert isinstance(w.export().manifest.get("extension", {}), dict)


@shall(202)
def the_newest_version_once(w):
    for _, _, found in w.export("Patient/$export", _type="Patient").files():
        assert sorted(r["id"] for r in found) == ["p1", "p2", "p3"] and [r for r in found if r["id"] == "p2"][0]["active"] is True


@shall(207, 208)
def the_type_of_a_file(w):
    for e in map(w.export, LEVELS): assert {r.headers["Content-Type"] for _, r, _ in e.files()} == {"application/fhir+ndjson"}


@shall(210)
def a_file_that_is_not_there(w):
    url = w.export().manifest["output"][0]["url"]
    for wrong in (url + "x", url.rsplit("/", 1)[0] + "/matched.json", url.rsplit("/", 1)[0] + "/..%2f..%2fjobs.db"):
        r = w.ask("GET", wrong)
        assert r.status_code == 404 and r.json["resourceType"] == "OperationOutcome", wrong


@shall(23, 213, 214, 215)
def attachments_can_be_fetched(w):
    document, = w.export("Patient/$export", _type="DocumentReference").files()[0][2]
    url = document["content"][0]["attachment"]["url"]
    assert url == f"{issuer()}/fhir/Binary/b1"
    got = w.ask("GET", url, headers={"Accept": "application/fhir+json"})
    assert got.status_code == 200 and base64.b64decode(got.json["data"]) == b"note" and w.ask("GET", url, None).status_code == 401
    raw = w.ask("GET", url, headers={"Accept": "text/plain"})
    assert raw.status_code == 200 and raw.data == b"note" and raw.mimetype == "text/plain"


@shall(216)
def never_without_a_token(w):
    for e in map(w.export, LEVELS): assert e.manifest["requiresAccessToken"] is True # so no attachment is to be reached without one


@shall(303, 304)
def a_wrong_kick_off(w):
    for path, query in (("$export", {"_outputFormat": "xml"}), ("$export", {"nonsense": "1"}), ("Group/none/$export", {}), ("Patient/$export", {"patient": "Patient/p1"}), ("$export", {"_since": ["2026-01-01T00:00:00Z"] * 2})):
        r = w.begin(path, **query)
        assert 400 <= r.status_code < 500 and r.mimetype == "application/fhir+json" and r.json["resourceType"] == "OperationOutcome" and "Content-Location" not in r.headers
    for body in ({}, [], {"resourceType": "Parameters", "parameter": [{"name": "patient"}]}, {"resourceType": "Parameters", "parameter": [7]}):
        assert w.begin("Patient/$export", body=body).status_code == 400


@shall(308, 309)
def a_wrong_delete(w):
    for where in ("/fhir/$export-poll-status/" + "0" * 32, "/fhir/$export-poll-status/x", w.export().where):
        r = w.ask("DELETE", where, "narrow")
        assert r.status_code == 404 and r.json["resourceType"] == "OperationOutcome"


def certificate(folder):
    "A key and a certificate for 127.0.0.1, made here."
    import datetime as dt
    import ipaddress
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")]), dt.datetime.now(dt.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False).sign(key, hashes.SHA256()))
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return str(folder / "cert.pem"), str(folder / "key.pem")


def exchange(port, context=None):
    "The first line of the answer to a request over a socket."
    with socket.create_connection(("127.0.0.1", port), 20) as plain, (context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain) as s:
        s.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return s.recv(1000).split(b"\r\n")[0], s.version() if context else None


@shall(2)
def speaks_tls_only(w):
    cert, key = certificate(w.folder)
    with serving(w.folder, HEALTHLAB_SERVICE_CERTIFICATE=cert, HEALTHLAB_SERVICE_CERTIFICATE_KEY=key) as (port, _):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            trusting = ssl.create_default_context(cafile=cert)
            trusting.minimum_version = trusting.maximum_version = version
            assert exchange(port, trusting) == (b"HTTP/1.1 200 OK", version.name.replace("_", "."))
        with pytest.warns(DeprecationWarning):
            old = ssl.create_default_context(cafile=cert)
            old.set_ciphers("ALL:@SECLEVEL=0")
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError): exchange(port, old)
        try: plain = exchange(port)[0]
        except OSError: plain = b""
        assert b"200" not in plain
