# `make help` lists the commands. Everything goes into build, .venv and .venv-light; all can be deleted.

DATA = recorded
PROFILE = quick
ARGS =
PYTHON ?= $(if $(shell command -v python3.11),python3.11,python3)

RUN = .venv/bin/python
INSTALLED = .venv/installed
LIGHT = .venv-light/installed

# Misspelt settings stop make here, before anything long.
SETTINGS = DATA PROFILE ARGS PYTHON NERLIB_DATA NERLIB_CACHE
GIVEN = $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))
UNKNOWN := $(filter-out $(SETTINGS) -% MAKE%,$(GIVEN))
ifneq ($(UNKNOWN),)
    $(error $(UNKNOWN): no such setting; there are $(SETTINGS))
endif
ifeq ($(filter recorded simulated,$(DATA)),)
    $(error DATA=$(DATA): expected recorded or simulated)
endif
ifeq ($(filter quick fast paper,$(PROFILE)),)
    $(error PROFILE=$(PROFILE): expected quick, fast or paper)
endif

.PHONY: help read fetch book check draw publish-run test light clean

help:
	@echo "make read    build the pages from the outputs that the chapters carry; runs nothing"
	@echo "make book    run the chapters and build the pages into build/DATA-PROFILE/html; no download"
	@echo "             DATA=recorded  (default)  or  simulated"
	@echo "             PROFILE=quick  (default; one seed),  fast  (two)  or  paper  (the published settings)"
	@echo "             ARGS='-p NAME VALUE ...'  sets parameters of the chapters"
	@echo "make fetch   download the recordings that do not come with the book, and the embeddings of the paper's"
	@echo "             authors; 'make book' then uses them too"
	@echo "make check   compare the headline of the last run (PROFILE=fast) with the one that is published"
	@echo "make draw    draw every page of the last 'make book' in the browser that is installed, at the width of a desk"
	@echo "             and of a phone, light and dark; tells what overflows, is empty, broken or hard to read"
	@echo "make publish-run    run the recorded book (PROFILE=fast or paper), keep its outputs in book/*.ipynb"
	@echo "make test    check style and types, run all tests, the quick recorded book among them"
	@echo "             ARGS='-m \"not book\"'  leaves the book out; ARGS goes to pytest"
	@echo "make light   install nerlib without extras into .venv-light, and check what works there"
	@echo "make clean   remove build, .venv and .venv-light"
	@echo "PYTHON=...   the Python to use, 3.11 or newer"
	@echo "NERLIB_DATA=...   a folder with recorded sessions;  NERLIB_CACHE=...  where downloads are kept"

read: $(INSTALLED)
	@$(RUN) book/run.py --read

fetch: $(INSTALLED)
	@PYTHONPATH=book $(RUN) -m companion.downloads $(ARGS)

publish-run: $(INSTALLED)
	@$(RUN) book/run.py --data recorded --profile $(if $(filter quick,$(PROFILE)),fast,$(PROFILE)) --publish $(ARGS)

book: $(INSTALLED)
	@$(RUN) book/run.py --data $(DATA) --profile $(PROFILE) $(ARGS)

check: $(INSTALLED)
	@PYTHONPATH=book $(RUN) -m companion.publishing build/$(DATA)-$(PROFILE)/source/results/headline.json

draw: $(INSTALLED)
	@$(RUN) tests/book/check_pages.py build/$(DATA)-$(PROFILE)/html $(ARGS)

test: $(INSTALLED)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(RUN) -m pytest $(ARGS)

light: $(LIGHT)
	@.venv-light/bin/python tests/light/check.py

define check_python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is \
needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1). Install it, or name one: make PYTHON=..."; exit 1; }
endef
PIP_INSTALL = -m pip install --quiet --quiet --disable-pip-version-check --root-user-action ignore \
    --constraint constraints.txt

# The stamp is removed during an installation: after an interruption the next call starts from scratch.
$(INSTALLED): pyproject.toml constraints.txt
	$(check_python)
	@echo "Installing into .venv (a few minutes, once)"
	@test -f $@ && rm $@ || $(PYTHON) -m venv --clear .venv
	@$(RUN) $(PIP_INSTALL) --editable '.[book,test]'
	@touch $@

# build/lib would bring modules into the wheel that the source no longer has.
$(LIGHT): pyproject.toml constraints.txt $(wildcard nerlib/*.py nerlib/*/*.py)
	$(check_python)
	@echo "Installing the core into .venv-light (a few minutes the first time)"
	@test -f $@ && rm $@ || { $(PYTHON) -m venv --clear .venv-light && echo '*' > .venv-light/.gitignore; }
	@rm -rf build/lib
	@.venv-light/bin/python $(PIP_INSTALL) .
	@touch $@

clean:
	rm -rf build .venv .venv-light
