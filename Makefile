# Every target is a shortcut for commands that can be typed; nothing here is needed to build nnc.
GO ?= go
SHARED ?= ../shared
FUZZTIME ?= 30s
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: test conformance conformance-goasm conformance-arm64 types models fuzz-graphs bench bench-kernels stress fuzz lint update

test:
	$(GO) test ./...

# ONNX's backend tests, compiled and on the evaluator, with a table per operator. No failure is allowed but those that
# internal/conformance/onnx.txt lists, and a listed one that passes fails too.
CASES ?= $(wildcard $(SHARED)/onnx-tests/*)
CONFORM = $(GO) run ./cmd/nnc test -known internal/conformance/onnx.txt
conformance:
	@test -n "$(CASES)" || { echo "conformance: no folder $(SHARED)/onnx-tests; set SHARED=DIR or CASES='DIR...'"; exit 1; }
	$(CONFORM) -table $(CASES)
	$(CONFORM) -eval $(CASES)

# Every operator in every version, and in every element type that ONNX lists for it.
types:
	$(GO) test ./internal/conformance -run 'TestTypes|TestEveryVersionRuns' -v

# They, compiled, with the code generator that needs no LLVM.
conformance-goasm:
	@test -n "$(CASES)" || { echo "conformance-goasm: no folder $(SHARED)/onnx-tests; set SHARED=DIR or CASES='DIR...'"; exit 1; }
	$(CONFORM) -backend=goasm -table $(CASES)

# A sample of them that covers every operator, as programs for arm64 in qemu.
conformance-arm64:
	@test -n "$(CASES)" || { echo "conformance-arm64: no folder $(SHARED)/onnx-tests; set SHARED=DIR or CASES='DIR...'"; exit 1; }
	$(CONFORM) -target=arm64 -sample 300 $(CASES)
	$(CONFORM) -target=arm64 -backend=goasm -sample 300 $(CASES)

# The real models, with the outputs of ONNX Runtime.
models:
	$(GO) run ./cmd/nnc test -atol 1e-4 examples $(SHARED)/models

# nnc beside ONNX Runtime, in interleaved rounds: bench/RESULTS.md and results.svg, made from bench/results.jsonl. What that
# has from the same commit is not measured again, so that a run that was cut off goes on. ARCH has the architectures
# (absent: exported there; needs Debian's python3-torch, python3-torchvision, python3-onnx), ORT_LIB libonnxruntime.so.1
# (absent: npm gets it), BENCH_CASES is the table of what is measured.
ARCH ?= $(CURDIR)/.cache/arch
ORT_LIB ?= $(ORT)
BENCH_CASES ?= cases.txt
PAIRS ?= 3
TIME ?= 1s
bench:
	$(GO) build -o .cache/nnc ./cmd/nnc
	lib=$$(ARCH='$(ARCH)' ORT_LIB='$(ORT_LIB)' bench/prepare.sh '$(CURDIR)/.cache' $(SHARED)/tools/export_arch.py) && \
	cd bench && $(GO) run . -nnc ../.cache/nnc -lib "$$lib" -pairs $(PAIRS) -time $(TIME) -cases $(BENCH_CASES) \
	  -folders 'architectures=$(ARCH),models=$(abspath $(SHARED))/models'

# Kernels alone, each as a model of one op through the whole compiler, on one thread; bench/README.md. Two files of it are for
# benchstat (golang.org/x/perf/cmd/benchstat).
KERNELS ?= .
COUNT ?= 5
LEVEL ?= native
bench-kernels:
	$(GO) test ./internal/driver -run='^$$' -bench='$(KERNELS)' -count=$(COUNT) -timeout 1h -args -level=$(LEVEL) -backend=$(or $(BACKEND),auto)

# The runtime under load: 64 goroutines with 1000 runs each on one model, with and without the race detector, beside
# the collector, a profile at 1 kHz, traces and changes of GOMAXPROCS.
BACKEND ?=
stress:
	$(GO) test ./internal/stress -full -backend=$(BACKEND) -v -timeout 4h

# Random graphs through the evaluator, code compiled with and without optimising, and ONNX Runtime, whose library
# (npm pack onnxruntime-node) is ORT; without it, nnc is held against itself alone.
GRAPHS ?= 20000
ORT ?=
fuzz-graphs:
	@test -z "$(ORT)" || (cd bench && $(GO) build -o ../.cache/ortserve ./ortserve)
	$(GO) run ./internal/fuzzgraph -n $(GRAPHS) -out fuzz-failures $(if $(ORT),-peer ".cache/ortserve -lib $(ORT)")

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
