# make build   openirsa, and the other programs, which it is by their names
# make test    every test that needs nothing but Go
# make demo    the chain at work, with no cluster and no AWS account
# make e2e     the same on real kind clusters: the stories on clusters, and beside them the tools
# make stories the tests on kind clusters alone, of what is built
# make tools   the tests that need other programs and no cluster, of what is built
# make clusters  what clusters are made of, into the cache: Kubernetes compiled, and images
# make helpers   what tests use besides clusters, into the cache: external-secrets' controller, act and Helm
# make lint    gofmt, vet, staticcheck, go fix
# make sizes   fails if a Linux program is larger than it may be
# make image   the container image, as an archive
# make linuxbuild  what builds for macOS and Windows with the tag selfcontained have in them
# make fuzz    every fuzz target for FUZZTIME (60s); what it finds is kept in testdata/fuzz
# make docs    the documentation as a site, into bin/site, and its links checked
# make man     the man pages, into bin/man, and their tests
# make awsapi  AWS's tables, of the inputs that internal/awsapi/README.md names
# make bench   benchmarks, as ratios against a bare handler
# make release  everything that is released of TAG, into dist/: what the release workflow runs
# make release-check  the proofs that a release is what it claims to be; publishes nothing

GO       ?= go
# Everything is compiled in one way, so that build, demo, test and lint share what is in Go's cache.
# gRPC's page of its calls (golang.org/x/net/trace) has templates, which may call any method:
# without the tag the linker keeps every one, see internal/sizes.
# Compilers collect no garbage for most of their short lives: a seventh of their time, and a third of staticcheck's.
LESS_GC            := GOGC=400
OUR_FLAGS          := -trimpath -tags=grpcnotrace '-toolexec=env $(LESS_GC)'
export CGO_ENABLED := 0
export GOFLAGS     := $(strip $(filter-out -tags=% $(OUR_FLAGS),$(shell $(GO) env GOFLAGS)) $(OUR_FLAGS))
ARCH     ?= $(shell $(GO) env GOARCH)
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X github.com/openirsa/openirsa/internal/version.value=$(VERSION)
HOST     := $(shell $(GO) env GOOS)/$(shell $(GO) env GOARCH)
NAMES    := setup issuer webhook emulator agent

# Let's Encrypt's server for tests of ACME clients, outside the checkout.
PEBBLE_VERSION := v2.10.0
PEBBLE_MODULE  := github.com/letsencrypt/pebble/v2
PEBBLE         := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/openirsa/pebble-$(PEBBLE_VERSION)

.PHONY: build linuxbuild test lint docs man sizes e2e stories tools clusters helpers image demo fuzz bench awsapi clean \
	release release-files release-check sbom

# One program, which is each of the others by its name.
build:
	mkdir -p bin/linux-$(ARCH)
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/openirsa
	for name in $(NAMES); do ln -f bin/openirsa bin/$$name || exit; done
ifeq ($(HOST),linux/$(ARCH))
	ln -f bin/openirsa bin/linux-$(ARCH)/openirsa
else
	GOOS=linux GOARCH=$(ARCH) $(GO) build -ldflags '$(LDFLAGS)' -o bin/linux-$(ARCH)/ ./cmd/openirsa
endif

# The Linux programs that those for macOS and Windows have in them, if they are built
# with the tag selfcontained.
linuxbuild:
	for arch in amd64 arm64; do \
		GOOS=linux GOARCH=$$arch $(GO) build -ldflags '$(LDFLAGS)' -o bin/linux-$$arch/ ./cmd/openirsa && \
		$(GO) run ./internal/linuxbuild/pack bin/linux-$$arch/openirsa $$arch || exit; \
	done

# Tests, and the programs that they start, are short-lived too.
test e2e stories tools: export GOGC := 400

# Many tests wait, so more packages are tested at a time than there are processors,
# and first the one that takes longest. What vet has to say is lint's: go test would
# go through every dependency for it.
TESTED := $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 4); echo $$((n > 4 ? n : 4)))

test:
	$(GO) test -vet=off -p $(TESTED) ./pkg/webhook ./...

demo:
	@$(GO) run ./cmd/openirsa demo

lint:
	@unformatted=$$(gofmt -l .); echo "$$unformatted"; test -z "$$unformatted"
	$(GO) vet ./...
	$(GO) fix -diff ./...
	$(LESS_GC) $(GO) tool staticcheck ./...
	cd e2e && $(GO) vet ./... && $(GO) fix -diff ./... && $(LESS_GC) $$(cd .. && $(GO) tool -n staticcheck) ./...
	cd examples/go-test-suite && $(GO) vet ./...
	cd testcontainers && $(GO) vet ./... && $(GO) fix -diff ./... && $(LESS_GC) $$(cd .. && $(GO) tool -n staticcheck) ./...
	cd release && $(GO) vet ./... && $(GO) fix -diff ./... && $(LESS_GC) $$(cd .. && $(GO) tool -n staticcheck) ./...

# Debian's mkdocs warns of its own libraries.
docs:
	cd e2e && $(GO) run ./cmd/kindenv install mkdocs
	PYTHONWARNINGS=ignore mkdocs build --quiet --strict
	$(GO) run ./internal/docs/site bin/site

sizes:
	mkdir -p bin/sizes
	GOOS=linux GOARCH=$(ARCH) $(GO) build -ldflags '$(LDFLAGS)' -o bin/sizes/ ./cmd/openirsa $(NAMES:%=./cmd/%)
	$(GO) run ./internal/sizes bin/sizes/openirsa $(NAMES:%=bin/sizes/%)

# The generator is a module of its own, for which the versions of this one hold. The
# pages' date is the commit's.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
MANUAL := mkdir -p bin && cat go.sum internal/docs/man/go.sum >bin/man.sum && cp internal/docs/man/go.mod bin/man.mod && \
	export GOFLAGS="$(GOFLAGS) -mod=mod -modfile=$(CURDIR)/bin/man.mod" && cd internal/docs/man &&

man:
	cd e2e && $(GO) run ./cmd/kindenv install man
	rm -rf bin/man
	$(MANUAL) $(GO) vet . && $(GO) test -vet=off -count=1 . && $(GO) run . --version $(VERSION) $(CURDIR)/bin/man

# Stories on clusters, which mostly wait, and beside them one after the other what
# needs less, and gets somewhat less: faults at every call, real clients of the
# emulator, and the tests of the programs and packages that `make test` skips for want
# of more than Go. What passing tests have to say is in bin/*.json.
BESIDE ?= tools

e2e: build
	@.ci/yield 5 $(MAKE) --no-print-directory --keep-going $(BESIDE) >bin/beside.log 2>&1 & beside=$$!; trap "kill $$beside" INT TERM; \
	echo "beside the stories: make $(BESIDE) >bin/beside.log"; \
	$(MAKE) --no-print-directory stories; stories=$$?; \
	wait $$beside; beside=$$?; cat bin/beside.log; exit $$((stories | beside))

# The tests on kind clusters alone.
stories:
	cd e2e && $(GO) tool gotestsum --format testname --jsonfile ../bin/stories.json -- -vet=off -parallel 5 -count=1 -timeout 80m .

# What needs programs besides Go's, and no cluster: installed or built where they are missing. The packages' tests, of
# which one measures memory, come before those that take all that they get of the machine.
tools: export OPENIRSA_TOOLS = all
tools:
	cd e2e && $(GO) run ./cmd/kindenv install sshd ssh openssl
	GOBIN=$(PEBBLE) $(GO) install $(PEBBLE_MODULE)/cmd/pebble@$(PEBBLE_VERSION) $(PEBBLE_MODULE)/cmd/pebble-challtestsrv@$(PEBBLE_VERSION)
	bin=$$(cd e2e && $(GO) run ./cmd/kindenv programs) && helm=$$(release/tool helm) && \
		needy=$$(cd e2e && $(GO) run ./cmd/needy ..) && OPENIRSA_KUBERNETES_BIN=$$bin OPENIRSA_HELM_BIN=$$(dirname "$$helm") \
		OPENIRSA_PEBBLE_BIN=$(PEBBLE) $(GO) test -vet=off -count=1 $$needy
	cd e2e && $(GO) tool gotestsum --format testname --jsonfile ../bin/e2e.json -- -vet=off -p 1 -count=1 -timeout 80m \
		$$($(GO) list ./... | grep -v '/e2e$$')

# Everything that the stories' clusters are made of, outside the checkout.
clusters:
	cd e2e && $(GO) run ./cmd/kindenv image

# Tests build these too, where they are missing, but then it counts as the tests' time.
helpers:
	release/tool act >/dev/null
	release/tool helm >/dev/null
	cd e2e && $(GO) run ./cmd/kindenv external-secrets >/dev/null

image: build
	bin/openirsa image --arch $(ARCH) --file bin/openirsa-linux-$(ARCH).tar

fuzz:
	@GO='$(GO)' .ci/fuzz

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./pkg/...
	bin=$$(cd e2e && $(GO) run ./cmd/kindenv programs) && OPENIRSA_KUBERNETES_BIN=$$bin $(GO) test -run '^$$' -bench . ./cmd/setup/app

awsapi:
	$(GO) run ./internal/awsapi/gen -botocore '$(BOTOCORE)' -iam-data '$(IAM_DATA)' -dependents '$(DEPENDENTS)' -out internal/awsapi

# docs/releasing.md tells when. RELEASE_FLAGS=--skip=publish,sign for a look at dist/.
TAG ?= $(shell git describe --tags --exact-match 2>/dev/null)

release:
	@mkdir -p bin
	$(GO) run ./internal/release/notes $(TAG) >bin/notes.md
	GORELEASER_CURRENT_TAG=$(TAG) $$(release/tool goreleaser) release --clean --release-notes bin/notes.md $(RELEASE_FLAGS)

# What a release has beside its programs; goreleaser asks for it.
release-files:
	rm -rf bin/release && mkdir -p bin/release/completions bin/release/man
	cd release && $(GO) build -o ../bin/release/sbom ./sbom
	for arch in amd64 arm64; do \
		GOOS=linux GOARCH=$$arch $(GO) build -buildvcs=true -ldflags '$(LDFLAGS)' -o bin/release/linux-$$arch/ ./cmd/openirsa && \
		$(GO) run ./internal/linuxbuild/pack bin/release/linux-$$arch/openirsa $$arch || exit; \
	done
	$(GO) build -o bin/release/openirsa ./cmd/openirsa
	bin/release/openirsa completion bash >bin/release/completions/openirsa.bash
	bin/release/openirsa completion zsh >bin/release/completions/_openirsa
	bin/release/openirsa completion fish >bin/release/completions/openirsa.fish
	bin/release/openirsa completion powershell >bin/release/completions/openirsa.ps1
	$(MANUAL) $(GO) run . --version $(VERSION) $(CURDIR)/bin/release/man

# The list of modules of a program; goreleaser asks for it.
sbom:
	bin/release/sbom $(PROGRAM) $(DOCUMENT)

release-check:
	cd e2e && $(GO) run ./cmd/kindenv install dpkg kubectl rpm ruby wine x86_64-w64-mingw32-gcc
	cd release && $(GO) test -count=1 -v -timeout 90m ./...

clean:
	rm -rf bin dist
