# `make demo` and `make test` need only Python 3.11, git and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo serve test check coverage docs wheel audit bench chaos screenshots lock

install: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	test -x $(BIN)/uv || ($(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet uv)
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode -r requirements.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

demo: install  ## one sweep from start to finish: REST, Ray, table and figure in results/
	$(BIN)/python -m service.demo

serve: install  ## the service on this machine, until Ctrl-C
	$(BIN)/lrd serve

# One test at a time keeps two cores 58 % busy, two at a time 92 %. Each process has its own PostgreSQL.
AT_ONCE ?= 2
test: install
	$(BIN)/python -m pytest -n $(AT_ONCE) --dist worksteal

check: install
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

coverage: install  ## which lines the tests leave out; without the slow tests
	$(BIN)/python -m pytest -m "not slow" --cov --cov-report=term-missing:skip-covered

docs: install  ## the documentation, in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: install  ## dist/*.whl
	$(BIN)/python -m hatchling build -t wheel

audit: install  ## known vulnerabilities of the packages in requirements.lock; no answer is an error
	$(BIN)/pip-audit --requirement requirements.lock --disable-pip --no-deps --strict

chaos: install  ## kill and hang everything for a minute, then audit every promise
	$(BIN)/python -m tests.chaos

OF ?= optimizers
bench: install  ## the cost of learning-rate dropout, compared with none and the authors' loop; OF=training|dispatch|scale|…
	$(BIN)/python -m benchmarks.$(OF)

screenshots: install  ## pictures of a real sweep's page, in docs/screenshots/
	$(BIN)/python -m benchmarks.page screenshots

lock: install
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-header pyproject.toml -o requirements.lock
