# Every target does its own set-up and can be run again at any time.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
# Each process has a control plane of its own; most of the time they wait, so two fit onto two cores.
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Tests start the operator dozens of times; compiling its modules at each start costs a third of a second.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test bench-drift bench-forecast bench-cost bench-scale check lint format types contracts generated crds lock cluster-build cluster-up cluster-down clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(READY) ## Run the whole story on a real control plane and a real Prometheus (about four minutes)
	@$(BIN)/python -m demo

test: cluster-build ## Run all tests, on the real parts (JOBS=0: in one process, ARGS="-k drift -x": some of them)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(ARGS)

bench-drift: $(READY) ## Measure how well anomalies are found (DATA=folder, JSON=file)
	@$(BIN)/python -m benchmarks.drift $(if $(DATA),DATA=$(DATA)) $(if $(JSON),JSON=$(JSON))

bench-forecast: $(READY) ## Forecasts and risk on real series, beside their peers (JSON=file, DATA=folder, PLOTS=folder)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.forecast

bench-cost: $(READY) ## CPU time and memory of the forecasting core (JSON=file)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.cost

bench-scale: cluster-build ## What many twins cost on a real control plane (N="1000 3000", JSON=file, PLOTS=folder)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.scale

check: lint types contracts generated test ## Check everything: format, lint, types, imports, generated files, tests

lint: $(READY) ## Check format and lint rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

format: $(READY) ## Format, and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: $(READY) ## Check types
	@$(BIN)/mypy

contracts: $(READY) ## Check who may import whom
	@$(BIN)/lint-imports

generated: $(READY) ## Check that generated files are up to date
	@$(BIN)/python -m twinops.api.crdgen --check .

crds: $(READY) ## Write the CRDs (crds/, chart, reference) from the models
	@$(BIN)/python -m twinops.api.crdgen --write .

lock: $(READY) ## Lock the dependencies anew
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-find-links \
		--custom-compile-command "make lock" pyproject.toml -o requirements/runtime.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-find-links \
		--custom-compile-command "make lock" --group dev pyproject.toml -o requirements/dev.txt

cluster-build: $(READY) ## Build the control plane's binaries, where they are not found
	@$(BIN)/python -m devcluster build

cluster-up: $(READY) ## Start a local control plane with Prometheus
	@$(BIN)/python -m devcluster up

cluster-down: $(READY) ## Stop it
	@$(BIN)/python -m devcluster down

clean: ## Remove what was made here (the binaries' cache stays)
	rm -rf $(VENV) .devcluster .demo .bench-scale .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): requirements/dev.txt pyproject.toml hack/make-venv
	@hack/make-venv "$(PYTHON)" $(VENV)
	@touch $@
