"""A service of its own for every test: application, client, token.

With HEALTHLAB_TEST_POSTGRES=1 the applications of these tests keep their store in PostgreSQL, each in a schema of its own.
"""
import json
import os
import uuid

import pytest


class Http:
    "A client of the application with a token."
    def __init__(self, app, scopes="system/*.cruds", role="steward", name="tester"):
        from healthlab.service.clients import add_client
        from healthlab.service.tokens import issue
        self.app, self.raw = app, app.test_client()
        self.client = add_client(name, scopes=scopes.split(), role=role)
        self.token = issue(self.client["client_id"], self.client["client_id"], scopes, role, name)[0]

    def ask(self, method, path, body=None, media="application/fhir+json", **headers):
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        head = {"Authorization": f"Bearer {self.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self.raw.open(path, method=method, data=data, headers=head, content_type=media if data is not None else None)

    def get(self, path, **headers): return self.ask("GET", path, **headers)
    def post(self, path, body=None, **headers): return self.ask("POST", path, body, **headers)
    def put(self, path, body, **headers): return self.ask("PUT", path, body, **headers)
    def delete(self, path, **headers): return self.ask("DELETE", path, **headers)

    def add(self, **resource):
        "PUTs a resource with an id."
        answer = self.put(f"/fhir/{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status_code in (200, 201), answer.text
        return answer

    def ids(self, path):
        "The ids of the matches of a search, in their order."
        answer = self.get(f"/fhir/{path}")
        assert answer.status_code == 200, answer.text
        return [e["resource"]["id"] for e in answer.json.get("entry", []) if e["search"]["mode"] == "match"]


@pytest.fixture(scope="session")
def somewhere():
    "The address of a database; none, unless it was asked for."
    if not os.environ.get("HEALTHLAB_TEST_POSTGRES"): yield ""; return
    import postgresql
    with postgresql.server() as (_, url): yield url


@pytest.fixture
def app(workbench, somewhere, monkeypatch):
    from healthlab.service.app import create_app
    if somewhere: monkeypatch.setenv("HEALTHLAB_SERVICE_DATABASE", f"{somewhere}&schema=s{uuid.uuid4().hex[:12]}")
    app = create_app()
    yield app
    app.extensions["healthlab.store"].close()


@pytest.fixture
def http(app): return Http(app)


@pytest.fixture
def as_client(app):
    "Another client: as_client(scopes, role)."
    return lambda scopes, role="steward", name="other": Http(app, scopes, role, name)
