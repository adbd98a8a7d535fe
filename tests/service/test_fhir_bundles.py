"""Batch and transaction: all or nothing, references between entries, conditions, and what a batch lets stand."""
import json

import pytest

ANN = dict(resourceType="Patient", name=[dict(family="Example")], identifier=[dict(system="urn:mrn", value="7")])


def fever(subject, **more): return dict(resourceType="Condition", subject=dict(reference=subject), code=dict(text="Fever"), **more)


def entry(method, url, resource=None, full=None, **request):
    return {k: v for k, v in dict(fullUrl=full, resource=resource, request=dict(method=method, url=url, **request)).items() if v}


def send(http, kind, *entries): return http.post("/fhir", dict(resourceType="Bundle", type=kind, entry=list(entries)))


def statuses(answer): return [e["response"]["status"] for e in answer.json["entry"]]


def located(answer, n): return answer.json["entry"][n]["response"]["location"].split("/fhir/")[1].split("/_history")[0]


def test_references_between_entries_become_ids(http):
    answer = send(http, "transaction", entry("POST", "Condition", fever("urn:uuid:ann"), "urn:uuid:c"), entry("POST", "Patient", ANN, "urn:uuid:ann"))
    assert statuses(answer) == ["201", "201"]
    assert http.get(f"/fhir/{located(answer, 0)}").json["subject"]["reference"] == located(answer, 1)
    assert http.ids(f"Condition?patient={located(answer, 1).split('/')[1]}")


@pytest.mark.parametrize("bad, place", [
    (entry("POST", "Condition", fever("urn:uuid:ann", abatementString=5)), "Bundle.entry[1].resource."), (entry("PUT", "Patient/x", ANN), "Bundle.entry[1]"), (entry("PUT", "Patient/x", dict(ANN, id="y")), "Bundle.entry[1]"),
    (entry("GET", "Patient/nobody"), "Bundle.entry[1]"), (entry("PUT", "Patient/x", dict(ANN, id="x"), ifMatch='W/"3"'), "Bundle.entry[1]"), (entry("POST", "Condition", fever("Patient?identifier=urn:mrn|none")), "Bundle.entry[1]"),
    (entry("POST", "AuditEvent", dict(resourceType="AuditEvent")), "Bundle.entry[1]"), (entry("DELETE", "Patient/a/b/c/d"), "Bundle.entry[1]")])
def test_a_transaction_with_one_bad_entry_leaves_nothing(http, bad, place):
    answer = send(http, "transaction", entry("POST", "Patient", ANN, "urn:uuid:ann"), bad)
    assert answer.status_code >= 400 and answer.json["resourceType"] == "OperationOutcome"
    assert any(place in str(i.get("expression")) for i in answer.json["issue"]), answer.text
    assert http.get("/fhir/Patient").json["total"] == 0 and http.get("/fhir/Provenance").json["total"] == 0


def test_conditions_in_a_transaction(http):
    first = http.post("/fhir/Patient", ANN).json["id"]
    answer = send(http, "transaction", entry("POST", "Patient", ANN, "urn:uuid:ann", ifNoneExist="identifier=urn:mrn|7"), entry("POST", "Condition", fever("urn:uuid:ann"), "urn:uuid:c"),
                  entry("POST", "Condition", fever("Patient?identifier=urn:mrn|7"), "urn:uuid:d"), entry("PUT", "Organization?name=Clinic", dict(resourceType="Organization", name="Clinic")))
    assert statuses(answer) == ["200", "201", "201", "201"], answer.text
    assert [http.get(f"/fhir/{located(answer, n)}").json["subject"]["reference"] for n in (1, 2)] == [f"Patient/{first}"] * 2
    again = send(http, "transaction", entry("PUT", "Organization?name=Clinic", dict(resourceType="Organization", name="Clinic", active=True)))
    assert statuses(again) == ["200"] and located(again, 0) == located(answer, 3)


def test_deletions_come_first_and_reads_last(http):
    http.add(id="old", **ANN)
    answer = send(http, "transaction", entry("GET", "Patient?identifier=urn:mrn|7"), entry("POST", "Patient", ANN), entry("DELETE", "Patient/old"))
    assert statuses(answer) == ["200", "201", "204"]
    assert [e["resource"]["id"] for e in answer.json["entry"][0]["resource"]["entry"]] == [located(answer, 1).split("/")[1]]


def test_two_changes_of_one_resource_are_refused(http):
    assert send(http, "transaction", entry("PUT", "Patient/x", dict(ANN, id="x")), entry("DELETE", "Patient/x")).status_code == 400


def test_a_batch_answers_entry_by_entry(http):
    answer = send(http, "batch", entry("POST", "Patient", ANN), entry("POST", "Patient", dict(ANN, gender="unwritten")), entry("GET", "Patient/nobody"), entry("GET", "Patient?identifier=7"), entry("PATCH", "Patient/x"))
    assert statuses(answer) == ["201", "422", "404", "200", "400"] and "unwritten" not in answer.text
    assert answer.json["entry"][3]["resource"]["total"] == 1


def test_every_entry_needs_its_own_right(as_client):
    mine = as_client("system/Patient.cr")
    assert send(mine, "transaction", entry("POST", "Patient", ANN)).status_code == 200
    assert send(mine, "transaction", entry("POST", "Patient", ANN), entry("POST", "Condition", fever("Patient/x"))).status_code == 403
    assert statuses(send(mine, "batch", entry("POST", "Patient", ANN), entry("DELETE", "Patient/x"))) == ["201", "403"]


def test_one_audit_event_names_all_that_a_bundle_touched(http):
    answer = send(http, "transaction", entry("POST", "Patient", ANN), entry("POST", "Patient", ANN))
    event = http.get("/fhir/AuditEvent?subtype=transaction").json["entry"][0]["resource"]
    assert {e["what"]["reference"] for e in event["entity"] if e["type"]["code"] == "2"} >= {located(answer, 0), located(answer, 1)}
    assert http.get(f"/fhir/Provenance?target={located(answer, 1)}").json["total"] == 1


@pytest.mark.parametrize("body", [dict(resourceType="Bundle", type="collection"), dict(resourceType="Patient"), dict(resourceType="Bundle", type="transaction", entry=[dict(resource=ANN)])])
def test_what_is_no_batch_is_refused(http, body):
    assert http.post("/fhir", body).status_code in (400, 422)


@pytest.fixture
def record(http):
    "A patient with a note, a doctor, and somebody else."
    http.add(resourceType="Practitioner", id="dr", name=[dict(family="Sample")])
    http.add(resourceType="Patient", id="ann", birthDate="1948-02-01", name=[dict(family="Example", given=["Annabel"])], generalPractitioner=[dict(reference="Practitioner/dr")])
    http.add(id="old", onsetDateTime="2019-05-01", **fever("Patient/ann"))
    http.add(id="new", onsetDateTime="2024-05-01", note=[dict(text="Annabel Example was seen on 3 May 2024.")], **fever("Patient/ann"))
    http.add(id="other", **fever("Patient/bob"))
    return http


def test_everything_about_a_patient(record):
    def got(more=""): return [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in record.get(f"/fhir/Patient/ann/$everything{more}").json.get("entry", [])]
    assert sorted(x for x in got() if "Provenance" not in x) == ["Condition/new", "Condition/old", "Patient/ann", "Practitioner/dr"]
    assert "Condition/old" not in got("?start=2024-01-01") and got("?_type=Condition") == ["Condition/old", "Condition/new"]
    page = record.get("/fhir/Patient/ann/$everything?_count=1").json
    assert any(link["relation"] == "next" for link in page["link"])
    assert record.get("/fhir/Patient/nobody/$everything").status_code == 404


def test_deidentified_on_the_way_out(record, as_client):
    mine = as_client("deidentify system/*.rs")
    for text in (mine.get("/fhir/Condition/new/$de-identify").text, mine.post("/fhir/$de-identify", record.get("/fhir/Condition/new").json).text):
        assert "Annabel" not in text and "2024-05-01" not in text and "Fever" in text
    bundle = dict(resourceType="Bundle", type="collection", entry=[dict(resource=record.get(f"/fhir/{at}").json) for at in ("Patient/ann", "Condition/new")])
    safe = mine.post("/fhir/$de-identify", bundle)
    patient, condition = (e["resource"] for e in safe.json["entry"])
    assert condition["subject"]["reference"] == f"Patient/{patient['id']}" and patient["id"] != "ann" and "Example" not in safe.text
    assert record.get("/fhir/Condition/new/$de-identify").status_code == 403


def test_validate(http):
    assert http.post("/fhir/Patient/$validate", ANN).json["issue"][0]["severity"] == "information"
    assert http.post("/fhir/$validate", dict(ANN, birthDate="May")).json["issue"][0]["expression"] == ["Patient.birthDate"]
    assert http.post("/fhir/Condition/$validate", ANN).json["issue"][0]["code"] == "invalid"
    assert http.post("/fhir/$validate", dict(resourceType="Parameters", parameter=[dict(name="resource", resource=ANN)])).json["issue"][0]["severity"] == "information"
    assert http.post("/fhir/$validate", b"").status_code == 400 and http.get("/fhir/Patient").json["total"] == 0


def test_views_over_the_store(record):
    view = dict(resourceType="ViewDefinition", resource="Condition", select=[dict(column=[dict(name="id", path="id"), dict(name="onset", path="onset.ofType(dateTime)")])])
    def run(form, **more):
        rows = [dict(name="viewResource", resource=view), dict(name="_format", valueCode=form), *(dict(name=k, valueString=v) for k, v in more.items())]
        return record.post("/fhir/$viewdefinition-run", dict(resourceType="Parameters", parameter=rows))
    assert sorted(json.loads(line)["id"] for line in run("ndjson").text.splitlines()) == ["new", "old", "other"]
    assert run("csv", patient="Patient/bob").text.splitlines() == ['"id","onset"', '"other",']
    assert run("parquet").data[:4] == b"PAR1" and run("xml").status_code == 400
    assert record.post("/fhir/$viewdefinition-run", dict(resourceType="Parameters", parameter=[dict(name="view", valueString="patient"), dict(name="_format", valueCode="json")])).json
    view["select"][0]["column"][0]["path"] = "nothing..."
    assert run("json").status_code == 422
