# Each verb makes the environment first: nothing needs to be activated or installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: rehearse test lint lab notebooks oracle bench
.DEFAULT_GOAL := rehearse

rehearse: $(READY)  ## the whole change, headless, in an emulated account
	@$(BIN)/private-s3 rehearse

lab: $(READY)  ## the change in JupyterLab, in an emulated account
	@$(BIN)/private-s3 lab --jupyter

test: lint  ## everything that must hold before a change lands
	@$(BIN)/pytest

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy --strict lib

notebooks: $(READY)  ## write the committed outputs anew, from the emulated account
	@$(BIN)/python -m tests.write_notebooks

oracle: $(READY)  ## compare over 200,000 access decisions with an independent engine; needs node
	@$(BIN)/python -m tests.support.oracle

bench: $(READY)  ## how fast it is, against the fastest that it could be
	@$(BIN)/python -m tests.bench

# pip checks every hash in the lock; the project itself is installed as an editable copy.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV) (once, about two minutes) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --requirement requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --editable .
	@touch $(READY)
