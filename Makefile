# `make demo` runs the main job, `make test` the tests. Both install their requirements.
.PHONY: demo demo-cluster cluster cluster-down cluster-test dev test race kills failover upgrade slow external-secrets custom-resources mounts openapi config-schema dashboard dashboard-picture schemathesis audit-figures load-test load-test-against load-test-short soak mutations fuzz fuzz-short faults clouds-live findings compatibility matrix dependencies lint deny sbom static image

demo: ## run the main job with `claviger dev`: a ticket, its one-time download, and the audit events
	@rig/install base
	@cargo build --quiet --locked
	@demo/dev target/debug/claviger

demo-cluster: ## run the main job with a real API server and a real OpenBao
	@rig/install base bao kube
	@cargo build --quiet --locked
	@cargo run --quiet --locked --example demo-cluster

cluster: ## start a real one-node cluster in namespaces of its own; as root, builds its programs once (half an hour)
	@rig/install base bao kube tekton secrets-store-csi buildah helm node
	@cargo build --quiet --locked
	@rig/cluster/run up

cluster-down: ## end the cluster of `make cluster` and remove its state
	@rig/cluster/run down

cluster-test: ## run the product on a real cluster, step by step, print a report, and end the cluster; outside of CI
	@rig/install base bao kube tekton secrets-store-csi buildah helm node
	@cargo build --quiet --locked
	@rig/cluster/run test

dev: ## serve with sample secrets on 127.0.0.1:8080
	@rig/install base
	@cargo run --quiet --locked -- dev

# Many tests wait for a component, so twice as many run at once as there are processors.
test: ## run all tests, with real components
	@rig/install
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($$(nproc) * 2))} cargo test --locked

# `make slow release=yes`: an optimised build, for figures; also for race, kills, faults and failover.
optimised := $(if $(release),--release)

race: ## redeem a thousand tickets, each by 64 clients at once on each of three replicas
	@rig/install base postgres
	CLAVIGER_RACE=1000 cargo test $(optimised) --locked --test it -- --nocapture tickets::race

kills: ## kill replicas and PostgreSQL under load, and restart replicas in turn, many times
	@rig/install base postgres
	CLAVIGER_KILLS=100 CLAVIGER_DATABASE_KILLS=10 CLAVIGER_ROLLS=20 \
		cargo test $(optimised) --locked --test it -- --nocapture --test-threads=1 tickets::kills

failovers ?= 20
patroni_failovers ?= 5
failover: ## lose the primary of PostgreSQL under load, with a promoted standby and with Patroni; outside of CI
	@rig/install base postgres pgbouncer kube patroni
	CLAVIGER_FAILOVERS=$(failovers) CLAVIGER_PATRONI_FAILOVERS=$(patroni_failovers) \
		cargo test $(optimised) --locked --test it -- --nocapture --test-threads=1 failover::

upgrade: ## serve with the build of commit REV beside this one on one database, under load; outside of CI
	@rig/install base postgres
	CLAVIGER_OLDER="$$(tools/older $(or $(REV),$(error REV: name a commit or a tag)))" CLAVIGER_CYCLES=200 \
		cargo test --locked --test it -- --nocapture lifecycle::upgraded

openapi: ## write openapi/claviger.json, after a change of the API
	cargo run --quiet --locked -- openapi > openapi/claviger.json

stale_schema := target/tmp/config.schema.json
config-schema: ## write openapi/config.schema.json, after a change of the configuration or of src/config/default.yaml
	@rm -f $(stale_schema)
	cargo test --locked --lib config::tests::schema::the_committed || { test -s $(stale_schema) && cp $(stale_schema) openapi/; }

dashboard: ## write the Grafana dashboard, after a change of tools/dashboard.py
	tools/dashboard.py > charts/claviger/dashboards/claviger.json

dashboard-picture: ## draw the dashboard after two minutes of mixed load, from a real Prometheus
	@rig/install base bao kube prometheus plots
	CLAVIGER_DASHBOARD_PICTURE=docs/dashboard.png cargo test --locked --test it observability::monitoring::

schemathesis: ## compare the running API with its contract
	@rig/install base schemathesis
	@cargo build --quiet --locked
	@rig/schemathesis target/debug/claviger

deny: ## check licences, bans and sources of all dependencies, after a change of them
	@rig/install base deny
	@"$${CLAVIGER_RIG:-$${XDG_CACHE_HOME:-$$HOME/.cache}/claviger-rig}/bin/cargo-deny" check licenses bans sources

sbom: ## write the bill of materials, target/claviger.cdx.json
	@mkdir -p target
	@rig/sbom target/claviger.cdx.json

audit-figures: ## measure writing, queries, verification, export and pruning of the audit log, with a million events
	@rig/install base postgres
	cargo bench --locked --bench audit

load-test: ## compare with the alternatives, and write load-tests/RESULTS.md; before=BINARY adds another build
	@rig/install base bao kube postgres $(if $(before),pgbouncer)
	@cargo build --quiet --locked --release --bin claviger --example load-test
	target/release/examples/load-test
	$(if $(before),target/release/examples/load-test against $(before))

# The worktree and its target folder are kept, so that the next comparison builds only what differs.
against := target/against
load-test-against: ## compare with the build of another commit, REV=COMMIT, in turns in one run (WORD=PostgreSQL: only contenders with this in their names); replaces that section of load-tests/RESULTS.md
	@test -n "$(REV)" || { echo 'make load-test-against REV=COMMIT' >&2; exit 2; }
	@rig/install base bao kube postgres pgbouncer
	@git worktree prune
	@test -e $(against)/tree || git worktree add --quiet --detach $(against)/tree $(REV)
	@git -C $(against)/tree checkout --quiet --detach "$$(git rev-parse --verify '$(REV)^{commit}')"
	@cd $(against)/tree && CARGO_TARGET_DIR=$(CURDIR)/$(against)/target cargo build --quiet --locked --release --bin claviger
	@cargo build --quiet --locked --release --bin claviger --example load-test
	target/release/examples/load-test against $(against)/target/release/claviger '$(WORD)'

load-test-short: ## the short form, about a minute: fails if a ratio has fallen by a third
	@rig/install base bao kube postgres
	@cargo build --quiet --locked --release --bin claviger --example load-test
	target/release/examples/load-test short

external-secrets: ## sync a thousand ExternalSecrets from Claviger and from OpenBao: fails above 1.5 times OpenBao's time
	@rig/install base bao kube eso
	CLAVIGER_EXTERNAL_SECRETS=1000 cargo test --locked --release --test it -- --nocapture eso::speed

custom-resources: ## read ten thousand custom resources and change one a hundred times, beside the same policies from a directory
	@rig/install base kube
	CLAVIGER_TEST_POLICIES=10000 CLAVIGER_TEST_CHANGES=100 \
		cargo test --locked --release --test it -- --nocapture custom_resources::many

mounts: ## compare a thousand CSI mounts with `claviger fetch`: fails if their p99 is not below twice that of fetch
	@rig/install base bao kube
	CLAVIGER_MOUNTS=1000 cargo test --locked --release --test it -- --nocapture csi::speed

minutes ?= 10
soak: ## load for `minutes` minutes: fails if memory or descriptors grow
	@rig/install base bao kube postgres
	@cargo build --quiet --locked --release --bin claviger --example load-test
	target/release/examples/load-test soak $(minutes)

slow: ## open a thousand slow connections of each shape while honest clients are served; needs an otherwise idle machine
	@rig/install base
	CLAVIGER_SLOW=1000 cargo test $(optimised) --locked --test it -- --nocapture --test-threads=1 http::slow

clouds-live: ## the store contract at a real Key Vault and Secret Manager; tests/it/stores/clouds/live.rs says what names them
	cargo test --locked --test it -- --nocapture stores::clouds::live

faults: race kills ## run both; each compares what clients received with the audit log

mutations: ## remove each defence in turn and check that a test fails; writes the table in docs/THREATS.md
	@rig/install
	mutations/run

fuzz: ## fuzz the parsers of untrusted input, one minute per target
	@rig/install base fuzz
	fuzz/run 60

fuzz-short: ## the short form, ten seconds per target, with a fixed seed
	@rig/install base fuzz
	FUZZ_SEED=1 fuzz/run 10

findings: ## check unexpected behaviour of other software; installs packages, not part of CI
	@for script in findings/*.sh; do \
		echo "== $$script"; "$$script" || { echo "$$script: the behaviour has changed" >&2; changed=yes; }; \
	done; [ -z "$$changed" ]

stale_table := target/tmp/COMPATIBILITY.md
compatibility: ## write the tables of docs/COMPATIBILITY.md from what other programs do; installs packages, outside of CI
	@rig/install base dotenv
	@rm -f $(stale_table)
	cargo test --locked --test it render::matrix || { test -s $(stale_table) && cp $(stale_table) docs/COMPATIBILITY.md; }
	tools/compatibility.py docs/COMPATIBILITY.md

matrix: ## run the suites that need an API server on other versions of Kubernetes and Tekton, and write the tables of docs/COMPATIBILITY.md; builds them first, an hour
	@rig/install
	@rig/install kube-1.34 kube-1.35 kube-1.37 tekton-1.12 tekton-1.15
	tools/matrix.py docs/COMPATIBILITY.md

lint: ## check formatting, clippy and the house rules
	@rig/install base
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	cargo test --locked --quiet --test tidy

# The executable for the image. --target is given so that proc-macros stay dynamic. It has its own target folder, because
# its flags would invalidate the other builds. Without the cfg it would need /dev/urandom. Packed relative relocations
# save a megabyte. Paths of this machine are removed, so that builds on other machines are identical.
static_triple := x86_64-unknown-linux-gnu
static_profile ?= image # dev builds faster, and is larger
static_folder := $(patsubst dev,debug,$(strip $(static_profile)))
static := target/static/$(static_triple)/$(static_folder)/claviger
static_flags := -C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom" \
	-C link-arg=-Wl,-z,pack-relative-relocs -C link-arg=-Wl,--icf=all \
	--remap-path-prefix=$(CURDIR)=/src --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo

static: ## build one static executable that runs in an empty root folder
	@rig/install base
	CARGO_TARGET_DIR=target/static RUSTFLAGS='$(static_flags)' \
		cargo build --locked --profile $(static_profile) --target $(static_triple)

dependency_map := $(CURDIR)/target/static/dependencies.map

dependencies: ## write what each dependency costs in the static executable into docs/DESIGN.md; builds the executable again, outside of CI
	@rig/install base
	CARGO_TARGET_DIR=target/static RUSTFLAGS='$(static_flags)' \
		cargo rustc --locked --profile image --target $(static_triple) --bin claviger -- -C link-arg=-Wl,-Map=$(dependency_map)
	tools/dependencies.py $(dependency_map) docs/DESIGN.md

image: static ## build and test the image, target/claviger-image.tar
	@rig/install base buildah skopeo
	image/check $(static) $(if $(filter image,$(static_folder)),25000000 12000000)
	image/build $(static) target/claviger-image.tar
