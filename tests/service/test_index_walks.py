"""The walks through the JSON find what evaluating the search parameters' FHIRPath finds."""
import pytest

from healthlab.hospital import Hospital
from healthlab.service import indexing

ODD = [
    dict(resourceType="Observation", status="final", code=dict(coding=[dict(code="a", system="s"), None]), contained=[dict(resourceType="Patient", id="p")], subject=dict(reference="#p"), valueString="x"),
    dict(resourceType="Observation", status="final", code=dict(text="t"), subject=dict(reference="Group/g"), component=[dict(code=dict(text="c"), valueQuantity=dict(value=1, unit="g")), dict(code=dict(coding=[dict(code="d")]), valueCodeableConcept=dict(text="v"))]),
    dict(resourceType="Observation", status="final", code={}, effectiveTiming=dict(event=["2024-01-01", None]), valueSampledData=dict(origin=dict(value=1))),
    dict(resourceType="Patient", name=[dict(family="A", given=["B", None], _given=[None, dict(id="x")])], _birthDate=dict(extension=[dict(url="u", valueCode="unknown")]), telecom=[dict(system="phone", value="1"), dict(system="email", value="2"), dict(value="3")], deceasedBoolean=False),
    dict(resourceType="Patient", deceasedDateTime="2024", link=[dict(other=dict(reference="http://elsewhere.org/fhir/Patient/7"))]),
    dict(resourceType="Encounter", status="finished", subject=dict(reference="http://elsewhere.org/fhir/Patient/7/_history/2")),
    dict(resourceType="Condition", onsetAge=dict(value=3, code="a", system="http://unitsofmeasure.org"), subject=dict(identifier=dict(value="7"))),
    dict(resourceType="MedicationRequest", medicationReference=dict(reference="Medication/m"), subject="Patient/1"),
]


@pytest.fixture
def evaluated(monkeypatch):
    "The rows by FHIRPath alone."
    def rows(resource):
        with monkeypatch.context() as m:
            m.setattr(indexing, "ways_of", lambda expression, kind: None)
            indexing.plan_of.cache_clear()
            found = indexing.rows(resource)
        indexing.plan_of.cache_clear()
        return found
    return rows


def test_the_rows_are_the_same(evaluated):
    seen = {}
    for r in Hospital(patients=1, seed=5).resources(): seen.setdefault((r["resourceType"], *sorted(r)), r)
    assert len(seen) > 15
    for r in [*ODD, *seen.values()]: assert set(indexing.rows(r)) == set(evaluated(r)), r["resourceType"]


def test_most_parameters_are_walks():
    plans = [(kind, p.code) for kind in ("Observation", "Patient", "Encounter", "Condition", "MedicationRequest") for p, e, _ in indexing.plan(kind) if indexing.ways_of(e, kind) is None]
    assert plans == [("Patient", "deceased")]
