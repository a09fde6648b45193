# Everyday commands; `.ci/run` calls the same targets in environments of its own.
PYTHON ?= python

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

.PHONY: install
install:  ## install the workbench with what the tests need
	$(PYTHON) -m pip install -c constraints.txt -e ".[offline,test]"

.PHONY: test
test:  ## run all tests
	$(PYTHON) -m pytest -n auto --dist loadfile

.PHONY: coverage
coverage:  ## run all tests and measure which lines and branches they reach
	$(PYTHON) -m pytest --cov --cov-report=term:skip-covered

.PHONY: lint
lint:  ## check style, format and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

.PHONY: docs
docs:  ## build the documents into build/site; a broken link is an error
	$(PYTHON) docs/build.py

.PHONY: wheel
wheel:  ## build the wheel, install it apart, and run it outside the checkout
	$(PYTHON) .ci/wheel.py

.PHONY: fuzz
fuzz:  ## read 2,000 damaged logs
	$(PYTHON) benchmarks/fuzz.py --inputs 2000

.PHONY: kills
kills:  ## kill commands while they write, and compare what their reruns make
	$(PYTHON) benchmarks/faults.py --kills 8 --tasks 40 --commands import run export "score --jobs 2"

.PHONY: sbom
sbom:  ## list all packages with their licences, as CycloneDX and as a table; no GPL
	mkdir -p build
	$(PYTHON) -m cyclonedx_py environment --output-reproducible -o build/sbom.json
	$(PYTHON) -m piplicenses --from=mixed --format=markdown --with-urls --output-file=build/licences.md \
		--partial-match --fail-on="GPL;GNU General Public"

.PHONY: audit
audit:  ## look for known weaknesses of the pinned packages; one that cannot be looked up fails
	$(PYTHON) -m pip_audit --strict --no-deps --disable-pip -r constraints.txt

.PHONY: mutants
mutants:  ## change 400 places of the numeric core and the exporters, and see whether tests notice
	$(PYTHON) benchmarks/mutants.py --out build/mutants.jsonl

.PHONY: test-trainers
test-trainers:  ## run the tests with trainers (constraints-trainers.txt)
	$(PYTHON) -m pytest -rs tests/trainers tests/producers

.PHONY: test-producers
test-producers:  ## run the tests with what writes the formats (constraints-producers.txt)
	$(PYTHON) -m pytest -rs tests/producers
