# Every way to run the project. Each target makes what it needs, so each works as the first command after a clone.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
SAM := .tools/sam/bin/sam
MINISTACK := .tools/ministack/bin/ministack
READY := .venv/.ready
SAM_READY := .tools/sam/.ready
MINISTACK_READY := .tools/ministack/.ready
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement

export SAM_CLI_TELEMETRY := 0

# What is said on the command line reaches a recipe in its environment, as it was written: neither make nor the shell
# takes any of it for its own language. Never write $(X) for one of these; what each must be is checked in Python.
VARIABLES := ACCOUNT ARCHITECTURE CANDLES CHAOS CLEAN HOURS INTENTS MODE OUTPUT SAME_KEY SANDBOX SECONDS SEED SEEDS \
	SYMBOLS VENUE VENUE_OPTIONS
GIVEN := $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))
$(if $(filter-out $(VARIABLES),$(GIVEN)),\
	$(error $(filter-out $(VARIABLES),$(GIVEN)): no such variable; these can be given: $(VARIABLES)))
$(foreach name,$(GIVEN),$(eval override export $(name) := $$(value $(name))))
# The shell has a SECONDS of its own.
export SIMULATION_SECONDS := $(value SECONDS)

IS_313 := -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))'
FIND_PYTHON = for python in python3.13 python3; do \
	"$$python" $(IS_313) 2>/dev/null && break; python=; done; \
	test -n "$$python" || { echo "Belay needs Python 3.13: no python3.13 on PATH, and python3 is another version." >&2; exit 1; }

.PHONY: help setup test test-fast lint validate build demo soak up down simulate lock clean

help:
	@echo "make demo       replay candles through the deployed stack on the paper venue (CANDLES, HOURS, SEED)"
	@echo "make up         keep the deployed stack running here on its schedules (ACCOUNT=file.json); make down (CLEAN=1)"
	@echo "                VENUE=binance MODE=live VENUE_OPTIONS='{...}' SYMBOLS=... SANDBOX=true|false trades there"
	@echo "make soak       the long runs: the demo for many SEEDS, INTENTS orders at venue servers with every fault"
	@echo "make simulate   failures at every effect of the pipeline (SECONDS); SEED=n tells one history again"
	@echo "make test       every test                   make test-fast  the ones that run in seconds"
	@echo "make lint       style, security, types       make validate   the template"
	@echo "make build      the template for AWS (ARCHITECTURE=arm64 or x86_64)"
	@echo "make lock       pin the dependencies again   make clean      remove everything that was made"

setup:
	@$(FIND_PYTHON)
	@$(MAKE) -j 3 $(READY) $(SAM_READY) $(MINISTACK_READY)

# ---- Environments: one for the project, one for each tool that pins its own boto3 -------------------------------------

$(READY): requirements-dev.txt pyproject.toml
	@$(FIND_PYTHON); echo "Installing the project (.venv)" >&2; "$$python" -m venv --clear .venv
	@$(BIN)/python $(PIP_INSTALL) requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

.tools/%/.ready: requirements-%.txt
	@$(FIND_PYTHON); echo "Installing $* (.tools/$*)" >&2; "$$python" -m venv --clear .tools/$*
	@.tools/$*/bin/python $(PIP_INSTALL) $<
	@touch $@

# ---- Tests and checks -------------------------------------------------------------------------------------------------

FAST_TESTS := tests/unit tests/contract
SLOW_TESTS := tests/integration tests/simulation tests/venues

test: setup
	$(BIN)/python -m pytest -n 2 $(wildcard $(FAST_TESTS) $(SLOW_TESTS))
	$(BIN)/python -m pytest tests/deployment --junit-xml=build/tests/deployment.xml

test-fast: $(READY)
	$(BIN)/python -m pytest -n 2 $(FAST_TESTS)

# The three handlers are all named app, so each is its own program to the type checker. The tests are one with the
# package, and find what they import where a test run does.
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive shared functions tests
	MYPYPATH=.:shared:functions/evaluator $(BIN)/mypy -p belay -p tests
	@for function in functions/*/; do \
		echo "mypy $$function"; MYPYPATH="$$function" $(BIN)/mypy $$(find "$$function" -name '*.py'); done
	$(BIN)/lint-imports

validate: $(READY) $(SAM_READY)
	AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none $(SAM) validate --lint
	$(BIN)/cfn-lint --append-rules cfn_lint_serverless.rules

# ---- Building and running ---------------------------------------------------------------------------------------------

build: $(READY) $(SAM_READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m belay.local.build --architecture="$${ARCHITECTURE-}"

# The demo reads CANDLES, HOURS, SEED, CHAOS and OUTPUT from the environment.
demo: setup
	@$(BIN)/belay demo

up: setup
	@$(BIN)/belay up --account="$${ACCOUNT-}" --venue="$${VENUE-}" --mode="$${MODE-}" \
		--venue-options="$${VENUE_OPTIONS-}" --symbols="$${SYMBOLS-}" --sandbox="$${SANDBOX-}" --same-key="$${SAME_KEY-}"

down: $(READY)
	@$(BIN)/belay down --clean="$${CLEAN-}"

simulate: $(READY)
	@$(BIN)/python -m tests.simulation --seconds="$${SIMULATION_SECONDS-}" --seed="$${SEED-}"

soak: setup
	@$(BIN)/python -m tests.soak --seeds="$${SEEDS-}" --intents="$${INTENTS-}" --seed="$${SEED-}"

# ---- Housekeeping -----------------------------------------------------------------------------------------------------

COMPILE = CUSTOM_COMPILE_COMMAND="make lock" .tools/lock/bin/pip-compile --quiet --no-build-isolation --generate-hashes \
	--allow-unsafe --strip-extras --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	pyproject.toml

lock:
	@$(FIND_PYTHON); test -x .tools/lock/bin/pip-compile || { "$$python" -m venv .tools/lock && \
		.tools/lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools==7.6.2 setuptools==84.2.1; }
	$(COMPILE) --extra layer --output-file shared/requirements.txt
	$(COMPILE) --extra layer --extra dev --constraint shared/requirements.txt --output-file requirements-dev.txt
	$(COMPILE) --extra sam --output-file requirements-sam.txt
	$(COMPILE) --extra ministack --output-file requirements-ministack.txt

clean:
	rm -rf .venv .tools .aws-sam build *.egg-info shared/*.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find functions shared tests -name __pycache__ -prune -exec rm -rf {} +
