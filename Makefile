# The commands of the project. `make run` and `make test` need nothing but Python 3.11 and make.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check audit soak bench bench-peers fix prices lock clean

run: $(VENV)/.run  ## talk to a real model on 127.0.0.1:8000
	@$(BIN)/python -m app.cli.run

test: export PYTHONDONTWRITEBYTECODE :=  # hundreds of servers are booted, and compile the same files
test: $(VENV)/.dev check  ## everything that CI runs
	$(BIN)/pytest --half together --numprocesses 2 --dist loadfile
	$(BIN)/pytest --half alone

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(VENV)/.dev  ## ask whether a vulnerability is known in what the server needs; offline it says so and goes on
	@$(BIN)/python tests/audit.py requirements.txt requirements-local.txt $(ARGS)

soak: $(VENV)/.dev  ## 10 minutes of 200 conversations with faults and hang-ups; SOAK_S=60 for a shorter one
	PYTHONPATH=tests $(BIN)/python -m soak

bench: $(VENV)/.base  ## what a turn costs, side by side with others; ARGS=--quick for a short one; needs a C compiler
	$(BIN)/python -m bench $(ARGS)

bench-peers: $(VENV)/.base  ## install the gateways that `make bench` compares with, into bench/.peers
	$(BIN)/python -m bench.peers

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

prices: $(VENV)/.dev  ## take the models' prices anew from the library genai-prices, into app/telemetry/prices.json
	PYTHONPATH=tests $(BIN)/python -m telemetry.genai

lock: $(VENV)/.dev  ## compile the requirements anew, with hashes
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes -o requirements.txt requirements.in
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes -o deploy/lambda/requirements.txt deploy/lambda/requirements.in
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes -o requirements-dev.txt requirements-dev.in
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-deps -o requirements-local.txt requirements-local.in

$(VENV)/.base: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Glottis needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.run: $(VENV)/.base requirements-local.txt
	$(BIN)/pip install -q --require-hashes --no-deps -r requirements-local.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.txt
	$(BIN)/pip install -q --require-hashes -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
