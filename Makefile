# make help says what there is. Everything is made in .venv and build; neither needs to be activated or kept.

DATA = simulated
PROFILE = quick
ARGS =
PYTHON ?= $(if $(shell command -v python3.11),python3.11,python3)

RUN = .venv/bin/python
INSTALLED = .venv/installed

# Misspelt settings stop make here, before anything long.
SETTINGS = DATA PROFILE ARGS PYTHON NERLIB_DATA NERLIB_CACHE
GIVEN = $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))
UNKNOWN := $(filter-out $(SETTINGS) -% MAKE%,$(GIVEN))
ifneq ($(UNKNOWN),)
    $(error $(UNKNOWN): no such setting; there are $(SETTINGS))
endif
ifeq ($(filter simulated recorded,$(DATA)),)
    $(error DATA=$(DATA): expected simulated or recorded)
endif
ifeq ($(filter quick fast paper,$(PROFILE)),)
    $(error PROFILE=$(PROFILE): expected quick, fast or paper)
endif

.PHONY: help read book publish-run test clean

help:
	@echo "make read    build the pages from the outputs that the chapters carry; runs nothing"
	@echo "make book    run the chapters and build the pages into build/DATA-PROFILE/html"
	@echo "             DATA=simulated  (default; no download)  or  recorded"
	@echo "             PROFILE=quick   (default; minutes),  fast  or  paper"
	@echo "             ARGS='-p NAME VALUE ...'  sets parameters of the chapters"
	@echo "make publish-run    run the recorded book (PROFILE=fast or paper), keep its outputs in book/*.ipynb"
	@echo "make test    run all tests, the quick simulated book among them"
	@echo "             ARGS='-m \"not book\"'  leaves the book out; ARGS goes to pytest"
	@echo "make clean   remove build and .venv"
	@echo "PYTHON=...   the Python to use, 3.11 or newer"
	@echo "NERLIB_DATA=...   a folder with recorded sessions;  NERLIB_CACHE=...  where downloads are kept"

read: $(INSTALLED)
	@$(RUN) book/run.py --read

publish-run: $(INSTALLED)
	@$(RUN) book/run.py --data recorded --profile $(if $(filter quick,$(PROFILE)),fast,$(PROFILE)) --publish $(ARGS)

book: $(INSTALLED)
	@$(RUN) book/run.py --data $(DATA) --profile $(PROFILE) $(ARGS)

test: $(INSTALLED)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m pytest $(ARGS)

# No stamp while something is being installed: an interrupted installation starts from nothing the next time.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is \
	needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1). Install it, or name one: make PYTHON=..."; exit 1; }
	@echo "Installing into .venv (a few minutes, once)"
	@test -f $@ && rm $@ || $(PYTHON) -m venv --clear .venv
	@$(RUN) -m pip install --quiet --quiet --disable-pip-version-check --root-user-action ignore \
	    --constraint constraints.txt --editable '.[book,test]'
	@touch $@

clean:
	rm -rf build .venv
