# `make demo` asks a real CT a question, `make viewer` opens a study in OHIF to ask about, `make test` runs every check.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
HALF-1 := tests/engines tests/imaging
HALF-2 := $(HALF-1:%=--ignore=%)
.PHONY: demo viewer test lint format conformance bench regression imaging-bench clean
demo: .venv/serving
	$(BIN)/radserve demo
viewer: .venv/serving  # STUDY=folder shows your own DICOM, PORT=3001 listens there
	$(BIN)/radserve ohif --fetch && $(BIN)/radserve ohif --demo $(if $(STUDY),--study "$(STUDY)") $(if $(PORT),--port $(PORT))
test: .venv/testing
	@$(BIN)/radserve ohif --fetch || echo "Without OHIF the tests in a browser are skipped."
	$(MAKE) --jobs=2 --output-sync=target half-1 half-2 lint .venv-aiperf/ready
	$(BIN)/pytest -m timed
half-%: .venv/testing  # what measures no times runs in two halves at once, each told when it ends
	$(BIN)/pytest -m 'not timed' $(HALF-$*)
lint: .venv/testing
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
format: .venv/testing
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .
conformance: .venv/testing
	$(BIN)/pytest --quiet --collect-only --conformance docs/conformance.md tests/imaging tests/server
bench: .venv/testing
	$(BIN)/radserve bench --quick
regression: .venv/testing
	$(BIN)/radserve bench --quick --out runs/regression && $(BIN)/python -m radserve_bench.regression runs/regression/report.json
imaging-bench: .venv/testing
	$(PIP) --editable '.[imaging-baseline]' && $(BIN)/python -m radserve_bench.imaging
clean: ; rm -rf .venv .venv-aiperf .viewer runs
.venv/serving: pyproject.toml
	$(PYTHON) -m venv .venv
	@echo "Installing the server, Triton and OpenVINO into .venv (about a minute) …"
	$(PIP) --editable '.[server,cpu]' && touch $@
.venv/testing: .venv/serving
	@echo "Installing the test tools and the PyTorch baseline into .venv (about a minute) …"
	$(PIP) --editable '.[test]' && touch $@
.venv-aiperf/ready:  # NVIDIA's load generator needs other versions than the server: half a minute
	$(PYTHON) -m venv .venv-aiperf && .venv-aiperf/bin/pip install --quiet --disable-pip-version-check 'aiperf==0.13.*' && touch $@
