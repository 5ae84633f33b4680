# Everything from a bare clone, with Python 3.11 or newer and make. `make help` lists what there is.

PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --quiet --disable-pip-version-check --no-input

# Say CORRAL_REQUIRE=chromium,nginx,postgres to turn a skipped engine into a failure, as CI does.
export CORRAL_REQUIRE

.DEFAULT_GOAL := help
.PHONY: help demo test system bench lint lock screenshots clean

help:
	@echo "make demo     start everything with sample documents on http://127.0.0.1:8000"
	@echo "make test     run the tests, with branch coverage"
	@echo "make lint     check style, types, templates and the arrows between rooms"
	@echo "make system   the long tests: kills, load, scale, upgrade"
	@echo "make bench    measure, each number as a ratio"
	@echo "make screenshots  take the README's pictures anew"
	@echo "make lock     pin the versions anew"
	@echo "make clean    remove what make made (not the demo's data)"

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit("Corral needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# Two stamps: to run needs less than to develop.
$(VENV)/.run: requirements.lock | $(PY)
	@echo "Installing what Corral runs on ..."
	@$(PIP) install --require-hashes --only-binary :all: -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock | $(PY)
	@echo "Installing what Corral is developed with ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@ $(VENV)/.run

demo: $(VENV)/.run
	@exec $(PY) manage.py demo

# Twice: all of it on SQLite, then on PostgreSQL what talks to the database in earnest. One coverage for both. On two
# cores four at a time, because browsers mostly wait.
test: $(VENV)/.dev
	@$(PY) -m coverage erase
	$(PY) -m pytest -n 4 --dist loadgroup --cov --cov-report= $(ARGS)
	@$(PY) -m tests.engines postgres || exit $$(($$? == 77 ? 0 : 1)); \
	DATABASE_URL=$$CORRAL_TEST_POSTGRES $(PY) -m pytest -n 4 --dist loadgroup -m "postgres and not system" --cov --cov-append --cov-report= $(ARGS)
	@$(PY) -m coverage report --fail-under=95

system: $(VENV)/.dev
	$(PY) -m pytest -m system $(ARGS)

bench: $(VENV)/.dev
	@set -e; for name in list_page create_session first_paint live_turns; do echo "== $$name"; $(PY) benchmarks/$$name.py; done

lint: $(VENV)/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m djlint templates --lint --quiet
	$(VENV)/bin/lint-imports

LOCK := $(VENV)/bin/uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

lock: $(VENV)/.dev
	@$(PIP) install uv
	@$(LOCK) --extra postgres pyproject.toml --output-file requirements.lock
	@$(LOCK) --extra postgres --extra dev --constraint requirements.lock pyproject.toml --output-file requirements-dev.lock

screenshots: $(VENV)/.dev
	@$(PY) -m docs.screenshots

clean:
	rm -rf $(VENV) staticfiles .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
