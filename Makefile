# Every target sets up what it needs: a virtual environment here, the Kubernetes binaries in ~/.cache/hopper.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Test processes, each with a cluster of its own.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test test-kind check bench crds openapi docs manifests lock release clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml
	@echo "==> Setting up the virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("Hopper needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

demo: $(READY) ## Start a real Kubernetes API server and watch a tree of instances live and die
	@$(BIN)/hopper demo

test: check ## Run every check and every test
	@$(BIN)/hopper local build
	@$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --cov --cov-report=term --cov-fail-under=90
	@$(MAKE) --no-print-directory test-kind

# After the others, which the load of an engine would disturb. For another cluster: E2E="--provider current --image NAME".
test-kind: $(READY) ## Test Hopper as installed by its chart, with real containers (needs Docker, or root)
	@$(BIN)/python -m pytest tests/e2e $(E2E)

check: $(READY) ## Run the linters, the type checker and the layer contracts
	@$(BIN)/ruff check operator tests
	@$(BIN)/ruff format --check operator tests
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m tests.packaging --check

bench: $(READY) ## Measure against the raw API server and a plain kopf operator
	@$(BIN)/python -m tests.bench

openapi: $(READY) ## Write docs/reference/ from the routes of the gateway
	@$(BIN)/python -m tests.generators.rest_docs docs/reference

crds: $(READY) ## Write crds/ from the models, what the chart has of them, and manifests/ from the chart
	@$(BIN)/python -m tests.generators.crds crds
	@$(BIN)/python -m tests.packaging

docs: $(READY) ## Write the generated tables of the documentation
	@$(BIN)/python -m tests.generators.doc_tables

manifests: crds openapi docs ## Write everything that is generated

# The versions already locked stay where they will do: `make lock UPGRADE=1` takes newer ones.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock' \
	$(if $(UPGRADE),--upgrade)
BUILD_REQUIRES = import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")

lock: $(READY) ## Write the hashed versions that the image is built from (UPGRADE=1: newer ones)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	@$(LOCK) pyproject.toml --output-file operator/requirements.txt
	@$(BIN)/python -c '$(BUILD_REQUIRES)' | $(LOCK) - --output-file operator/requirements-build.txt

release: $(READY) ## Make a release: VERSION=x, and DRY_RUN=1 to show it only
	@$(BIN)/python -m tests.release '$(VERSION)' $(if $(DRY_RUN),--dry-run)

clean: ## Remove what the other targets made here (the cache in ~/.cache/hopper stays)
	@rm -rf $(VENV) build dist .coverage* .hypothesis .pytest_cache .mypy_cache .ruff_cache operator/*.egg-info
	@find operator tests -name __pycache__ -type d -prune -exec rm -rf {} +
