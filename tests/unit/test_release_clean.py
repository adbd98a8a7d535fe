"""False alarms: what analyses print, draw and tabulate without naming anybody passes the guard as it is. And what a page's tables count is measured."""
import io
import json

import numpy as np
import pandas as pd
import pytest

from healthlab.release.disclosure import counted, dominating, magnitudes, recoverable, small
from healthlab.release.guard import check_output
from healthlab.release.scan import scan
from healthlab.release.suppression import protect, protected, protected_file

DRAW = np.random.default_rng(3)
FRAME = pd.DataFrame(dict(sex=DRAW.choice(["female", "male"], 400), age=DRAW.integers(20, 80, 400), hba1c=DRAW.normal(6.1, .9, 400), ldl=DRAW.normal(120, 30, 400)))


def result(**data): return {"output_type": "execute_result", "metadata": {}, "execution_count": 1, "data": {k.replace("_", "/", 1): v for k, v in data.items()}}
def printed(text, name="stdout"): return {"output_type": "stream", "name": name, "text": text}
def frame(df): return result(text_html=df._repr_html_(), text_plain=repr(df))


def drawing(kind):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    fig, ax = plt.subplots()
    ax.hist(FRAME.age, bins=12); ax.set_xlabel("age"); ax.set_ylabel("patients")
    out = io.BytesIO()
    fig.savefig(out, format=kind, metadata={"Date": None} if kind == "svg" else None)
    plt.close(fig)
    return out.getvalue()


def svg(): return result(**{"image_svg+xml": drawing("svg").decode(), "text_plain": "<Figure size 640x480 with 1 Axes>"})
def png():
    import base64
    return result(image_png=base64.b64encode(drawing("png")).decode(), text_plain="<Figure size 640x480 with 1 Axes>")


CLEAN = dict(
    figures=lambda: result(text_plain="{'auroc': 0.8123456789012345, 'brier': 0.1070000000000001, 'n': 400}"),
    digits=lambda: result(text_plain="(1.844486846923828, 1.4536335754394532, np.float64(1.423695262059558))"),
    scores=lambda: result(text_plain="({'precision': 0.948375, 'recall': 0.9115833333333333},\n {'precision': 0.9012, 'recall': 0.90})"),
    head=lambda: frame(FRAME.head().round(2)),
    described=lambda: frame(FRAME.describe()),
    grouped=lambda: frame(FRAME.groupby("sex").agg(["mean", "std"]).round(3)),
    crossed=lambda: frame(pd.crosstab(FRAME.sex, pd.cut(FRAME.age, [19, 40, 60, 80]))),
    correlated=lambda: frame(FRAME[["age", "hba1c", "ldl"]].corr()),
    printed=lambda: printed("epoch 1/10 loss 0.6931 accuracy 0.512\nepoch 2/10 loss 0.5512 accuracy 0.701\n"),
    progress=lambda: printed("\r 40%|████      | 40/100 [00:12<00:18,  3.31it/s]", "stderr"),
    warning=lambda: printed("ConvergenceWarning: lbfgs failed to converge (status=1):\nSTOP: TOTAL NO. of ITERATIONS REACHED LIMIT.\n", "stderr"),
    error=lambda: {"output_type": "error", "ename": "KeyError", "evalue": "'ldl_2'", "traceback": ["Traceback (most recent call last)", "  Cell In[3], line 1, in <module>", "    frame['ldl_2']", "KeyError: 'ldl_2'"]},
    array=lambda: result(text_plain=repr(np.round(FRAME.hba1c.to_numpy()[:12], 4))),
    model=lambda: result(text_plain="LogisticRegression(C=0.5, class_weight='balanced', max_iter=500)"),
    codes=lambda: result(text_plain="{'44054006': 'Type 2 diabetes mellitus', '4548-4': 'HbA1c', 'E11.9': 'Type 2 diabetes'}"),
    coded=lambda: result(text_plain="[{'coding': [{'system': 'http://snomed.info/sct',\n    'code': '185349003',\n    'display': 'Encounter for check up (procedure)'}],\n  'text': 'Encounter for check up (procedure)'}]"),
    rounds=lambda: result(text_plain="[(0.0, 1.0, 1.0, 1.0, 400),\n (1.25, 0.87, 0.8861, 0.8701, 350),\n (2.5, 0.7702, 0.7604, 0.806, 305)]"),
    svg=svg, png=png)


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_output_stays_as_it_is(name):
    out = CLEAN[name]()
    assert check_output(json.loads(json.dumps(out))) == out


@pytest.mark.parametrize("text", ["{'mrn': 48213007, 'auroc': 0.81}", "score 0.8123456789012345 of John Smith", "0.8123456789012345, SSN 219-09-9999"])
def test_a_long_number_hides_nobody_beside_it(text):
    assert check_output(result(text_plain=text)) != result(text_plain=text)


@pytest.mark.parametrize("text", [r"[('Okafor', 'NAME'),\n ('Jo\u200bhn Smith', 'NAME')]", r"'Jo\u200bhn Smith was seen'", "Jo%68n Sm%69th was seen by Dr. Okafor", "Jo&#104;n Smith, and Mr. Okafor"])
def test_what_is_written_in_another_way_is_replaced_whole_or_withheld(text):
    "Of Jo\\u200bhn Smith only Jo stands there as a name: a replaced Jo would leave a Smith that nobody finds any more."
    left = json.dumps(check_output(printed(text)))
    assert "Smith" not in left and "Sm%69th" not in left


def wide(rows=3, **more):
    "A frame whose plain text goes on further down, as pandas prints it."
    df = pd.DataFrame({f"laboratory result {i}": [round(10.5 * i + n, 1) for n in range(rows)] for i in range(8)} | more)
    with pd.option_context("display.width", 80, "display.max_columns", 20): return frame(df)


def test_a_frame_too_wide_for_its_lines_stays_and_hides_nobody():
    assert "\\\n" in wide()["data"]["text/plain"] and check_output(wide()) == wide()
    out = wide()
    out["data"]["text/plain"] += "\n2 John Smith" # no part of what the HTML says
    assert check_output(out) != out
    assert check_output(wide(who=["John Smith", "Jane Doe", "Ada Okafor"])) != wide(who=["John Smith", "Jane Doe", "Ada Okafor"])


PAGE = b"<html><body><table><thead><tr><th></th><th>n</th></tr></thead><tbody><tr><th>40-49</th><td>%d</td></tr><tr><th>50-59</th><td>120</td></tr></tbody></table></body></html>"


def test_counts_in_the_table_of_a_page_are_measured():
    assert scan(PAGE % 44, name="page.html").decision == "pass"
    assert {f.code for f in scan(PAGE % 4, name="page.html").findings} == {"small"}
    nb = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code", "id": "a1b2c3d4", "metadata": {}, "execution_count": 1, "source": "t", "outputs": [result(text_html=(PAGE % 4).decode())]}]}
    assert "small" in {f.code for f in scan(json.dumps(nb).encode(), name="nb.ipynb").findings}
    assert check_output(result(text_html=(PAGE % 4).decode())) == result(text_html=(PAGE % 4).decode()) # counts are for what leaves, not for what is looked at


def test_cells_that_span_and_tables_in_tables():
    held = b"<table><tr><td><table><tr><th>band</th><th>n</th></tr><tr><td>a</td><td>3</td></tr></table></td></tr></table>"
    assert {f.code for f in scan(held, name="p.html").findings} == {"small"}
    spans = b"<table><tr><th>band</th><th>sex</th><th>n</th></tr><tr><td rowspan=2>a</td><td>f</td><td>50</td></tr><tr><td>m</td><td>2</td></tr></table>"
    assert [f.where for f in scan(spans, name="p.html").findings] == ["p.html › table 1 › column 3 › row 2"]
    assert scan(b"<table><tr><td colspan=5000 rowspan=5000>x<tr><td>y", name="p.html").decision == "pass"


def test_a_cross_table_is_counts_whatever_its_columns_are_called():
    cross = {"band": ["a", "b", "c", "total"], "female": [40, 4, 60, 104], "male": [30, 50, 70, 150], "total": [70, 54, 130, 254]}
    assert counted(cross) == ["female", "male", "total"] and small(cross) == [(1, "female")]
    assert counted({"band": ["a", "b"], "age": [40, 4], "score": [3, 5]}) == []
    out, primary, secondary = protected(cross)
    assert primary == [(1, "female")] and not recoverable(out) and len(secondary) >= 3
    assert all(out[c][i] == cross[c][i] for c in cross for i in range(4) if (i, c) not in primary + secondary)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_left_out_cannot_be_computed_back(seed):
    draw = np.random.default_rng(seed)
    n, m = draw.integers(2, 7, 2)
    cells = draw.integers(0, 60, (n, m))
    columns = {"band": [f"b{i}" for i in range(n)] + ["total"], **{f"c{j}": [*map(int, cells[:, j]), int(cells[:, j].sum())] for j in range(m)}, "total": [*map(int, cells.sum(1)), int(cells.sum())]}
    out, primary, _ = protected(columns)
    assert not small(out) and not recoverable(out) and set(primary) >= set(small(columns))


def test_a_protected_file_passes_the_check(tmp_path):
    raw = b"band,n\n40-49,120\n50-59,3\n60-69,25\nTotal,148\n"
    made, n, more = protected_file(raw, "bands.csv")
    assert (n, more) == (1, 1) and made == b"band,n\n40-49,120\n50-59,\n60-69,\nTotal,148\n"
    assert scan(raw, name="bands.csv").decision == "hold" and scan(made, name="bands.csv").decision == "pass"
    assert scan(b"band,n\n40-49,120\n50-59,\n60-69,25\nTotal,148\n", name="bands.csv").findings[0].code == "revealed"
    (tmp_path / "t.csv").write_bytes(raw)
    assert protect(tmp_path / "t.csv").read_bytes() == made


def test_dominance_where_the_largest_stands_beside_the_total():
    assert dominating({"ward": ["a", "b"], "cost_sum": [1000, 900], "cost_max": [950, 200]}) == [(0, "cost_sum")]
    assert [f.code for f in scan(b"ward,cost_sum,cost_max\na,1000,950\nb,900,200\n", name="t.csv").findings] == ["dominance"]
    looked = scan(b"ward,total_cost\nsurgery,100250.5\nmedicine,90990.0\n", name="t.csv")
    assert looked.decision == "pass" and [f.kind for f in looked.looks] == ["AMOUNT"] # nobody can tell from the table: the approver has to
    assert magnitudes({"age": [61], "auroc": [.8], "n": [12]}) == []
