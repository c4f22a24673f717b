# Every target makes the virtual environments it needs; `make help` lists them.
# The environments are rebuilt when a lock file in requirements/ changes, and only then.

VENV := .venv
BIN := $(VENV)/bin
SEEDS ?= 0:2000
PYTEST_ARGS ?=
SIMULATE_ARGS ?=
APP ?= app:hatchet

# Packages are installed without bytecode, which the first import writes: unless this says not to, and then each start compiles them again.
unexport PYTHONDONTWRITEBYTECODE

# The first interpreter that is 3.11 or newer and can make environments. `make PYTHON=...` overrides.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo $$python; break; fi; done)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-fast test-deployed test-scale coverage-core lint format types template bench bench-peers bench-docs simulate soak chaos audit examples test-browser docs architecture parity pictures lock venvs clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Environments -----------------------------------------------------------------------------------

define environment
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv was found. Install one, or say make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(1)/bin/python || { echo "Making $(1) with $(PYTHON) ..."; $(PYTHON) -m venv $(1); }
	@echo "Installing $(2) into $(1) (about a minute the first time) ..."
	@$(1)/bin/python -m pip install -qq --no-compile --disable-pip-version-check --no-deps --require-hashes -r $(2)
endef

$(VENV)/.locked: requirements/dev.txt
	$(call environment,$(VENV),requirements/dev.txt)
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@$(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The demo needs a third of the packages; `make test` adds the others to the same environment.
$(VENV)/.demo: requirements/demo.txt pyproject.toml
	$(call environment,$(VENV),requirements/demo.txt)
	@$(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv-ministack/.locked: requirements/ministack.txt
	$(call environment,.venv-ministack,requirements/ministack.txt)
	@touch $@

.venv-sam/.locked: requirements/sam.txt
	$(call environment,.venv-sam,requirements/sam.txt)
	@touch $@

.venv-peers/.locked: requirements/peers.txt
	$(call environment,.venv-peers,requirements/peers.txt)
	@touch $@

.venv-audit/.locked: requirements/audit.txt
	$(call environment,.venv-audit,requirements/audit.txt)
	@touch $@

.venv-docs/.locked: requirements/docs.txt
	$(call environment,.venv-docs,requirements/docs.txt)
	@touch $@

venvs: $(VENV)/.installed .venv-ministack/.locked .venv-sam/.locked ## Make the three virtual environments

## What a newcomer types --------------------------------------------------------------------------

demo: $(if $(wildcard $(VENV)/.installed),$(VENV)/.installed,$(VENV)/.demo) ## Run the demo: three hundred real files through the embedded AWS
	@$(BIN)/python examples/stdlib_report.py --files 300

test: test-fast test-deployed test-browser ## Run all tests but test-scale: unit, simulation and moto; deployed with SAM on MiniStack; in a browser

test-fast: $(VENV)/.installed ## Run the tests that need nothing deployed
	$(BIN)/python -m pytest -m "not deployed and not ministack and not scale and not browser" --numprocesses 2 --dist worksteal --durations=10 $(PYTEST_ARGS)

test-deployed: venvs ## Build with sam, deploy on MiniStack, and test what was deployed
	$(BIN)/python -m pytest -m "deployed or ministack" --durations=10 $(PYTEST_ARGS)

test-scale: $(VENV)/.installed ## Test with thousands of runs and millions of states: an hour, not part of `make test`
	$(BIN)/python -m pytest -m scale --numprocesses 2 --dist worksteal --durations=10 $(PYTEST_ARGS)

# Chromium and axe-core are installed where that takes no question: as root, with apt and npm. Else the tests say what is missing.
tests/browser/node_modules/.package-lock.json: tests/browser/package-lock.json
	@if command -v npm >/dev/null; then npm --prefix tests/browser ci --silent --no-audit --no-fund; else echo "npm is missing: the pages are not checked with axe-core"; fi

test-browser: $(VENV)/.installed tests/browser/node_modules/.package-lock.json ## Test the dashboard in Chromium
	@if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "Installing chromium ..."; (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium) >/dev/null; fi
	$(BIN)/python -m pytest -m browser --durations=5 $(PYTEST_ARGS)

coverage-core: $(VENV)/.installed ## Measure which lines of core its own tests run (but for tests of speed); fails under 95 %
	@mkdir -p build
	$(BIN)/python -m coverage run -m pytest -q -n 0 -k "not linear" tests/core $(PYTEST_ARGS)
	$(BIN)/python -m coverage report

examples: $(VENV)/.installed ## Run every example once
	$(BIN)/python -m pytest tests/examples $(PYTEST_ARGS)

## What a contributor types -----------------------------------------------------------------------

lint: $(VENV)/.installed ## Check style, types, the template and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples
	$(BIN)/pyright
	$(BIN)/cfn-lint template.yaml
	$(BIN)/lint-imports --no-cache
	$(BIN)/lint-imports --no-cache siblings.toml

format: $(VENV)/.installed ## Rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

template: $(VENV)/.installed ## Compile template.yaml from the example app
	cd examples && ../$(BIN)/headrace compile $(APP) -o ../template.yaml

bench: $(VENV)/.installed .venv-ministack/.locked .venv-peers/.locked benchmarks/peers/node_modules/.package-lock.json ## Run the benchmarks; fails where an aim is missed
	@failed=; for benchmark in import_time worker_overhead process_worker bulk memory waiting flows growth gates chain durable cel_engines latency peers/run; do \
		echo "== $$benchmark"; $(BIN)/python benchmarks/$$benchmark.py || failed="$$failed $$benchmark"; echo; done; \
	test -z "$$failed" || { echo "missed:$$failed"; exit 1; }

# Restate's server is a program that npm brings, PostgreSQL one of the system's packages. Where one is missing the comparison says so and goes on.
benchmarks/peers/node_modules/.package-lock.json: benchmarks/peers/package-lock.json
	@if command -v npm >/dev/null; then npm --prefix benchmarks/peers ci --silent --no-audit --no-fund; else echo "npm is missing: Restate is not measured"; fi

bench-peers: $(VENV)/.installed .venv-ministack/.locked .venv-peers/.locked benchmarks/peers/node_modules/.package-lock.json ## Compare with other task queues and durable executors
	@if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "Installing PostgreSQL ..."; (apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql) >/dev/null; fi
	$(BIN)/python benchmarks/peers/run.py
	$(BIN)/python benchmarks/chain.py

bench-docs: $(VENV)/.installed .venv-ministack/.locked .venv-peers/.locked benchmarks/peers/node_modules/.package-lock.json ## Write the tables of docs/benchmarks.md from runs of the benchmarks; ONLY=gates,chain
	$(BIN)/python benchmarks/docs.py $(if $(ONLY),--only $(ONLY))

simulate: $(VENV)/.installed ## Run the simulation over SEEDS=0:2000 (or one seed)
	cd tests && PYTHONPATH=. ../$(BIN)/python -m simulation --seeds $(SEEDS) $(SIMULATE_ARGS)

SOAK_S ?= 3600
CHAOS_S ?= 300
ENDURANCE_ARGS ?=
ENDURANCE = cd tests && PYTHONPATH=. ../$(BIN)/python -m endurance

soak: $(VENV)/.installed .venv-ministack/.locked ## Work for an hour as real processes (SOAK_S=600: shorter); every run, execution and megabyte is counted
	$(ENDURANCE) soak --seconds $(SOAK_S) $(ENDURANCE_ARGS)

chaos: $(VENV)/.installed .venv-ministack/.locked ## Kill processes and break their connections for five minutes (CHAOS_S), and hold an independent ledger against the runs
	$(ENDURANCE) chaos --seconds $(CHAOS_S) $(ENDURANCE_ARGS)

audit: .venv-audit/.locked ## Audit what is locked, the code and the template; AUDIT_OFFLINE=1 leaves out vulnerabilities
	@.venv-audit/bin/python requirements/audit.py

docs: .venv-docs/.locked ## Build the documentation site into build/site; fails on a broken link
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet --site-dir build/site

LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-strip-extras --custom-compile-command "make lock"

parity: $(VENV)/.installed ## Write docs/parity.md from its rows
	$(BIN)/python docs/parity.py

architecture: $(VENV)/.installed ## Write docs/architecture.md from the code
	$(BIN)/python docs/architecture.py

pictures: $(VENV)/.installed ## Make the pictures of the documentation anew (needs Chromium)
	$(BIN)/python docs/pictures.py

lock: $(VENV)/.installed ## Resolve the lock files anew (needs the package index)
	$(LOCK) --extra dev pyproject.toml requirements/dev.in --output-file requirements/dev.txt
	$(LOCK) --constraints requirements/dev.txt --extra cli pyproject.toml requirements/demo.in --output-file requirements/demo.txt
	$(LOCK) pyproject.toml --output-file examples/requirements.lock
	$(LOCK) requirements/ministack.in --output-file requirements/ministack.txt
	$(LOCK) requirements/sam.in --output-file requirements/sam.txt
	$(LOCK) requirements/peers.in --output-file requirements/peers.txt
	$(LOCK) requirements/docs.in --output-file requirements/docs.txt
	$(LOCK) requirements/audit.in --output-file requirements/audit.txt

clean: ## Remove the environments, caches and build artefacts
	rm -rf .venv .venv-* tests/browser/node_modules benchmarks/peers/node_modules
	rm -rf .aws-sam .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage build dist
