# Everything runs in .venv, which is made on first use with the versions in constraints.txt and renewed only when
# pyproject.toml or constraints.txt change. Nothing but make, git and Python has to be there before.
# Paths are relative throughout, so the checkout may lie below a directory with a space in its name.

# The first of these that runs and is new enough; or say which: make test PYTHON=/usr/bin/python3.12
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do \
	"$$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo "$$python" && break; done)

VENV := .venv
BIN := $(VENV)/bin
WHAT := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench picture board screenshot index docs dist lock clean

help: ## Say what there is
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

demo: $(VENV)/.runtime ## Show a blocked commit and its fix, in a scratch repository
	@$(BIN)/agentreview demo

test: $(VENV)/.dev ## Run the whole suite; ARGS="-m 'not slow'" leaves the slow end-to-end tests out
	@$(BIN)/python -m pytest -n auto $(ARGS)

check: $(VENV)/.dev ## Lint, formatting and types
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

format: $(VENV)/.dev ## Put the sources into shape
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

bench: $(VENV)/.runtime ## Measure against peers; the table is kept in bench/out/
	@$(BIN)/python bench/run.py $(ARGS)

picture: $(VENV)/.runtime ## Draw docs/blocked-commit.svg from what the demo prints
	$(BIN)/python docs/render.py

board: $(VENV)/.dev ## Draw docs/board.svg: the live board over four agents
	$(BIN)/python docs/board.py

screenshot: $(VENV)/.dev ## Take docs/report-page.png of the page of the demo's clinic; needs Chromium
	$(BIN)/python docs/screenshot.py

index: $(VENV)/.runtime ## Write docs/policy-index.md from the policies
	$(BIN)/agentreview policies list --format markdown >docs/policy-index.md

docs: $(VENV)/.dev ## Build the documentation in docs/_build; afresh; a warning is an error
	$(BIN)/python -m sphinx -E -W --keep-going -q -b html docs docs/_build
	@echo "docs/_build/index.html"

# The wheel is installed elsewhere, where no checkout can lend it a file that it lacks.
dist: $(VENV)/.dev ## Build wheel and sdist, and try the wheel on its own
	rm -rf dist
	@$(call locked,$(BIN)/python); $(BIN)/python -m build --outdir dist .
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	"$(BIN)/python" -m venv "$$scratch/venv"; \
	$(call locked,$(BIN)/python); "$$scratch/venv/bin/python" -m pip install --quiet dist/*.whl; \
	cd "$$scratch"; venv/bin/python -m pip check; \
	venv/bin/agentreview demo >demo.txt || { cat demo.txt; exit 1; }; \
	venv/bin/agentreview policies test; \
	tail -n 1 demo.txt; venv/bin/agentreview --version
	@ls -l dist

# What a fresh install of today would get, for constraints.txt. On Python 3.11: newer ones leave backports out.
lock: ## Renew constraints.txt with the newest versions that fit pyproject.toml
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	"$(PYTHON)" -m venv "$$scratch/venv"; \
	"$$scratch/venv/bin/python" -m pip install --quiet '.[dev]' hatchling editables; \
	{ sed -n '/^#/p' constraints.txt; "$$scratch/venv/bin/python" -m pip freeze --exclude agentreview-gate; } \
		>"$$scratch/constraints.txt"; \
	cp "$$scratch/constraints.txt" constraints.txt
	@git --no-pager diff --stat -- constraints.txt || true

clean: ## Remove the environment and everything that was built
	rm -rf $(VENV) dist build docs/_build bench/out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# constraints.txt holds for Python 3.11 and newer. pip takes it from the environment, because only then do builds in
# isolation obey it as well; newer versions of pip read the second variable for those.
locked = if $(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt; export PIP_CONSTRAINT PIP_BUILD_CONSTRAINT; fi

# An environment that does not run, or is too old, is made anew: its Python may have been removed.
define install
@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	[ -n "$(PYTHON)" ] || { echo "Python 3.10 or newer with venv is needed: make $@ PYTHON=/path/to/python3" >&2; exit 1; }; \
	"$(PYTHON)" -m venv --clear $(VENV); }
@echo "installing into $(VENV), once"
@$(call locked,$(BIN)/python); $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable "$(1)"
@touch $@
endef

$(VENV)/.runtime: $(WHAT)
	$(call install,.)

$(VENV)/.dev: $(WHAT)
	$(call install,.[dev])
	@touch $(VENV)/.runtime
