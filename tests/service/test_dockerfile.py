"""The image's recipe: what it promises about users, stages, secrets and what is written."""
import os
import re
import shutil
import subprocess

import pytest


@pytest.fixture
def recipe(root): return (root / "deploy/Dockerfile").read_text()


def test_it_runs_as_nobody_in_particular_from_a_second_stage(recipe):
    stages = re.findall(r"^FROM (\S+)", recipe, re.M)
    assert len(stages) == 2 and all(":" in s and not s.endswith("latest") for s in stages)
    last = recipe[recipe.rindex("FROM "):]
    assert re.search(r"^USER 10001:10001$", last, re.M) and "pip install" not in last and "HEALTHCHECK" in last and "--from=build" in last


def test_nothing_secret_is_in_it_and_nothing_more_than_needed_is_copied(recipe, root):
    assert not re.search(r"(?i)\b(password|secret|token|key)\b\s*=\s*\S", re.sub(r"HEALTHLAB_KEYS_FILE=/run/secrets/healthlab.key", "", recipe)) and "COPY . " not in recipe
    ignored = (root / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[0] == "*" and not any(x.startswith("!var") or x.startswith("!.") for x in ignored)


def test_every_place_that_is_written_lies_under_data(recipe, root):
    import configparser
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(root / "settings.ini")
    places = {f"HEALTHLAB_{s}_{k}".upper(): v for s in settings.sections() for k, v in settings[s].items() if v.startswith(("var/", "reports"))}
    named = dict(re.findall(r"(HEALTHLAB_[A-Z_]+)=(\S+)", recipe))
    missing = sorted(k for k in places if k not in named)
    assert missing == [] and all(named[k].startswith(("/data/", "/run/secrets/")) for k in places)


def test_it_is_linted(root):
    lint = os.environ.get("HADOLINT") or shutil.which("hadolint")
    if not lint: pytest.skip("hadolint is not installed (HADOLINT names it)")
    done = subprocess.run([lint, str(root / "deploy/Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
