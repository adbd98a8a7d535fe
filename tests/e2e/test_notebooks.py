"""Every library and tutorial notebook runs top to bottom, in a scratch workbench of its own."""
import notebooks
import pytest


@pytest.mark.parametrize("path", notebooks.all_notebooks(), ids=lambda p: p.relative_to(notebooks.ROOT / "nbs").as_posix())
def test_notebook_runs(path):
    notebooks.execute(path)
