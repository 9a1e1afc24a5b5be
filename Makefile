# `make demo` runs the main job, `make test` the tests. Both install what they need.
.PHONY: demo demo-cluster dev test lint

demo: ## the main job with `claviger dev`: a secret, once, and the audit events
	@rig/install base
	@cargo build --quiet --locked
	@demo/dev target/debug/claviger

demo-cluster: ## the same on a real API server and a real OpenBao
	@rig/install base bao kube
	@cargo build --quiet --locked
	@cargo run --quiet --locked --example demo-cluster

dev: ## serves with sample secrets on 127.0.0.1:8080
	@rig/install base
	@cargo run --quiet --locked -- dev

test: ## every test, on real components
	@rig/install
	cargo test --locked

lint: ## formatting, clippy, the house rules
	@rig/install base
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked --quiet --test tidy
