# make lab          install into .venv (the first time) and open JupyterLab on the course
# make test         the tests: a few minutes on two cores
# make test-long    the tests marked `long`: trainings of several minutes each
# make browser      every solution in JupyterLab, seen by a headless Chromium: half a minute each
# make notebooks    chapters/*.ipynb and solutions/*.ipynb from solutions/*.py
# make results      figures, GIF and table of the front page from the files in results/
# make bench        the reference agent's speed beside other people's
#
# Variables, all optional:
#   PYTHON=/path/to/python3.12   the Python that .venv is made with
#   PIP_ARGS="..."               passed on to `pip install`
#   LAB_ARGS="--port=9999"       passed on to JupyterLab
#   TEST_ARGS="-k video"         passed on to pytest

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(shell sed -n '/^torch==/p' constraints.txt)

# The first suitable Python on the PATH. (A pyenv shim may exist and still not run, so each is tried.)
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
# Looked for once, and only when .venv is to be made.
ifeq ($(origin PYTHON), undefined)
PYTHON = $(eval PYTHON := $$(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$$$p -c '$(FITS)' >/dev/null 2>&1 && { echo $$$$p; break; }; done))$(PYTHON)
endif

# On Linux without a screen JupyterLab prints its address instead of opening a browser.
HEADLESS := $(shell test "$$(uname)" = Linux && test -z "$$DISPLAY$$WAYLAND_DISPLAY" && echo --no-browser)

PIP_INSTALL = $(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt

.PHONY: lab test test-long browser notebooks results bench

lab: $(STAMP)
	$(BIN)/python -m jupyterlab $(HEADLESS) $(LAB_ARGS) README.md

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadscope $(TEST_ARGS)

test-long: $(STAMP)
	$(BIN)/python -m pytest -m long $(TEST_ARGS)

browser: $(STAMP)
	$(BIN)/python -m pytest -m browser $(TEST_ARGS)

notebooks: $(STAMP)
	$(BIN)/python -m dqn_ref.course.notebooks

results: $(STAMP)
	$(BIN)/python results/make.py

bench: $(STAMP)
	$(PIP_INSTALL) --quiet $(TORCH) -e '.[bench]'
	$(BIN)/python -m benchmarks.throughput

# PyTorch's version is spelled out here because pip takes a CPU-only build of exactly that version
# where PIP_ARGS or pip's own settings offer one; a range would take the newest build there is.
$(STAMP): pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c '$(FITS)' >/dev/null 2>&1 || { echo "This course needs Python 3.11, 3.12 or 3.13, but" \
	"$(if $(PYTHON),\"$(PYTHON)\" is another version or does not run,none of them is on the PATH): install one and" \
	"name it, for example: make lab PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) $(TORCH) -e '.[dev]'
	@touch $@
