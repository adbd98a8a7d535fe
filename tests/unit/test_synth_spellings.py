"""Numbers and times that are written in texts come back as they were written, and codes are left alone."""
import numpy as np
import pandas as pd
import pytest

from healthlab.core.errors import InputError
from healthlab.synth import Order, Range, evaluate, fit
from healthlab.synth.spellings import read_table, spellings

QUICK = {"epochs": 3, "hidden": 16}


def draws(n=600, seed=0): return np.random.default_rng(seed), n


def days(r, n): return pd.Timestamp("2023-01-01") + pd.to_timedelta(r.integers(0, 700, n), unit="D")


def written():
    r, n = draws()
    day = days(r, n)
    at = day + pd.to_timedelta(r.integers(0, 86400, n), unit="s")
    value, few = r.normal(6, 1, n).clip(2), r.random(n) < .3
    return pd.DataFrame({
        "glucose": [f"{x:.1f} mmol/L" for x in value],
        "units": [f"{x * 18:.0f} mg/dL" if f else f"{x:.1f} mmol/L" for x, f in zip(value, few)],
        "troponin": [None if x > 3 else "<0.01" if x < .4 else f"{x:.2f}" for x in r.exponential(.8, n)],
        "hb": [f"{x:.1f}".replace(".", ",") for x in r.normal(13, 2, n)],
        "ef": [f"{x:.0f}%" for x in r.normal(55, 10, n)],
        "platelets": [f"{x:,.0f}" for x in r.lognormal(8, 2, n)],
        "wbc": [f"{x:.1f} x10^9/L" for x in r.lognormal(2, .4, n)],
        "pressure": ["refused" if f and x > .9 else f"{a}/{b}" for a, b, f, x in zip(r.integers(95, 190, n), r.integers(50, 110, n), few, r.random(n))],
        "admitted": day.strftime("%d/%m/%Y"),
        "american": [f"{x.month}/{x.day}/{x.year} {x.hour}:{x.minute:02}" for x in at],
        "hl7": at.strftime("%Y%m%d%H%M%S"),
        "oracle": [x.upper() for x in day.strftime("%d-%b-%Y")],
        "number": day.strftime("%Y%m%d").astype(int),
        "zoned": [x.strftime("%Y-%m-%dT%H:%M:%S") + ("+02:00" if 4 <= x.month <= 10 else "+01:00") for x in at],
        "taken": at.strftime("%H:%M"),
        "clock": at.strftime("%I:%M %p"),
        "stay": pd.to_timedelta(r.integers(1, 900, n), unit="h"),
        "age": r.integers(18, 95, n).astype(str),
    })


def codes():
    r, n = draws()
    return pd.DataFrame({
        "icd10": [f"I{a:02}.{b}" for a, b in zip(r.integers(0, 99, n), r.integers(0, 9, n))],
        "icd9": [f"{a}{b}" for a, b in zip(r.integers(100, 999, n), r.choice(["", ".1", ".12"], n))],
        "loinc": [f"{x}-{x % 10}" for x in r.integers(1000, 9999, n)],
        "postcode": [f"{x:05}" for x in r.integers(500, 99999, n)],
        "billed": r.integers(10000, 99999, n).astype(str),
        "drg": r.integers(100, 999, n).astype(str),
        "sample": [f"2024/{x:05}" for x in r.integers(0, 99999, n)],
        "mrn": r.integers(10 ** 7, 10 ** 8, n).astype(str),
        "phone": [f"555/{x:03}" for x in r.integers(100, 999, n)],
        "a1c": r.choice([">7", ">8", "Norm"], n),
        "band": [f"[{x}-{x + 10})" for x in r.integers(0, 10, n) * 10],
        "dose": [f"{x} mg daily" for x in r.choice([5, 10, 20], n)],
        "iso": days(r, n).strftime("%Y-%m-%d"),
        "zulu": days(r, n).strftime("%Y-%m-%dT%H:%M:%SZ"),
    })


def same(a, b): return ((a == b) | a.isna() & b.isna()).all()


@pytest.mark.parametrize("column", list(written()))
def test_what_is_read_is_written_as_it_was(column):
    t = written()[[column]]
    (s,) = spellings(t)
    read = s.forward(t)
    assert pd.api.types.is_numeric_dtype(read[column]) or pd.api.types.is_datetime64_any_dtype(read[column])
    again = s.backward(read)[column]
    assert read[column].notna().mean() > .45 and same(again, t[column]) | (column == "units")
    if column == "units": assert (again.str.extract(r"([\d.]+)")[0].astype(float) / t.units.str.extract(r"([\d.]+)")[0].astype(float)).sub(1).abs().quantile(.9) < .03 # laid over each other, quantile by quantile


def test_units_and_words_have_a_column_of_their_own():
    t = written()
    read = {s.column: s.forward(t[[s.column]]) for s in spellings(t)}
    assert set(read["units"]["units as written"]) == {"# mmol/L", "# mg/dL"}
    assert set(read["troponin"]["troponin as written"].dropna()) == {"#", "<0.01"} and read["troponin"].troponin.isna().eq(t.troponin.isna() | t.troponin.eq("<0.01")).all()
    assert list(read["pressure"]) == ["pressure as written", "pressure", "pressure, second number"] and set(read["pressure"]["pressure as written"]) == {"#/#", "refused"}
    assert list(read["glucose"]) == ["glucose"] and read["age"].age.dtype == "Int64"


@pytest.mark.parametrize("column", list(codes()))
def test_codes_are_no_numbers(column):
    assert spellings(codes()[[column]]) == []


def test_three_digits_behind_every_comma_are_thousands_and_a_few_strange_forms_are_not_kept():
    def value(texts):
        t = pd.DataFrame({"x": texts})
        return read_table(t, {"x": "numeric"})[0].x.tolist()
    assert value([f"{i},{i:03}" for i in range(100, 130)] + ["567"])[-2:] == [129129, 567]
    assert value([f"{i},{i % 10}" for i in range(30)])[:2] == [0., 1.1]
    assert value([f"0,{i}" for i in range(100, 130)])[0] == .1
    t = pd.DataFrame({"x": [f"{i / 10:.1f} mg" for i in range(400)] + ["7.5 grains"]})
    (s,) = spellings(t)
    assert s.alone and "grains" not in str(s) and s.forward(t).x.isna().sum() == 1


def test_a_form_that_one_person_alone_has_is_not_kept():
    r, n = draws()
    t = pd.DataFrame({"who": [f"p{i // 10}" for i in range(n)], "x": [f"{v:.1f} mg" for v in r.normal(40, 9, n)], "sex": r.choice(["F", "M"], n)})
    t.loc[t.who == "p7", "x"] = [f"{i} drops" for i in range(10)]
    t.loc[t.index % 9 == 0, "x"] = "refused"
    assert "drops" in str(spellings(t[["x"]])) and "drops" not in str(read_table(t, {"who": "omit"}, person="who")[2])
    s = fit(t, person="who").sample(500)
    assert not s.x.str.contains("drops").any() and s.x.eq("refused").mean() > .05


def test_no_minus_zero_and_words_more_common_than_any_date():
    t = pd.DataFrame({"x": [f"{i / 10:.1f} mEq" for i in range(-200, 200)]})
    (s,) = spellings(t)
    assert s.backward(pd.DataFrame({"x": [-.04, .04]})).x.tolist() == ["0.0 mEq", "0.0 mEq"]
    r, n = draws()
    t = pd.DataFrame({"died": np.where(r.random(n) < .4, "unknown", days(r, n).strftime("%d/%m/%Y"))})
    (s,) = spellings(t)
    assert s.what == "date" and set(s.forward(t)["died as written"]) == {"#", "unknown"}


def test_a_declared_number_is_read_and_a_declared_category_is_not():
    t = codes()[["icd9", "a1c"]].assign(hb=written().hb)
    read, kinds, found = read_table(t, {"icd9": "numeric", "hb": "category"})
    assert [s.column for s in found] == ["icd9"] and kinds == {"icd9": "numeric", "a1c": "category", "hb": "category"}
    with pytest.raises(InputError, match="a1c"): read_table(t[["a1c"]], {"a1c": "numeric"})


@pytest.fixture(scope="module")
def made():
    t = written()[["admitted", "units", "troponin", "pressure", "taken", "age"]]
    r, n = draws()
    t["left"] = (pd.to_datetime(t.admitted, format="%d/%m/%Y") + pd.to_timedelta(r.integers(0, 9, n), unit="D")).dt.strftime("%d/%m/%Y")
    t["died"] = r.random(n) < .3
    return t, fit(t, constraints=[Order("admitted", "left"), Range("age", 18, 94)])


def test_what_is_drawn_is_written_like_the_source(made):
    t, g = made
    s = g.sample(600)
    assert list(s) == list(t) and (s.dtypes == t.dtypes).all()
    assert s.units.str.fullmatch(r"\d+\.\d mmol/L|\d+ mg/dL").all() and s.troponin.dropna().str.fullmatch(r"<0\.01|\d\.\d\d").all()
    assert s.pressure.str.fullmatch(r"refused|\d+/\d+").all() and s.taken.str.fullmatch(r"\d\d:\d\d").all() and s.age.astype(int).between(18, 94).all()
    first, last = (pd.to_datetime(s[c], format="%d/%m/%Y") for c in ("admitted", "left"))
    assert (last >= first).all() and s.taken.nunique() > 200 and s.pressure.nunique() > 400
    assert abs((s.troponin == "<0.01").mean() - (t.troponin == "<0.01").mean()) < .06
    large = s.units.str.endswith("mg/dL")
    assert (s.units.str.extract(r"([\d.]+)")[0].astype(float)[large] > 30).mean() > .95, "numbers of one unit with the other"


@pytest.mark.parametrize("conditions, told", [
    ({"pressure": "refused"}, lambda s: s.pressure.eq("refused")),
    ({"pressure": (150, None)}, lambda s: s.pressure.str.split("/").str[0].astype(int) >= 150),
    ({"troponin": "<0.01"}, lambda s: s.troponin.eq("<0.01")),
    ({"troponin": None}, lambda s: s.troponin.isna()),
    ({"troponin": ["<0.01", "0.50"]}, lambda s: s.troponin.isin(["<0.01", "0.50"])),
    ({"admitted": ("01/06/2023", "31/08/2023")}, lambda s: pd.to_datetime(s.admitted, format="%d/%m/%Y").between("2023-06-01", "2023-08-31")),
    ({"taken": ("08:00", "09:30")}, lambda s: s.taken.between("08:00", "09:30")),
    ({"age": "80"}, lambda s: s.age.eq("80")),
])
def test_conditions_are_given_as_it_is_written(made, conditions, told):
    s = made[1].sample(30, conditions=conditions, seed=1)
    assert len(s) == 30 and told(s).all()


def test_a_text_nobody_has_is_a_condition_that_cannot_be_met(made):
    with pytest.raises(InputError, match="troponin"): made[1].sample(5, conditions={"troponin": "haemolysed"})


def test_a_card_compares_numbers_not_texts(made):
    t, g = made
    c = evaluate(t.iloc[:400], g.sample(400, seed=2), t.iloc[400:].reset_index(drop=True), "died", generator=g, attacks=0)
    columns = c.found["fidelity"]["accuracy"]["columns"]
    assert {"taken", "pressure, second number", "troponin as written"} <= set(columns) and min(columns.values()) > .85
    assert not c.found["privacy"]["few"]["columns"]


@pytest.mark.parametrize("how", [{"method": "marginals", "epsilon": 3.}, {"method": "network", "settings": QUICK}, {"method": "synthcity:marginal_distributions"}])
def test_every_method_reads_and_writes_them(how):
    t = written()[["units", "troponin", "pressure", "taken", "admitted"]]
    g = fit(t, **how)
    s = g.sample(100)
    assert list(s) == list(t) and s.taken.str.fullmatch(r"\d\d:\d\d").all() and s.admitted.str.fullmatch(r"\d\d/\d\d/\d{4}").all()
    assert g.accountant is None or "texts" in g.accountant
