"Codes and units: what can be a code of its system."
import pytest

from healthlab.quality.codes import CVX, ICD10CM, LOINC, RXNORM, SNOMED, code_problem, dimension, ucum_of
from healthlab.quality.measurements import to_unit
from healthlab.quality.catalogue import ranges


@pytest.mark.parametrize("system, code, fine", [
    (LOINC, "4548-4", True), (LOINC, "4548-5", False), (LOINC, "LA6576-8", True), (LOINC, "4548", False), (LOINC, "", False), (LOINC, " 4548-4", False),
    (SNOMED, "44054006", True), (SNOMED, "44054060", False), (SNOMED, "12345", False), (SNOMED, "428191000124101", True),
    (RXNORM, "860975", True), (RXNORM, "86O975", False), (CVX, "140", True), (CVX, "FLU", False),
    (ICD10CM, "E11.9", True), (ICD10CM, "e119", False), (ICD10CM, "Q99999", False), ("urn:local", "??", True)])
def test_codes(system, code, fine): assert (code_problem(system, code) is None) is fine


@pytest.mark.parametrize("text, ucum", [("mmHg", "mm[Hg]"), ("mg/dl", "mg/dl"), ("K/uL", "10*3/uL"), ("°F", "[degF]"), ("furlong", None), ("", None), (None, None), (7, None), ("{score}", "{score}")])
def test_units(text, ucum): assert ucum_of(text) == ucum


def test_every_range_has_a_unit_and_an_order():
    for r in ranges().values():
        assert r.low < r.high and r.source and (ucum_of(r.unit) or r.unit == "[pH]") and dimension(r.unit) is not None, r
        assert code_problem(LOINC, r.loinc) is None, r
        for unit, factor in r.mixups:
            assert ucum_of(unit), (r.loinc, unit)
            if factor.replace(".", "", 1).isdigit() and dimension(unit) == dimension(r.unit) and dimension(unit) is not None: # a factor UCUM knows must be UCUM's
                assert abs(float(to_unit(unit, r.unit, None)(float(factor))) - 1) < 0.02, (r.loinc, unit, factor)
