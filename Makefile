# Taskdeck: `make run` opens the terminal interface, `make test` checks everything.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
EXTRAS := telegram,bundled,fast
# Quiet twice: errors are shown, but not warnings about other people's packaging.
PIP    := $(BIN)/pip install --quiet --quiet

.PHONY: help run test test-pyrogram prove lint types bench setup setup-dev system clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

run: setup ## install what is needed and open the terminal interface (without a terminal: a short demo)
	@if [ -t 0 ] && [ -t 1 ]; then exec $(BIN)/taskdeck; else exec $(BIN)/taskdeck demo; fi

test: setup-dev lint ## lint, types, import contracts and every test
	$(BIN)/pytest -n auto --dist worksteal
	@$(MAKE) --no-print-directory test-pyrogram

test-pyrogram: setup-dev .venv-pyrogram/.installed ## the chat's core tests with pyrogram 2.0.106 in the place of kurigram
	TASKDECK_TEST_PYROGRAM=2.0.106 PYTHONPATH=.venv-pyrogram $(BIN)/pytest -m pyrogram -n auto --dist worksteal tests/telegram

prove: setup-dev ## take every security rule of the dashboard out, one at a time: a test has to fail (minutes)
	$(BIN)/python -m tests.web.removals

lint: setup-dev ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup-dev ## measure everything (or NAMES="engine tui") and print the tables of docs/benchmarks.md
	$(BIN)/python -m benchmarks $(NAMES)

setup: $(VENV)/.installed ## make the virtual environment with every face

setup-dev: $(VENV)/.installed-dev

system: ## install the Debian packages that help (needs root or sudo)
	@sh scripts/system-packages run

$(VENV)/.installed: pyproject.toml scripts/system-packages
	@sh scripts/system-packages run
	@$(PYTHON) scripts/make_venv.py $(VENV)
	@echo "Installing Taskdeck and its packages into $(VENV) (a minute or two)"
	@$(PIP) --editable '.[$(EXTRAS)]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@sh scripts/system-packages test
	@echo "Installing what the tests need into $(VENV)"
	@$(PIP) --editable '.[$(EXTRAS),dev]'
	@touch $@

.venv-pyrogram/.installed: Makefile
	@rm -rf .venv-pyrogram
	@$(PIP) --no-deps --target .venv-pyrogram pyrogram==2.0.106 pysocks==1.7.1
	@touch $@

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .venv-pyrogram .proxies .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
