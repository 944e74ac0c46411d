# `make run` and `make test` need Rust 1.95 and Node 20.19 or newer; what else the tests need, they install.

NPM_CI = npm ci --no-audit --no-fund

.PHONY: help run build web test test-tools test-rust test-server test-web test-e2e test-interop lint bench bench-load sim

help:
	@echo "make run     build everything and start the server; prints a link to meet at"
	@echo "make test    every test, browsers included"
	@echo "make sim     meetings over bad networks under virtual time: SEEDS=10000 of them, or SEED=7 alone"
	@echo "make lint    formatting, clippy, TypeScript"
	@echo "make bench       the packet path beside its floors: time, instructions, allocations"
	@echo "make bench-load  the whole server under load, on two cores of this machine"

run: build
	./target/release/consilium serve

# The pages come first: the release build embeds them.
build: web
	cargo build --release

web:
	cd web && $(NPM_CI) && npm run build

test: test-tools web test-rust test-web test-e2e test-interop
	@echo "All tests passed."

test-tools:
	./scripts/test-tools

# The second time as a release build has it, for the pages alone: only the embedding is compiled again.
test-rust:
	cargo test --workspace
	cargo test --workspace --features consilium/embed-pages --lib in_the_binary

# As the Rust tests build it: `cargo build` would choose other features and compile every library again.
test-server:
	cargo test --workspace --no-run

test-web:
	cd web && npm test

test-e2e: test-server
	cd tests/e2e && $(NPM_CI) && npm test

test-interop: test-server
	tests/interop/run.sh

# In the dev profile, whose overflow and debug assertions are half of what a sweep is for.
sim:
	SEEDS=$(or $(SEEDS),10000) cargo test --test sim -- --nocapture

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	if command -v cargo-deny >/dev/null; then cargo deny check; fi
	cd web && $(NPM_CI) && npm run typecheck && npm run lint

bench:
	cargo bench -p consilium-benches --bench '*'
	cargo bench -p consilium --bench meetings
	if command -v valgrind >/dev/null; then cargo run --release -p consilium-benches --bin forward-instructions; fi

# One command, so that both crates agree on the features of their libraries and compile them once.
bench-load:
	cargo build --release -p consilium -p consilium-benches --bins
	./scripts/bench-load.mjs $(BENCH_LOAD_ARGS)
