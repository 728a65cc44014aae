# `make demo` turns the whole wheel once; `make test` checks everything. Both set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test quick check lint format clean

help:  ## say what there is
	@echo "make demo     install, then turn the wheel once on a planted world (about a minute)"
	@echo "make test     install, then style, types, layers and every test"
	@echo "make quick    only the tests that need no broker, server, processes or model (about 90 seconds, no lint)"
	@echo "make lint     style, types, layers"
	@echo "make format   format the code"
	@echo "make clean    remove the environment and the demo"

demo: $(VENV)/.installed
	@$(BIN)/thumbwheel demo

test: check

# A worker that has run out of tests takes some of another's. A third of the time is waiting for
# others, so three workers keep two cores busy.
PYTEST := $(BIN)/pytest -n 3 --dist worksteal --durations=20

check: lint
	@$(PYTEST)

quick: $(VENV)/.installed-dev
	@$(PYTEST) -m "not slow"

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

clean:
	rm -rf $(VENV) thumbwheel-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV)

# pip's own output is a wall of text; its errors are shown when it fails.
define install
@echo "Installing into $(VENV), about 2 minutes:"
@( $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off \
       -c constraints.txt -e '$(1)' 2>$(VENV)/install.err || echo FAILED ) | awk '\
    /^Collecting/ { if (++n % 30 == 0) print "  " n " packages found" } \
    /^Installing collected/ { print "  " n + 0 " packages found; unpacking them" } \
    /^FAILED/ { failed = 1 } \
    { fflush() } END { exit failed }' \
  || { grep -i error $(VENV)/install.err; exit 1; }
@touch $@
endef

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(call install,.[train])

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(call install,.[dev])
	@touch $(VENV)/.installed
