# Thin over scripts/; `make check` is what CI runs.
VENV ?= /var/lib/mgpu-test/venv

.PHONY: help setup fmt lint types layers unit e2e gpu systemd packages golden-update check demo

help: ## Show the targets.
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## Install what the tests need and make the virtual environment (root).
	scripts/test --collect-only -q >/dev/null

fmt: ## Format the code.
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

lint: ## ruff: rules and format.
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: ## mypy --strict.
	$(VENV)/bin/mypy

layers: ## import-linter: the layers and what each may import.
	$(VENV)/bin/lint-imports

unit: ## Unit and property tests; no root needed.
	$(VENV)/bin/python -m pytest -q -m "not root and not slow" tests/unit tests/property

e2e: ## Real users, real processes (root).
	scripts/test tests/e2e

gpu: ## What needs a real NVIDIA GPU; no network, installs nothing.
	scripts/test-gpu

systemd: ## The Debian package in throw-away machines with systemd (root).
	scripts/test-systemd

packages: ## Debian package, wheel and source package, in dist/.
	scripts/build deb wheel sdist

golden-update: ## Write the golden files anew; read the difference as code.
	scripts/test --update-golden -m "not slow"

check: ## Everything: ruff, format, mypy, import-linter, all tests (root).
	scripts/test

demo: ## Show mgpu at work on this machine (root).
	scripts/demo
