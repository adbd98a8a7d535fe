"""The contract of a pipeline's parameters: what is unknown or of the wrong type is an error before anything runs."""
import nbformat
import pytest
from healthlab.core.errors import InputError
from healthlab.pipelines import contract

CELL = '''source: str = "landing"  # where the files are
limit: int = 10  # how many
share: float = 0.5  # of all
strict: bool = False  # fail on warnings
tables: list = ["patient"]  # which tables
options: dict = {}  # more of them
since: str | None = None  # not before'''


@pytest.fixture
def pipeline(tmp_path):
    return write(tmp_path / "p.ipynb", CELL)


def write(path, *cells):
    tagged = [nbformat.v4.new_code_cell(c, metadata={"tags": ["parameters"]}) for c in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# P\nDoes a thing."), *tagged]), path)
    return path


@pytest.mark.parametrize("given, read", [
    ({"limit": "20"}, {"limit": 20}),
    ({"limit": 20}, {"limit": 20}),
    ({"share": "0.25"}, {"share": 0.25}),
    ({"strict": "yes"}, {"strict": True}),
    ({"strict": "0"}, {"strict": False}),
    ({"tables": "patient, encounter"}, {"tables": ["patient", "encounter"]}),
    ({"tables": '["a,b"]'}, {"tables": ["a,b"]}),
    ({"options": '{"a": 1}'}, {"options": {"a": 1}}),
    ({"since": "None"}, {"since": None}),
    ({"since": "2020"}, {"since": "2020"}),
    ({"source": "None"}, {"source": "None"}),
    ({}, {}),
])
def test_values_are_read_as_declared(pipeline, given, read):
    assert contract.check(pipeline, given) == read


@pytest.mark.parametrize("given, says", [
    ({"limt": 1}, "did you mean limit?"),
    ({"limit": "many"}, "limit must be int"),
    ({"limit": True}, "limit must be int"),
    ({"limit": 1.5}, "limit must be int"),
    ({"strict": "perhaps"}, "strict must be bool"),
    ({"options": "[1]"}, "options must be dict"),
    ({"options": "{"}, "options must be dict"),
    ({"source": 5}, "source must be str"),
    ({"limit": None}, "limit must be int"),
    ({"x": 1, "limit": "y"}, "x is no parameter; limit must be int"),
])
def test_what_is_wrong_is_named(pipeline, given, says):
    with pytest.raises(InputError) as e: contract.check(pipeline, given)
    assert says in str(e.value)
    assert "many" not in str(e.value)  # the value itself is never repeated


@pytest.mark.parametrize("cells, says", [
    ((), "one cell tagged"),
    (("a: int = 1  # x", "b: int = 1  # y"), "one cell tagged"),
    (("a = 1  # no type",), "not of the form"),
    (("a: int = 1",), "help text"),
    (("a: set = {1}  # odd",), "needs a type"),
    (("import os",), "not of the form"),
])
def test_a_cell_that_breaks_the_contract(tmp_path, cells, says):
    with pytest.raises(InputError) as e: contract.parameters(write(tmp_path / "bad.ipynb", *cells))
    assert says in str(e.value) and "bad.ipynb" in str(e.value)


def test_every_pipeline_keeps_the_contract_and_introduces_itself():
    found = contract.discover()
    assert {"ingest", "quality", "deidentify", "views", "overview"} <= set(found)
    for nb in found.values():
        contract.parameters(nb)
        assert len(contract.summary(nb)) > 20, nb.name
