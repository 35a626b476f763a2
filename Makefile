# One command for each thing; CI runs the same ones. PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTO_VENV := .venv-proto
NAME ?=
# Tests wait, but each worker that collects them computes for ten seconds.
WORKERS ?= 8
MINUTES ?= 10
PIP := -m pip install --disable-pip-version-check --no-input --progress-bar off

.PHONY: help setup wheel run-services demo test test-slow fuzz lint type proto proto-check bench routes lock clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.runtime ## Make the environment and install usbshare into it
	@echo "usbshare is set up; to use its commands here: . $(BIN)/activate"

$(VENV)/.venv:
	@$(PYTHON) requirements/set_up.py check
	@echo "setup 1/3: making the environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.venv requirements/runtime.lock requirements/build.lock pyproject.toml
	@echo "setup 2/3: installing the locked dependencies (once, about a minute)"
	@$(BIN)/python requirements/set_up.py requirements/build.lock requirements/runtime.lock
	@echo "setup 3/3: installing usbshare"
	@$(BIN)/python $(PIP) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.lock
	@echo "setup for developers: installing the locked tools"
	@$(BIN)/python requirements/set_up.py requirements/dev.lock
	@touch $@

$(PROTO_VENV)/.done: requirements/proto.lock
	@$(PYTHON) requirements/set_up.py check
	@echo "setup of the stub generator: $(PROTO_VENV)"
	@$(PYTHON) -m venv $(PROTO_VENV)
	@$(PROTO_VENV)/bin/python requirements/set_up.py requirements/proto.lock
	@touch $@

wheel: $(VENV)/.runtime ## Build the wheel for computers without this clone, in dist/
	@rm -f dist/usbshare-*.whl
	@$(BIN)/python -m pip wheel --disable-pip-version-check --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@echo "built $$(ls dist/usbshare-*.whl): copy it to the PC, then there: uv tool install \"usbshare[bridge] @ ./$$(basename dist/usbshare-*.whl)\""

run-services: $(VENV)/.runtime ## Start the services of this host
	@exec $(BIN)/python -m usbshare.service.supervisor

demo: $(VENV)/.runtime ## Stream an engraving to a simulated laser through a virtual COM port
	@exec $(BIN)/python -m usbshare.bridge.demo.cli

test: $(VENV)/.dev ## Run every fast test, eight at a time: WORKERS=8
	@sh tests/run.sh $(BIN)/python $(WORKERS)

test-slow: $(VENV)/.dev ## Run the tests that take minutes
	@$(BIN)/python -m pytest -m slow --shared-network

fuzz: $(VENV)/.dev ## Send random input to every parser and to a service for ten minutes: MINUTES=10
	@$(BIN)/python tests/fuzz/run.py $(MINUTES)

lint: $(VENV)/.dev ## Check style, import walls and protos
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache
	@cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code

type: $(VENV)/.dev ## Check types
	@$(BIN)/mypy

proto: $(PROTO_VENV)/.done ## Make the stubs under proto/gen again
	@sh proto/generate.sh $(PROTO_VENV)/bin/python proto/gen

proto-check: $(PROTO_VENV)/.done ## Fail if the committed stubs are not those of the protos
	@rm -rf $(PROTO_VENV)/check && mkdir -p $(PROTO_VENV)/check
	@sh proto/generate.sh $(PROTO_VENV)/bin/python $(PROTO_VENV)/check
	@diff -r -x __pycache__ -x '*.pyc' proto/gen $(PROTO_VENV)/check && echo "proto/gen is up to date"

bench: $(VENV)/.dev ## Run the benchmarks, or one: make bench NAME=round_trip
	@$(BIN)/python -m bench $(NAME)

routes: $(VENV)/.dev ## Show the files that a reader passes to follow one thing through the code
	@$(BIN)/python -m tools.routes

lock: ## Choose the newest allowed dependencies (needs uv)
	@sh requirements/lock.sh

clean: ## Remove what set-up and tests made
	@rm -rf $(VENV) $(PROTO_VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
