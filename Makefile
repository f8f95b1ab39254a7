# Every target sets up what it needs. Serving lives in .venv (no torch), training and checks in .venv-dev.
PYTHON ?= python3
HOST ?= 0.0.0.0
PORT ?= 3000

SERVING := .venv
DEV := .venv-dev
PEERS := .venv-peers
BENTOML := $(CURDIR)/$(SERVING)/bentoml

.PHONY: serve train check check-full test soak bench bench-decoders bench-duplicates bench-difficulty bench-http clean

serve: $(SERVING)/installed
	BENTOML_DO_NOT_TRACK=True BENTOML_HOME=$(BENTOML) $(SERVING)/bin/bentoml serve service:Phototriage --host $(HOST) --port $(PORT)

train: $(DEV)/installed

check: $(DEV)/installed
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/ruff check .
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports
	$(DEV)/bin/pytest --numprocesses auto --dist loadfile

check-full: check soak

test: $(DEV)/installed
	$(DEV)/bin/pytest $(TESTS)

# Half an hour. Another time or other models: make soak MINUTES=120 SOAK='--models exported_models'
MINUTES ?= 30

soak: $(DEV)/installed
	$(DEV)/bin/python -m tests.soak --minutes $(MINUTES) $(SOAK)

bench: $(DEV)/installed
	$(DEV)/bin/python -m benchmarks.gradient --model exported_models/cats_dogs
	$(DEV)/bin/python -m benchmarks.training_step --model exported_models/cats_dogs

bench-decoders: $(PEERS)/installed
	$(PEERS)/bin/python -m benchmarks.decoders

# Where the photos are: make bench-duplicates HOUSES=… CALTECH=… CATS_DOGS=…
HOUSES ?= house_photos.tar
CALTECH ?= caltech101.tar
CATS_DOGS ?= cats_dogs.tar
DUPLICATES ?= exported_models/near_duplicates

bench-duplicates: $(DEV)/installed-bench
	$(DEV)/bin/python -m benchmarks.duplicates --houses $(HOUSES) --caltech $(CALTECH) --on test --model $(DUPLICATES) --picture docs/duplicates_pr.png --metrics runs/near_duplicates_test.json
	$(DEV)/bin/python -m benchmarks.false_positives --data $(CATS_DOGS) --model $(DUPLICATES)
	$(DEV)/bin/python -m benchmarks.embed_cost --model $(DUPLICATES)

bench-difficulty: $(DEV)/installed
	$(DEV)/bin/python -m benchmarks.difficulty --data $(CATS_DOGS) --model cats_dogs --on test --picture docs/difficulty.png --metrics runs/difficulty_test.json
	$(DEV)/bin/python -m benchmarks.difficulty_cost --model cats_dogs

# Every peer gets an environment of its own. Half an hour, on a machine that does nothing else.
bench-http: $(DEV)/installed
	$(DEV)/bin/python -m benchmarks.http_load --data $(CATS_DOGS) $(HOUSES) --open-loop --overload --triage

$(SERVING)/installed: pyproject.toml
	$(PYTHON) -m venv $(SERVING)
	$(SERVING)/bin/pip install --quiet --editable .
	touch $@

# On Linux x86-64 the index's torch brings CUDA libraries of several GB; a CPU build that is already installed in
# $(DEV) is kept if its version fits.
$(DEV)/installed: pyproject.toml
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet --editable '.[train,dev]'
	touch $@

# Hashes that near-duplicate models are measured against need nothing that training doesn't have.
$(DEV)/installed-bench: $(DEV)/installed
	$(DEV)/bin/pip install --quiet --editable '.[train,dev,bench]'
	touch $@

# Decoders that Pillow is measured against, in an environment of their own.
$(PEERS)/installed: pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --editable . opencv-python-headless simplejpeg scikit-image
	touch $@

clean:
	rm -rf $(SERVING) $(DEV) $(PEERS) .venv-peer-* build dist *.egg-info
