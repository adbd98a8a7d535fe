"""Microsoft's own client of the de-identification service, pointed at this one, over TLS."""

import time

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.health.deidentification import DeidentificationClient
from azure.health.deidentification.models import (DeidentificationContent, DeidentificationCustomizationOptions, DeidentificationJob, DeidentificationOperationType, OperationStatus, PhiCategory,
                                                  SourceStorageLocation, TargetStorageLocation)
from served import serving
from test_bulk_requirements import certificate

from healthlab.service import clients, tokens

NOTE = "Patient Anna Keller, MRN 00123456, was seen on 12 March 2024 by Dr. Peter Lang. 😀 Call (555) 234-5678."


class Credential:
    "A token of this service, as azure-core asks for one."
    def __init__(self, scope="deidentify", role="steward", name="azure"):
        self.client, self.scope, self.role = clients.add_client(name, scopes=[scope], role=role)["client_id"], scope, role

    def get_token(self, *scopes, **more): return AccessToken(tokens.issue(self.client, self.client, self.scope, self.role, "g" + self.client)[0], int(time.time()) + 300)


@pytest.fixture(scope="module", autouse=True)
def workbench(tmp_path_factory):
    "One workbench for the module."
    from notebooks import scratch
    folder = tmp_path_factory.mktemp("azure")
    with pytest.MonkeyPatch.context() as patch:
        for k, v in scratch(folder).items(): patch.setenv(k, v)
        patch.setenv("HEALTHLAB_SERVICE_CONTAINERS", str(folder / "containers"))
        yield folder


@pytest.fixture(scope="module")
def service(workbench):
    cert, key = certificate(workbench)
    with pytest.MonkeyPatch.context() as patch, serving(workbench, HEALTHLAB_SERVICE_CERTIFICATE=cert, HEALTHLAB_SERVICE_CERTIFICATE_KEY=key, scheme="https") as (port, _):
        patch.setenv("HEALTHLAB_SERVICE_URL", f"https://127.0.0.1:{port}")
        for name in ("notes", "clean"): (workbench / "containers" / name).mkdir(parents=True)
        yield f"https://127.0.0.1:{port}", cert, workbench / "containers"


@pytest.fixture
def client(service):
    with DeidentificationClient(service[0] + "/deidentification", Credential(), connection_verify=service[1], polling_interval=1) as made: yield made


def job(service, prefix="visit/", target="clean", operation=DeidentificationOperationType.SURROGATE, **more):
    return DeidentificationJob(source_location=SourceStorageLocation(location=f"{service[0]}/containers/notes", prefix=prefix, extensions=more.pop("extensions", ["*"])),
                               target_location=TargetStorageLocation(location=f"{service[0]}/containers/{target}", prefix=more.pop("out", "out/"), overwrite=True), operation_type=operation, **more)


def test_a_text_in_each_of_the_three_ways(client):
    ask = lambda operation, **more: client.deidentify_text(DeidentificationContent(input_text=NOTE, operation_type=operation, **more))
    surrogate, redacted, tagged = ask(DeidentificationOperationType.SURROGATE), ask(DeidentificationOperationType.REDACT), ask(DeidentificationOperationType.TAG)
    assert surrogate.output_text != NOTE and tagged.output_text is None
    for gone in ("Keller", "00123456", "12 March 2024", "234-5678"): assert gone not in surrogate.output_text and gone not in redacted.output_text
    assert "[date]" in redacted.output_text and "😀" in redacted.output_text
    found = {e.text: e for e in tagged.tagger_result.entities}
    assert found["12 March 2024"].category == PhiCategory.DATE and {PhiCategory.PATIENT, PhiCategory.PHONE} <= {e.category for e in tagged.tagger_result.entities}
    for e in tagged.tagger_result.entities: # every kind of offset leads to the text
        assert NOTE[e.offset.code_point:][:e.length.code_point] == e.text
        assert NOTE.encode()[e.offset.utf8:][:e.length.utf8].decode() == e.text and NOTE.encode("utf-16-le")[2 * e.offset.utf16:][:2 * e.length.utf16].decode("utf-16-le") == e.text


def test_a_redaction_of_one_s_own(client):
    form = lambda f: client.deidentify_text(DeidentificationContent(input_text=NOTE, operation_type="Redact", customizations=DeidentificationCustomizationOptions(redaction_format=f))).output_text
    assert "<date:13>" in form("<{type}:{len}>")
    with pytest.raises(HttpResponseError) as e: form("{nothing}")
    assert e.value.status_code == 400 and e.value.error.code == "InvalidRequest" and "Keller" not in str(e.value)


def test_a_folder_of_documents_from_beginning_to_end(client, service):
    notes = service[2] / "notes" / "visit"
    notes.mkdir()
    for i in range(3): (notes / f"{i}.txt").write_text(NOTE)
    (notes / "scan.txt").write_bytes(b"\xff\xfe\x00")
    (notes / "picture.png").write_bytes(b"x")
    poller = client.begin_deidentify_documents("first-job", job(service, extensions=[".txt"]))
    done = poller.result()
    assert (done.job_name, done.status, done.operation_type) == ("first-job", OperationStatus.SUCCEEDED, "Surrogate")
    assert (done.summary.successful_count, done.summary.failed_count, done.summary.total_count) == (3, 1, 4) and done.summary.bytes_processed == 3 * len(NOTE.encode())
    for i in range(3): assert "Keller" not in (service[2] / "clean" / "out" / "visit" / f"{i}.txt").read_text()
    documents = list(client.list_job_documents("first-job", maxpagesize=2))
    assert [d.status for d in documents].count("Succeeded") == 3 and [d.error.code for d in documents if d.error] == ["UnreadableDocument"]
    assert all(d.input_location.location.startswith(service[0] + "/containers/notes/visit/") for d in documents)
    assert sorted(d.output_location.location for d in documents if d.output_location) == [f"{service[0]}/containers/clean/out/visit/{i}.txt" for i in range(3)]
    assert client.get_job("first-job").created_at <= client.get_job("first-job").last_updated_at and [j.job_name for j in client.list_jobs()] == ["first-job"]
    client.delete_job("first-job")
    with pytest.raises(ResourceNotFoundError): client.get_job("first-job")


def test_a_job_is_cancelled(client, service):
    many = service[2] / "notes" / "many"
    many.mkdir()
    for i in range(400): (many / f"{i}.txt").write_text(NOTE * 5)
    client.begin_deidentify_documents("long-job", job(service, prefix="many/"), polling=False)
    assert client.cancel_job("long-job").job_name == "long-job"
    end = time.monotonic() + 60
    while (status := client.get_job("long-job").status) in ("Running", "NotStarted") and time.monotonic() < end: time.sleep(0.3)
    assert status == OperationStatus.CANCELED


def test_tags_are_written_as_json_and_a_name_is_taken_once(client, service):
    (service[2] / "notes" / "t").mkdir()
    (service[2] / "notes" / "t" / "a.txt").write_text(NOTE)
    asked = job(service, prefix="t/", operation="Tag", out="tags/", customizations=None)
    assert client.begin_deidentify_documents("tag-job", asked).result().status == OperationStatus.SUCCEEDED
    assert '"category": "Date"' in (service[2] / "clean" / "tags" / "t" / "a.txt").read_text()
    with pytest.raises(HttpResponseError) as e: client.begin_deidentify_documents("tag-job", asked, polling=False)
    assert e.value.status_code == 409


@pytest.mark.parametrize("location", ["https://evil.example/notes", "{url}/containers/..", "{url}/containers/notes/../../keys", "{url}/containers/none", "file:///etc", "{url}.evil.example/containers/notes", "http://169.254.169.254/containers/notes", "{url}/containers/link"])
def test_a_location_that_is_none(client, service, location):
    link = service[2] / "link"
    if not link.is_symlink(): link.symlink_to("/etc")
    for which in ("source_location", "target_location"):
        asked = job(service)
        getattr(asked, which).location = location.replace("{url}", service[0])
        with pytest.raises(HttpResponseError) as e: client.begin_deidentify_documents("bad-place", asked, polling=False)
        assert (e.value.status_code, e.value.error.code) == (400, "InvalidStorageLocation")


def test_out_of_the_container(client, service):
    with pytest.raises(HttpResponseError) as e: client.begin_deidentify_documents("bad-prefix", job(service, out="../../keys/"), polling=False)
    assert e.value.error.code == "InvalidStorageLocation"
    (service[2] / "notes" / "links").mkdir()
    (service[2] / "notes" / "links" / "a.txt").symlink_to("/etc/passwd")
    assert client.begin_deidentify_documents("links", job(service, prefix="links/")).result().summary.total_count == 0


def test_who_may_not(service):
    at = lambda credential, **more: DeidentificationClient(service[0] + "/deidentification", credential, connection_verify=service[1], **more)
    content = DeidentificationContent(input_text="x")
    with pytest.raises(HttpResponseError) as e: at(Credential("nlp", name="other")).deidentify_text(content)
    assert e.value.status_code == 403
    with pytest.raises(HttpResponseError) as e: at(Credential(role="stakeholder", name="low")).begin_deidentify_documents("a-job", job(service), polling=False)
    assert e.value.status_code == 403
    class Stranger:
        def get_token(self, *a, **k): return AccessToken("x" * 40, int(time.time()) + 300)
    with pytest.raises(ClientAuthenticationError): at(Stranger()).deidentify_text(content)
    with pytest.raises(HttpResponseError) as e: at(Credential(name="old"), api_version="2020-01-01").deidentify_text(content)
    assert e.value.error.code == "UnsupportedApiVersion"


def test_another_client_s_jobs_are_not_there(client, service):
    (service[2] / "notes" / "mine").mkdir()
    client.begin_deidentify_documents("mine", job(service, prefix="mine/")).result()
    with DeidentificationClient(service[0] + "/deidentification", Credential(name="nosy"), connection_verify=service[1]) as nosy:
        assert list(nosy.list_jobs()) == []
        for act in (nosy.get_job, nosy.cancel_job, nosy.delete_job, lambda n: list(nosy.list_job_documents(n))):
            with pytest.raises(ResourceNotFoundError): act("mine")
