# Everything runs in a virtual environment of its own, made on first use:  make demo | make test | make quick | make lint
VENV ?= .venv
PYTHON ?= python3
CUDA ?= 12
BIN := $(VENV)/bin
export PYTHONDONTWRITEBYTECODE =# tests start hundreds of processes: what one has compiled, the others load

.PHONY: demo test quick lint mutants notebooks assignment exam docs lite bench bench-dit bench-compile test-gpu bench-gpu gpu-report clean

demo: $(VENV)/.ready
	$(BIN)/minidiff demo

test: $(VENV)/.ready-test lint
	$(BIN)/python -m pytest -n auto --dist worksteal

# Under a minute on two cores, for whoever edits a file: gradients of ops, layers and models, schedules, losses, samplers
# against closed forms, the order of rooms. Left out: what is marked slow, and these few that take seconds each
QUICK := tests/ops tests/nn tests/models/test_gradients_of_models.py tests/diffusion tests/samplers tests/test_walls.py \
  tests/test_gradcheck.py tests/test_complex_step.py
SECONDS_EACH := tests/samplers/test_editing.py::test_repaint_draws_from_the_conditional_and_the_mask_alone_does_not \
  tests/samplers/test_oracle_runs.py::test_variance_that_ddpm_generates \
  tests/diffusion/test_continuous.py::test_the_reverse_equation_carries_noise_to_data \
  tests/diffusion/test_likelihood.py::test_more_probes_less_noise
quick: $(VENV)/.ready-test
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" $(addprefix --deselect ,$(SECONDS_EACH)) $(QUICK)

lint: $(VENV)/.ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

# Mutation testing: a seeded sample of 400 one-token changes, each against its room's tests; without ROOM, all five rooms.
# Stopped, it resumes;  make mutants ROOM=ops MUTANTS="--jobs 2 --again"
SAMPLE ?= 400
SEED ?= 17
mutants: $(VENV)/.ready-mutants
	$(BIN)/python scripts/mutants.py $(ROOM) --sample $(SAMPLE) --seed $(SEED) $(MUTANTS)

# notebooks/NN_name.py -> NN_name.ipynb, executed;  make notebooks CH=03 makes one
notebooks: $(VENV)/.ready-notebooks
	$(BIN)/python scripts/build_notebooks.py $(CH)

# A chapter's exercises as an assignment of nbgrader's, in COURSE (docs/teachers.md);  make assignment CH=03, without CH all
COURSE ?= build/course
assignment: $(VENV)/.ready-course
	$(BIN)/python scripts/make_assignment.py $(CH) --course $(COURSE)

# A bug hunt as an examination, for one student, into build/exam (docs/teachers.md);  make exam SEED=secret STUDENT=ada
exam: $(VENV)/.ready
	$(BIN)/python scripts/exam.py paper --seed "$(SEED)" "$(STUDENT)"

# The site, into build/site: offline, warnings are errors
docs: $(VENV)/.ready-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html -d build/doctrees docs build/site

# The chapters that need only NumPy and matplotlib, in the browser, into build/lite
lite: $(VENV)/.ready-lite
	$(BIN)/python scripts/build_lite.py

# minidiff beside PyTorch and diffusers on this CPU; nothing else should run.
# The tables of docs/performance.md and docs/scaling.md are made from what it leaves.  make bench BENCH="ops steps --seconds 1"
bench: $(VENV)/.ready-compare
	$(BIN)/python -m benchmarks.cpu $(BENCH) --json docs/performance/cpu.json --plot docs/performance/scaling.png
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python scripts/doc_tables.py

# The same for the steps of diffusion transformers
bench-dit: $(VENV)/.ready-compare
	$(BIN)/python -m benchmarks.cpu dit $(BENCH) --json docs/performance/dit.json
	$(BIN)/python scripts/doc_tables.py

# Four U-Nets beside torch.compile as well; needs g++
bench-compile: $(VENV)/.ready-compare
	$(BIN)/python -m benchmarks.cpu compile $(BENCH) --json docs/performance/compile.json
	$(BIN)/python scripts/doc_tables.py

# On a machine with an NVIDIA card, CUDA=12 or 13: the same kernel tests on CuPy itself; times of this card, beside those of
# PyTorch on it, into one JSON file
test-gpu: $(VENV)/.ready-cuda$(CUDA)
	$(BIN)/python -m pytest -m gpu tests/gpu

bench-gpu: $(VENV)/.ready-bench-cuda$(CUDA)
	$(BIN)/python benchmarks/gpu_bench.py --out gpu.json

# All that is worth knowing about a card in one run, into gpu-report/;  make gpu-report REPORT="--stages bench profile"
gpu-report: $(VENV)/.ready-bench-cuda$(CUDA)
	$(BIN)/python scripts/gpu_report.py --out gpu-report $(REPORT)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "minidiff needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.ready-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.ready

$(VENV)/.ready-mutants: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test,mutants]'
	@touch $@ $(VENV)/.ready $(VENV)/.ready-test

$(VENV)/.ready-notebooks: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[notebooks]'
	@touch $@ $(VENV)/.ready

$(VENV)/.ready-compare: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[compare,test]'
	@touch $@ $(VENV)/.ready

$(VENV)/.ready-course: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[course]'
	@touch $@ $(VENV)/.ready

$(VENV)/.ready-docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@ $(VENV)/.ready

$(VENV)/.ready-lite: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[lite]'
	@touch $@ $(VENV)/.ready

$(VENV)/.ready-cuda%: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test,cuda$*]'
	@touch $@

$(VENV)/.ready-bench-cuda%: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test,compare,cuda$*]'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist
