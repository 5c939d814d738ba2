# Two commands: `make run` trains the flagship, `make test` checks everything. Both set up what they need.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Percent of lines and branches that the fast tests must reach; raise it when they reach more.
COVERAGE_FLOOR := 97

# Datasets in the checkout or beside it are used; without any, MNIST is fetched once into the user's cache.
ifndef DRILLDOWN_DATA
DRILLDOWN_DATA := $(firstword $(wildcard $(CURDIR)/data $(CURDIR)/../data $(CURDIR)/../shared/data))
endif
export DRILLDOWN_DATA

.PHONY: run test coverage faults sanitize docs setup clean

run: setup
	$(BIN)/drilldown run

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror src/drilldown/engines/native/*.[ch]pp
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pytest -n 3 --dist worksteal

# The share of lines and branches that the fast tests reach. It is no part of `make test`: it makes them half as slow again.
coverage: setup
	$(BIN)/pytest -m "not slow" -n 3 --dist worksteal --cov --cov-report=
	$(BIN)/coverage report --format=total --fail-under=$(COVERAGE_FLOOR)

# Faults: 50 kills, each write, flush and rename failing once, each region of each file damaged, processes at once.
# `make test` tries a part of them.
faults: setup
	FAULTS=all $(BIN)/pytest tests/faults -n 2

# The native engine under the address, undefined-behaviour and thread sanitizers; `make test` does so as well.
sanitize: setup
	$(BIN)/pytest -m slow tests/engines/native -k sanitizer

# The documentation site, rebuilt while you edit it.
docs: setup
	$(BIN)/mkdocs serve

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("drilldown needs Python 3.11 or newer; this is " + sys.version.split()[0] + "; try make PYTHON=python3.12") if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV): a minute or two, once"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache node_modules
