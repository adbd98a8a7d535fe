"""One patient in every form: nothing planted comes out of any, the same surrogate in all, intervals exact, outputs valid FHIR. `tests/e2e/deid_crossmodal.py` does the same over 200 seeds and 10,000 resources."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import crossmodal


@pytest.fixture(autouse=True)
def own_key(tmp_path, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_KEYS_FILE", str(tmp_path / "k.key"))
    monkeypatch.setenv("HEALTHLAB_AUDIT_PATH", str(tmp_path / "audit"))


@pytest.mark.parametrize("seed", range(8))
def test_nothing_leaks_and_all_forms_agree(seed): assert crossmodal.check(seed, count=12, full=True) == {"resources": 15}


def test_the_check_sees_a_leak():
    p = crossmodal.person(3)
    assert set(crossmodal.leaks(p, crossmodal.canary(p))) >= {*crossmodal.TYPES, "given", "family", "relative", "doctor", "street", "city", "zip", "phone", "fax", "email", "url", "ip", "biometric", "born (US)", "visit (US)"}
    assert crossmodal.leaks(p, "all is well on 2024-01-05") == []


def test_a_day_another_day_was_moved_to_is_no_leak_and_any_other_is():
    from datetime import timedelta
    p = crossmodal.person(3)
    text = f"seen {p['visit'].isoformat()}"
    assert crossmodal.leaks(p, text, timedelta(days=-40)) == crossmodal.leaks(p, text) == ["visit"] or (p["later"] - p["visit"]).days == 40
    assert crossmodal.leaks(p, text, p["visit"] - p["later"]) == []
