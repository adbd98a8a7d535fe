"""Units, partial dates, boundaries."""
from fractions import Fraction

import pytest

from healthlab.fhir import temporal
from healthlab.fhir.path import evaluate
from healthlab.fhir.ucum import UnitError, commensurable, convert, unit


@pytest.mark.parametrize("value, a, b, expected", [
    ("1", "g/dL", "g/L", "10"), ("1", "[lb_av]", "kg", "0.45359237"), ("37", "Cel", "K", "310.15"), ("98.6", "[degF]", "Cel", "37"), ("1", "10*3/uL", "10*9/L", "1"),
    ("1", "mm[Hg]", "Pa", "133.322"), ("1", "meq/L", "mmol/L", "1"), ("60", "/min", "Hz", "1"), ("1", "m[iU]/mL", "[iU]/L", "1"), ("1", "kg/m2", "g/cm2", "0.1"),
    ("1", "wk", "d", "7"), ("1", "L", "mL", "1000"), ("1", "U/L", "ukat/L", "1/60"), ("1", "ug/(24.h)", "ug/d", "1"), ("5", "{score}", "1", "5"), ("1", "%", "1", "1/100"),
])
def test_conversions_are_exact(value, a, b, expected): assert convert(Fraction(value), a, b) == Fraction(expected)


@pytest.mark.parametrize("a, b", [("mg/dL", "mmol/L"), ("[iU]/L", "U/L"), ("[iU]", "[arb'U]"), ("m", "s"), ("Cel", "m")])
def test_not_commensurable(a, b):
    assert not commensurable(a, b)
    with pytest.raises(UnitError): convert(1, a, b)


@pytest.mark.parametrize("bad", ["lbs", "mg//dL", "mg/", "(mg", "mg)", "kkg", "m[in_i]", "10*999999", "{open", "ünit", "m" * 500])
def test_unknown_units(bad):
    with pytest.raises(UnitError): unit(bad)


@pytest.mark.parametrize("a, b, expected", [
    ("2014-03", "2014-03-12", None), ("2014-03", "2014-04-12", -1), ("2014-03-12T10:00:00Z", "2014-03-12T11:00:00+01:00", 0),
    ("2014-03-12T10:00:00Z", "2014-03-12T10:00:00", None), ("2014-03-12T10:00:00Z", "2014-03-20T10:00:00", -1), ("2014-03-20T10:00:00", "2014-03-12T10:00:00Z", 1),
    ("2014-03-12T10:30", "2014-03-12T10:30:00", None), ("2014-03-12T10:30:00", "2014-03-12T10:30:00.000", 0),
])
def test_comparison_is_three_valued(a, b, expected): assert temporal.compare(temporal.parse(a), temporal.parse(b)) == expected


@pytest.mark.parametrize("bad", ["2014-02-30", "2014-13", "14", "2014-03-12T25:00:00", "2014-03-12T10:61:00", "2014-03-12T10:00:00+15:00", "", "٢٠١٤"])
def test_what_is_no_date(bad): assert temporal.parse(bad) is None


@pytest.mark.parametrize("expression, expected", [
    ("@2024-01-31 + 1 month", "2024-02-29"), ("@2024-02-29 + 1 year", "2025-02-28"), ("@2014-03 + 61 days", "2014-05"), ("@2014 + 24 months", "2016"), ("@T23:30 + 1 hour", "00:30"),
    ("@2014-03-12T10:00:00Z - 1 'wk'", "2014-03-05T10:00:00Z"), ("@2014.lowBoundary()", "2014-01-01"), ("@2014-02.highBoundary()", "2014-02-28"),
    ("@2010-10-10T.highBoundary()", "2010-10-10T23:59:59.999-12:00"), ("@T12:34:00.highBoundary()", "12:34:00.999"), ("@2014-01-01T08.lowBoundary(8)", "2014-01-01"),
])
def test_date_arithmetic_and_boundaries(expression, expected): assert evaluate({}, expression) == [expected]


@pytest.mark.parametrize("expression, expected", [
    ("1 'g' = 1000 'mg'", [True]), ("1 year = 12 months", [True]), ("1 'a' = 1 year", []), ("1 'a' ~ 1 year", [True]), ("7 days = 1 'wk'", [True]), ("1 'cm' = 1 's'", [False]),
    ("1 'cm' < 1 's'", []), ("(3 'cm' * 2 'cm') = 6 'cm2'", [True]), ("1 'kg' + 1 'g' = 1001 'g'", [True]), ("1 'x!' = 1 'y!'", []),
])
def test_quantities(expression, expected): assert evaluate({}, expression) == expected
