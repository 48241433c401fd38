# Needs Python 3.11 or newer, git and make; the rest is installed into .venv by whatever target needs it.
# CI=1 make demo plays the approvers' part with a software passkey.

BIN := .venv/bin
DEMO_READY := .venv/.demo-ready
DEV_READY := .venv/.dev-ready
INPUTS := pyproject.toml .ci/environment
PYTEST_ARGS ?= -n 4 --dist loadfile --no-loadscope-reorder

# What is drawn by a seed in make test, and complete in make faults.
SAMPLED := tests/faults tests/crash tests/web/test_everywhere.py tests/slack/test_callbacks.py \
  tests/email/test_headers.py tests/flow/test_limits.py

.DEFAULT_GOAL := list
.PHONY: list demo serve test check faults bench mutate lock system-packages clean
export CI

list: ## this list
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO_READY) ## the whole story in the terminal: a call is asked about, approved, run and logged
	@$(BIN)/assent demo

serve: $(DEMO_READY) ## the service on SQLite at http://localhost:8420
	@$(BIN)/assent serve

test: check system-packages ## make check, then every test on SQLite, PostgreSQL and in a browser
	$(BIN)/pytest $(PYTEST_ARGS)

check: $(DEV_READY) ## static checks: lint, format, types, who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV_READY) system-packages ## measure, and write benchmarks/results.json
	$(BIN)/python -m benchmarks

faults: $(DEV_READY) system-packages ## every fault instead of the sample that make test draws; takes hours
	@sh .ci/system-packages build-essential
	$(BIN)/pytest $(SAMPLED) --complete --timeout 86400 $(FAULTS_ARGS)

mutate: $(DEV_READY) ## change the security core in many small ways and list the changes no test notices
	$(BIN)/mutmut run
	$(BIN)/mutmut results

lock: ## write requirements/*.txt anew from pyproject.toml
	sh .ci/lock

clean: ## remove .venv and everything built
	rm -rf .venv dist build mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

system-packages:
	@sh .ci/system-packages chromium postgresql

# The demo needs no test tools. A development environment serves the demo as well.
$(DEMO_READY): requirements/server.txt requirements/build.txt requirements/demo.txt $(INPUTS)
	@test -e $(DEV_READY) || sh .ci/environment build server demo
	@touch $@

$(DEV_READY): requirements/dev.txt $(INPUTS)
	@sh .ci/environment dev
	@touch $@
