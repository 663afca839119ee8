# Needs Python 3.11 or newer with pip and venv, and nothing else. basedpyright stands in for pyright
# because it brings its own Node.js through pip; pyright fetches one while it runs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
DOCS := $(VENV)/.docs

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-fast test-faults test-cuda test-gpu check lint types layers house bench bench-cuda bench-gpu docs docs-links \
  dist try-dist pocket-eval clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(DEV) ## make the virtual environment .venv with all tools

demo: $(RUNTIME) ## install, learn the bundled scene, draw it anew (minutes on a laptop)
	$(BIN)/bas demo

# A process per core, each with one thread: a file's tests stay together, they share fixtures. In
# their order: otherwise files with few tests, which are the longest, would come last.
test: $(DEV) ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile \
	  --no-loadscope-reorder

# The rooms whose tests train nothing; `make house` has its own.
FAST := $(addprefix tests/,core drawing families files method models run_state runs scenes segments tui)

test-fast: $(DEV) ## run the tests that take seconds, for after each change (a minute)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile \
	  -m 'not slow and not faults and not emulated' $(FAST)

test-faults: $(DEV) ## inject faults: kills, damage, full disks, hostile files (some minutes)
	$(BIN)/python -m pytest -m 'not emulated' tests/faults

test-cuda: $(DEV) ## walk an emulated CUDA device: half precision, LoRA, SDXL, resume (needs g++)
	$(BIN)/python -m pytest -m 'emulated or not emulated' tests/emulated_cuda

test-gpu: $(DEV) ## tiny models on this machine's GPU
	$(BIN)/python -m pytest -m gpu tests/gpu

check: lint types layers house ## format, lint, types, architecture, house rules (make -k check: all of them)

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(DEV)
	$(BIN)/basedpyright

layers: $(DEV)
	$(BIN)/lint-imports --no-logo

house: $(DEV)
	$(BIN)/python -m pytest tests/house

bench: $(DEV) ## operations, parameters, memory of a step at true size; ratios to a naive step
	$(BIN)/python -m tests.bench
	@command -v g++ >/dev/null || echo 'parameters and memory at true size need g++: make bench-cuda'
	@! command -v g++ >/dev/null || $(BIN)/python -m tests.bench.gpu_counts --part lora --part all

docs: $(DOCS) ## build the documentation in docs/_build, strictly, and check links within it
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build
	@echo 'open docs/_build/index.html; outside links: make docs-links'

docs-links: $(DOCS) ## ask the network for every outside link of the documentation
	$(BIN)/python -m sphinx -q -b linkcheck docs docs/_build/links

dist: $(DEV) ## build the source distribution, and the wheel from it, in dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation >/dev/null

try-dist: dist ## install the wheel in a fresh environment elsewhere and use it there
	.ci/try-dist $(BIN)/python

bench-cuda: $(DEV) ## count kernels, copies, memory of a GPU step at true size (no GPU; needs g++)
	$(BIN)/python -m tests.bench.gpu_counts --autocast

bench-gpu: $(DEV) ## speed and memory of true-size runs on this machine's GPU (ten minutes)
	$(BIN)/python -m tests.bench.gpu

pocket-eval: $(RUNTIME) ## measure the embedded model
	$(PIP) -e '.[pocket-eval]'
	$(BIN)/python -m engine.pocket.recipe.evaluate

clean: ## remove the virtual environment and every cache
	rm -rf $(VENV) build dist docs/_build ./*.egg-info .pytest_cache .ruff_cache .import_linter_cache
	find bas_tui engine tests -type d -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(DEV): $(RUNTIME)
	$(PIP) -e '.[dev]'
	@touch $@

$(DOCS): $(DEV)
	$(PIP) -e '.[docs]'
	@touch $@
