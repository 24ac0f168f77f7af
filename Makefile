# A fresh machine needs Python >= 3.11 and make; uv is fetched into .uv where there is none.
#   make quickstart   environment, then the three phases on painted phantoms and a report to open
#   make test         environment, lint, types, tests
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
BIN := .venv/bin
STAMP := .venv/.installed
# Two test processes of one thread each: the smallest machine we promise has two cores.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

# A home folder that cannot be written to must not stop the build.
ifneq ($(shell test -n "$$HOME" -a -w "$$HOME" && echo yes),yes)
export UV_CACHE_DIR ?= $(CURDIR)/.uv/cache
endif
# Tests start many processes; without bytecode each would compile the package again.
unexport PYTHONDONTWRITEBYTECODE
# An activated environment is not the one that is built here.
unexport VIRTUAL_ENV
unexport CONDA_PREFIX

.PHONY: env quickstart test test-all docs bench bench-quick format clean
.DEFAULT_GOAL := test

env: $(STAMP)

# --target where the venv module is missing (Debian splits it off); pip allows it on externally managed Pythons too.
.uv/bin/uv:
	$(PYTHON) -m venv .uv && .uv/bin/python -m pip install --quiet uv \
	    || $(PYTHON) -m pip install --quiet --upgrade --target .uv uv
	@test -x $@ || { echo "make: uv could not be installed; install it by hand and call make again" >&2; exit 1; }

# Bytecode once, here: where PYTHONDONTWRITEBYTECODE is set (containers, CI) each start would compile torch again.
$(STAMP): pyproject.toml constraints.txt | $(filter .uv/bin/uv,$(UV))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "make: $(PYTHON) is older than Python 3.11; call make PYTHON=/path/to/a/newer/python" >&2; exit 1; }
	test -x $(BIN)/python || $(UV) venv --quiet --python "$$(command -v $(PYTHON))" .venv
	$(UV) pip install --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev,dicom,docs,explain,export,volumes,weights]'
	touch $@

quickstart: $(STAMP)
	$(BIN)/ccxr quickstart --out runs/quickstart --overwrite

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml contrastive_cxr
	$(PYTEST) -m "not slow"

# pytest ends with 5 where no test is marked slow; that is no failure.
test-all: $(STAMP)
	$(PYTEST) -m slow || test $$? -eq 5

# The site, into build/docs/index.html; a warning is an error.
docs: $(STAMP)
	$(BIN)/python -m sphinx -q -W --keep-going -n -b html docs build/docs

# make bench DATA=folder/of/xrays THREADS=2; without DATA what needs real images is left out.
BENCH := $(BIN)/python -m benchmarks.every $(if $(THREADS),--threads $(THREADS)) $(if $(DATA),--data $(DATA))
bench: $(STAMP)
	$(BENCH)

bench-quick: $(STAMP)
	$(BENCH) --quick

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .uv .pytest_cache .mypy_cache .ruff_cache build dist
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
