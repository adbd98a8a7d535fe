"""The map of endpoints holds every address there is, and the documents show it as it is."""
import json
import re

from healthlab.service.app import DOORS, catalogue
from healthlab.service.catalogue import endpoint_map


def test_every_address_is_in_the_map_and_everything_in_the_map_is_there(app):
    there = {(m, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", r.rule)) for r in app.url_map.iter_rules() for m in r.methods - {"HEAD", "OPTIONS"} if not r.rule.startswith("/docs/")}
    mapped = {(r.method, r.path) for r in [*catalogue(), *DOORS]}
    assert there == mapped


def test_what_is_said_to_be_public_is_and_nothing_else(app, http):
    public = {(r.method, r.path) for r in [*catalogue(), *DOORS] if not r.scope}
    for r in app.url_map.iter_rules():
        for m in r.methods - {"HEAD", "OPTIONS"}:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", r.rule)
            if not path.startswith("/docs/"): assert bool(getattr(app.view_functions[r.endpoint], "public", False)) == ((m, path) in public), path


def test_the_documentation_shows_the_map_of_today(root):
    page = json.loads((root / "nbs/library/90_service/99_init.ipynb").read_text())
    shown = "".join(page["cells"][-1]["outputs"][0]["data"]["text/markdown"])
    assert shown == endpoint_map(catalogue() + DOORS), "run tests/gate/notebooks.py nbs/library/90_service/99_init.ipynb"


def test_the_tutorial_calls_every_route(root):
    page = json.loads((root / "nbs/tutorials/rest_service.ipynb").read_text())
    text = "\n".join("".join(c["source"]) for c in page["cells"])
    assert "assert mine - called == set()" in text # the notebook is run by the gate, and looks itself
    for r in DOORS:
        if r.path.startswith(("/oauth/token", "/fhir/$export", "/language", "/deidentification/deid")): assert r.path.split("{")[0].rstrip("/") in text, r.path
