# make demo    main job on embedded images, no download        make test    all tests
# make check   format, lint, types, import contracts, tests    make bench   speed against peers
# make docs    build the documentation                         make clean   remove what make made

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
OUT    ?= demo-run

.PHONY: demo test check bench docs clean help
.DEFAULT_GOAL := help

help:
	@sed -n '1,3p' Makefile

# On Debian and Ubuntu venv is a package of its own; it is installed if we may, else the error says how.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python >= 3.11 is needed; $$($(PYTHON) --version) found. Try: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv; } || \
	  { echo "Python's venv is missing. Try: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[offline]'
	@touch $@

$(VENV)/test.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[all,test]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev,docs]'
	@touch $@

$(VENV)/bench.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[bench]'
	@touch $@

demo: $(VENV)/demo.stamp
	$(BIN)/sundog demo --out $(OUT)

test: $(VENV)/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/dev.stamp $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

bench: $(VENV)/bench.stamp
	$(BIN)/python -m benchmarks.run --out benchmarks/results

docs: $(VENV)/dev.stamp $(VENV)/demo.stamp
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) site dist demo-run .pytest_cache .mypy_cache .ruff_cache .hypothesis
