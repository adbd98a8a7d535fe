"""schemathesis over the whole OpenAPI document: no 5xx, no answer outside the document.

    python tests/fuzz/fuzz.py [--cases 10000] [--seed 1] [--save]

Half of the cases under /fhir are bent towards what is stored (its types, ids, search parameters, resources with one thing changed): text that never gets past the
first check says little. --save keeps the figures under tests/fuzz/results with the date.
"""
import argparse
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "gate"))
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance", "response_schema_conformance")
VALUES = ("", "a", "0", "-1", "1e400", "2024-02-30", "ge2024-01", "ap100|http://unitsofmeasure.org|mg", "a|b|c", "|", "$", "\\", "a,b", "%00", "'", '"', "(", "*", "NOT", "..", "true", "Patient/1", "\U0001f600", "x" * 3000)
MODIFIERS = ("", ":missing", ":exact", ":contains", ":not", ":text", ":identifier", ":above", ":below", ":Patient", ".name", ":Patient.name", ":")


class Bent:
    "Bends generated cases towards what is stored."
    def __init__(self, seed):
        from healthlab.hospital import Hospital
        from healthlab.service.parameters import parameters
        self.rng, self.parameters = random.Random(seed), parameters
        self.resources = list(Hospital(patients=1, seed=seed).resources())

    def changed(self):
        "A stored resource, half of the time with one element gone or replaced."
        r = json.loads(json.dumps(self.rng.choice(self.resources)))
        if self.rng.random() < 0.5:
            at = self.rng.choice(sorted(r))
            if self.rng.random() < 0.4: r.pop(at)
            else: r[at] = self.rng.choice([None, [], {}, 7, -1.5e300, "x", True, [[]], {"x": {}}, dict(r)])
        return r

    def bundle(self):
        methods = ("POST", "PUT", "GET", "DELETE", "PATCH", "")
        def one(r): return dict(resource=r, fullUrl=self.rng.choice(("urn:uuid:1", "x", None)), request=dict(method=self.rng.choice(methods), url=self.rng.choice((r.get("resourceType"), f"{r.get('resourceType')}/{r.get('id')}", "Patient?name=x", "..", ""))))
        return dict(resourceType="Bundle", type=self.rng.choice(("batch", "transaction", "history")), entry=[one(self.changed()) for _ in range(self.rng.randrange(4))])

    def question(self):
        "A question to a registered model, some values of which are not what it asks for."
        odd = lambda usual: usual if self.rng.random() < 0.7 else self.rng.choice((None, 7, -1e300, "x" * 300, True, [], 10**63))
        return dict(model=self.rng.choice(("fuzzed", "fuzzed", "nlp", "x")), rows=[dict(age=odd(50.0), smoker=odd(True)) for _ in range(self.rng.randrange(3))])

    def query(self, kind):
        names = [*self.parameters(kind), "_sort", "_count", "_include", "_revinclude", "_summary", "_elements", "_has:Observation:patient:code", "_total", "_page", "_since", "nothing"]
        return {self.rng.choice(names) + self.rng.choice(MODIFIERS): self.rng.choice([*VALUES, *names]) for _ in range(self.rng.randrange(1, 4))}

    def __call__(self, case):
        if self.rng.random() < 0.5: return
        if case.operation.path == "/v1/inference": case.body = self.question()
        if case.operation.path.startswith("/v1/models/"): case.path_parameters.update({k: self.rng.choice(v) for k, v in dict(name=("fuzzed", "nlp", "x"), version=("1", "2", "champion", "x")).items() if k in case.path_parameters})
        if not case.operation.path.startswith("/fhir"): return
        r = self.changed()
        for name in case.path_parameters or {}:
            if name in ("type", "id") and isinstance(v := r.get("resourceType" if name == "type" else "id"), str) and v: case.path_parameters[name] = v
        if case.method == "GET" and "{type}" in case.operation.path: case.query = self.query((case.path_parameters or {}).get("type", "Patient"))
        if case.media_type == "application/fhir+json": case.body = self.bundle() if case.operation.path in ("/fhir", "/fhir/$de-identify") else r


def registered():
    "A small model for /v1/inference and /v1/models."
    import pandas as pd
    from healthlab.models.registry import register
    from sklearn.linear_model import LogisticRegression
    table = pd.DataFrame({"age": [30.0, 80.0, 45.0, 70.0], "smoker": [False, True, False, True]})
    register(LogisticRegression().fit(table, [False, True, False, True]), "fuzzed", table, card=dict(intended_use="to be fuzzed"), figures=dict(auroc=1.0))


def service(folder, seed):
    "(application, token) of a service of its own that holds a patient."
    from notebooks import scratch
    os.environ.update(scratch(folder) | dict(HEALTHLAB_LIMITS_CLIENT="1000000/1000000", HEALTHLAB_OAUTH_ACCESS_SECONDS="36000"))
    from healthlab.service.app import create_app
    from healthlab.service.clients import add_client
    from healthlab.service.scopes import PLAIN
    from healthlab.service.store import draft, update
    from healthlab.service.tokens import issue
    app, bent = create_app(), Bent(seed)
    registered()
    store, drafts = app.extensions["healthlab.store"], [draft(json.dumps(r).encode()) for r in bent.resources]
    store.write(lambda con: [update(con, d, d.id) for d in drafts])
    scopes = ["system/*.cruds", *PLAIN]
    me = add_client("fuzz", scopes=scopes, role="steward")["client_id"]
    return app, bent, issue(me, me, " ".join(scopes), "steward", "fuzz")[0]


def fuzz(cases, seed, folder):
    "Figures of about so many cases; every failure once, with its operation and what was sent."
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from schemathesis import checks as known
    logging.getLogger("healthlab").setLevel(logging.CRITICAL)
    app, bent, token = service(folder, seed)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    checks = [known.CHECKS.get_one(c) for c in CHECKS]
    operations = [r.ok() for r in schema.get_all_operations()]
    open_ended = [o for o in operations if list(o.path_parameters) or list(o.query) or list(o.body)]
    figures, failures = dict(operations=len(operations), cases=0, statuses=Counter()), {}
    for o in operations:
        def one(case):
            bent(case)
            answer = case.call(headers={"Authorization": f"Bearer {token}"})
            figures["cases"] += 1
            figures["statuses"][answer.status_code] += 1
            try: case.validate_response(answer, checks=checks)
            except BaseException as e:
                if isinstance(e, KeyboardInterrupt): raise
                for x in getattr(e, "exceptions", [e]): failures.setdefault((o.label, type(x).__name__, answer.status_code), f"{str(x)[:600]}\n    {case.as_curl_command()[:600]}".replace(token, "…"))
        run = settings(max_examples=-(-cases // max(1, len(open_ended))), deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])(one)
        seeded(seed)(given(case=o.as_strategy())(run))()
    app.extensions["healthlab.store"].close()
    return dict(figures, server_errors=sum(n for s, n in figures["statuses"].items() if s >= 500), outside_the_document=len(failures)), failures


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    for name, usual in (("cases", 10_000), ("seed", 1)): p.add_argument(f"--{name}", type=int, default=usual)
    p.add_argument("--save", action="store_true")
    a = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder: figures, failures = fuzz(a.cases, a.seed, Path(folder))
    for k, v in failures.items(): print(*k, v, sep="\n  ")
    figures["statuses"] = dict(sorted(figures["statuses"].items()))
    print(json.dumps(figures, indent=1))
    if a.save:
        target = ROOT / "tests" / "fuzz" / "results"
        target.mkdir(exist_ok=True)
        (target / f"{time.strftime('%Y-%m-%d')}-fuzz.json").write_text(json.dumps(dict(command="make fuzz", checks=CHECKS, seed=a.seed, **figures), indent=1) + "\n")
    sys.exit(bool(failures))
