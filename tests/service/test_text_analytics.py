"""Microsoft's own client of Text Analytics for health, pointed at this service, over TLS."""
import time

import pytest
from azure.ai.textanalytics import TextAnalyticsClient
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from served import serving
from test_bulk_requirements import certificate

from healthlab.service import clients, tokens

NOTES = ["😀 Patient denies chest pain. Takes metformin.", "No fever. History of type 2 diabetes."]


class Credential:
    "A token of this service, as azure-core asks for one."
    def __init__(self, scope, name): self.client, self.scope = clients.add_client(name, scopes=[scope], role="steward")["client_id"], scope
    def get_token(self, *scopes, **more): return AccessToken(tokens.issue(self.client, self.client, self.scope, "steward", "g" + self.client)[0], int(time.time()) + 300)


@pytest.fixture
def service(workbench, monkeypatch):
    cert, key = certificate(workbench)
    with serving(workbench, HEALTHLAB_SERVICE_CERTIFICATE=cert, HEALTHLAB_SERVICE_CERTIFICATE_KEY=key, scheme="https") as (port, _):
        monkeypatch.setenv("HEALTHLAB_SERVICE_URL", f"https://127.0.0.1:{port}")
        yield f"https://127.0.0.1:{port}", cert


def test_the_official_client_reads_notes_and_is_told_what_is_wrong(service):
    url, cert = service
    with TextAnalyticsClient(url, Credential("nlp", "ta"), connection_verify=cert) as client:
        first, second = client.begin_analyze_healthcare_entities([dict(id=f"n{n}", text=t, language="en") for n, t in enumerate(NOTES)], polling_interval=1).result()
        with pytest.raises(HttpResponseError) as twice: client.begin_analyze_healthcare_entities([dict(id="a", text="x"), dict(id="a", text="y")])
    pain = next(e for e in first.entities if e.text.endswith("pain"))
    assert (first.id, pain.category, pain.assertion.certainty) == ("n0", "SymptomOrSign", "negative")
    assert all(NOTES[0][e.offset:e.offset + e.length] == e.text for e in first.entities) and second.id == "n1" and second.entities
    from healthlab.nlp import analyze
    assert [e.text for e in first.entities] == [e.text for e in analyze([NOTES[0]])[0].entities]
    assert twice.value.status_code == 400
    with TextAnalyticsClient(url, Credential("jobs", "nobody"), connection_verify=cert) as client, pytest.raises(HttpResponseError) as e: client.begin_analyze_healthcare_entities(NOTES)
    assert e.value.status_code == 403
