"""The service around the functions: what HTTP, authentication, checks and the answer's shaping add to a call, and how soon it is ready.

The peer is the function itself, called in turns with the request, in a process as warm as the service's. Mixed FHIR load is `make load`.
"""
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/gate"), str(ROOT / "tests/service")]
ROUNDS = 200


def notes(count=20):
    "Short ones: what is added does not grow with the note, and is seen more clearly."
    from healthlab.hospital import Hospital
    return sorted((n.text for n in Hospital(patients=10, seed=3).notes()), key=len)[:count]


def scratched(folder):
    from notebooks import scratch
    os.environ.update(scratch(folder) | dict(HEALTHLAB_SERVICE_WORKERS="1", HEALTHLAB_LIMITS_CLIENT="100000/100000"))


def token(scopes):
    from healthlab.service.clients import add_client
    from healthlab.service.tokens import issue
    me = add_client("bench", scopes=scopes.split(), role="steward")["client_id"]
    return issue(me, me, scopes, "steward", "bench")[0]


def ready(folder, runs=5):
    "Seconds from the start of the process to the first answer of /health/ready, run by run."
    from served import serving
    took = []
    for _ in range(runs):
        start = time.perf_counter()
        with serving(folder) as (port, _):
            line = http.client.HTTPConnection("127.0.0.1", port)
            line.request("GET", "/health/ready")
            assert line.getresponse().status == 200
            took.append(time.perf_counter() - start)
    return took


def overhead(folder):
    "Milliseconds of (request over HTTP, function alone), in turns on the same notes."
    import msgspec
    from served import serving
    from healthlab.nlp import analyze
    given = notes()
    with serving(folder) as (port, _):
        os.environ["HEALTHLAB_SERVICE_URL"] = f"http://127.0.0.1:{port}"
        head = {"Authorization": f"Bearer {token('nlp')}", "Content-Type": "application/json"}
        line, asked, alone = http.client.HTTPConnection("127.0.0.1", port), [], []
        for n in range(ROUNDS + len(given)):
            text, start = given[n % len(given)], time.perf_counter()
            line.request("POST", "/v1/nlp/entities", json.dumps(dict(texts=[text])), head)
            answer = line.getresponse()
            body, middle = answer.read(), time.perf_counter()
            assert answer.status == 200, body
            found = analyze([text])
            end = time.perf_counter()
            assert json.loads(body)[0]["entities"] == json.loads(msgspec.json.encode(found[0].entities))
            if n >= len(given): asked.append((middle - start) * 1e3), alone.append((end - middle) * 1e3) # the first round loads the models
    return asked, alone


def run():
    folder = Path(tempfile.mkdtemp(prefix="service-"))
    scratched(folder)
    starts = ready(folder)
    asked, alone = overhead(folder)
    added = [a - b for a, b in zip(asked, alone)]
    return [
        dict(name="ready after start, median of 5", figure=statistics.median(starts), unit="s", asked="<= 3"),
        dict(name="ready after start, slowest of 5", figure=max(starts), unit="s"),
        dict(name="/v1/nlp/entities over HTTP, median", figure=statistics.median(asked), unit="ms", peer="healthlab.nlp.analyze", peer_figure=statistics.median(alone), ratio=statistics.median(asked) / statistics.median(alone)),
        dict(name="/v1/nlp/entities, over the function, median", figure=statistics.median(added), unit="ms", asked="<= 3"),
    ]


if __name__ == "__main__":
    for row in run(): print(row)
