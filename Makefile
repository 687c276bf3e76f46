# Everything that one does here often. `make demo` and `make test` need nothing but a bare clone.

# The first Python that is new enough (a pyenv shim may be there and yet not run).
PYTHON := $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python3.14,\
	$(shell $(p) -c 'import sys; sys.version_info >= (3, 11) and print(sys.executable)' 2>/dev/null)))
BIN := .venv/bin
# Where the demo's boxes come from: on Linux from an OCI runtime, over this machine's own root.
SANDBOX ?= $(if $(filter Linux,$(shell uname -s)),local --base host,auto)
# Tests that run at once: most of a test's time is waiting, so more than there are processors.
WORKERS ?= 4
SIDE_BY_SIDE = -n $(WORKERS) --maxschedchunk 1
# Agents with a model, which says what a file has it say: neither key nor network.
MODEL = -t 'regex-*' -m scripted:examples/models/regex-failed-logins.yaml
TINY = examples/tasks $(MODEL) -a command --set agent.mount=examples/agents \
	--set 'agent.run=python3 /opt/mechagym/command/tiny_agent.py'
CLAUDE = examples/tasks $(MODEL) -a claude-code
# The planner, whose model answers from a tape: what to do, and which tests show that it is done.
TAPE = examples/models/planner.jsonl
PLANNED = examples/tasks -t 'merge-*' -t 'regex-*' -t 'timetable-*' -a map
PLANNER = $(PLANNED) -m replay:$(TAPE)
BENCHMARKS = $(basename $(notdir $(shell grep -l '^if __name__' benchmarks/*.py)))

.PHONY: demo test form check bench tape clean parts-demo parts-test

demo: parts-demo .venv/.installed  ## The bundled tasks in real sandboxes, without a key or an engine
	$(BIN)/mechagym run examples/tasks -a oracle -a nop --sandbox $(SANDBOX)
	$(BIN)/mechagym run $(TINY) --sandbox $(SANDBOX)
	$(BIN)/mechagym run $(PLANNER) --sandbox $(SANDBOX)
	$(BIN)/mechagym trials show last/regex-failed-logins
	@command -v claude >/dev/null || echo "left out: the same with Claude Code, which is not here"
	@! command -v claude >/dev/null || $(BIN)/mechagym run $(CLAUDE) --sandbox $(SANDBOX)

test: parts-test .venv/.installed-dev  ## All tests, also those with real engines: side by side, then the others
	$(BIN)/pytest $(SIDE_BY_SIDE) -m 'not alone'; \
	beside=$$?; $(BIN)/pytest -m alone && exit $$beside

form: .venv/.installed-dev  ## Form and types
	$(BIN)/ruff format --check . scripts/install-parts scripts/must-haves
	$(BIN)/ruff check . scripts/install-parts scripts/must-haves
	$(BIN)/mypy

check: form  ## Form, types and the tests that need no real part
	$(BIN)/pytest -q $(SIDE_BY_SIDE) -m 'not live and not slow'

bench: parts-test .venv/.installed-dev  ## The figures of docs/benchmarks.md
	for each in $(BENCHMARKS); do $(BIN)/python -m "benchmarks.$$each" || exit 1; done

tape: .venv/.installed-dev  ## The planner's tape anew: after a change of what its models are told
	rm -f $(TAPE)
	$(BIN)/python -m mechagym run $(PLANNED) -m scripted:tests.flow.planned:answer \
		--record $(TAPE) --sandbox $(SANDBOX)

clean:  ## What was made here; boxes and images of ours are `mechagym clean`'s
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -prune -exec rm -rf {} +

parts-demo:
	-@scripts/install-parts --demo

parts-test:
	-@scripts/install-parts --test
	-@scripts/install-harbor

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "mechagym needs Python 3.11 or newer" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q -e '.[models]'
	touch $@

.venv/.installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q -e '.[dev,models,postgres,web]'
	touch $@ .venv/.installed
