# Every door of the project. `make` alone lists them.
#
#   make PYTHON=python3.12 ...      another interpreter (3.11 or newer)
#   make reproduce CORES=4          fewer cores
#   make reproduce ARGS="--until figures"    passed on to snakemake, pytest or the benchmarks
#   make reproduce RUN=mine ARGS="--config runs=100"    results and figures in folders of their own

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
CORES ?= all
ARGS ?=
RUN ?=

BIN := .venv/bin
READY := .venv/.installed
# By the interpreter, not by scripts, which keep the path where they were installed.
SNAKEMAKE = $(BIN)/python -m snakemake --cores $(CORES)
# A line per job (src/snakemake_logger_plugin_bprr); all of it with QUIET= and in .snakemake/log.
QUIET ?= --logger bprr
QUIETLY = $(BIN)/python -m snakemake $(QUIET) --cores $(CORES)
RESULTS := results$(if $(RUN),/$(RUN))
WITH_RUN := $(if $(RUN),$(if $(findstring --config ,$(ARGS)),run=$(RUN),--config run=$(RUN)))

export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)/src

# One thread per process: a figure must not depend on how many cores a library grabs.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export NUMEXPR_NUM_THREADS := 1
export NUMBA_NUM_THREADS := 1
export VECLIB_MAXIMUM_THREADS := 1

# Without a home that can be written to, caches go beside the project.
ifneq ($(shell [ -w "$$HOME" ] && echo writable),writable)
export HOME := $(CURDIR)/.cache
endif

# Says at the end of a door what lies where, and how long it took.
STARTED := $(shell date +%s)
made = for folder in $(1); do [ ! -d $$folder ] || \
    echo "$$(find $$folder -type f | wc -l) files, $$(du -sh $$folder | cut -f1), in $$PWD/$$folder"; done; \
    echo "$@: done in $$(( $$(date +%s) - $(STARTED) )) s"

.PHONY: help reproduce study smoke slurm-smoke campaign dry-run readme docs test mutants bench agreement lint style types \
        workflow-lint format lock setup measure-env solvers-env other-python testbed testbed-smoke clean

help: ## list the doors
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

reproduce: $(READY) ## every result, figure and the scorecard (about 8 min on two cores, 130 MB)
	$(QUIETLY) $(ARGS) $(WITH_RUN)
	@if [ -f $(RESULTS)/report.html ]; then \
	    cat $(RESULTS)/scorecard.txt; echo "Report: $$PWD/$(RESULTS)/report.html"; \
	fi
	@$(call made,$(RESULTS) $(subst results,figures,$(RESULTS)))

study: $(READY) ## the longer studies, servers that have queues (about 60 to 120 min); resumable
	$(QUIETLY) study $(ARGS)
	@$(call made,results figures)

smoke: $(READY) ## the whole workflow on small settings (about 2 min, 20 MB)
	$(QUIETLY) $(ARGS) --configfile config/smoke.yaml
	@$(call made,results/smoke figures/smoke)

slurm-smoke: $(READY) ## the same through a real Slurm of this machine alone (root, Debian), disturbed
	@tests/slurm/with_slurm.sh $(BIN)/python tests/slurm/disturbed.py \
	    --configfile config/smoke.yaml $(ARGS) || [ $$? = 77 ]
	@$(call made,results/smoke figures/smoke)

campaign: $(READY) ## kills, mutated inputs, full disks: what is promised, tried (about an hour)
	$(BIN)/python -m tests.campaign $(ARGS)
	@$(call made)

dry-run: $(READY) ## count the jobs that `make reproduce` would run
	$(SNAKEMAKE) --dry-run --quiet rules $(ARGS)

readme: $(READY) ## numbers and pictures of README and docs, from a whole run
	$(SNAKEMAKE) $(ARGS)
	$(BIN)/python -m bprr readme

docs: .venv/.docs-installed ## the site, in build/docs/html: pages, and a reference made from the code (about 1 min)
	$(BIN)/python docs/site/build.py build/docs
	@$(call made,build/docs/html)

test: $(READY) ## the test suite (about 7 min on two cores)
	$(BIN)/python -m pytest -n 2 $(ARGS)
	@$(call made)

mutants: $(READY) ## change the source here and there: do the tests notice?
	$(BIN)/python tests/mutants.py $(ARGS)

bench: $(READY) ## time the kernels, the simulator and the solvers (about 5 min)
	$(BIN)/python -m benchmarks $(ARGS)
	@$(call made,benchmarks/results)

agreement: $(READY) ## random small instances: enumeration against both formulations, all solvers
	PYTHONPATH=tests/property $(BIN)/python -m benchmarks.offline_agreement $(ARGS)

lint: style types workflow-lint ## style, types and workflow checks

style: $(READY)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m snakefmt --check Snakefile workflow

types: $(READY)
	$(BIN)/python -m mypy

# Software is pinned by requirements.lock, so the one lint that asks each rule for a conda
# environment or container is let through. Any other lint, or an error, fails.
workflow-lint: CONDA_LINT := Specify a conda environment or container for each rule
workflow-lint: $(READY)
	@out=$$($(SNAKEMAKE) --lint 2>&1) && status=0 || status=$$?; \
	lints=$$(grep '^    \* ' <<< "$$out" || true); \
	if [ $$status -ne 0 ] && { [ -z "$$lints" ] || grep -qv '$(CONDA_LINT)' <<< "$$lints"; }; then \
	    echo "$$out"; exit 1; \
	fi; \
	echo "snakemake --lint: nothing to complain about"

format: $(READY) ## put the code in the project style
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format
	$(BIN)/python -m snakefmt Snakefile workflow

setup: $(READY) ## create .venv from the lock, and no more (about 1 min, 1.7 GB)
	@$(call made,.venv)

# An environment that was made elsewhere (a copied or moved checkout), or whose Python is gone, is
# made anew.
ifneq ($(shell [ "$$(cat $(READY) 2> /dev/null)" = "$$(pwd -P)" ] && $(BIN)/python -c '' && echo ours),ours)
.PHONY: $(READY)
endif

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "bprr needs Python 3.11 or newer; name one, for example: make PYTHON=python3.12"; exit 1; }
	@[ "$$(cat $@ 2> /dev/null)" = "$$(pwd -P)" ] || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade
	@echo "Installing the pinned packages in .venv (about a minute)"
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@pwd -P > $@

# The right build of torch depends on the machine (CPU, CUDA), so it stands outside the lock.
measure-env: $(READY) ## add torch and transformers, to measure a device
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-measure.lock
	$(BIN)/python -m pip install "$$($(call extra,measure) | grep '^torch')"

.venv/.docs-installed: requirements-docs.lock $(READY)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-docs.lock
	@touch $@

solvers-env: $(READY) ## add Gurobi and SCIP beside HiGHS and CBC
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-solvers.lock

# Another Python must give the same figures; without this environment that test is skipped.
OTHER := .other-venv
OTHER_PYTHON ?= python3.13

other-python: $(OTHER)/.installed ## environment of another Python (OTHER_PYTHON=python3.13), for its test

$(OTHER)/.installed: requirements.lock
	$(OTHER_PYTHON) -m venv --clear $(OTHER)
	$(OTHER)/bin/python -m pip install --quiet --require-hashes -r requirements.lock
	@touch $@

# Genuine PETALS wants old packages, hence an environment of its own; see requirements-testbed*.in.
TESTBED := .testbed-venv
IS_PYTHON_3_11 = $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'

testbed: $(TESTBED)/.installed ## environment with genuine PETALS, for `bprr testbed run` (1.5 GB)

$(TESTBED)/.installed: requirements-testbed.lock requirements-testbed.in
	@$(IS_PYTHON_3_11) || { \
	    echo "the testbed needs Python 3.11; name one: make testbed PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(TESTBED)
	$(TESTBED)/bin/python -m pip install --quiet --no-deps --require-hashes \
	    -r requirements-testbed.lock
	$(TESTBED)/bin/python -m pip install --quiet "$$(grep '^torch==' requirements-testbed.in)"
	@touch $@

testbed-smoke: $(READY) ## genuine PETALS on three servers, where the machine allows
	@if ! $(IS_PYTHON_3_11); then \
	    echo "testbed: skipped, nothing is measured here; missing: Python 3.11 (PYTHON=python3.11)"; \
	elif $(BIN)/python -m bprr testbed check --machine; then \
	    $(MAKE) testbed && $(SNAKEMAKE) testbed_smoke; \
	fi

# Prints what an extra of pyproject.toml asks for.
extra = $(BIN)/python -c "import tomllib; \
    extras = tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']; \
    [print(line) for name in '$(1)'.split() for line in extras[name]]"

COMPILE = $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
    --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
    --custom-compile-command "make lock"

WITHOUT_TORCH = awk '/^[^ ]/ { torch = /^(torch|triton|cuda-|nvidia-)/ } !torch'

lock: $(READY) ## pin the packages again; ARGS=--upgrade to move to the newest
	$(COMPILE) $(ARGS) pyproject.toml --extra dev --output-file requirements.lock
	$(call extra,docs) | $(COMPILE) $(ARGS) - -c requirements.lock \
	    --output-file requirements-docs.lock
	$(call extra,gurobi scip) | $(COMPILE) $(ARGS) - -c requirements.lock \
	    --output-file requirements-solvers.lock
	$(call extra,measure) | $(COMPILE) $(ARGS) - -c requirements.lock \
	    --output-file requirements-measure.lock
	$(WITHOUT_TORCH) requirements-measure.lock > requirements-measure.lock.new
	mv requirements-measure.lock.new requirements-measure.lock
	$(COMPILE) $(ARGS) requirements-testbed.in --output-file requirements-testbed.lock
	$(COMPILE) $(ARGS) --no-deps --no-header requirements-testbed-nodeps.in \
	    --output-file requirements-testbed-nodeps.lock
	{ $(WITHOUT_TORCH) requirements-testbed.lock; cat requirements-testbed-nodeps.lock; } \
	    > requirements-testbed.lock.new
	mv requirements-testbed.lock.new requirements-testbed.lock
	rm requirements-testbed-nodeps.lock

# Named one by one: nothing else is ever deleted, whatever repository this folder lies in.
clean: ## delete results, figures and caches (.venv stays)
	rm -rf -- results logs benchmarks/results .snakemake .cache .hypothesis .mypy_cache \
	    .pytest_cache .ruff_cache
	find figures -mindepth 1 -maxdepth 1 ! -name README.md ! -name .gitkeep ! -name readme \
	    -exec rm -rf -- {} +
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf -- {} +
