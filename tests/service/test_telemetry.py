"""What the settings switch on: traces to a collector and to Azure Monitor; and what the metrics count."""
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from healthlab.service import telemetry


@pytest.fixture
def collector():
    "A collector on this machine: (address, what it was sent as (path, body))."
    got = []
    class Take(BaseHTTPRequestHandler):
        def do_POST(self):
            data = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data))
            answer = json.dumps(dict(itemsReceived=1, itemsAccepted=1, errors=[])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        def log_message(self, *_): pass
    server = HTTPServer(("127.0.0.1", 0), Take)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()


@pytest.fixture
def fresh():
    "Traces as the settings of this test say."
    for f in (telemetry.provider, telemetry.tracer): f.cache_clear()
    yield
    if telemetry.provider(): telemetry.provider().shutdown()
    for f in (telemetry.provider, telemetry.tracer): f.cache_clear()


def traced(http):
    http.add(resourceType="Patient", id="quastenflosser", name=[dict(family="Example")])
    assert http.get("/fhir/Patient/quastenflosser", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").status_code == 200
    telemetry.flush()


def test_traces_reach_a_collector_and_name_no_patient(workbench, collector, fresh, monkeypatch, request):
    monkeypatch.setenv("HEALTHLAB_SERVICE_OTLP", collector[0])
    traced(request.getfixturevalue("http"))
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    spans = [s for path, body in collector[1] if path == "/v1/traces" for r in ExportTraceServiceRequest.FromString(body).resource_spans for x in r.scope_spans for s in x.spans]
    read = next(s for s in spans if s.name == "GET /fhir/<fhir:type>/<id>")
    assert read.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c" and {a.key: a.value.int_value for a in read.attributes}["http.response.status_code"] == 200
    assert not any(b"quastenflosser" in body or b"Example" in body for _, body in collector[1])


def test_traces_reach_azure_monitor_by_its_connection_string(workbench, collector, fresh, monkeypatch, request):
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", f"InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint={collector[0]}/")
    monkeypatch.setenv("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "True")
    traced(request.getfixturevalue("http"))
    sent = b"".join(body for path, body in collector[1] if path.endswith("/track"))
    assert b"GET /fhir/<fhir:type>/<id>" in sent.replace(b"\\u003c", b"<").replace(b"\\u003e", b">") and b"quastenflosser" not in sent


def test_metrics_count_routes_not_resources(app, as_client):
    reader = as_client("metrics system/*.r")
    assert reader.get("/fhir/Patient/quastenflosser").status_code == 404
    told = reader.get("/metrics")
    assert told.headers["Content-Type"].startswith("text/plain") and 'healthlab_requests_total{method="GET",route="/fhir/<fhir:type>/<id>",status="404"}' in told.text and "quastenflosser" not in told.text
    assert as_client("nlp", name="other").get("/metrics").status_code == 403
