# Every target is a shortcut for commands that can be typed; nothing here is needed to build nnc.
GO ?= go
SHARED ?= ../shared
FUZZTIME ?= 30s
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: test conformance bench fuzz lint update

test:
	$(GO) test ./...

# ONNX's backend tests and the real models, through the same command that users have.
conformance:
	@test -d $(SHARED)/models || { echo "conformance: no folder $(SHARED)/models; set SHARED=DIR"; exit 1; }
	$(GO) run ./cmd/nnc test examples/*/ $(SHARED)/models/*/ $(SHARED)/onnx-tests/*/*/

bench:
	$(GO) test -run='^$$' -bench=. -benchmem ./...
	for d in examples/*/; do $(GO) run ./cmd/nnc bench $${d}model.onnx || exit 1; done

# go test fuzzes one function at a time.
fuzz:
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; $(GO) test -run='^$$' -fuzz="^$$f$$" -fuzztime=$(FUZZTIME) $$p || exit 1; \
	  done; \
	done

lint:
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

# Only packages with golden files know the flag.
update:
	$(GO) test $$(grep -rlE 'flag\.Bool\("update"|internal/filetest' --include='*_test.go' . | xargs -n1 dirname | sort -u) -update
