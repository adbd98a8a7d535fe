"""The command line: one clear line and an exit status for everything that goes wrong."""
import subprocess
import sys

import pytest
from healthlab import cli


@pytest.mark.parametrize("argv, code, says", [
    (["ingest"], 2, "Name a folder or file"),
    (["run", "/no/such/folder"], 2, "the source does not exist"),
    (["pipelines", "run", "ingst"], 2, "Did you mean ingest?"),
    (["pipelines", "run", "ingest", "-p", "sauce=x"], 2, "did you mean source?"),
    (["pipelines", "run", "ingest", "-p", "workers=two"], 2, "workers must be int"),
    (["pipelines", "run", "ingest", "-p", "workers"], 2, "-p name=value"),
    (["pipelines", "show"], 2, "a name is missing"),
    (["pipelines", "show", "nothing"], 2, "no such run"),
])
def test_what_is_wrong_is_one_line(capsys, argv, code, says):
    assert cli.main(argv) == code
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1 and "Traceback" not in err


def test_an_unexpected_error_does_not_quote_data(capsys, monkeypatch):
    def broken(args): raise ValueError("Jane Doe, born 1970")
    broken.__name__ = "views"
    monkeypatch.setattr(cli, "views", broken)
    assert cli.main(["views"]) == 1
    err = capsys.readouterr().err
    assert "Jane" not in err and "ValueError at test_cli.py:" in err and "HEALTHLAB_TRACEBACK" in err


def test_the_role_decides(capsys, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_ACCESS_ROLE", "researcher")
    assert cli.main(["quality", "--zone", "identified"]) == 3
    assert "researcher" in capsys.readouterr().err


def test_pipelines_list_names_every_parameter(capsys):
    assert cli.main(["pipelines", "list"]) == 0
    out = capsys.readouterr().out
    assert "deidentify" in out and "-p policy=…  str" in out


def test_output_into_a_closed_pipe_is_no_error():
    p = subprocess.run(f"{sys.executable} -m healthlab.cli pipelines list | head -1", shell=True, capture_output=True, text=True)
    assert p.returncode == 0 and "Traceback" not in p.stderr
