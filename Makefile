# Two commands: `make run` trains the flagship, `make test` runs lint, types and tests. Both set up what they need.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Datasets in the checkout or beside it are used; without any, MNIST is fetched once into the user's cache.
ifndef DRILLDOWN_DATA
DRILLDOWN_DATA := $(firstword $(wildcard $(CURDIR)/data $(CURDIR)/../data $(CURDIR)/../shared/data))
endif
export DRILLDOWN_DATA

.PHONY: run test sanitize setup clean

run: setup
	$(BIN)/drilldown run

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not slow" -n 2
	$(BIN)/pytest -m slow -n 2 tests

# The native engine under the address, undefined-behaviour and thread sanitizers; `make test` does so as well.
sanitize: setup
	$(BIN)/pytest -m slow tests/test_native.py -k sanitizer

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("drilldown needs Python 3.11 or newer; this is " + sys.version.split()[0] + "; try make PYTHON=python3.12") if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV): a minute or two, once"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
