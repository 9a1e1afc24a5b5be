# `make demo` runs the main job, `make test` the tests. Both install what they need.
.PHONY: demo demo-cluster dev test race kills slow openapi dashboard dashboard-picture schemathesis audit-figures load-test load-test-short soak mutations fuzz fuzz-short faults findings lint deny sbom static image

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

audit-figures: ## how fast the audit log is written, queried, checked, streamed and pruned; a million events
	@rig/install base postgres
	cargo bench --locked --bench audit

load-test: ## side by side with what a user would run otherwise: writes load-tests/RESULTS.md; before=BINARY adds another build
	@rig/install base bao kube postgres
	@cargo build --quiet --locked --release --bin claviger --example load-test
	target/release/examples/load-test
	$(if $(before),target/release/examples/load-test against $(before))

load-test-short: ## the same for a minute: fails when a ratio has fallen by a third
	@rig/install base bao kube postgres
	@cargo build --quiet --locked --release --bin claviger --example load-test
	target/release/examples/load-test short

minutes ?= 10
soak: ## load for so many minutes: memory and descriptors stay what they were
	@rig/install base bao kube postgres
	@cargo build --quiet --locked --release --bin claviger --example load-test
	target/release/examples/load-test soak $(minutes)

slow: ## a thousand slow connections of each shape while honest clients are served; wants a machine of its own
	@rig/install base
	CLAVIGER_SLOW=1000 cargo test --locked --test it -- --nocapture --test-threads=1 http::slow

faults: race kills ## both, with histories and their judge

mutations: ## takes each defence away and looks that a test goes red; writes the table in docs/THREATS.md
	@rig/install
	mutations/run

fuzz: ## what reads hostile input against second readers, a minute for each target
	@rig/install base fuzz
	fuzz/run 60

fuzz-short: ## the same, ten seconds for each, from one seed
	@rig/install base fuzz
	FUZZ_SEED=1 fuzz/run 10

findings: ## what other software does that one would not expect; installs packages, outside of CI
	@for script in findings/*.sh; do \
		echo "== $$script"; "$$script" || { echo "$$script: the behaviour has changed" >&2; changed=yes; }; \
	done; [ -z "$$changed" ]

lint: ## formatting, clippy, the house rules
	@rig/install base
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	cargo test --locked --quiet --test tidy

# The executable for the image. The target is named so that proc-macros stay dynamic; its own folder, as its flags would
# have the other builds start over. Without that cfg it would look for /dev/urandom; relative relocations are packed,
# which is a megabyte; and no path of this machine is in it, so that another machine's is the same.
static_triple := x86_64-unknown-linux-gnu
static_profile ?= image # dev is built sooner, and is large
static_folder := $(patsubst dev,debug,$(strip $(static_profile)))
static := target/static/$(static_triple)/$(static_folder)/claviger
static_flags := -C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom" \
	-C link-arg=-Wl,-z,pack-relative-relocs \
	--remap-path-prefix=$(CURDIR)=/src --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo

static: ## one static executable, which an empty root is enough for
	@rig/install base
	CARGO_TARGET_DIR=target/static RUSTFLAGS='$(static_flags)' \
		cargo build --locked --profile $(static_profile) --target $(static_triple)

image: static ## the image, tried, in target/claviger-image.tar
	@rig/install base buildah skopeo
	image/check $(static) $(if $(filter image,$(static_folder)),25000000)
	image/build $(static) target/claviger-image.tar
