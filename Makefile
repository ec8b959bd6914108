# Two commands do all the set-up: `make simulate` and `make test`. Both make .venv by themselves.
# Nothing here uses sudo; Debian packages are installed when run as root, else the part that needs
# them says so and is reported as not run.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
PIP    := $(BIN)/pip install -q --disable-pip-version-check

DURATION ?= 90
SIMULATE ?= --duration $(DURATION) --seed 7 --fault no_network@20+15 --fault driver_kill:gnss@42 \
            --fault driver_kill:fms@48 --fault agent_kill@55 --fault cloud_kill@64 --fault broker_kill@72

.PHONY: help simulate test test-long test-kills fuzz check docs bench clean lock proto

help:
	@echo "make simulate   a simulated bus, its broker and its cloud end on this machine: $(DURATION) s, then the books"
	@echo "make test       all tests that finish within minutes"
	@echo "make faults     all fault tests of docs/faults.md, and faults-report.json"
	@echo "make soak       random combinations of faults from a seed, MINUTES=$(MINUTES)"
	@echo "make test-long  simulated runs that take longer"
	@echo "make test-rig   all tests in a guest with a kernel of its own: power cuts, SocketCAN, systemd, 3G"
	@echo "make rig-kernel a kernel for what Debian's lacks there: ISO-TP, V4L2, USB, GPIO, TPM"
	@echo "make test-s3    files through presigned URLs of an S3-compatible server; part of make test"
	@echo "make fuzz       a million inputs for the transport protocol of CAN and as many for NMEA"
	@echo "make docs       docs/signals.md and the tables of signals of the drivers, from the code"
	@echo "make check      ruff, mypy --strict, import rules, systemd units"
	@echo "make bench      the figures of the README"
	@echo "make clean      remove .venv and caches"

# The stamp is set when the venv is whole; what failed half-way is removed.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is older. Debian 12: apt install python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "Python's venv module is missing. Debian: apt install python3-venv"; exit 1; }
	@rm -rf $(VENV)
	@echo "Installing into $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@$(PIP) --require-hashes -r requirements.lock >$(VENV)/install.log 2>&1 && \
		$(PIP) --no-deps --no-build-isolation -e . >>$(VENV)/install.log 2>&1 || \
		{ tail -20 $(VENV)/install.log; echo "Installing failed: is a package index reachable?"; rm -rf $(VENV); exit 1; }
	@touch $(STAMP)

# What only checks and tests need comes on top.
$(DEV): $(STAMP) requirements-dev.lock
	@echo "Installing what checks and tests need (once) ..."
	@$(PIP) --require-hashes -r requirements-dev.lock >>$(VENV)/install.log 2>&1 || \
		{ tail -20 $(VENV)/install.log; echo "Installing failed: is a package index reachable?"; exit 1; }
	@touch $(DEV)

# An S3-compatible server for tests, in a venv of its own: nothing of ours runs in there.
S3 := .venv.s3
$(S3)/.installed: requirements-s3.lock
	@rm -rf $(S3)
	@echo "Installing an S3-compatible server for tests into $(S3) (once) ..."
	@$(PYTHON) -m venv $(S3) && \
		$(S3)/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements-s3.lock \
			>$(S3)/install.log 2>&1 && touch $@ || \
		{ tail -5 $(S3)/install.log; rm -rf $(S3); exit 1; }

# Of make test this part alone must not fail where it cannot be had: its tests say "not run" then.
.PHONY: s3-server test-s3
s3-server: $(DEV)
	@$(MAKE) -s $(S3)/.installed || echo "no S3-compatible server: tests that need it are reported as not run"

test-s3: $(DEV) $(S3)/.installed
	$(BIN)/python -m pytest tests/hil/test_files_s3.py

simulate: $(STAMP)
	@$(BIN)/brain simulate $(SIMULATE)

check: $(DEV) systemd-analyze
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@systemd/verify || [ $$? -eq 3 ]

# Where it cannot be had, systemd/verify says in one line that the units were not judged.
.PHONY: systemd-analyze
systemd-analyze:
	@command -v systemd-analyze >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || { \
		echo "Installing Debian's systemd (systemd-analyze judges the units) ..."; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd; } \
			>/dev/null 2>&1 </dev/null || true; }

# Debian packages that tests need: installed when root, else named and their tests reported as not run.
.PHONY: packages
packages:
	@PATH="$$PATH:/usr/sbin"; command -v mosquitto >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing Debian's mosquitto (tests) ..."; \
			{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mosquitto; } \
				>/dev/null 2>&1 </dev/null || true; \
			if [ -d /run/systemd/system ]; then systemctl disable -q --now mosquitto 2>/dev/null || true; fi; \
		fi; }; \
	command -v strace >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing Debian's strace (fault tests) ..."; \
			{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq strace; } \
				>/dev/null 2>&1 </dev/null || true; \
		fi; }; \
	command -v faketime >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing Debian's faketime (fault tests) ..."; \
			{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq faketime; } \
				>/dev/null 2>&1 </dev/null || true; \
		fi; }; \
	for name in mosquitto strace faketime; do command -v $$name >/dev/null || \
		echo "$$name is missing: tests that need it are reported as not run. apt install $$name"; done

# Two at a time; those that mostly wait for real seconds to pass five at a time.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
WAITING := $(BIN)/python -m pytest -n 5 --dist loadfile
FAULTS := $(BIN)/python -m pytest -n 4 --dist loadfile
RUNS_AT_ONCE := $(BIN)/python -m pytest -n 5 --dist load

test: $(DEV) packages s3-server
	$(PYTEST) -m "not slow" tests/agent tests/drivers tests/simulator
	$(WAITING) -m "not slow" tests/contracts tests/faults tests/rig
	$(RUNS_AT_ONCE) -m "not slow" tests/hil
	$(PYTEST) tests/cloud

# Those that are too long for each change: one simulated run for each quirk, and more kills.
test-long: $(DEV) packages
	$(RUNS_AT_ONCE) -m slow tests --ignore=tests/cloud

# Every fault that a plain Linux box can inject, and what became of every record: docs/faults.md.
.PHONY: faults
faults: $(DEV) packages
	@BRAIN_FAULTS_ALL=1 BRAIN_FAULTS_REPORT=faults-report.json $(FAULTS) tests/faults

# Random combinations of faults for some minutes; prints its seed. `make soak SEED=7` repeats one.
MINUTES ?= 10
SEED ?=
.PHONY: soak
soak: $(DEV) packages
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# The guest with a kernel of its own: all of its tests, and what they found in rig-report.json.
# CUTS: how many power cuts under load. 25 minutes on 2 cores; docs/rig.md.
CUTS ?= 20
.PHONY: test-rig rig-kernel
test-rig: $(DEV) packages
	@BRAIN_RIG_ALL=1 BRAIN_RIG_CUTS=$(CUTS) BRAIN_RIG_REPORT=rig-report.json $(PYTEST) tests/rig

# ISO-TP, V4L2, USB, GPIO and TPM need a kernel that Debian does not build: once, 5 to 20 minutes.
rig-kernel:
	@tests/rig/build --kernel

# Fifty random runs in a row, one kill after the other: the long form of the tests in tests/hil.
# RUNS=1 KILLS=200 SECONDS=300: two hundred kills in one run. KILLS_SEED is another one.
RUNS ?= 50
SECONDS ?= 20
test-kills: $(DEV)
	$(BIN)/python -m tests.hil.random_kills --runs $(RUNS) --duration $(SECONDS) \
		$(if $(KILLS),--kills $(KILLS)) $(if $(KILLS_SEED),--seed $(KILLS_SEED))

# A million inputs each, some 10 minutes together; a slice of both is part of make test.
fuzz: $(DEV)
	$(BIN)/python -m tests.drivers.codecs.fuzz_transport --frames 1000000
	$(BIN)/python -m tests.drivers.gnss_nmea0183.fuzz

docs: $(DEV)
	$(BIN)/python docs/signals.py

bench: $(DEV) packages
	@for script in start receive_decode frame_stages raw_ring uplink_codec flash_bytes outbox_open throughput \
			full_bus bus_month day_offline upload_beside_alarms against_gateway; do \
		echo "== $$script"; $(BIN)/python -m benchmarks.$$script || exit 1; echo; done

clean:
	rm -rf $(VENV) $(S3) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

COMPILE := $(BIN)/python -m piptools compile -q --generate-hashes --no-emit-options --allow-unsafe \
	--strip-extras --no-header --no-annotate

lock: $(DEV)
	@$(BIN)/python -m piptools --version >/dev/null 2>&1 || $(BIN)/pip install -q pip-tools
	$(COMPILE) --extra sim --extra build -o requirements.lock pyproject.toml
	$(COMPILE) --extra sim --extra build --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	$(COMPILE) -o requirements-s3.lock requirements-s3.in

# Each end generates its own module from the one description both share.
proto: $(DEV)
	for side in agent/uplink cloud; do \
		$(BIN)/python -m grpc_tools.protoc -Iconfig --python_out=$$side --pyi_out=$$side config/telemetry.proto; \
		sed -i 's/, _Mapping\]/, _Mapping[str, object]]/g' $$side/telemetry_pb2.pyi; done
