# Everything from a bare clone: each target first makes the virtual environment it needs, and again only when
# pyproject.toml or constraints.txt changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# what is never imported need not be compiled
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt
PACKAGES := pipeline saring sync ml_backend
# one PostgreSQL, Valkey and Label Studio a worker, 1.5 GB in all; tests wait for other processes two thirds of their
# time, so four keep two cores busy
WORKERS ?= 4
PYTEST_ARGS ?=

.DELETE_ON_ERROR:
.PHONY: help install demo test check licences lock sbom label-studio format bench clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(DEV) ## Make .venv with everything in it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Saring needs Python 3.11 or newer and '$(PYTHON)' is not: run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  $(PYTHON) -m venv --clear $(VENV) || \
	  { echo "no virtual environment can be made: install the venv module (on Debian, the package python3-venv)" >&2; exit 1; }
	@echo "installing what Saring needs into $(VENV) (a minute, the first time)"
	$(PIP) --editable .
	@touch $@

# with torch, which nobody needs to only use Saring
$(DEV): $(STAMP)
	@echo "installing what its tests need into $(VENV) (two minutes, the first time)"
	$(PIP) --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## The whole pipeline on the demo corpus
	$(BIN)/saring demo

check: $(DEV) ## Style, types, which package may import which, and licences
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/licences.py --quiet

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

# two things that keep one processor busy each: the checks, and what the first run of a user installs
test: $(DEV) ## The checks, then every test
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target check label-studio
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# where it can't be installed, the tests that need it say why
label-studio: $(DEV)
	-@$(BIN)/python -c 'from saring.services import install_label_studio; from pipeline.settings import Settings; \
	  install_label_studio(Settings(home="/dev/null"))'

format: $(DEV) ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV) ## Every benchmark, as JSON lines
	@set -e; for script in benchmarks/[!_]*.py; do $(BIN)/python "$$script"; done

clean: ## Remove what was made here (homes with data lie elsewhere and are kept)
	rm -rf $(VENV) build dist out .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
