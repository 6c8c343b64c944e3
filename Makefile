# mtids: every batch job is a target here. `make help` lists them.
#
# Variables: PIPELINE= a folder of pipelines/ · DATA= a DICOM tree · ANNOTATIONS= annotation tables · OUT= where results go (out/mine with DATA=) ·
# RUN= a training run · DATASET= a dataset · SET= settings of the program a target runs, "key=value key=value" · PROFILE= dev or release.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PROFILE ?= dev
PIPELINE ?= demo
# Your own studies never share folders with the demo: with DATA= or SERVER= and no OUT=, results go into out/mine.
OUT ?= out/$(if $(DATA)$(SERVER),mine,$(PIPELINE))
DATASET ?= $(OUT)/dataset
RUN ?= $(OUT)/run
REAL_DATA := ../shared/data/chest-ct-lung1

CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
SETTINGS := pipelines/$(PIPELINE)
# Your own studies take pipelines/studies unless PIPELINE= names another: the demo's settings carry a public key.
OWN := pipelines/$(if $(filter demo,$(PIPELINE)),studies,$(PIPELINE))
with_settings = $(foreach setting,$(SET),--set $(setting))
# Exit code 1 means "done, look at the findings": a batch goes on, anything else stops it.
look = || { code=$$?; [ $$code -eq 1 ] || exit $$code; }

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Compile the three programs
	@$(CARGO) build --locked --profile $(PROFILE) --workspace --bins

# ---- the mission, step by step ------------------------------------------------------------------------------------------

.PHONY: demo
demo: ## Phantom cohort -> dataset -> audit -> MT-IDS -> evaluation, with progress bars
	@$(MAKE) build PROFILE=$(PROFILE)
	@$(MAKE) pipeline PIPELINE=$(PIPELINE) OUT=$(OUT)

# A DATA of the environment is not the demo's.
demo pipeline: OUT = out/$(PIPELINE)
.PHONY: pipeline
pipeline: ## The steps of the demo without compiling (PIPELINE=demo or demo-short)
	@$(BIN)/mtids-prep phantom --config $(SETTINGS)/phantom.toml --out $(OUT)/cohort
	@$(BIN)/mtids-prep build --config $(SETTINGS)/dataset.toml --data $(OUT)/cohort/dicom --annotations $(OUT)/cohort/annotations.csv --annotations $(OUT)/cohort/masks --out $(DATASET) $(look)
	@$(BIN)/mtids-audit report $(DATASET) --config $(SETTINGS)/audit.toml --out $(OUT)/audit $(look)
	@$(BIN)/mtids-train fit --config $(SETTINGS)/train.toml --dataset $(DATASET) --run $(RUN)
	@$(BIN)/mtids-train evaluate --run $(RUN) --dataset $(DATASET)
	@printf '\n  audit    %s\n  report   %s\n  dataset  %s\n  run      %s\n' $(OUT)/audit/audit.html $(RUN)/report.html $(DATASET) $(RUN)

.PHONY: cohorts
cohorts: ## The standing cohorts, one after the other: data, training, tables of docs (COHORTS="easy pet" for some; SEEDS="1 2 3"; SETTING=volume)
	@$(MAKE) build PROFILE=$(PROFILE)
	@SEEDS='$(SEEDS)' SETTING='$(SETTING)' bash scripts/cohorts/run.sh '$(BIN)' $(COHORTS)

.PHONY: compare
compare: GRID ?= main-small
compare: COHORTS ?= realistic tuning
compare: ## Rows of pipelines/compare/GRID.toml beside each other, resumable: out/compare/GRID (COHORTS= the datasets that it names)
	@$(MAKE) build PROFILE=$(PROFILE)
	@for cohort in $(COHORTS); do bash scripts/cohorts/build.sh '$(BIN)' "$$cohort"; done
	@$(BIN)/mtids-train compare --grid pipelines/compare/$(GRID).toml --out out/compare/$(GRID) --records docs/results/cells/$(GRID) $(foreach cohort,$(COHORTS),--dataset $(cohort)=out/cohorts/$(cohort)/dataset)

.PHONY: compare-results
compare-results: GRID ?= main-small
compare-results: ## What is on record of pipelines/compare/GRID.toml, without training: out/compare/GRID, tables in docs/results/compare-GRID.md
	@$(MAKE) build PROFILE=$(PROFILE)
	@$(BIN)/mtids-train compare --grid pipelines/compare/$(GRID).toml --out out/compare/$(GRID) --records docs/results/cells/$(GRID) --records-only
	@cp out/compare/$(GRID)/results.md docs/results/compare-$(GRID).md

.PHONY: phantom-pictures
phantom-pictures: build python ## A phantom beside a real CT: pictures, HU of tissues and noise, for docs/phantom.md (needs ../shared/data)
	@bash scripts/phantom/pictures.sh '$(BIN)'

.PHONY: demo-real
demo-real: ## The same programs on a real chest CT (DATA=folder); claims no metric
	@$(MAKE) build PROFILE=$(PROFILE)
	@CARGO_TARGET_DIR='$(CARGO_TARGET_DIR)' bash pipelines/demo-real/run.sh '$(BIN)' '$(DATA)' '$(if $(filter file,$(origin OUT)),out/demo-real,$(OUT))'

.PHONY: fetch
fetch: build ## Studies from a DICOMweb server -> OUT/studies/dicom (SERVER=, OUT=, QUERY="--patient ID --modality CT")
	@test -n '$(SERVER)' || { echo 'say where the studies are: make fetch SERVER=https://host/dicom-web QUERY="--patient ID"' >&2; exit 2; }
	@$(BIN)/mtids-prep fetch --server '$(SERVER)' $(QUERY) --out $(OUT)/studies

.PHONY: dataset
dataset: build ## Your DICOM tree -> Parquet dataset (DATA=, ANNOTATIONS=, PIPELINE=, OUT=, SET=)
	@test -n '$(DATA)' || { echo 'say where the DICOM files are: make dataset DATA=/path/to/studies ANNOTATIONS=/path/to/table.csv' >&2; exit 2; }
	@$(BIN)/mtids-prep build --config $(OWN)/dataset.toml --data $(DATA) $(foreach table,$(ANNOTATIONS),--annotations $(table)) --out $(DATASET) $(with_settings)

.PHONY: audit
audit: build ## Label distributions of a dataset (DATASET=, OUT=)
	@$(BIN)/mtids-audit report $(DATASET) --config $(OWN)/audit.toml --out $(OUT)/audit $(with_settings)

.PHONY: train
train: build ## Train MT-IDS on a dataset, or resume (DATASET=, RUN=, PIPELINE=)
	@$(BIN)/mtids-train fit --config $(OWN)/train.toml --dataset $(DATASET) --run $(RUN) $(with_settings)

.PHONY: evaluate
evaluate: build ## Evaluate a run on the held-out patients (DATASET=, RUN=)
	@$(BIN)/mtids-train evaluate --run $(RUN) --dataset $(DATASET)

.PHONY: report
report: evaluate ## The page and the model card of a run (DATASET=, RUN=)
	@printf '  report      %s\n  model card  %s\n' $(RUN)/report.html $(RUN)/model-card.md

.PHONY: predict
predict: build ## Answers for the candidates of new studies (RUN= or OUT= of your run, DATA=, ANNOTATIONS=): OUT/answer
	@test -n '$(DATA)' || { echo 'say where the DICOM files are: make predict DATA=/path/to/study ANNOTATIONS=/path/to/points.csv' >&2; exit 2; }
	@test -d '$(RUN)' || { echo 'no run in $(RUN): say which network is to answer, OUT=out/mine or RUN=/path/to/run' >&2; exit 2; }
	@$(BIN)/mtids-train predict --run $(RUN) --data $(DATA) $(foreach table,$(ANNOTATIONS),--annotations $(table)) --out $(OUT)/answer $(with_settings)

.PHONY: export
export: build ## The network of a run as ONNX, safetensors and MONAI bundle (RUN=, OUT=): OUT/net.onnx, OUT/net, OUT/bundle
	@$(BIN)/mtids-train export --run $(RUN) --onnx $(OUT)/net.onnx --safetensors $(OUT)/net --monai $(OUT)/bundle

.PHONY: verify
verify: build ## Re-read every digest of a dataset (DATASET=)
	@$(BIN)/mtids-prep verify $(DATASET)

# ---- quality ------------------------------------------------------------------------------------------------------------

.PHONY: test
test: build ## Every test whose needs are met; lists the others (profile dev)
	@bash tests/run.sh

.PHONY: audit-clean
audit-clean: ## A hundred clean random cohorts: no error, five at most with a statistical warning
	@MTIDS_TEST_CLEAN_COHORTS=100 $(CARGO) test --locked --package mtids-audit --test clean -- --nocapture

.PHONY: lint
lint: ## Formatting, clippy, documentation (warnings denied), words, limits of READMEs, import circles
	@$(CARGO) fmt --all --check
	@bash scripts/ci/words.sh
	@bash scripts/ci/readme.sh
	@python3 scripts/ci/circles.py
	@$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

.PHONY: spelling
spelling: ## Typing errors (needs typos)
	@bash scripts/ci/spelling.sh

.PHONY: dependencies
dependencies: ## Licences, sources and bans by deny.toml; dependencies that nothing uses (Python 3.11)
	@CARGO='$(CARGO)' python3 scripts/ci/dependencies.py

.PHONY: features
features: ## Check each feature of each crate by itself (those for a GPU: make cuda-check)
	@CARGO='$(CARGO)' bash scripts/ci/features.sh

.PHONY: python
python: ## Python readers for the tests, into .venv (make test makes it; without Python those tests are listed as not run)
	@test -d .venv || python3 -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/python/requirements.txt

.PHONY: parity-fixtures
parity-fixtures: ## What TorchJD and LibMTL answer to random gradients, anew, for the tests of mtids-balance (needs PyPI)
	@test -d .venv-parity || python3 -m venv .venv-parity
	@.venv-parity/bin/pip install --quiet --disable-pip-version-check --requirement tests/parity/requirements.txt
	@OMP_NUM_THREADS=1 .venv-parity/bin/python tests/parity/make_balance_fixtures.py

.PHONY: metric-fixtures
metric-fixtures: ## The figures of scikit-learn and SciPy anew, for the tests of mtids-metrics (needs PyPI)
	@test -d .venv-metrics || python3 -m venv .venv-metrics
	@.venv-metrics/bin/pip install --quiet --disable-pip-version-check --requirement tests/parity/metric_requirements.txt
	@.venv-metrics/bin/python tests/parity/make_metric_fixtures.py
	@.venv-metrics/bin/python tests/parity/make_fusion_fixture.py

.PHONY: batch-norm-fixtures
batch-norm-fixtures: PYTHON ?= python3
batch-norm-fixtures: ## PyTorch's batch norm and residual stages anew, for the tests of mtids-layers (PYTHON= with tests/parity/model_requirements.txt)
	@$(PYTHON) tests/parity/make_batch_norm_fixtures.py

PARITY_MODELS := $(OUT)/parity-models
.PHONY: parity-models
parity-models: PYTHON ?= python3
parity-models: ## Every architecture beside its PyTorch twin: logits, losses, gradients (PYTHON= with tests/parity/model_requirements.txt)
	@$(CARGO) run --locked --quiet --package mtids-models --example export_model -- '$(PARITY_MODELS)'
	@$(PYTHON) tests/parity/model_check.py '$(PARITY_MODELS)'

.PHONY: check-mlflow
check-mlflow: build ## A run on a tracking server of MLflow and back (RUN=, PYTHON= with tests/parity/mlflow_requirements.txt)
	@$(PYTHON) tests/parity/mlflow_check.py $(BIN)/mtids-train $(RUN)

.PHONY: check-monai
check-monai: build ## A MONAI bundle of a run beside its evaluation (RUN=, DATASET=, PYTHON= with tests/parity/monai_requirements.txt)
	@$(PYTHON) tests/parity/monai_check.py $(BIN)/mtids-train $(RUN) $(DATASET)

.PHONY: check-torch
check-torch: build ## The PyTorch lines of docs/guide/export.md beside an evaluation (RUN=, DATASET=, PYTHON= with tests/parity/torch_requirements.txt)
	@$(PYTHON) tests/parity/torch_check.py $(BIN)/mtids-train $(RUN) $(DATASET)

check-coverage: PATIENTS ?= 600
check-coverage: SEED ?= 90001
.PHONY: check-coverage
check-coverage: build ## Conformal sets of a run on fresh phantoms: does their interval hold the level? (RUN=, PIPELINE=demo or cohorts/NAME, PATIENTS=600, SEED=)
	@python3 scripts/cohorts/coverage.py $(BIN) $(RUN) $(SETTINGS) $(OUT)/coverage-$(SEED)-$(PATIENTS) $(PATIENTS) $(SEED) $(SET)

STUDIES ?= 20
.PHONY: check-orthanc
check-orthanc: build ## Fetch from an Orthanc server, and send to it (STUDIES=200 for the full size; Debian: orthanc, orthanc-dicomweb)
	@python3 tests/parity/orthanc_check.py $(BIN) $(STUDIES)

.PHONY: check-slurm
check-slurm: build ## The Slurm scripts of pipelines/jobs on a Slurm of one node (root; Debian: slurmctld slurmd slurm-client munge)
	@bash tests/parity/slurm_check.sh $(BIN)

.PHONY: mpi-check
mpi-check: ## Several processes under mpirun beside one, in docs/results/ranks.md (DATASET=; Debian: libopenmpi-dev openmpi-bin libclang-dev)
	@command -v mpirun mpicc >/dev/null || { echo "mpi-check needs mpirun and mpicc; Debian: apt-get install openmpi-bin libopenmpi-dev libclang-dev" >&2; exit 2; }
	@test -f '$(DATASET)/manifest.json' || { echo "no dataset in $(DATASET): make demo PIPELINE=$(PIPELINE), or DATASET=" >&2; exit 2; }
	@$(CARGO) build --locked --profile $(PROFILE) --package mtids-train
	@mkdir -p '$(OUT)' && cp $(BIN)/mtids-train '$(OUT)/mtids-train-without-mpi'
	@MTIDS_RANK_STEPS=200 $(CARGO) test --locked --profile $(PROFILE) --package mtids-models --test ranks
	@$(CARGO) build --locked --profile $(PROFILE) --package mtids-train --features mpi
	@python3 tests/parity/mpi_check.py '$(BIN)/mtids-train' '$(OUT)/mtids-train-without-mpi' '$(DATASET)' '$(SETTINGS)/train.toml' docs/results/ranks.md

WHEELS ?= out/wheels
.PHONY: wheel
wheel: ## The Python package as a wheel for any Linux: WHEELS/mtids-*.whl (PyPI for maturin and zig; PROFILE=wheel by default)
	@CARGO_TARGET_DIR='$(CARGO_TARGET_DIR)' bash scripts/python/wheel.sh "$(if $(filter dev,$(PROFILE)),wheel,$(PROFILE))" "$(WHEELS)"

.PHONY: check-package
check-package: python ## The Python module beside the libraries in Rust (DATASET=, CYCLES= of forks and kills)
	@CARGO='$(CARGO)' bash scripts/python/check.sh '$(PROFILE)' '$(DATASET)' '$(or $(CYCLES),20)'

.PHONY: bench-package
bench-package: python ## Rows per second of the stream through Python beside Rust (DATASET=, PROFILE=)
	@CARGO='$(CARGO)' MTIDS_SCRIPT=scripts/benchmarks/package.py bash scripts/python/check.sh '$(PROFILE)' '$(DATASET)' 11

.PHONY: bench-package-peers
bench-package-peers: PYTHON ?= python3
bench-package-peers: ## The same beside LitData, MosaicML Streaming and Grain (DATASET=, PYTHON= with the wheel and scripts/benchmarks/requirements-package-peers.txt)
	@$(PYTHON) scripts/benchmarks/package_peers.py $(DATASET) $(OUT)/package-peers 7

.PHONY: check-wheel
check-wheel: ## The wheel in a fresh environment without cargo: the programs, then the reader (WHEELS= as in make wheel)
	@bash scripts/python/check_wheel.sh '$(WHEELS)'

.PHONY: check-container
check-container: ## The steps of pipelines/container in a fresh Debian root, then the programs there (root; Debian: debootstrap; WHEELS= as in make wheel)
	@bash scripts/python/check_container.sh '$(WHEELS)'

.PHONY: check-torch-package
check-torch-package: PYTHON ?= python3
check-torch-package: ## The package in PyTorch: workers, resumption, kills (DATASET=, CYCLES=, PYTHON= with the wheel and tests/parity/package_requirements.txt)
	@$(PYTHON) tests/parity/torch_package_check.py $(DATASET) $(or $(CYCLES),50)

FAULTS ?= 300
KILLS ?= 20
.PHONY: check-s3
check-s3: PYTHON ?= .venv-s3/bin/python
check-s3: build ## A dataset in a bucket of moto's S3 server: published, raced for, killed half-way, through faults (FAULTS=10000 for the full size; PyPI)
	@test -x '$(PYTHON)' || { python3 -m venv .venv-s3 && .venv-s3/bin/pip install --quiet --disable-pip-version-check --requirement tests/parity/s3_requirements.txt; }
	@$(PYTHON) tests/parity/s3_check.py $(BIN) $(FAULTS) $(KILLS)

.PHONY: schemas
schemas: ## Write schemas/ and docs/guide/reason-codes.md anew from the code
	@$(CARGO) run --locked --quiet --package mtids-tests --bin write-schemas -- .

.PHONY: bench
bench: ## Every benchmark of docs/benchmarks/README.md, each beside its peer (PROFILE=dev or release; PART=dicom for the readers alone)
	@bash scripts/benchmarks/run.sh '$(PROFILE)' '$(PART)'

.PHONY: bench-trunks
bench-trunks: PYTHON ?= .venv-layers/bin/python
bench-trunks: ## Forward and backward pass of the default trunks beside PyTorch (PyPI)
	@bash scripts/benchmarks/trunks.sh '$(PROFILE)' '$(PYTHON)'

.PHONY: bench-peers
bench-peers: ## The build beside a Python script of pydicom, SimpleITK and pyarrow (PROFILE=release; WORKERS=)
	@$(MAKE) build PROFILE=$(PROFILE)
	@bash scripts/benchmarks/peers.sh '$(BIN)' '$(WORKERS)'

.PHONY: bench-fit
bench-fit: DATASET = out/demo/dataset
bench-fit: ## Patches per second of `fit` beside the same steps on a batch held in memory (DATASET= of `make demo`, STEPS=, ROUNDS=, PROFILE=)
	@$(CARGO) build --locked --quiet --profile '$(PROFILE)' -p mtids-train --example fit_pace
	@$(BIN)/examples/fit_pace '$(DATASET)' pipelines/demo/train.toml '$(or $(STEPS),60)' '$(or $(ROUNDS),5)'

.PHONY: bench-suspects
bench-suspects: COHORTS ?= realistic
bench-suspects: SEEDS ?= 1 10
bench-suspects: ## Likely label errors beside cleanlab's, with 5 % more labels flipped: docs/results/suspects.md (COHORTS= one, SEEDS="first last", SET=, PROFILE=)
	@$(MAKE) build PROFILE=$(PROFILE)
	@bash scripts/benchmarks/suspects.sh '$(BIN)' '$(COHORTS)' $(SEEDS) $(SET)

.PHONY: bench-audit
bench-audit: DATASET = out/cohorts/realistic/dataset
bench-audit: ROWS ?= 10000000
bench-audit: SITES ?= 50
bench-audit: ROUNDS ?= 3
bench-audit: ## An audit of ten million rows beside pandas' group-bys: docs/results/audit.md (DATASET= to tile, ROWS=, SITES=, ROUNDS=, PROFILE=)
	@bash scripts/benchmarks/audit.sh '$(PROFILE)' '$(DATASET)' '$(ROWS)' '$(SITES)' '$(ROUNDS)'

.PHONY: cuda-check
cuda-check: ## Type-check and link the trainer for NVIDIA GPUs on a machine without one (DATASET=; compiler from PyPI, 616 MB; about 20 CPU-minutes once)
	@test -f '$(DATASET)/manifest.json' || { echo "no dataset in $(DATASET): make demo PIPELINE=$(PIPELINE), or DATASET=" >&2; exit 2; }
	@bash tests/cuda/check.sh '$(DATASET)'

.PHONY: cuda-test
cuda-test: ## Each operation, then the network, on an NVIDIA GPU beside the CPU; says that it ran nothing where there is none
	@bash tests/cuda/test.sh

.PHONY: cuda-launches
cuda-launches: ## Launches of a training step, counted without a GPU, beside the form of candle's operations (WRITE=1: into tests/cuda/launches.json)
	@bash tests/cuda/launches.sh $(if $(WRITE),write)

.PHONY: cuda-bundle
cuda-bundle: ## Programs, tests, bench and a script for a machine with an NVIDIA GPU, in one archive: OUT/mtids-cuda-x86_64.tar.xz (PROFILE=)
	@bash tests/cuda/bundle.sh '$(PROFILE)' '$(or $(filter-out out/demo,$(OUT)),out/cuda-bundle)'

.PHONY: balance-toy
balance-toy: ## Every balancer on problems with a known front: docs/results/balance_toy.md and its picture
	@$(CARGO) run --locked --quiet --profile $(PROFILE) --package mtids-balance --example balance_toy -- docs/results

.PHONY: balance-bench
balance-bench: ## Gram matrix beside a read of memory, algebra of every balancer: docs/benchmarks/balance_bench.md (always release)
	@$(CARGO) run --locked --quiet --release --package mtids-balance --example balance_bench -- docs/benchmarks/balance_bench.md

EXPERTS ?= residual
.PHONY: stream-quality
stream-quality: ## How the stream mixes rows, beside a global shuffle: docs/results/stream.md
	@mkdir -p $(OUT)
	@$(CARGO) run --locked --quiet --profile $(PROFILE) --package mtids-stream --example stream_quality > $(OUT)/stream-quality.txt
	@python3 scripts/between_marks.py docs/results/stream.md mixing < $(OUT)/stream-quality.txt

STREAM_KILLS ?= 500
STREAM_DAMAGES ?= 10000
STREAM_MILLIONS ?= 10
.PHONY: check-stream
check-stream: ## The stream at full size: kills, damage, memory, entering an epoch, a slow consumer: docs/results/stream.md (STREAM_KILLS= STREAM_DAMAGES= STREAM_MILLIONS=)
	@mkdir -p $(OUT)
	@$(CARGO) run --locked --quiet --profile $(PROFILE) --package mtids-stream --example stream_check -- $(STREAM_KILLS) $(STREAM_DAMAGES) $(STREAM_DAMAGES) $(STREAM_MILLIONS) > $(OUT)/stream-check.txt
	@python3 scripts/between_marks.py docs/results/stream.md promises < $(OUT)/stream-check.txt

WARM ?= 7
COLD ?= 3
.PHONY: bench-stream
bench-stream: PYTHON ?= .venv-stream/bin/python
bench-stream: ## Rows per second of the stream beside six libraries, warm and cold: docs/results/stream.md (DATASET= of two views, OUT= for copies, WARM= COLD= rounds; PyPI)
	@test -x '$(PYTHON)' || { python3 -m venv .venv-stream && .venv-stream/bin/pip install --quiet --disable-pip-version-check --requirement scripts/benchmarks/requirements-stream-peers.txt; }
	@$(CARGO) build --locked --quiet --profile $(PROFILE) --package mtids-stream --example stream_rate
	@mkdir -p $(OUT)
	@$(PYTHON) scripts/benchmarks/stream_peers.py $(DATASET) $(OUT)/stream-peers $(BIN)/examples/stream_rate $(WARM) $(COLD) > $(OUT)/stream-peers.txt
	@python3 scripts/between_marks.py docs/results/stream.md peers < $(OUT)/stream-peers.txt
	@$(PYTHON) scripts/benchmarks/voxel_codecs.py $(DATASET) > $(OUT)/voxel-codecs.txt
	@python3 scripts/between_marks.py docs/results/stream.md codecs < $(OUT)/voxel-codecs.txt

.PHONY: digits
digits: ## MT-IDS, baselines and balancers on handwritten digits: docs/results/digits.md (EXPERTS=normalised: another page; PyPI)
	@bash scripts/digits/run.sh '$(EXPERTS)' '$(PROFILE)'

.PHONY: balance-cost
balance-cost: ## A training step under every balancer over the plain sum, beside TorchJD (PyPI): docs/benchmarks/balance_cost.md (ROUNDS=)
	@bash scripts/benchmarks/balance_cost.sh '$(PROFILE)' '$(or $(ROUNDS),7)'

.PHONY: growth
growth: ## Steps per second and memory as batch, patch, tasks and experts grow: docs/benchmarks/growth.md (ROUNDS=)
	@bash scripts/benchmarks/growth.sh '$(PROFILE)' '$(or $(ROUNDS),5)'

FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=
.PHONY: fuzz
fuzz: ## Fuzz every reader of other people's files (FUZZ_SECONDS= for each, FUZZ_TARGETS=; needs cargo-fuzz)
	@bash crates/mtids-dicom/fuzz/run.sh '$(FUZZ_SECONDS)' $(FUZZ_TARGETS)

.PHONY: screenshots
screenshots: build python ## Pictures of every page and README's table anew, from a run of the demo (needs chromium)
	@test -f '$(OUT)/cohort/truth.json' || { echo 'no cohort of phantoms in $(OUT): pictures are of a demo (OUT=out/demo after make demo)' >&2; exit 2; }
	@rm -rf $(OUT)/new $(OUT)/answer
	@[ -f out/demo-short/dataset/manifest.json ] || $(MAKE) pipeline PIPELINE=demo-short OUT=out/demo-short
	@$(BIN)/mtids-prep phantom --config $(SETTINGS)/phantom.toml --set seed=77 --set patients=1 --out $(OUT)/new
	@$(BIN)/mtids-train predict --run $(RUN) --data $(OUT)/new/dicom --annotations $(OUT)/new/annotations.csv --out $(OUT)/answer --primary-side right || [ $$? -eq 1 ]
	@bash scripts/screenshots.sh '$(BIN)' '$(OUT)' '$(RUN)'

.PHONY: check-page
check-page: ## The script that sorts and searches the tables of our pages (needs chromium)
	@python3 tests/python/check_page.py

# What targets write by themselves. Folders that you named, such as out/mine, are yours.
GENERATED := demo demo-short demo-real cohorts compare check bench-audit digits wheels cuda-bundle phantom-picture stream-check.txt stream-quality.txt

.PHONY: clean
clean: ## Remove what the targets made in out/, not your own folders there, nor the compiled programs
	@rm -rf $(addprefix out/,$(GENERATED))
	@rmdir out 2>/dev/null || { test ! -d out || { echo 'kept in out/:' && ls out; }; }
