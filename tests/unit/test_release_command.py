"""`healthlab release` as people type it, and as a pre-commit hook calls it."""
import shlex

import pytest
import yaml
from pathlib import Path

from healthlab.cli import main
from healthlab.lake import Lake

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bands(tmp_path):
    f = tmp_path / "bands.csv"
    f.write_text("band,n\n40-49,120\n50-59,131\n")
    return str(f)


def test_check_says_pass_or_hold_in_its_exit_status(bands, tmp_path, capsys):
    assert main(["release", "check", bands]) == 0 and "pass" in capsys.readouterr().out
    (tmp_path / "note.txt").write_text("Mrs. Mary Johnson, MRN 4821937")
    assert main(["release", "check", bands, str(tmp_path / "note.txt")]) == 1
    out = capsys.readouterr().out
    assert "note.txt: NAME (pattern)" in out and "Johnson" not in out
    assert main(["release", "check", str(tmp_path / "none")]) == 2 and main(["release", "check"]) == 2


def test_a_release_from_the_command_line(bands, capsys, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    assert main(["release", "submit", bands, "--reason", "age bands"]) == 0
    release = capsys.readouterr().out.split()[0]
    assert main(["release", "approve", release]) == 3 and "second person" in capsys.readouterr().err
    monkeypatch.setenv("JUPYTERHUB_USER", "grace")
    assert main(["release", "approve", release]) == 0 and main(["release", "publish", release]) == 0
    assert main(["release", "show", release]) == 0 and main(["release", "list"]) == 0
    out = capsys.readouterr().out
    assert "published" in out and "approve   by grace" in out
    assert main(["release", "download", f"released/{release}/bands.csv"]) == 0 and capsys.readouterr().out == "band,n\n40-49,120\n50-59,131\n"
    assert main(["release", "recall", release, "--reason", "superseded"]) == 0 and main(["release", "download", f"released/{release}/bands.csv"]) == 3


def test_held_releases_and_unknown_ones(tmp_path, capsys):
    (tmp_path / "note.txt").write_text("Mrs. Mary Johnson, MRN 4821937")
    assert main(["release", "submit", str(tmp_path / "note.txt"), "--reason", "a note"]) == 1
    assert main(["release", "show", "20261121T013000Z-1f00ba"]) == 2 and main(["release", "submit", str(tmp_path / "note.txt")]) == 2


def test_the_pre_commit_hook_is_this_command(bands):
    hook = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())[0]
    words = shlex.split(hook["entry"])
    assert words[0] == "healthlab" and main([*words[1:], bands]) == 0


def test_a_check_makes_no_key(tmp_path, bands, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_KEYS_FILE", str(tmp_path / "elsewhere/k.key"))
    assert main(["release", "check", bands]) == 0 and not (tmp_path / "elsewhere").exists()


def test_the_index_makes_the_lakes_own_patients_known(tmp_path, capsys):
    from healthlab.hospital import Hospital
    from healthlab.ingest import ingest
    Hospital(patients=3, seed=5).emit(tmp_path / "landing", formats=("ndjson",))
    ingest(tmp_path / "landing", Lake(), workers=1)
    assert main(["release", "index"]) == 0
    import json
    person = json.loads(Lake().read("identified", "Patient", ["resource"])["resource"][0].as_py())
    name = person["name"][0]
    (tmp_path / "t.txt").write_text(f"best responder: {name['family'].lower()} {name['given'][0].lower()}")
    capsys.readouterr()
    assert main(["release", "check", str(tmp_path / "t.txt")]) == 1 and "(known)" in capsys.readouterr().out
    assert name["family"].encode() not in b"".join(p.read_bytes() for p in (Path(Lake().url) / "_lake/release").rglob("*") if p.is_file())
