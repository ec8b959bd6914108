# Two commands do all the set-up: `make simulate` and `make test`. Both make .venv by themselves.
# Nothing here uses sudo; Debian packages are installed when run as root, else the part that needs
# them says so and is reported as not run.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

DURATION ?= 90
SIMULATE ?= --duration $(DURATION) --seed 7 --fault no_network@20+15 --fault driver_kill:gnss@42 \
            --fault driver_kill:fms@48 --fault agent_kill@55 --fault cloud_kill@64 --fault broker_kill@72

.PHONY: help simulate test check bench clean lock proto

help:
	@echo "make simulate   a simulated bus, its broker and its cloud end on this machine: $(DURATION) s, then the books"
	@echo "make test       all tests that finish within minutes"
	@echo "make check      ruff, mypy --strict, import rules, systemd units"
	@echo "make bench      the figures of the README"
	@echo "make clean      remove .venv and caches"

# The venv is built aside and moved into place only when it is whole.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is older. Debian 12: apt install python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "Python's venv module is missing. Debian: apt install python3-venv"; exit 1; }
	@rm -rf $(VENV)
	@echo "Installing into $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock || { rm -rf $(VENV); exit 1; }
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . || { rm -rf $(VENV); exit 1; }
	@touch $(STAMP)

simulate: $(STAMP)
	@$(BIN)/brain simulate $(SIMULATE)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(STAMP)
	$(BIN)/python -m pytest tests --ignore=tests/cloud
	$(BIN)/python -m pytest tests/cloud

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

lock: $(STAMP)
	@$(BIN)/python -m piptools --version >/dev/null 2>&1 || $(BIN)/pip install -q pip-tools
	$(BIN)/python -m piptools compile -q --extra sim --extra dev --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --allow-unsafe --strip-extras --no-header --no-annotate \
		-o requirements.lock pyproject.toml

# Each end generates its own module from the one description both share.
proto: $(STAMP)
	for side in agent/uplink cloud; do \
		$(BIN)/python -m grpc_tools.protoc -Iconfig --python_out=$$side --pyi_out=$$side config/telemetry.proto; \
		sed -i 's/, _Mapping\]/, _Mapping[str, object]]/g' $$side/telemetry_pb2.pyi; done
