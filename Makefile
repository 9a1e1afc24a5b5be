# `make demo` runs the main job, `make test` the tests. Both install what they need.
.PHONY: demo demo-cluster dev test race kills openapi dashboard dashboard-picture schemathesis lint deny sbom

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

race: ## 64 redeemers on each of three replicas, for a thousand tickets
	@rig/install base postgres
	CLAVIGER_RACE=1000 cargo test --locked --test it -- --nocapture tickets::race

kills: ## replicas and PostgreSQL killed under load, and rolling restarts, many times
	@rig/install base postgres
	CLAVIGER_KILLS=100 CLAVIGER_DATABASE_KILLS=10 CLAVIGER_ROLLS=20 \
		cargo test --locked --test it -- --nocapture --test-threads=1 tickets::kills

openapi: ## writes the contract anew, after a change of it
	cargo run --quiet --locked -- openapi > openapi/claviger.json

dashboard: ## writes the Grafana dashboard anew, after a change of its table
	tools/dashboard.py > charts/claviger/dashboards/claviger.json

dashboard-picture: ## draws what the dashboard shows of two minutes of mixed load, from a real Prometheus
	@rig/install base bao kube prometheus plots
	CLAVIGER_DASHBOARD_PICTURE=docs/dashboard.png cargo test --locked --test it seen::watched::

schemathesis: ## looks for what the running API does and its contract does not say
	@rig/install base schemathesis
	@cargo build --quiet --locked
	@rig/schemathesis target/debug/claviger

deny: ## licences, bans and sources of all dependencies, after a change of them
	@rig/install base deny
	@"$${CLAVIGER_RIG:-$${XDG_CACHE_HOME:-$$HOME/.cache}/claviger-rig}/bin/cargo-deny" check licenses bans sources

sbom: ## the bill of materials, as target/claviger.cdx.json
	@mkdir -p target
	@rig/sbom target/claviger.cdx.json

lint: ## formatting, clippy, the house rules
	@rig/install base
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	cargo test --locked --quiet --test tidy
