.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench bench-peers figures lock docs reference dist clean

SIDE_BY_SIDE ?= 6  # most tests wait for something: more than there are CPUs
packages := $(patsubst %/pyproject.toml,%,$(wildcard */pyproject.toml))

help:  ## this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ {printf "  make %-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## .venv with every package, editable (PYTHON=python3.12 takes that one)
	@PYTHON='$(PYTHON)' tools/setup

demo: setup  ## the whole story: start, one order on its way, a short bench, stop
	@.venv/bin/devctl demo --runtime local

# Bytecode is written, whatever the environment says: else each process compiles every file of tests anew.
test: setup  ## every test, SIDE_BY_SIDE at once; those with containers where an engine answers (ARGS="-k orders" for some)
	@PYTHONDONTWRITEBYTECODE= .venv/bin/pytest -n $(SIDE_BY_SIDE) --dist loadgroup --no-loadscope-reorder $(ARGS)

lint: setup  ## format, ruff, types, imports, dependencies: what CI checks
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo
	@for package in $(packages); do (cd $$package && ../.venv/bin/deptry src) || exit 1; done

format: setup  ## write the format, and mend what ruff can mend
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

bench: setup  ## throughput of 1, 2 and 4 workers on this machine
	@.venv/bin/devctl bench --workers 1,2,4

bench-peers: setup  ## ours beside other task queues on one Redis; five rounds take an hour (ARGS="--quick")
	@.venv/bin/python tools/peers $(ARGS)

figures: setup  ## what the README claims, measured here; takes minutes (ONLY="help idle" for some)
	@.venv/bin/python tools/figures.py $(ONLY)

lock: setup  ## write the locks again and install them (UPGRADE=1 takes the newest versions)
	@UPGRADE='$(UPGRADE)' tools/lock
	@PYTHON='$(PYTHON)' tools/setup

reference: setup  ## docs/reference.md, from the docstrings of what celeriac makes public
	@.venv/bin/python tools/reference.py

docs: setup  ## pictures of a terminal, of devctl dash and of the dashboard, from real runs; takes five minutes
	@.venv/bin/python tools/terminal_picture.py docs/demo.svg --columns 80 -- .venv/bin/devctl demo --runtime local
	@.venv/bin/python tools/story.py --pictures docs
	@.venv/bin/python tools/page_picture.py docs
	@.venv/bin/python tools/dashboard_picture.py docs/monitoring.svg

dist: setup  ## wheels of celeriac and devctl, in dist/
	@rm -rf dist
	@for package in celeriac devctl; do \
	    .bootstrap/bin/uv build --quiet --wheel --no-build-isolation --python .venv/bin/python --out-dir dist $$package || exit 1; done
	@ls dist/*.whl

clean:  ## stop what runs and remove what was made; not the containers' data
	@if [ -d .devctl ] && [ -x .venv/bin/devctl ]; then .venv/bin/devctl down --runtime local || echo "could not stop the local stack; going on" >&2; fi
	@rm -rf .venv .bootstrap .devctl .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
