# ARGS reaches the program or go test: make train ARGS='-steps 100 -seed 7'
ARGS =
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
ACTIONLINT = github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

.PHONY: help setup train generate doctor test test-full bench bench-peers vet lint verify sanitize macos-check cuda-check clean

help:
	@echo 'make train        train a small language model on the Go standard library'
	@echo 'make generate     continue a prompt with it (see ARGS=-help)'
	@echo 'make doctor       print versions, device and speed, and what is wrong'
	@echo 'make test         run all tests'
	@echo 'make test-full    run the gated delta rule on the test cases of other projects at full length'
	@echo 'make bench        run the Go benchmarks'
	@echo 'make bench-peers  compare the gated delta rule with PyTorch (ARGS=--help)'
	@echo 'make vet          run go vet'
	@echo 'make lint         check formatting, run go vet, staticcheck and actionlint'
	@echo 'make verify       run the gated delta rule on golden files, on the device at hand and by the CPU kernels'
	@echo 'make sanitize     run the GPU kernels in the emulator under AddressSanitizer and UBSan'
	@echo 'make macos-check  on Linux: check that all of it builds for macOS'
	@echo 'make cuda-check   on Linux: compile the GPU kernels for CUDA, without a GPU'
	@echo 'make setup        install MLX into the cache folder; every target does it'
	@echo 'make clean        remove the link to it from this clone'
	@echo
	@echo "Flags go into ARGS: make train ARGS='-steps 100'"

setup:
	@sh scripts/setup.sh

train: setup
	go run ./examples/train $(ARGS)

generate: setup
	go run ./examples/generate $(ARGS)

doctor: setup
	go run ./examples/doctor $(ARGS)

# Go's test cache doesn't see a change of the libraries.
test: setup
	sh scripts/test_setup.sh
	sh scripts/test_macos_check.sh
	sh scripts/test_module.sh
	sh scripts/test_bench_peers.sh
	go test -count=1 $(ARGS) ./...

# Up to 20 GB of memory, and the CPU needs hours.
test-full: setup
	go test -count=1 -timeout=0 -run='^TestPeer' $(ARGS) ./ops/gateddelta -gateddelta.full

bench: setup
	go test -run='^$$' -bench=. -benchmem $(ARGS) ./...

bench-peers: setup
	sh scripts/bench_peers.sh $(ARGS)

# Go links the address sanitizer; the other one must be named.
sanitize: setup
	CGO_CXXFLAGS='-O1 -fsanitize=undefined -fno-sanitize-recover=undefined' CGO_LDFLAGS=-lubsan ASAN_OPTIONS=detect_leaks=0 \
		go test -asan -count=1 $(ARGS) ./internal/emulator ./ops/metal

vet: setup
	go vet ./...

lint: vet
	@unformatted=$$(gofmt -s -l .) && [ -z "$$unformatted" ] || { echo "not formatted by gofmt -s:"; echo "$$unformatted"; exit 1; }
	go run $(STATICCHECK) ./...
	go run $(ACTIONLINT) .github/workflows/*.yml

verify: setup
	go run ./examples/verify $(ARGS) testdata/golden
	$(if $(ARGS),,go run ./examples/verify -device cpu -impl cpu testdata/golden)

macos-check:
	sh scripts/macos_check.sh
	sh scripts/kernel_check.sh
	sh scripts/test_kernel_check.sh

# Two minutes on two cores.
cuda-check: setup
	sh scripts/cuda_check.sh
	sh scripts/test_cuda_check.sh

clean:
	rm -f .deps
