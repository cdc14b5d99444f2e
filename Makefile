.PHONY: quickstart test lint types bench check

quickstart:
	./setup.sh && .venv/bin/llmevo run examples/reviews.yaml

test:
	./setup.sh dev && .venv/bin/pytest

lint:
	.venv/bin/ruff check .

types:
	.venv/bin/mypy

bench:
	.venv/bin/python experiments/benchmarks/throughput/calls.py

check:
	.ci/run
