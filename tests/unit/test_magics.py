"""%%lake in a real IPython shell."""
import pyarrow as pa
import pytest
from healthlab.core.audit import new_run_id
from healthlab.lake import Lake
from healthlab.magics import complete
from IPython.core.completer import provisionalcompleter


@pytest.fixture
def shell(workbench, monkeypatch):
    "A shell with the magics, over a small lake."
    from IPython.core.interactiveshell import InteractiveShell
    monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", "steward")
    Lake().write("research", "patient", pa.table({"id": list("abc"), "sex": ["female", "male", "female"], "birth_year": [1950, 1960, 1970]}), run_id=new_run_id())
    Lake().write("research", "condition", pa.table({"id": ["x"], "patient_id": ["a"], "code": ["44054006"]}), run_id=new_run_id())
    InteractiveShell.clear_instance()
    ip = InteractiveShell.instance()
    ip.run_line_magic("load_ext", "healthlab")
    yield ip
    InteractiveShell.clear_instance()


def test_a_query_is_answered_and_kept_under_its_name(shell):
    found = shell.run_cell_magic("lake", "cases", "SELECT sex, count(*) AS n FROM patient GROUP BY sex ORDER BY sex")
    assert found.to_dict("list") == {"sex": ["female", "male"], "n": [2, 1]} and shell.user_ns["cases"] is found


def test_braces_and_dollars_of_a_query_are_left_alone(shell):
    shell.user_ns["x"] = "1"
    assert shell.run_cell("%%lake\nSELECT '{x} $x' AS s").result.s[0] == "{x} $x"


def test_an_answer_is_cut_to_the_rows_asked_for(shell):
    assert len(shell.run_cell_magic("lake", "--rows 2", "SELECT * FROM patient")) == 2


@pytest.mark.parametrize("line, query, said", [
    ("", "SELEC", "the query is wrong"), ("", "SELECT * FROM nobody", "Lake.tables(zone)"), ("--zone nowhere", "SELECT 1", "unknown zone"), ("--zones research", "SELECT 1", "Write %%lake"), ("2x", "SELECT 1", "no Python name"),
    ("", "SELECT 'Jane Doe'::INTEGER", "values are not shown")])
def test_what_is_wrong_is_said_in_one_line_without_data(shell, capsys, line, query, said):
    shell.run_cell(f"%%lake {line}\n{query}")
    out = capsys.readouterr()
    assert said in out.out + out.err and "Doe" not in out.out


def test_a_zone_that_may_not_be_read_is_denied_and_not_listed(shell, capsys, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", "researcher")
    shell.run_cell("%%lake --zone identified\nSELECT 1")
    assert "may not read zone identified" in capsys.readouterr().out
    assert set(shell.run_line_magic("lake", "").zone) == {"research"}


@pytest.mark.parametrize("text, wanted", [
    ("%%lake\nSELECT * FROM pat", ["patient"]), ("%%lake\nSELECT * FROM patient JOIN con", ["condition"]), ("%%lake\nSELECT birth", ["birth_year"]), ("%%lake --zone rese", ["research"]),
    ("%%lake\nSELECT p.birth", ["p.birth_year"]), ("SELECT birth", [])])
def test_completion(shell, text, wanted):
    assert complete(text) == wanted
    with provisionalcompleter(): got = [c.text for c in shell.Completer.completions(text, len(text))]
    assert (got == wanted) if wanted else not set(got) & {"birth_year"}
