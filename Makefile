# make run   clean the demo recording, spot its keywords, draw its oscillators
# make gui   the window
# make test  lint, types and every test
# make docs  pages about every public name, in build/api
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOMS := app assets dsp export lab models
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on --constraint constraints.txt

.PHONY: run gui test lint types docs demo clean

run: $(VENV)/.run
	@echo "== cleaning the demo recording (the first time, its inner loops are compiled: 10 s)"
	$(BIN)/resonance denoise assets/demo/demo.flac -o out/demo-clean.flac --spot --figure out/resonogram.png --overwrite

gui: $(VENV)/.gui
	$(BIN)/resonance gui

# CI=1: no test may be skipped. Tests that listen to a sound server run one by one: it has no time
# to share.
NO_SKIPS := $(if $(CI),--no-skips)

test: $(VENV)/.test lint
	$(BIN)/python -m pytest -m "not audio" -n logical --maxprocesses 4 --dist loadfile $(NO_SKIPS)
	$(BIN)/python -m pytest -m audio $(NO_SKIPS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(MAKE) types

# mypy looks at folders, not at setuptools' map of them: links show it the installed package,
# and beside it the measurements and what they share with the tests.
types:
	mkdir -p build/types/resonance
	ln -sfn $(wildcard $(CURDIR)/resonance/*.*) $(addprefix $(CURDIR)/,$(ROOMS)) build/types/resonance/
	ln -sfn $(CURDIR)/bench $(CURDIR)/tests build/types/
	cd build/types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml

docs: $(VENV)/.test
	$(BIN)/python -m pdoc --docformat numpy --output-directory build/api \
		resonance resonance.app resonance.dsp '!resonance.app.gui' '!resonance.app.commands'

# The demo recording itself (needs espeak-ng).
demo: $(VENV)/.run
	$(BIN)/python -m resonance.assets.make_demo

$(VENV)/.run: pyproject.toml constraints.txt system-packages.sh
	@echo "== 1 of 3: system libraries"
	./system-packages.sh run
	@echo "== 2 of 3: a Python environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@echo "== 3 of 3: numpy, numba, onnxruntime and a few more (about 300 MB); this takes minutes"
	$(PIP) -e '.[figures]'
	touch $@

$(VENV)/.gui: pyproject.toml constraints.txt system-packages.sh
	@echo "== 1 of 3: system libraries"
	./system-packages.sh gui
	@echo "== 2 of 3: a Python environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@echo "== 3 of 3: these and Qt (about 500 MB); this takes minutes"
	$(PIP) -e '.[actions,gui]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt system-packages.sh
	@echo "== 1 of 3: system libraries"
	./system-packages.sh test
	@echo "== 2 of 3: a Python environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@echo "== 3 of 3: these, torch, Ray and the test tools (about 2 GB); this takes minutes"
	$(PIP) -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info
