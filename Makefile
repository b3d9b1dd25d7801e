# Few commands, each a script of its own. Every one sets up what it needs and says what it does.
.DEFAULT_GOAL := help
.PHONY: help demo build wheel test soak bench verify fix requirements

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: ## set up, then evaluate a bundled program on three nodes while a worker and a node are killed
	@scripts/demo.sh

build: ## set up, then build; leaves .venv/bin/dspex and .venv/bin/python
	@scripts/build.sh

wheel: ## set up, then build dist/dspex-*.whl: the program and the Python package in one
	@scripts/wheel.sh

test: ## set up, then every check and every test
	@scripts/test.sh

soak: ## set up, then break clusters for hours: kill -9, power cuts and all else; SOAK_MINUTES=N, goes on where it was stopped
	@scripts/soak.sh

bench: ## set up, then measure beside dspy, etcd, Ray and Dask (long; JSON lines on stdout)
	@scripts/bench.sh

verify: ## the checks without the tests: formatting, lints, types, scripts; changes nothing
	@scripts/verify.sh

fix: ## mend what can be mended by a tool: formatting, simple lints
	@scripts/fix.sh

requirements: ## resolve requirements/*.in again and write the pinned, hashed *.txt
	@scripts/requirements.sh
