# Everything a developer or an operator runs from a checkout. Needs make and Python 3.11 or newer with venv.
.POSIX:
.PHONY: setup serve test check bench matrix lock clean

VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.stamp
ARGS =

setup: $(STAMP)

# A version manager may leave commands that exist and fail, so each candidate is run.
$(STAMP): pyproject.toml $(wildcard requirements.txt)
	@set -eu; \
	if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	  for python in python3.13 python3.12 python3.11 python3 none; do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	  done; \
	  if [ $$python = none ]; then echo "make setup: Python 3.11 or newer with venv is needed" >&2; exit 1; fi; \
	  $$python -m venv --clear $(VENV); \
	fi
	@set -eu; \
	if [ -f requirements.txt ]; then \
	  $(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt; \
	  $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e '.[dev]'; \
	else \
	  $(BIN)/python -m pip install --quiet -e '.[dev]'; \
	fi
	@touch $(STAMP)

serve: setup
	$(BIN)/reliquary serve $(ARGS)

# Client tools that are missing are prepared by the tests that drive them.
test: setup
	$(BIN)/pytest -m "not matrix" $(ARGS)

check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/pytest -q tests/test_documented.py

bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

matrix: setup
	$(BIN)/pytest -m matrix $(ARGS)

# No index lines and no notes, so that no address stands in the file; hatchling and editables build the
# package itself. `make lock UPGRADE=--upgrade` takes newer versions.
lock: setup
	$(BIN)/python -m pip install --quiet uv
	printf 'hatchling\neditables\n' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --extra dev --no-emit-index-url --no-annotate --no-header $(UPGRADE) \
	  --output-file requirements.txt pyproject.toml -

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find src tests migrations benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
