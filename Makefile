# lynx-runner. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export CGO_ENABLED ?= 0
CACHE    := $(CURDIR)/.cache
TOOLS    := $(CACHE)/tools
VENV     := $(CACHE)/venv
export PATH := $(TOOLS):$(PATH)

# Both are empty where there is no repository, or no tag; a packager sets them.
VERSION  ?= $(shell git describe --tags 2>/dev/null)
COMMIT   ?= $(shell git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null)
INFO     := github.com/tetryx/lynx-runner/cmd/internal/buildinfo
LDFLAGS  := -s -w -X $(INFO).number=$(VERSION) -X $(INFO).commit=$(COMMIT)
GOBUILD  := go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'
BIN      ?= bin
BINARIES := lynxctl lynx-server lynx-runner lynx-shim

TUTORIAL := scenarios/aerospace/configs/basic_orbit_tutorial.yaml
export BIN PREFIX SYSCONFDIR UNITDIR DESTDIR
IMAGE    := $(or $(LYNX_IMAGE),lynx-basilisk)
RUNS     ?= 10
OUTPUT   ?= lynx-output
SOAK     ?= 30m

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 18

## --- building -------------------------------------------------------------

.PHONY: build
build: ## Build bin/lynxctl, bin/lynx-server, bin/lynx-runner and bin/lynx-shim
	@mkdir -p $(BIN)
	@for b in $(BINARIES); do $(GOBUILD) -o $(BIN)/$$b ./cmd/$$b; done

.PHONY: install
install: ## Install what was built (PREFIX, SYSCONFDIR, UNITDIR, DESTDIR); edited configuration is kept
	@scripts/install.sh install

.PHONY: uninstall
uninstall: ## Remove what install installed; data and edited configuration stay
	@scripts/install.sh uninstall

.PHONY: engine
engine: ## Make sure that a Docker engine answers (installs and starts one on Debian, as root)
	@scripts/docker-engine.sh ensure

.PHONY: image
image: engine ## Build the image lynx-basilisk, unless it is up to date
	@images/basilisk/build.sh

.PHONY: venv
venv: ## Prepare the Python with Basilisk that the process executor uses
	@scripts/basilisk-venv.sh

.PHONY: demo
demo: build image ## Run the tutorial: ten Basilisk runs in Docker, then one picture of all orbits
	@scripts/demo.sh $(TUTORIAL) $(RUNS) $(OUTPUT)

## --- checking -------------------------------------------------------------

.PHONY: test
test: build image venv ## Everything: linters, unit tests, real engine, real Basilisk, Python
	@scripts/test.sh

.PHONY: test-unit
test-unit: ## Fast tests that need neither Docker nor Basilisk
	go test ./...

# The parts of `make test`. -trimpath: what one clone has built serves the next.
# -vet=off: `make lint` vets, with more analyzers, once.
GOTEST := go test -trimpath -vet=off

.PHONY: test-race
test-race: ## Part of test: all Go tests that need no Docker, with the race detector
	CGO_ENABLED=1 $(GOTEST) -race ./...
	@# Simulated schedules of faults: many more without it.
	$(GOTEST) ./tests/simulation

.PHONY: test-engine
test-engine: image venv ## Part of test: the Go tests against the Docker engine and Basilisk
	@images/base/build.sh # some jobs run in it, wherever lynx-basilisk's base is from
	@# One package at a time: each looks for what it has left on the engine.
	$(GOTEST) -tags engine -count=1 -timeout 40m -p 1 ./executor/... ./tests/... ./bench/...

.PHONY: test-openapi
test-openapi: python-env ## Part of test: the REST interface against its OpenAPI document
	scripts/openapi-check.sh

.PHONY: test-python
test-python: image python-env ## Part of test: SDK and scenario, and Basilisk's known answers in the image
	$(VENV)/bin/python -m pytest -q sdk/python scenarios
	scripts/test-scenario.sh $(IMAGE)

.PHONY: test-faults
test-faults: engine ## Break engine, platform and disks under running jobs: all of docs/reliability.md
	LYNX_FAULTS=all go test -tags engine -count=1 -timeout 20m -parallel 8 ./tests/faults

.PHONY: soak
soak: engine ## Let everything break at random around hundreds of jobs, 30 minutes (SOAK=5m SEED=1)
	LYNX_SOAK=$(SOAK) LYNX_SOAK_SEED=$(SEED) go test -tags engine -count=1 -timeout 24h -v ./tests/soak

.PHONY: fuzz
fuzz: ## Fuzz what jobs, batches and clients control, 30 s a target (FUZZTIME=5m FUZZ=FuzzParse)
	@scripts/fuzz.sh

.PHONY: bench
bench: image ## Measure what is promised in figures, and print a table (BENCH='-rows slot,breach -reps 3')
	@go run ./bench $(BENCH)

.PHONY: lint
lint: tools python-env ## Formatting, linters, import rules, and that generated code is current
	golangci-lint run ./...
	scripts/check-generated.sh
	$(VENV)/bin/ruff check sdk scenarios
	$(VENV)/bin/ruff format --check sdk scenarios
	cd sdk/python && $(VENV)/bin/mypy --strict src

.PHONY: generate
generate: tools python-env ## Generate the protobuf and SQL code anew
	scripts/generate.sh

.PHONY: tools
tools:
	@scripts/tools.sh $(TOOLS)

.PHONY: python-env
python-env:
	@scripts/python-env.sh

.PHONY: clean
clean: ## Delete what was built (not the images, nor the cache that clones share)
	rm -rf bin .cache
