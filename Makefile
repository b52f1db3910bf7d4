# `make demo`, `make test` and `make bench` need Python 3.11+, pip and a package registry; they make their own .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A non-editable install, built with the setuptools of .venv: what is tested is what a wheel holds.
# Python compiles what is imported, when it is; all of torch and transformers would take a minute.
INSTALL := rm -rf build && $(BIN)/pip install -q --no-compile --no-build-isolation -c constraints.txt
# Also where the environment forbids it: else each of the processes of a test compiles it all again.
unexport PYTHONDONTWRITEBYTECODE
CODE := pyproject.toml constraints.txt $(wildcard *.py) py.typed README.md LICENSE \
	$(shell find index integrations search data -type f ! -path '*/__pycache__/*')

# What `make bench` measures with: a folder in BEIR's layout.
COLLECTION ?= ../shared/eval/scifact

.PHONY: demo test types tests exhaustive bench clean

demo: $(VENV)/demo.stamp
	@$(BIN)/clsearch demo

# mypy runs inside .venv, where the tree does not stand in for the installed package. The tests of a
# file stay together: what they share is made once, and the browser's fixture keeps an event loop
# running until its module ends. Threads that wait for work leave the core to the other workers.
test: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) -j2 types tests

types: $(VENV)/test.stamp
	cd $(VENV) && bin/mypy --config-file ../pyproject.toml --strict -p clsearch

tests: export OMP_WAIT_POLICY := passive
tests: $(VENV)/test.stamp
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

# Blows at nearly every moment of a commit, where `test` strikes a sample: an hour and more.
exhaustive: $(VENV)/test.stamp
	$(BIN)/pytest -n auto --exhaustive tests/index/crash

# Everything that this machine can measure, in under 30 minutes: docs/benchmarks.md.
bench: $(VENV)/bench.stamp
	$(BIN)/python benchmarks $(COLLECTION)

# The pip that comes with Python may be years old, and take a minute more to choose what to install.
$(VENV)/base.stamp: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("clsearch needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt pip setuptools
	touch $@

$(VENV)/demo.stamp: $(VENV)/base.stamp $(CODE)
	$(INSTALL) .
	touch $@

$(VENV)/test.stamp: $(VENV)/base.stamp $(CODE)
	$(INSTALL) '.[test]'
	touch $@

# hnswlib comes as source, which is built with what is in .venv.
$(VENV)/bench.stamp: $(VENV)/base.stamp $(CODE)
	$(BIN)/pip install -q -c constraints.txt pybind11
	$(INSTALL) '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
