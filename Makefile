# Two commands on a fresh machine with Python >= 3.11: `make train` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Idle workers take over tests of busy ones.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal

.PHONY: setup train check test test-all lint leaderboard leaderboard-quick clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mtf_rl needs Python 3.11 or newer; choose one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

train: setup
	$(BIN)/python -m mtf_rl.train

# Format, lint, types, layers and the fast tests: under 90 seconds once the caches are warm.
check: lint
	$(PYTEST) -m "not slow and not external"

# All tests but those that need a server, browser, cluster, wheel or notebook.
test: lint
	$(PYTEST) -m "not external"

test-all: lint
	$(PYTEST)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell mtf_rl tests benchmarks docs README.md CHANGELOG.md
	$(BIN)/mypy
	$(BIN)/lint-imports

# The comparison of agents and searches on the default world (hours); goes on where it was stopped.
leaderboard: setup
	test -f runs/leaderboard/leaderboard.csv || $(BIN)/python -m mtf_rl.train uniform --run-dir runs/leaderboard
	$(BIN)/python -m mtf_rl.compare runs/leaderboard
	$(BIN)/python -m benchmarks.leaderboard runs/leaderboard

# The same in minutes: a smaller budget, few contestants.
leaderboard-quick: setup
	test -f runs/leaderboard/leaderboard.csv || $(BIN)/python -m mtf_rl.train uniform --run-dir runs/leaderboard
	$(BIN)/python -m mtf_rl.compare runs/leaderboard --out runs/leaderboard/quick --requests 20000 \
		--seeds 2 --headline-seeds 3 --headline-learners 1 --fractions 0.5 --sessions 1000 --rescored 0 \
		--contestants uniform reward_weighted grid cma_es gp_bo ppo ppo_myopic td3_bc --no-seesaw --no-retention

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
