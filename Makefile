# Two commands do everything on a fresh Debian or Ubuntu with git, a C++ compiler, Rust, and Python 3 with pip:
#   make demo   the main job: SimpleNet trained, persisted, registered and evaluated as four processes
#   make test   all tests, those of the native stages included
# Both fetch libtorch once (about 540 MB) unless LIBTORCH names one or Python has torch 2.13. `make test` fetches Azurite
# once as well (190 MB on disk), and a Node.js for it where there is none of version 18 or later.

SHELL := bash
CARGO ?= cargo
PYTHON ?= python3
BIN := target/release

.PHONY: demo demo-container image test test-containers test-runner test-interop test-extras conformance messages lint fmt bench bench-engine bench-transfer campaign campaign-reuse campaign-transfers tour tour-check libtorch azurite release clean help
.DEFAULT_GOAL := help

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 28

libtorch: ## Find or fetch libtorch; does nothing the second time
	@$(PYTHON) scripts/libtorch.py

release: libtorch ## Build both binaries with optimisation
	$(CARGO) build --release --features torch

demo: release ## Run the example pipeline with the native stages
	$(BIN)/amlrun run pipelines/simple_net/pipeline.yml

azurite: ## Find or fetch Azurite, the emulator of Azure Blob Storage; does nothing the second time
	@$(PYTHON) scripts/azurite.py

test: libtorch azurite ## Run all tests
	@rm -f target/tmp/skipped
	$(CARGO) test --features torch
	@if [ -s target/tmp/skipped ]; then echo "Skipped on this machine:"; sort -u target/tmp/skipped; fi

test-runner: azurite ## Run the tests that need no libtorch
	@rm -f target/tmp/skipped
	$(CARGO) test
	@if [ -s target/tmp/skipped ]; then echo "Skipped on this machine:"; sort -u target/tmp/skipped; fi

INTEROP := .venv-interop

$(INTEROP)/ready: tests/interop/requirements.txt
	$(PYTHON) -m venv $(INTEROP)
	$(INTEROP)/bin/python -m pip install --quiet -r $<
	touch $@

test-interop: release $(INTEROP)/ready ## Test against the real Python torch, pandas and MLflow client (fetches 3 GB once)
	rm -rf $(INTEROP)/amlrun
	PATH="$(CURDIR)/$(INTEROP)/bin:$$PATH" $(BIN)/amlrun --home $(INTEROP)/amlrun run --environment host tests/interop/mlflow_client.yml
	$(INTEROP)/bin/python tests/interop/torch_files.py
	$(INTEROP)/bin/python tests/interop/parallel_tables.py $(BIN)/amlrun
	$(INTEROP)/bin/python tests/interop/hostile_models.py $(BIN)/amlrun
	AMLRUN_STAGE=$(BIN)/amlrun-stage $(INTEROP)/bin/python tests/interop/torch_roads.py

EXTRAS := .venv-extras

test-extras: release ## Test against the real Spark, Open MPI and Ray (fetches 600 MB once; Debian's Java and Open MPI as root)
	$(PYTHON) scripts/extras.py $(EXTRAS)
	PATH="$(CURDIR)/$(EXTRAS)/bin:$$PATH" $(EXTRAS)/bin/python tests/extras/spark.py $(BIN)/amlrun
	$(EXTRAS)/bin/python tests/extras/mpi.py $(BIN)/amlrun
	PATH="$(CURDIR)/$(EXTRAS)/bin:$$PATH" $(EXTRAS)/bin/python tests/extras/rays.py $(BIN)/amlrun

# Labels that were made before (a folder with labels.jsonl and cases/) need no SDK; our own corpus is shown to it.
CONFORMANCE ?= $(AMLRUN_CONFORMANCE)
CONFORMANCE_VENV := .venv-conformance

$(CONFORMANCE_VENV)/bin/python:
	$(PYTHON) -m venv $(CONFORMANCE_VENV)

$(CONFORMANCE_VENV)/labels: tests/conformance/requirements-labels.txt | $(CONFORMANCE_VENV)/bin/python
	$(CONFORMANCE_VENV)/bin/python -m pip install --quiet -r $<
	touch $@

$(CONFORMANCE_VENV)/sdk: tests/conformance/requirements.txt $(CONFORMANCE_VENV)/labels
	$(CONFORMANCE_VENV)/bin/python -m pip install --quiet -r $<
	touch $@

# More options for the engine's `build`, such as --build-arg BUILD_IMAGE=… or --network=host.
IMAGE_BUILD_OPTIONS ?=
ENGINE ?= $(if $(AMLRUN_CONTAINER_ENGINE),$(AMLRUN_CONTAINER_ENGINE),$(firstword $(foreach engine,docker podman,$(if $(shell $(engine) ps -q >/dev/null 2>&1 && echo yes),$(engine)))))

image: ## Build docker/Dockerfile with docker or podman (IMAGE_BUILD_OPTIONS: more options)
	@test -n "$(ENGINE)" || { echo "no container engine works here: install podman, or start docker"; exit 1; }
	$(ENGINE) build $(IMAGE_BUILD_OPTIONS) --file docker/Dockerfile --tag amlrun .

demo-container: release image ## Run the example pipeline in containers of that image
	AMLRUN_BUILD_OPTIONS="$(IMAGE_BUILD_OPTIONS)" $(BIN)/amlrun run pipelines/simple_net/pipeline.yml --environment container

test-containers: release ## Test steps in real containers (installs podman where root may; skips where it cannot)
	@rm -f target/tmp/skipped
	$(PYTHON) scripts/containers.py $(CARGO) test --features torch --test behaviour containers::
	$(PYTHON) scripts/containers.py $(PYTHON) tests/campaign/containers.py $(BIN)/amlrun
	@if [ -s target/tmp/skipped ]; then echo "Skipped on this machine:"; sort -u target/tmp/skipped; fi

conformance: release $(CONFORMANCE_VENV)/$(if $(CONFORMANCE),labels,sdk) ## Compare with the official SDK (CONFORMANCE=DIR: with labels)
	$(CONFORMANCE_VENV)/bin/python tests/conformance/compare.py $(BIN)/amlrun \
		$(if $(CONFORMANCE),--labels $(CONFORMANCE),--work $(CONFORMANCE_VENV)/work)
	$(if $(CONFORMANCE),$(CONFORMANCE_VENV)/bin/python tests/conformance/environments.py $(BIN)/amlrun $(CONFORMANCE))

campaign: release ## Kill the runner 300 times at random moments and go on; fill its disk (CAMPAIGN=--short: 30 times)
	$(PYTHON) tests/campaign/campaign.py $(BIN)/amlrun $(CAMPAIGN)
	$(PYTHON) tests/campaign/growth.py $(BIN)/amlrun $(filter --short,$(CAMPAIGN))

campaign-reuse: release ## Edit a project at random against an oracle: 2,000 rounds (CAMPAIGN=--short: 100)
	$(PYTHON) tests/campaign/reuse.py $(BIN)/amlrun $(CAMPAIGN)

campaign-transfers: release azurite ## Break transfers at random: 200 faults (CAMPAIGN=--short: 30)
	$(PYTHON) tests/campaign/transfers.py $(BIN)/amlrun $(CAMPAIGN)

messages: release $(CONFORMANCE_VENV)/sdk ## Write docs/messages.md: our messages beside the SDK's
	PYTHONHASHSEED=0 $(CONFORMANCE_VENV)/bin/python scripts/messages.py $(BIN)/amlrun

lint: libtorch ## Formatting, clippy, dead links in the docs
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --features torch -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --lib --document-private-items

fmt: ## Format the code
	$(CARGO) fmt

PEERS := .venv-peers

$(PEERS)/bin/python:
	$(PYTHON) -m venv $(PEERS)

$(PEERS)/small: benches/requirements-small.txt | $(PEERS)/bin/python
	$(PEERS)/bin/python -m pip install --quiet -r $<
	touch $@

$(PEERS)/ready: benches/requirements.txt $(PEERS)/small
	$(PEERS)/bin/python -m pip install --quiet -r $<
	$(CARGO) install --quiet --root $(PEERS) b3sum
	touch $@

target/spawn: benches/spawn.rs
	rustc -O --edition 2024 -o $@ $<

target/sink: benches/sink.rs $(wildcard benches/sink/*.rs)
	rustc -O --edition 2024 -o $@ $<

SMALL := $(findstring --small,$(BENCH))

# 11 GB of disk for the model files; `make bench BENCH=--small` takes a hundredth of that.
# The small ones do without the Azure ML SDK, Snakemake and DVC.
bench: release target/spawn target/sink azurite $(INTEROP)/ready $(PEERS)/$(if $(SMALL),small,ready) $(if $(SMALL),,$(CONFORMANCE_VENV)/sdk) ## Measure side by side with peers; prints ratios
	$(PYTHON) benches/start.py $(BIN)/amlrun
	$(PYTHON) benches/engine.py $(BIN)/amlrun target/spawn --peers $(PEERS) $(BENCH)
	$(PYTHON) benches/transfer.py $(BIN)/amlrun target/sink --peers $(PEERS) $(BENCH)
	$(PYTHON) benches/validate.py $(BIN)/amlrun --sdk $(CONFORMANCE_VENV)/bin/python $(BENCH)
	$(INTEROP)/bin/python benches/model_files.py $(BIN)/amlrun $(BENCH)
	$(PYTHON) benches/growth.py $(BIN)/amlrun $(BENCH)

bench-engine: release target/spawn $(PEERS)/$(if $(SMALL),small,ready) ## Measure the engine alone
	$(PYTHON) benches/engine.py $(BIN)/amlrun target/spawn --peers $(PEERS) $(BENCH)

bench-transfer: release target/sink azurite $(PEERS)/small ## Measure transfers alone
	$(PYTHON) benches/transfer.py $(BIN)/amlrun target/sink --peers $(PEERS) $(BENCH)

tour: release ## Run the commands of README.md and put their real output there
	$(PYTHON) scripts/tour.py

tour-check: release ## Replay README.md in a fresh clone and compare what is printed
	$(PYTHON) scripts/tour.py --check

clean: ## Remove build results; libtorch stays
	$(CARGO) clean
