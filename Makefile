# make run [MODEL=/path] [HOST=127.0.0.1] [PORT=8000] [ARGS="..."]    serve a model
# make test                                                           build and run every test
# make check                                                          what continuous integration runs
# make format                                                         format the sources
# make bench [MODEL=/path] [ARGS="--batch_size 1,16"]                 measure a model without the server
# make acceptance [ARGS="--fast"] [ARGS="openai lm_eval"]              drive the server with the clients people use
# make bench-kernels                                                  measure the CPU kernels alone

MODEL ?=
HOST ?= 127.0.0.1
PORT ?= 8000
ARGS ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

# One build serves everything: release mode, testable, imports checked against the declared layers.
FLAGS = -c release -Xswiftc -enable-testing -j $(JOBS) --explicit-target-dependency-import-check error
BINARY = .build/release/lightllm
SOURCES = Package.swift Sources Tests Examples

.PHONY: run build test check format lint acceptance bench bench-kernels libraries

run: build
	@model="$(MODEL)"; [ -n "$$model" ] || model=$$(python3 Scripts/fetch-model.py) || exit 1; \
	exec $(BINARY) serve --model_dir "$$model" --host $(HOST) --port $(PORT) $(ARGS)

build: libraries
	swift build $(FLAGS) --product lightllm

test: libraries
	swift build $(FLAGS) --build-tests
	@model=$$(python3 Scripts/fetch-model.py) || exit 1; \
	LIGHTLLM_MODEL="$$model" swift test $(FLAGS) --skip-build --skip '^(CUDA|HTTPAPITests|RanksTests)'
	@# What is to answer in time has the computer to itself.
	swift test $(FLAGS) --skip-build --no-parallel --filter '^(HTTPAPITests|RanksTests)'
	@# Kernels for GPUs run on a device made of threads, which leave nothing to anybody else.
	swift test $(FLAGS) --skip-build --no-parallel --filter '^CUDA'

check: lint test

format:
	swift format --in-place --parallel --recursive $(SOURCES)

lint:
	swift format lint --strict --parallel --recursive $(SOURCES)
	Scripts/check-tree.sh

bench: build
	@model="$(MODEL)"; [ -n "$$model" ] || model=$$(python3 Scripts/fetch-model.py) || exit 1; \
	$(BINARY) bench static --model_dir "$$model" $(ARGS)

# Clients from the Python package index; writes docs/clients.md once all of them have run.
acceptance: build
	python3 -m unittest discover -s python/tests
	python3 Acceptance/run.py $(ARGS)

# The kernels on one core, beside what the processor can do at most.
bench-kernels:
	clang -O2 -Wall -o .build/bench-kernels Benchmarks/kernels.c Sources/CKernels/*.c -lm
	.build/bench-kernels

libraries:
	@Scripts/install-libraries.sh
