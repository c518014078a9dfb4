# Commands for users and contributors. `make help` lists them.

PYTHON ?= python3
PORT ?= 8000
PIP_ARGS ?=
PYTEST_ARGS ?=
DOCS_ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
# All tests of a file run in one process, so that their fixtures are built once.
PYTEST := $(PY) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help serve demo test test-all test-js test-deploy coverage check docs notebooks dist release-check sizes floors pythons clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Settings: PYTHON=$(PYTHON) PORT=$(PORT) PIP_ARGS='$(PIP_ARGS)' PYTEST_ARGS='$(PYTEST_ARGS)'"

serve: $(VENV)/ready-serve ## Serve the two committed models on the CPU (no torch installed)
	@exec $(VENV)/bin/vae serve --models models --port $(PORT)

demo: $(VENV)/ready-demo ## Train, publish, serve and score on real data, end to end
	$(PY) examples/demo.py --out build/demo

test: $(VENV)/ready-all ## Run all tests except the slow ones (minutes)
	$(PYTEST) -m "not slow and not deploy" $(PYTEST_ARGS)

test-all: $(VENV)/ready-all ## Run the whole test suite except the tests with containers
	$(PYTEST) -m "not deploy" $(PYTEST_ARGS)

test-js: $(VENV)/ready-all ## Test the JavaScript package against Python; needs node and npm
	$(PYTEST) tests/javascript $(PYTEST_ARGS)

test-deploy: $(VENV)/ready-all ## Build the images and test the compose stack; needs a Docker engine
	$(PY) -m pytest -m deploy --timeout=900 $(PYTEST_ARGS)

coverage: $(VENV)/ready-all ## Run all tests except the slow ones and report code coverage
	$(PYTEST) -m "not slow and not deploy" --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

check: $(VENV)/ready-all ## Check style, types and import contracts
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/ready-all ## Build the docs site into build/docs/html; warnings are errors
	$(PY) -m docs.builder $(DOCS_ARGS)

notebooks: $(VENV)/ready-all ## Run the notebooks of docs/, and renew what they print and draw
	$(PY) -m docs.builder.notebooks

dist: $(VENV)/ready-all ## Build the sdist and, from it, the wheel into dist/, and check both
	$(PY) .ci/dist.py --out dist

release-check: dist ## Check what can be checked before a release: versions, dist/, extras, the npm package
	$(PY) .ci/release_check.py dist

sizes: dist ## Measure what each extra downloads and takes on disk
	$(PY) -m benchmarks.install_size --wheel dist/*.whl

floors: $(VENV)/ready-all ## Run all tests with the lowest versions that pyproject.toml allows
	$(PY) .ci/floors.py --venv build/floors --ignore tests/packaging/test_setup.py -m "not deploy" $(PYTEST_ARGS)

pythons: $(VENV)/ready-all ## Run the tests that need no torch on Python 3.12 and 3.13, where found
	$(PY) .ci/pythons.py --venvs build/pythons $(PYTEST_ARGS)

clean: ## Remove the virtual environment and all build outputs
	rm -rf $(VENV) build dist clients/javascript/node_modules *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# One virtual environment, with a stamp file per set of extras. A larger set also stamps the smaller ones.
$(VENV)/ready-serve: EXTRAS := cpu,service
$(VENV)/ready-serve: SETS := serve
$(VENV)/ready-demo: EXTRAS := cpu,service,training,scoring
$(VENV)/ready-demo: SETS := serve demo
$(VENV)/ready-all: EXTRAS := cpu,service,arrow,traces,training,scoring,ray,docs,dev
$(VENV)/ready-all: SETS := serve demo all

$(VENV)/ready-%: pyproject.toml constraints.txt
	@sh .ci/venv.sh "$(PYTHON)" "$(VENV)"
	@echo "Installing vaekit[$(EXTRAS)] into $(VENV)"
	@$(PIP) install --quiet --constraint constraints.txt pip setuptools
	$(PIP) install --no-build-isolation --constraint constraints.txt $(PIP_ARGS) --editable '.[$(EXTRAS)]'
	@touch $(SETS:%=$(VENV)/ready-%)
