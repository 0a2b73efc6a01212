# Two commands do all the set-up: `make up` and `make test`. Everything else is below them.
#
#   make up [ENV=local] [WORKERS=3] [SET="key=value key=value"]   a cluster on this machine's Docker, and the smoke job
#   make down [VOLUMES=1]     remove it (and its data)      make smoke [JSON=1]   the smoke job again
#   make shell                IPython with spark ready      make notebook         JupyterLab's address
#   make logs                 what the services say         make status           what runs, and where
#   make drain AGENT=agent-2  take a Mesos agent out of service, wait until it is empty (BACK=1: give it back)
#   make scale [DRY=1]        as many agents as are needed now, within agentsMin and agentsMax, and the end of a cluster that nobody
#                             has brought up for ttlHours (DRY=1: only say it, and why)
#   make plan [JSON=1]        what the config describes     make lock             lock Python packages anew
#   make images [IMAGES=all]  build the images         make recover ENV=...  after an update that was killed
#   make rotate [NAME=secret]  lists the secrets; with a name, or all, replaces them and starts anew what holds them
#   make doctor               what would stop an up here; BUNDLE=report.tar.gz: logs and states without secrets
#   make backup FOLDER=path   its data and secrets into a folder; make restore FOLDER=path [REPLACE=1]: back into a cluster
#   make mesos                where a Mesos comes from; CHECK=SOURCE says what it holds, USE=SOURCE [ENV=local] pins it;
#                             MESOS=auto or MESOS=SOURCE with `make up` pins one first where none is
#   make site                 the documents as a site, in site/dist
#   make test                 every test that can run here  make verify           lint, format, types, docs
ENV ?= local
SET ?=
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Node 22 comes with the packages; Docker's own paths come after it.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH):/usr/sbin:/sbin

# What people give is text: Make takes no `$` of it for its own, and the shell gets it as a word.
given = SET ENV WORKERS NOSMOKE VOLUMES JSON SINCE GREP AGENT BACK DRY NAME BUNDLE FOLDER REPLACE IMAGES MESOS CHECK USE
$(foreach name,$(given),$(eval override $(name) := $$(value $(name))))
quoted = '$(subst ','\'',$(1))'
all_quoted = $(foreach one,$(1),$(call quoted,$(one)))

settings = $(foreach pair,$(SET),--set $(call quoted,$(pair))) $(if $(WORKERS),--set $(call quoted,agentCount=$(WORKERS)))
triplewide = exec node cli/main.ts

.PHONY: help up down smoke shell notebook logs status drain scale rotate plan doctor backup restore recover images mesos lock site test test-unit verify format docs packages docker

help:
	@sed -n 's/^#   //p' Makefile

# npm ci only where the lock file changed since the last one.
packages: node_modules/.ready
node_modules/.ready: package.json package-lock.json scripts/bootstrap.sh
	@scripts/bootstrap.sh packages

docker:
	@scripts/bootstrap.sh docker

up: packages docker
	@$(triplewide) up --env $(call quoted,$(ENV)) $(settings) $(if $(NOSMOKE),--no-smoke) $(if $(MESOS),--mesos $(call quoted,$(MESOS)))

down: packages
	@$(triplewide) down --env $(call quoted,$(ENV)) $(settings) $(if $(VOLUMES),--volumes)

smoke: packages
	@$(triplewide) smoke --env $(call quoted,$(ENV)) $(settings) $(if $(JSON),--json)

logs: packages
	@$(triplewide) logs --env $(call quoted,$(ENV)) $(settings) $(if $(SINCE),--since $(call quoted,$(SINCE))) $(if $(GREP),--grep $(call quoted,$(GREP)))

shell notebook status: packages
	@$(triplewide) $@ --env $(call quoted,$(ENV)) $(settings)

drain: packages
	@$(triplewide) drain $(call quoted,$(ENV)) $(call all_quoted,$(AGENT)) $(settings) $(if $(BACK),--back)

scale: packages
	@$(triplewide) scale $(call quoted,$(ENV)) $(settings) $(if $(DRY),--dry-run)

rotate: packages
	@$(triplewide) rotate $(call all_quoted,$(NAME)) --env $(call quoted,$(ENV)) $(settings)

plan: packages
	@$(triplewide) plan $(call quoted,$(ENV)) $(settings) $(if $(JSON),--json)

doctor: packages
	@$(triplewide) doctor --env $(call quoted,$(ENV)) $(settings) $(if $(JSON),--json) $(if $(BUNDLE),--bundle $(call quoted,$(BUNDLE)))

backup: packages
	@$(triplewide) backup $(call quoted,$(FOLDER)) --env $(call quoted,$(ENV)) $(settings)

restore: packages docker
	@$(triplewide) restore $(call quoted,$(FOLDER)) --env $(call quoted,$(ENV)) $(settings) $(if $(REPLACE),--replace)

# After a `pulumi up` that was killed.
recover: packages
	@$(triplewide) recover $(call quoted,$(ENV))

images: packages docker
	@exec cli/triplewide images $(call all_quoted,$(IMAGES))

mesos: packages $(if $(CHECK)$(USE),docker)
	@$(triplewide) mesos $(if $(USE),use $(call quoted,$(USE)) --env $(call quoted,$(ENV)),$(if $(CHECK),check $(call quoted,$(CHECK)),list)) $(if $(JSON),--json)

# requirements.txt from requirements.in, without building images.
lock: docker
	@exec images/build.sh --lock

# The documents as a site; its packages are its own.
site: packages
	@cd site && npm ci --no-fund --no-audit --loglevel=error && npm run --silent build

# The part without containers; under a minute.
test-unit: packages
	@exec node tests/run.ts unit

test: packages docker
	@exec node tests/run.ts all

verify: packages
	@npm run --silent lint && npm run --silent typecheck && node scripts/docs.ts --check

format: packages
	@npm run --silent format

# The config reference and Pulumi.yaml's config block, from the schema; the graph of images, from the catalogue.
docs: packages
	@exec node scripts/docs.ts
