# Every target creates what it needs: a virtual environment in this directory, the Kubernetes binaries in ~/.cache/hopper.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Number of test processes. Each has its own cluster.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test test-kind kind-image check bench crds openapi docs manifests lock sbom audit release clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml
	@echo "==> Setting up the virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("Hopper needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

demo: $(READY) ## Show a tree of instances and a stack on a real Kubernetes API server
	@$(BIN)/hopper demo

test: check ## Run every check and every test
	@$(BIN)/hopper local build
	@$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --cov --cov-report=term --cov-fail-under=90
	@$(MAKE) --no-print-directory test-kind

# Runs after the other tests, because the load of a container engine would disturb them.
# To test on another cluster: E2E="--provider current --image NAME".
test-kind: $(READY) ## Run the end-to-end tests with real containers (needs Docker, or root)
	@$(BIN)/python -m pytest tests/e2e $(E2E)

# Prints the variables to use the image: eval "$(make -s kind-image)". `python -m tests.kind down` stops the engine.
kind-image: $(READY) ## Start a Docker engine if none answers, and get a node image for kind (needs Docker, or root)
	@$(BIN)/python -m tests.kind up

check: $(READY) ## Run the linters, the type checker and the layer contracts
	@$(BIN)/ruff check operator tests
	@$(BIN)/ruff format --check operator tests
	@$(BIN)/codespell
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m tests.packaging --check

bench: $(READY) ## Measure Hopper against the raw API server and a plain kopf operator
	@$(BIN)/python -m tests.bench

openapi: $(READY) ## Generate docs/reference/openapi.json and rest-api.md from the routes of the gateway
	@$(BIN)/python -m tests.generators.rest_docs docs/reference

crds: $(READY) ## Generate crds/ from the models, their templates in the chart, and manifests/ from the chart
	@$(BIN)/python -m tests.generators.crds crds
	@$(BIN)/python -m tests.packaging

docs: $(READY) ## Generate the tables of the documentation
	@$(BIN)/python -m tests.generators.doc_tables

manifests: crds openapi docs ## Generate all generated files

# Locked versions change only if the requirements exclude them, or with `make lock UPGRADE=1`.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock' \
	$(if $(UPGRADE),--upgrade)
BUILD_REQUIRES = import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")

lock: $(READY) ## Lock the dependencies of the image with hashes (UPGRADE=1: newest versions)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	@$(LOCK) pyproject.toml --output-file operator/requirements.txt
	@$(BIN)/python -c '$(BUILD_REQUIRES)' | $(LOCK) - --output-file operator/requirements-build.txt

# SOURCE_DATE_EPOCH sets the time in the file.
sbom: $(READY) ## Write the bill of materials of the image's dependencies to dist/ (CycloneDX)
	@$(BIN)/python -m tests.supply_chain sbom dist/hopper.cdx.json

audit: $(READY) ## Compare the locked dependencies with the pinned advisories, offline
	@$(BIN)/python -m tests.supply_chain audit

release: $(READY) ## Release VERSION=x (DRY_RUN=1: show the steps only)
	@$(BIN)/python -m tests.release '$(VERSION)' $(if $(DRY_RUN),--dry-run)

clean: ## Remove generated files from this directory (the cache in ~/.cache/hopper stays)
	@rm -rf $(VENV) build dist .coverage* .hypothesis .pytest_cache .mypy_cache .ruff_cache operator/*.egg-info
	@find operator tests -name __pycache__ -type d -prune -exec rm -rf {} +
