# `make demo` and `make test` start from a clean clone; everything they install goes into .venv.
# On a machine without a GPU set PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL so that pip finds PyTorch's CPU build (see README.md).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
WORKERS ?= 2
# Steps of training the heart example.
STEPS ?= 300
# Tests that `make coverage` runs; `COVERED=tests` counts all of them, workers included, and takes as long as `make test`.
COVERED ?= tests/unit
CORPUS := build/corpus
DOCS := build/docs
INSTALL_LOG := build/install.log

.PHONY: help install demo demo-imagenet test test-slow test-gpu sanitize coverage check bench soak faultbench corpus schema pictures modules lint-pages reference docs format wheel-aarch64 clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# pip's output goes to a file, and its end is shown when pip fails: with --quiet, pip leaves out which versions conflict.
# $(call pip,python,log,what to install)
pip = $(1) -m pip --disable-pip-version-check install -c constraints.txt $(3) >>$(2) 2>&1 || { tail -n 25 $(2); echo "pip failed. All of its output: $(2)"; exit 1; }

$(INSTALLED): pyproject.toml constraints.txt hatch_build.py $(wildcard tritonize/backends/onnxruntime/native/*.[ch])
	@$(PYTHON) scripts/preflight.py
	@mkdir -p build; rm -f $(INSTALL_LOG)
	@echo "Installing into $(VENV). This takes some minutes; pip's output is in $(INSTALL_LOG)."
	@echo "  1/4 a virtual environment of $$($(PYTHON) --version), with the pinned pip"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(call pip,$(BIN)/python,$(INSTALL_LOG),--upgrade pip)
	@$(BIN)/python scripts/torch_build.py constraints.txt
	@echo "  2/4 PyTorch, the largest package"
	@$(call pip,$(BIN)/python,$(INSTALL_LOG),torch)
	@echo "  3/4 tritonize, the packages that it needs, and the tools of its tests"
	@$(call pip,$(BIN)/python,$(INSTALL_LOG),-e '.[torch]' --group dev)
	@echo "  4/4 does the command start?"
	@$(BIN)/tritonize --version
	@touch $@
	@echo "Installed. Next: source $(VENV)/bin/activate && tritonize doctor"

install: $(INSTALLED)  ## Install tritonize and its tools into .venv

examples/heart/heart.pt: examples/heart/make_model.py examples/heart/network.py examples/heart/synthetic.py | $(INSTALLED)
	$(BIN)/python examples/heart/make_model.py --output $@ --steps $(STEPS)

examples/heart/samples/volume_0.npz: examples/heart/make_sample.py examples/heart/synthetic.py | $(INSTALLED)
	$(BIN)/python examples/heart/make_sample.py

demo: $(INSTALLED) examples/heart/heart.pt examples/heart/samples/volume_0.npz  ## Train, convert, serve, verify and publish the heart example
	$(BIN)/tritonize run examples/heart/heart.yaml
	@echo; echo "The same as a plan of TensorRT-RTX. Without a GPU nobody can run it: exit code 3 is what is expected."
	$(BIN)/tritonize build examples/heart/heart_rtx.yaml || test $$? -eq 3

examples/imagenet/samples/coffee.npz: examples/imagenet/make_sample.py examples/imagenet/photograph.py examples/imagenet/requirements.txt | $(INSTALLED)
	$(PIP) install -q --no-deps -r examples/imagenet/requirements.txt
	$(BIN)/python examples/imagenet/make_sample.py

demo-imagenet: $(INSTALLED) examples/imagenet/samples/coffee.npz  ## The same for a published ImageNet classifier
	$(BIN)/tritonize run examples/imagenet/imagenet.yaml

test: $(INSTALLED)  ## Run the tests: the quick ones first, then those with workers and the real server
	$(BIN)/python -m pytest -n $(WORKERS) tests/unit
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow" --ignore tests/unit

test-slow: $(INSTALLED)  ## Run what is left out of `make test` for its time: second ways to the same end, kill loops, soaks
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m slow

sanitize: $(INSTALLED)  ## Run the native backend under AddressSanitizer and UndefinedBehaviorSanitizer; needs a C compiler
	$(BIN)/python -m tests.support.sanitize

coverage: $(INSTALLED)  ## Run the unit tests and say which lines they leave out; fails below the floor
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest $(COVERED) --cov --cov-report=term

# With PYTHON given that one is taken, such as a container's own with its TensorRT; else .venv's where it is there.
test-gpu:  ## Build, run, serve and time plans on the GPU here; writes docs/gpu-results.md; nothing need be installed
	$(if $(filter file,$(origin PYTHON)),$(or $(wildcard $(BIN)/python),$(PYTHON)),$(PYTHON)) -m gpu

check: $(INSTALLED)  ## Lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

modules: $(INSTALLED)  ## Write docs/modules.md from the docstrings
	$(BIN)/python scripts/module_table.py > docs/modules.md

lint-pages: $(INSTALLED)  ## Write docs/lint from the lint rules
	$(BIN)/python scripts/lint_pages.py

reference: $(INSTALLED)  ## Write docs/reference from the code
	$(BIN)/python scripts/reference_pages.py

$(DOCS)/.installed: pyproject.toml constraints.txt
	@mkdir -p $(DOCS); rm -f $(DOCS)/install.log
	@echo "Installing Zensical, which makes the site, into $(DOCS)/venv …"
	@[ -x $(DOCS)/venv/bin/python ] || $(PYTHON) -m venv $(DOCS)/venv
	@$(call pip,$(DOCS)/venv/bin/python,$(DOCS)/install.log,--upgrade pip)
	@$(call pip,$(DOCS)/venv/bin/python,$(DOCS)/install.log,--group docs)
	@touch $@

docs: $(DOCS)/.installed  ## Build the documentation site in build/docs/site; fails on a broken link
	$(DOCS)/venv/bin/python scripts/site.py

pictures: $(INSTALLED) examples/heart/heart.pt examples/heart/samples/volume_0.npz  ## Make the pictures of a report in docs/pictures; needs Chromium
	$(BIN)/python -m tests.support.pictures

schema: $(INSTALLED)  ## Write docs/spec.schema.json
	$(BIN)/python -c "import json; from tritonize.spec import Spec; print(json.dumps(Spec.model_json_schema(by_alias=True), indent=2))" > docs/spec.schema.json

format: $(INSTALLED)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED) examples/heart/heart.pt examples/heart/samples/volume_0.npz  ## Measure speed and memory; print ratios
	$(BIN)/python -m benchmarks

soak: $(INSTALLED)  ## Send mixed requests to the embedded server for ten minutes; fails if a response is wrong or a resource grows
	$(BIN)/python -m benchmarks.soak

faultbench: $(INSTALLED)  ## Put faults into healthy models; print what each acceptance rule finds; writes docs/faultbench.md
	$(BIN)/python -m benchmarks.faults

$(CORPUS)/.installed: corpus/requirements.txt corpus/requirements-nodeps.txt constraints.txt | $(INSTALLED)
	$(PYTHON) -m venv $(CORPUS)
	$(CORPUS)/bin/python -m pip install -q --upgrade -c constraints.txt pip
	$(CORPUS)/bin/python -m pip install -q -c constraints.txt torch
	$(CORPUS)/bin/python -m pip install -q -c constraints.txt -e '.[torch]'
	$(CORPUS)/bin/python -m pip install -q -c constraints.txt -r corpus/requirements.txt
	$(CORPUS)/bin/python -m pip install -q --no-deps -r corpus/requirements-nodeps.txt
	@touch $@

corpus: $(CORPUS)/.installed  ## Export the corpus of public architectures and judge every file (hours; goes on where it stopped)
	$(CORPUS)/bin/python -m corpus --resume --out build/corpus-results.json --report docs/corpus.md

wheel-aarch64: $(INSTALLED)  ## Build a wheel for Linux aarch64 in dist/, cross-compiled by zig
	TRITONIZE_MACHINE=aarch64 $(BIN)/python -m build --wheel --outdir dist .

clean:  ## Remove what was made; not the cache of server runtimes
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
