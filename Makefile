# Every target explains itself: make help.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo
PYTHON ?= python3
TOOLS ?= $(or $(AMBO_TOOLS),$(CURDIR)/target/tools)
VENV ?= $(CURDIR)/.venv
AMBO_BIN ?= $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/debug/ambo
export AMBO_BIN
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help
help: ## Explain every target
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: install
install: ## Install the ambo binary into ~/.cargo/bin
	$(CARGO) install --locked --path crates/cli

.PHONY: run
run: need-rust ## Build and start the server with a demo session that anyone can listen to
	$(CARGO) run --locked -p ambo-cli -- serve --demo

.PHONY: test
test: test-rust test-javascript test-python ## Install what the tests need and run all of them
	@echo 'All tests have passed.'

.PHONY: test-rust
test-rust: need-rust ## Run the tests of the Rust workspace
	$(CARGO) test --locked --workspace

.PHONY: build
build: need-rust ## Build the ambo binary, for trying it and for the clients' tests
	$(CARGO) build --locked -p ambo-cli

.PHONY: test-javascript
test-javascript: clients/javascript/node_modules need-chromium build ## Run the tests of the JavaScript client, in Node and in Chromium
	cd clients/javascript && npm test

clients/javascript/node_modules: clients/javascript/package-lock.json | need-node
	cd clients/javascript && npm ci --no-audit --no-fund
	touch $@

.PHONY: test-python
test-python: $(VENV)/ready build ## Run the tests of the Python client
	cd clients/python && $(VENV)/bin/ruff format --check . ../../examples/python
	cd clients/python && $(VENV)/bin/ruff check . ../../examples/python
	cd clients/python && $(VENV)/bin/mypy
	cd clients/python && $(VENV)/bin/pytest

$(VENV)/ready: clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'Python 3.10 or later is needed'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e 'clients/python[dev]'
	touch $@

.PHONY: lint
lint: need-rust ## Check format, lints and layers, without changing anything
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

.PHONY: format
format: need-rust $(VENV)/ready ## Format all code
	$(CARGO) fmt --all
	cd clients/python && $(VENV)/bin/ruff format . ../../examples/python

.PHONY: docs
docs: need-rust clients/javascript/node_modules $(VENV)/ready ## Make the API references of all three languages; broken links fail
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps
	cd clients/javascript && npm run --silent docs
	cd clients/python && $(VENV)/bin/pdoc -o docs ambo ambo.wav ambo.signin ambo.machine ambo.input ambo.effect

.PHONY: audit
audit: need-rust ## Check the licences and sources of all dependencies with cargo-deny
	PATH="$(TOOLS)/bin:$$PATH"; command -v cargo-deny >/dev/null || \
	  $(CARGO) install --locked --debug --root $(TOOLS) cargo-deny@0.20.2; \
	  cargo-deny --locked check bans licenses sources

.PHONY: fuzz
fuzz: need-rust ## Fuzz every parser for two minutes each; needs a nightly toolchain and cargo-fuzz
	set -e; for target in $$(cargo +nightly fuzz list); do mkdir -p fuzz/corpus/$$target; \
	  cargo +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=120; done

.PHONY: bench
bench: need-rust ## Measure the hot paths beside their floor (about five minutes)
	$(CARGO) run --locked --release -p ambo-bench -- all

.PHONY: clean
clean: ## Remove everything that was built
	$(CARGO) clean
	rm -rf $(VENV) clients/javascript/node_modules clients/javascript/types clients/python/dist

.PHONY: need-node
need-node:
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || \
	  { echo 'Node 20 or later with npm is needed'; exit 1; }

.PHONY: need-chromium
need-chromium:
	@command -v chromium >/dev/null || \
	  { $(SUDO) apt-get update -q && $(SUDO) apt-get install -qy chromium; } || \
	  { echo 'Chromium is needed: install it with your package manager'; exit 1; }

.PHONY: need-rust
need-rust:
	@command -v $(CARGO) >/dev/null || { echo 'Rust is needed: see https://rustup.rs'; exit 1; }
	@command -v cc >/dev/null || { echo 'A C compiler is needed: apt-get install gcc'; exit 1; }
