# make build   the four programs, and those for the container image
# make test    every test that needs nothing but Go
# make demo    the chain at work, with no cluster and no AWS account
# make e2e     the same on real kind clusters: the stories on clusters, and beside them the tools
# make stories the tests on kind clusters alone, of what is built
# make tools   the tests that need other programs and no cluster, of what is built
# make clusters  what clusters are made of, into the cache: Kubernetes compiled, images
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

.PHONY: build test lint e2e stories tools clusters image demo fuzz bench clean

build:
	mkdir -p bin/linux-$(ARCH)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/setup
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/linux-$(ARCH)/ $(IMAGE:%=./cmd/%)
ifeq ($(HOST),linux/$(ARCH))
	ln -f $(IMAGE:%=bin/linux-$(ARCH)/%) bin/
else
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(IMAGE:%=./cmd/%)
endif

# Many tests wait, so more packages are tested at a time than there are processors,
# and first the one that takes longest.
TESTED := $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 4); echo $$((n > 4 ? n : 4)))

test:
	$(GO) test -p $(TESTED) ./pkg/webhook ./...

demo:
	@$(GO) run ./cmd/setup demo

lint:
	@unformatted=$$(gofmt -l .); echo "$$unformatted"; test -z "$$unformatted"
	$(GO) vet ./...
	$(GO) fix -diff ./...
	$(GO) tool staticcheck ./...
	cd e2e && $(GO) vet ./... && $(GO) fix -diff ./... && $$(cd .. && $(GO) tool -n staticcheck) ./...
	cd e2e/chaintest-story && $(GO) vet ./...

# Stories on clusters, which mostly wait, and beside them one after the other what
# needs less: faults at every call, real clients of the emulator, and the tests of
# the programs and packages that `make test` skips for want of more than Go. What
# passing tests have to say is in bin/*.json.
e2e: build
	@$(MAKE) --no-print-directory tools >bin/tools.log 2>&1 & tools=$$!; \
	echo "beside the stories: make tools >bin/tools.log"; \
	$(MAKE) --no-print-directory stories; stories=$$?; \
	wait $$tools; tools=$$?; cat bin/tools.log; exit $$((stories | tools))

# The tests on kind clusters alone.
stories:
	cd e2e && $(GO) tool gotestsum --format testname --jsonfile ../bin/stories.json -- -parallel 3 -count=1 -timeout 75m .

# What needs programs besides Go's, and no cluster: installed or built where they are missing.
tools: export OPENIRSA_TOOLS = all
tools:
	cd e2e && $(GO) tool gotestsum --format testname --jsonfile ../bin/e2e.json -- -p 1 -count=1 -timeout 40m \
		$$($(GO) list ./... | grep -v '/e2e$$')
	cd e2e && $(GO) run ./cmd/kindenv install sshd ssh openssl
	GOBIN=$(PEBBLE) $(GO) install $(PEBBLE_MODULE)/cmd/pebble@$(PEBBLE_VERSION) $(PEBBLE_MODULE)/cmd/pebble-challtestsrv@$(PEBBLE_VERSION)
	bin=$$(cd e2e && $(GO) run ./cmd/kindenv programs) && needy=$$(cd e2e && $(GO) run ./cmd/needy ..) && \
		OPENIRSA_KUBERNETES_BIN=$$bin OPENIRSA_PEBBLE_BIN=$(PEBBLE) $(GO) test -count=1 $$needy

# Everything that the stories' clusters are made of, outside the checkout.
clusters:
	cd e2e && $(GO) run ./cmd/kindenv image

image: build
	bin/setup image --arch $(ARCH) --file bin/openirsa-linux-$(ARCH).tar

fuzz:
	@GO='$(GO)' .ci/fuzz

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./pkg/...
	bin=$$(cd e2e && $(GO) run ./cmd/kindenv programs) && OPENIRSA_KUBERNETES_BIN=$$bin $(GO) test -run '^$$' -bench . ./cmd/setup

clean:
	rm -rf bin
