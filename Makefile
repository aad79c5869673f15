# Everything from a bare clone: each target first makes the virtual environment it needs, and again only when
# pyproject.toml or constraints.txt changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# the one that comes with Python 3.11 takes twice as long
PIP_VERSION := 26.3
# what is never imported need not be compiled
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt
PACKAGES := pipeline saring sync ml_backend
# one PostgreSQL, Valkey and Label Studio a worker; tests wait for other processes part of their time, so three keep two
# cores busy
WORKERS ?= 3
PYTEST_ARGS ?=

.DELETE_ON_ERROR:
.PHONY: help install demo test check types style licences lock sbom label-studio release-check site format bench bench-peers clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(DEV) ## Make .venv with everything in it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Saring needs Python 3.11 or newer and '$(PYTHON)' is not: run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  $(PYTHON) -m venv --clear $(VENV) || \
	  { echo "no virtual environment can be made: install the venv module (on Debian, the package python3-venv)" >&2; exit 1; }
	@echo "installing what Saring needs into $(VENV) (a minute, the first time)"
	$(PIP) pip==$(PIP_VERSION)
	$(PIP) --editable .
	@touch $@

# with torch, which nobody needs to only use Saring
$(DEV): $(STAMP)
	@echo "installing what its tests need into $(VENV) (two minutes, the first time)"
	$(PIP) --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## The whole pipeline on the demo corpus
	$(BIN)/saring demo

# two jobs that keep one processor busy each
check: ## Style, types, which package may import which, licences, and the site's links
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target types style

types: $(DEV)
	$(BIN)/mypy

style: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python tools/licences.py --quiet
	$(BIN)/python tools/website.py

licences: $(STAMP) ## The licence of every package of the base install
	@$(BIN)/python tools/licences.py

lock: $(STAMP) ## Write the hashes of what the image installs, for this machine
	$(BIN)/python tools/lock.py

# in an environment of its own: it is no dependency
sbom: $(STAMP) ## A bill of materials of the base install (CycloneDX), in out/sbom.json
	@test -x out/sbom-env/bin/cyclonedx-py || $(PYTHON) -m venv out/sbom-env
	out/sbom-env/bin/python -m pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=7,<8'
	out/sbom-env/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-file out/sbom.json
	@echo "out/sbom.json"

# PYTHONS=3.11,3.13 tries fewer
release-check: $(DEV) ## Wheel and sdist, built and tried in clean environments of each Python that is found
	$(BIN)/python tools/release_check.py $(if $(PYTHONS),--pythons $(PYTHONS)) --require 3.11

# beside the checks, what the first run of a user installs
test: $(STAMP) ## The checks, then every test
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target types style label-studio
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# where it can't be installed, the tests that need it say why; run in the repository, it needs no installed Saring, which
# may be replaced meanwhile
label-studio: $(STAMP)
	-@$(BIN)/python -c 'from saring.services import install_label_studio; from pipeline.settings import Settings; \
	  install_label_studio(Settings(home="/dev/null"))'

site: $(DEV) ## The documentation site, in out/site
	$(BIN)/python tools/website.py

format: $(DEV) ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# ONLY: names with commas; FORM: short or long; RESUME=1: go on with a run that was ended; AGAIN=1: read the figures
# again from what was printed; ARGS=--list: their names
bench: $(DEV) ## The short form of every benchmark (30 minutes), and the page of figures
	@$(BIN)/python -m tools.bench --form $(or $(FORM),short) $(if $(ONLY),--only $(ONLY)) $(if $(RESUME),--resume) $(if $(AGAIN),--again) $(ARGS)

# each in an environment of its own: none is a dependency
bench-peers: $(DEV) ## What some benchmarks are measured beside, in out/peers
	@test -x out/peers/datatrove/bin/python || $(PYTHON) -m venv out/peers/datatrove
	out/peers/datatrove/bin/python -m pip install --quiet --disable-pip-version-check 'datatrove[io,processing]' spacy
	@test -x out/peers/cleanlab/bin/python || $(PYTHON) -m venv out/peers/cleanlab
	out/peers/cleanlab/bin/python -m pip install --quiet --disable-pip-version-check cleanlab==2.9.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target out/peers/flask flask
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --no-deps --target out/peers/active \
	  small-text==1.4.1 scikit-activeml==1.0.1 makefun==1.16.0 dill

clean: ## Remove what was made here (homes with data lie elsewhere and are kept)
	rm -rf $(VENV) build dist out .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
