# Each verb makes the environment first: nothing needs to be activated or installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# So many test processes as there are processors; a run by hand, `$(BIN)/pytest FILE -k NAME`, has one.
PYTEST := $(BIN)/pytest -n logical --maxprocesses 8 --dist worksteal

.PHONY: rehearse lab quick test exhaustive lint style types unit notebooks bench
.DEFAULT_GOAL := rehearse

rehearse: $(READY)  ## the whole change, headless, in an emulated account
	@$(BIN)/private-s3 rehearse

lab: $(READY)  ## the change in JupyterLab, in an emulated account
	@$(BIN)/private-s3 lab --jupyter

quick: $(READY)  ## lint, types, and the tests that need nothing but Python: a minute
	@$(MAKE) --no-print-directory --jobs style types unit

test: lint  ## everything that must hold before a change lands: a quarter of an hour
	@$(PYTEST) --durations=20

exhaustive: $(READY)  ## every case of every enumeration, or of PART: hours; goes on where it was broken off
	@$(BIN)/python -m tests.exhaustive $(PART)

lint: style types

style: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(READY)
	@$(BIN)/mypy --strict lib

unit: $(READY)
	@$(PYTEST) --quiet tests/unit

notebooks: $(READY)  ## write the committed outputs anew, from the emulated account
	@$(BIN)/python -m tests.write_notebooks

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
