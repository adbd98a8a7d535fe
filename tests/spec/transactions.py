"""What every bundle our converters make must be: valid, and without a reference that leads nowhere."""
from healthlab.fhir.model import references, validate


def problem(bundle: dict) -> str:
    """The first thing wrong with a transaction bundle; "" when it is sound."""
    errors = [i for i in validate(bundle) if i.stops]
    if errors: return f"{len(errors)} errors, first at {errors[0].path}: {errors[0].message}"
    known = {e["request"]["url"] for e in bundle["entry"]}
    dangling = [text for e in bundle["entry"] for _, text in references(e["resource"]) if text not in known]
    return f"{len(dangling)} references lead nowhere" if dangling else ""


def suite(name: str, verdicts: list) -> dict:
    """A suite's result from (name, why it failed or "")."""
    failing = [(n, why) for n, why in verdicts if why]
    return dict(suite=name, passed=len(verdicts) - len(failing), failed=len(failing), failing=failing)
