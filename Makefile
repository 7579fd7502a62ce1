.DEFAULT_GOAL := help
.PHONY: help setup

help:  ## this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ {printf "  make %-8s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## .venv with every package, editable (PYTHON=python3.12 takes that one)
	@PYTHON='$(PYTHON)' tools/setup
