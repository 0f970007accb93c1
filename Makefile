# ARGS reaches the program or go test: make train ARGS='-steps 100 -seed 7'
ARGS =
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help setup train generate doctor test bench vet lint clean

help:
	@echo 'make train     train a small language model on the Go standard library'
	@echo 'make generate  continue a prompt with it (see ARGS=-help)'
	@echo 'make doctor    print versions, device and speed, and what is wrong'
	@echo 'make test      run all tests'
	@echo 'make bench     run the Go benchmarks'
	@echo 'make vet       run go vet'
	@echo 'make lint      check formatting, run go vet and staticcheck'
	@echo 'make setup     install MLX into the cache folder; every target does it'
	@echo 'make clean     remove the link to it from this clone'
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
	sh scripts/test_module.sh
	go test -count=1 $(ARGS) ./...

bench: setup
	go test -run='^$$' -bench=. -benchmem $(ARGS) ./...

vet: setup
	go vet ./...

lint: vet
	@unformatted=$$(gofmt -s -l .) && [ -z "$$unformatted" ] || { echo "not formatted by gofmt -s:"; echo "$$unformatted"; exit 1; }
	go run $(STATICCHECK) ./...

clean:
	rm -f .deps
