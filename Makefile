# Everything that a contributor or the CI runs. `make` alone prints this list.
SHELL := bash
.DEFAULT_GOAL := help

KAFKA_JARS := .cache/kafka
KAFKA_DATA := .cache/cluster
KAFKA_PORT ?= 29090
FUZZTIME ?= 10m

.PHONY: help
help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r t d; do printf '  make %-16s %s\n' "$$t" "$$d"; done

.PHONY: build
build: ## build the binary into .bin/autobus
	go build -o .bin/autobus ./cmd/autobus

.PHONY: dev
dev: ## run the bus on this machine, with its own embedded broker
	go run ./cmd/autobus dev

.PHONY: test
test: ## run every suite: vet, lint, all tests with -race, a real Kafka cluster beside them
	go run ./tools/suites

.PHONY: test-quick
test-quick: ## run the tests that need no Kafka cluster, without -race
	go test ./...

.PHONY: suites-update
suites-update: ## run every suite and write test/suites.txt
	go run ./tools/suites -update

.PHONY: golden-update
golden-update: ## write the golden files and generated documents from the code
	go test . ./cmd/autobus ./spec ./internal/bus ./internal/control ./internal/delay ./internal/ledger -run 'Reference|StayReadable' -update

.PHONY: lint
lint: ## run the linters of .golangci.yml
	@go run ./tools/suites -only '^lint$$'

.PHONY: format
format: ## format all Go files
	gofmt -w $$(git ls-files '*.go')

.PHONY: check
check: ## what a commit should pass: vet, lint, the rules of the house
	@go run ./tools/suites -only '^(vet|lint|[.])$$'

.PHONY: bench
bench: ## run the benchmarks: publishing through the bus beside a direct Kafka client
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (10m) and print executions and corpus of each
	@tools/fuzz.sh $(FUZZTIME) $(FUZZ)

.PHONY: hostile
hostile: ## attack the program and judge how slow it gets for others; wants a machine that does nothing else
	AUTOBUS_TEST_TIMING=1 go test -count 1 -v -run TestHostile ./test/hostile

.PHONY: chaos
chaos: ## break brokers, gateways, links under load for more than an hour, print the table of faults.md (RUN=T4: one)
	AUTOBUS_TEST_CHAOS=1 go test -count 1 -timeout 2h -v -run 'TestChaos/^$(or $(RUN),.*)$$' ./test/chaos

.PHONY: flights
flights: ## the flights example on the embedded broker: three tables that must be equal (CSV=file for another file)
	examples/flights/run.sh $(CSV)

.PHONY: flights-kafka
flights-kafka: kafka-up ## the flights example on a three-broker cluster
	examples/flights/run.sh --kafka "$$(cat $(KAFKA_DATA)/bootstrap)" --adopt $(CSV)

.PHONY: kafka-up
kafka-up: ## start a three-broker Kafka cluster on ports 29100, 29110, 29120 (needs java, mvn)
	@tools/kafka.sh jars $(KAFKA_JARS)
	@test -f $(KAFKA_DATA)/bootstrap || tools/kafka.sh start $(KAFKA_JARS) $(KAFKA_DATA) $(KAFKA_PORT)

.PHONY: kafka-down
kafka-down: ## stop that cluster and delete its data
	@tools/kafka.sh wipe $(KAFKA_DATA)

.PHONY: clean
clean: kafka-down ## delete what the targets above made
	rm -rf .bin .cache .autobus
