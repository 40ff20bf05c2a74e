# The only door. Each target says what it does; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
DISTRIBUTIONS := proto services/runtime services/audit services/pdp services/pep services/cli
WORKERS ?= 2
# Tests that need other programs, which they install themselves, or a cluster.
INTEROP := tests/conformance tests/clients tests/real tests/hostile/upstream_parsers
PROGRAMS := tests/chart tests/images tests/cluster $(INTEROP)
IMAGE_PREFIX ?= sallyport
# An image of a changed tree must not pass for the commit's.
IMAGE_TAG ?= $(shell git rev-parse --short=12 HEAD)$(if $(shell git status --porcelain -- Dockerfile.pep Dockerfile.pdp .dockerignore LICENSE proto services deploy/images),-modified)

##@ Start here
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## make .venv with every pinned and hashed package

.venv/.ready: requirements.txt $(DISTRIBUTIONS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"Sallyport needs Python 3.11 or newer, this is {sys.version.split()[0]}: set PYTHON=python3.x")'
	@echo "1/3 making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv || { echo "python3 has no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "2/3 installing pinned packages (about 30 s the first time)"
	@$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes --only-binary :all: -r requirements.txt
	@echo "3/3 installing Sallyport itself: $(DISTRIBUTIONS)"
	@$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation $(DISTRIBUTIONS:%=-e %)
	@touch $@
	@echo "ready: .venv/bin/sallyport --help"

demo: setup ## one call permitted, one denied, one audit chain verified
	@$(BIN)/sallyport demo

##@ Check
test: setup proto-check ## all tests that need nothing but Python
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile tests $(PROGRAMS:%=--ignore=%)

test-conformance: setup ## the MCP suite, real clients and servers through the gate; needs npm and Go
	$(BIN)/python -m pytest -q -p no:randomly -m "real or not real" -n $(WORKERS) --dist loadfile -o timeout=900 $(INTEROP)

test-chart: setup ## render the chart and check it; needs helm and promtool
	$(BIN)/python -m pytest -q -n $(WORKERS) tests/chart

test-images: setup ## what is in the images, and the pair at work in them; needs Docker
	names=$$(IMAGE_TAG=$(IMAGE_TAG) IMAGE_PREFIX=$(IMAGE_PREFIX) deploy/images/build.sh) && export $$names && \
	  $(BIN)/python -m pytest -q -m images -o timeout=900 tests/images

test-cluster: setup images ## install on KUBECONFIG's cluster and prove it; LOAD_IMAGE makes an image known to its nodes
	@IMAGE_TAG=$(IMAGE_TAG) IMAGE_PREFIX=$(IMAGE_PREFIX) tests/cluster/images.sh
	IMAGE_TAG=$(IMAGE_TAG) IMAGE_PREFIX=$(IMAGE_PREFIX) \
	  $(BIN)/python -m pytest -q -p no:randomly -n 2 --dist loadfile --force-enable-socket -o timeout=900 tests/cluster

lint: setup ## ruff, mypy strict, import walls
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy proto/src services/*/src tests deploy/helm/sallyport/files/tests
	$(BIN)/lint-imports

bench: setup ## measure, as ratios to a peer in the same run
	$(BIN)/python -m tests.bench

##@ Ship
images: ## build both images: IMAGE_PREFIX/pep:IMAGE_TAG and …/pdp:IMAGE_TAG
	@IMAGE_TAG=$(IMAGE_TAG) IMAGE_PREFIX=$(IMAGE_PREFIX) deploy/images/build.sh

chart: ## take the shipped policies into the chart
	cp policies/*.cedar policies/*.cedarschema policies/*.test.yaml policies/{agents,roles,resources,catalog}.yaml \
	  deploy/helm/sallyport/files/policies/

##@ Change
format: setup ## format and mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: setup ## generate the contract's Python from proto/
	$(BIN)/python -m grpc_tools.protoc -I proto --python_out=proto/src --grpc_python_out=proto/src \
	  --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --mypy_out=quiet:proto/src --mypy_grpc_out=quiet:proto/src proto/sallyport/authz/v1/authz.proto

proto-check: setup ## the committed contract equals a fresh generation
	@tests/support/proto_check.sh

requirements: setup ## pin every dependency by hash, from the pyproject files
	tests/support/compile_requirements.sh

clean: ## remove what was made here
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help setup demo test test-conformance test-chart test-images test-cluster lint bench images chart format proto proto-check requirements clean
