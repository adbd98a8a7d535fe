"""Microsoft's own client of Text Analytics for health, pointed at this service, over TLS."""
import time

import pytest
from azure.ai.textanalytics import TextAnalyticsClient
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from served import serving
from test_bulk_requirements import certificate

from healthlab.service import clients, tokens

NOTE = "😀 Patient denies chest pain. Started metformin 500 mg twice daily for type 2 diabetes mellitus. Her mother had breast cancer."


class Credential:
    def __init__(self, scope="nlp", name="azure"): self.client, self.scope = clients.add_client(name, scopes=[scope], role="researcher")["client_id"], scope
    def get_token(self, *scopes, **more): return AccessToken(tokens.issue(self.client, self.client, self.scope, "researcher", "g" + self.client)[0], int(time.time()) + 300)


@pytest.fixture(scope="module", autouse=True)
def workbench(tmp_path_factory):
    "One workbench for the module."
    from notebooks import scratch
    folder = tmp_path_factory.mktemp("text")
    with pytest.MonkeyPatch.context() as patch:
        for k, v in scratch(folder).items(): patch.setenv(k, v)
        yield folder


@pytest.fixture(scope="module")
def service(workbench):
    cert, key = certificate(workbench)
    with pytest.MonkeyPatch.context() as patch, serving(workbench, HEALTHLAB_SERVICE_CERTIFICATE=cert, HEALTHLAB_SERVICE_CERTIFICATE_KEY=key, scheme="https") as (port, _):
        patch.setenv("HEALTHLAB_SERVICE_URL", f"https://127.0.0.1:{port}")
        yield f"https://127.0.0.1:{port}", cert


@pytest.fixture
def client(service):
    with TextAnalyticsClient(service[0], Credential(), connection_verify=service[1], api_version="2023-04-01") as made: yield made


def test_notes_read_from_beginning_to_end(client):
    first, second = client.begin_analyze_healthcare_entities([NOTE, "No fever."], polling_interval=1).result()
    assert not first.is_error and not second.is_error
    found = {e.text.lower(): e for e in first.entities}
    assert found["chest pain"].assertion.certainty == "negative" and found["metformin"].category == "MedicationName" and found["500 mg"].category == "Dosage"
    assert all(NOTE[e.offset:][:e.length] == e.text and 0 <= e.confidence_score <= 1 for e in first.entities)
    assert found["breast cancer"].assertion.association == "other"
    kinds = {r.relation_type: {role.entity.text.lower() for role in r.roles} for r in first.entity_relations}
    assert kinds["DosageOfMedication"] == {"500 mg", "metformin"}
    assert any(s.name for e in first.entities for s in e.data_sources)


def test_offsets_in_the_unit_asked_for(client):
    made, = client.begin_analyze_healthcare_entities([NOTE], polling_interval=1, string_index_type="Utf16CodeUnit").result()
    wide = NOTE.encode("utf-16-le")
    assert made.entities and all(wide[2 * e.offset:][:2 * e.length].decode("utf-16-le") == e.text for e in made.entities)


def test_what_is_refused(client, service):
    with pytest.raises(HttpResponseError) as e: client.begin_analyze_healthcare_entities([dict(id="1", text="a"), dict(id="1", text="b")])
    assert e.value.status_code == 400
    with pytest.raises(HttpResponseError) as e: client.begin_recognize_custom_entities(["x"], "p", "d")
    assert e.value.status_code == 400
    with TextAnalyticsClient(service[0], Credential("search", "other"), connection_verify=service[1], api_version="2023-04-01") as other:
        with pytest.raises(HttpResponseError) as e: other.begin_analyze_healthcare_entities(["x"])
        assert e.value.status_code == 403


def test_a_job_is_cancelled_and_is_its_client_s(client, service):
    poller = client.begin_analyze_healthcare_entities([NOTE * 200] * 20, polling_interval=1)
    poller.cancel()
    with pytest.raises(HttpResponseError): list(poller.result())
