# make build   the four programs, and those for the container image
# make test    every test that needs nothing but Go
# make demo    the chain at work, with no cluster and no AWS account
# make e2e     the same on real kind clusters
# make lint    gofmt, vet, staticcheck, go fix
# make image   the container image, as an archive
# make fuzz    every fuzz target for FUZZTIME (60s); what it finds is kept in testdata/fuzz
# make bench   benchmarks, as ratios against a bare handler

GO       ?= go
ARCH     ?= $(shell $(GO) env GOARCH)
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X github.com/openirsa/openirsa/internal/version.value=$(VERSION)
HOST     := $(shell $(GO) env GOOS)/$(shell $(GO) env GOARCH)
IMAGE    := issuer webhook emulator

# Let's Encrypt's server for tests of ACME clients, outside the checkout.
PEBBLE_VERSION := v2.10.0
PEBBLE_MODULE  := github.com/letsencrypt/pebble/v2
PEBBLE         := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/openirsa/pebble-$(PEBBLE_VERSION)

.PHONY: build test lint e2e image demo fuzz bench clean

build:
	mkdir -p bin/linux-$(ARCH)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/setup
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/linux-$(ARCH)/ $(IMAGE:%=./cmd/%)
ifeq ($(HOST),linux/$(ARCH))
	ln -f $(IMAGE:%=bin/linux-$(ARCH)/%) bin/
else
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(IMAGE:%=./cmd/%)
endif

test:
	$(GO) test ./...

demo:
	@$(GO) run ./cmd/setup demo

lint:
	@unformatted=$$(gofmt -l .); echo "$$unformatted"; test -z "$$unformatted"
	$(GO) vet ./...
	$(GO) fix -diff ./...
	$(GO) tool staticcheck ./...
	cd e2e && $(GO) vet ./... && $(GO) fix -diff ./... && $$(cd .. && $(GO) tool -n staticcheck) ./...

# First whatever needs a cluster; then the tests of the programs and packages
# again that skip what needs more than Go, with all that they need. What passing
# tests have to say is in bin/e2e.json.
e2e: export OPENIRSA_TOOLS = all
e2e: build
	cd e2e && $(GO) tool gotestsum --format testname --jsonfile ../bin/e2e.json -- -p 2 -parallel 2 -count=1 -timeout 75m ./...
	cd e2e && $(GO) run ./cmd/kindenv install sshd ssh openssl
	GOBIN=$(PEBBLE) $(GO) install $(PEBBLE_MODULE)/cmd/pebble@$(PEBBLE_VERSION) $(PEBBLE_MODULE)/cmd/pebble-challtestsrv@$(PEBBLE_VERSION)
	OPENIRSA_KUBERNETES_BIN=$$(cd e2e && $(GO) run ./cmd/kindenv programs) OPENIRSA_PEBBLE_BIN=$(PEBBLE) \
		$(GO) test -count=1 ./cmd/issuer ./cmd/setup ./internal/image ./pkg/controlplane ./pkg/export ./pkg/node ./pkg/webhook

image: build
	bin/setup image --arch $(ARCH) --file bin/openirsa-linux-$(ARCH).tar

fuzz:
	@GO='$(GO)' .ci/fuzz

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./pkg/...
	bin=$$(cd e2e && $(GO) run ./cmd/kindenv programs) && OPENIRSA_KUBERNETES_BIN=$$bin $(GO) test -run '^$$' -bench . ./cmd/setup

clean:
	rm -rf bin
