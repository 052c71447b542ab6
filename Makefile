# Everything that a developer or CI runs. `make` lists the targets.

GOLANGCI_VERSION := v2.15.0
BIN              := $(CURDIR)/bin
DATA             ?= ./data
FUZZTIME         ?= 20s
FAULT_CYCLES     ?= 200
SEEDS            ?= 10000
FROM             ?= 1
FAULT_ENTRIES    ?= 1000000
OVERLOAD         ?= 10m
BENCH_ROWS       ?= 50000000

# Starts the servers that the environment does not name, and ends them with the tests.
WITH_SERVERS := scripts/with-servers.sh

.DEFAULT_GOAL := help
.PHONY: help run up build test vet lint race short e2e proof sim mutants fuzz bench bench-rows fmt sample servers servers-down compose-env clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build and serve with data in ./data; prints the address, tokens and requests to paste
	$(BIN)/auditlog serve --quickstart --data-dir $(DATA)

up: build ## the distributed tier here: servers, databases, queues, an API process and a worker; Ctrl-C ends the two
	scripts/up.sh $(BIN)/auditlog

build: ## build the one binary, bin/auditlog, without C
	CGO_ENABLED=0 go build -trimpath -o $(BIN)/auditlog ./cmd/auditlog

test: vet lint race ## everything: vet, lint, and all tests under the race detector, with the servers they need

vet: ## go vet
	go vet ./...

lint: $(BIN)/golangci-lint-$(GOLANGCI_VERSION) ## golangci-lint with the import rules of docs/architecture.md
	$< run --allow-parallel-runners ./...

race: ## all tests under the race detector (needs a C compiler)
	@command -v "$$(go env CC)" >/dev/null || { echo "the race detector needs a C compiler, e.g. apt-get install gcc libc6-dev"; exit 1; }
	CGO_ENABLED=1 $(WITH_SERVERS) scripts/test-all.sh -race -timeout 20m

short: ## all tests without the race detector
	CGO_ENABLED=0 $(WITH_SERVERS) scripts/test-all.sh -timeout 20m

e2e: ## the end-to-end tests alone; AUDITLOG_SAMPLE names a file of real CloudTrail records
	CGO_ENABLED=0 $(WITH_SERVERS) go test -count=1 -timeout 20m -v ./test/e2e

proof: build ## the long forms: on each tier FAULT_CYCLES (200) kills while FAULT_ENTRIES (10^6) are acknowledged, the storm of keys, OVERLOAD (10m) of five times the capacity, and writes into BENCH_ROWS (5·10^7) rows; some hours
	CGO_ENABLED=0 AUDITLOG_FAULT_OVERLOAD=$(OVERLOAD) $(WITH_SERVERS) go test -count=1 -timeout 4h -v ./test/overload
	CGO_ENABLED=0 AUDITLOG_FAULT_CYCLES=$(FAULT_CYCLES) AUDITLOG_FAULT_ENTRIES=$(FAULT_ENTRIES) $(WITH_SERVERS) \
		go test -count=1 -timeout 12h -v ./test/faults/... ./test/storm
	$(WITH_SERVERS) $(MAKE) bench-rows

bench-rows: build ## writes into a table of BENCH_ROWS (5·10^7) rows beside one of 10^6, on PostgreSQL; takes about 40 GB of disk. Needs the variables of .servers/test.env
	$(BIN)/auditlog bench --postgres "$$AUDITLOG_TEST_POSTGRES" --search "$$AUDITLOG_TEST_OPENSEARCH" --only rows --rows $(BENCH_ROWS)

sim: ## the write path in virtual time: SEEDS (10000) schedules of faults from seed FROM (1); a seed that fails replays
	CGO_ENABLED=0 go test -count=1 -timeout 2h -v ./test/sim -run TestSchedules -seeds $(SEEDS) -from $(FROM)

mutants: ## build each seeded bug and run ten times the test that must catch it
	CGO_ENABLED=0 $(WITH_SERVERS) go test -count=1 -timeout 1h -v ./test/mutants -runs 10

fuzz: ## each fuzz target for FUZZTIME (20s)
	@for pkg in $$(grep -rl '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | cut -c6-); do \
			echo "$$pkg $$target"; go test $$pkg -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) || exit 1; \
		done; \
	done

bench: build ## measure the service; JSON lines on standard output, a table on standard error
	$(BIN)/auditlog bench

fmt: ## gofmt all files
	gofmt -w $$(git ls-files '*.go')

sample: ## make test/e2e/testdata/cloudtrail.ndjson again
	go run ./test/e2e/gensample > test/e2e/testdata/cloudtrail.ndjson

servers: ## start TimescaleDB, an SQS server and OpenSearch on loopback; .servers/env is for the service, test.env for tests
	scripts/servers/all.sh start

servers-down: ## end what make servers started; data stays in .servers
	scripts/servers/all.sh stop

compose-env: .env ## make .env with secrets of its own, for docker compose

.env:
	deploy/compose/env.sh >$@.new && mv $@.new $@

clean: ## remove bin
	rm -rf $(BIN)

$(BIN)/golangci-lint-$(GOLANGCI_VERSION):
	GOBIN=$(BIN) CGO_ENABLED=0 go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(BIN)/golangci-lint $@
