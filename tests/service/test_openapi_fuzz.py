"""A hundred cases of what `make fuzz` does at length; and that it would notice."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzz"))


def test_no_answer_is_outside_the_document(workbench):
    from fuzz import fuzz
    figures, failures = fuzz(100, 3, workbench)
    assert failures == {} and figures["server_errors"] == 0 and figures["cases"] >= 90 and figures["statuses"][200] > 20


@pytest.mark.parametrize("spoiled", ["mistake", "answer"])
def test_the_fuzz_test_notices(workbench, monkeypatch, spoiled):
    from fuzz import fuzz

    from healthlab.service import app, catalogue
    def broken() -> dict: raise RuntimeError
    route = next(r for r in app.OWN if r.path == "/health/live")
    if spoiled == "mistake": changed = route._replace(function=broken)
    else: changed = route._replace(answer=catalogue.Fault)
    monkeypatch.setattr(app, "catalogue", lambda: [changed, next(r for r in app.OWN if r.path == "/openapi.json")])
    app._document.cache_clear()
    try: figures, failures = fuzz(5, 1, workbench)
    finally: app._document.cache_clear()
    assert {k[0] for k in failures} == {"GET /health/live"}


def test_two_types_of_one_name_are_refused():
    from healthlab.core.errors import SettingsError
    from healthlab.service.catalogue import put
    found = {}
    put({"Line": {"type": "string"}}, found), put({"Line": {"type": "string"}}, found)
    with pytest.raises(SettingsError, match="Line"): put({"Line": {"type": "integer"}}, found)
