# Every target sets up what it needs. Serving lives in .venv (no torch), training and checks in .venv-dev.
PYTHON ?= python3
HOST ?= 0.0.0.0
PORT ?= 3000

SERVING := .venv
DEV := .venv-dev
PEERS := .venv-peers
BENTOML := $(CURDIR)/$(SERVING)/bentoml

.PHONY: serve train check test bench bench-decoders clean

serve: $(SERVING)/installed
	BENTOML_DO_NOT_TRACK=True BENTOML_HOME=$(BENTOML) $(SERVING)/bin/bentoml serve service:Phototriage --host $(HOST) --port $(PORT)

train: $(DEV)/installed

check: $(DEV)/installed
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/ruff check .
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports
	$(DEV)/bin/pytest --numprocesses auto --dist loadfile

test: $(DEV)/installed
	$(DEV)/bin/pytest $(TESTS)

bench: $(DEV)/installed
	$(DEV)/bin/python -m benchmarks.gradient --model exported_models/cats_dogs
	$(DEV)/bin/python -m benchmarks.training_step --model exported_models/cats_dogs

bench-decoders: $(PEERS)/installed
	$(PEERS)/bin/python -m benchmarks.decoders

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

# Decoders that Pillow is measured against, in an environment of their own.
$(PEERS)/installed: pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --editable . opencv-python-headless simplejpeg scikit-image
	touch $@

clean:
	rm -rf $(SERVING) $(DEV) $(PEERS) build dist *.egg-info
