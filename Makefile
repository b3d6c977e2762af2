# Postern: one make, no recursion, one object tree per variant below build/.
#
#   VARIANT=release|asan|fuzz|cov   the tree that `all` builds
#   TESTOPS=1                       the same with the test operations: build/VARIANT-testops
#   CC=gcc|clang  WERROR=1  V=1     compiler; warnings are errors; show the commands
#   CFLAGS, LDFLAGS                 come last, so they win

VERSION    := 0.1.0
VARIANT    ?= release
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
SBINDIR    ?= $(PREFIX)/sbin
LIBEXECDIR ?= $(PREFIX)/libexec/postern
DATADIR    ?= $(PREFIX)/share/postern
UNITDIR    ?= $(PREFIX)/lib/systemd/system
UDEVDIR    ?= $(PREFIX)/lib/udev/rules.d
SYSUSERDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILEDIR ?= $(PREFIX)/lib/tmpfiles.d
CATALOGDIR ?= $(PREFIX)/lib/systemd/catalog
MANDIR     ?= $(PREFIX)/share/man
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
APPARMORDIR ?= /etc/apparmor.d
FUZZ_CC    ?= clang
TIME       ?= 60
JOBS       ?= $(shell nproc)
ifeq ($(origin CC),default)
CC := gcc
endif

# Make re-invokes itself where tools may just have been installed, and for WERROR.
SELF = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))
Q := $(if $(V),,@)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# ---- what is built ------------------------------------------------------------------
#
# A program is a folder (its main in main.c) and the libraries it may use; the linker
# drops what it does not. The supervisor gets libc alone.

COMMON   := sandbox policy json ipc mounts
PROGRAMS := postern postern-frontend postern-worker postern-reader postern-inspector \
	    postern-spawner posternctl

DIR_postern           := supervisor
DIR_postern-frontend  := frontend
DIR_postern-worker    := worker
DIR_postern-reader    := reader
DIR_postern-inspector := inspector
DIR_postern-spawner   := spawner
DIR_posternctl        := ctl

LIBS_postern           :=
LIBS_postern-frontend  := -lcjson
LIBS_postern-worker    :=
LIBS_postern-reader    :=
LIBS_postern-inspector :=
LIBS_postern-spawner   :=
LIBS_posternctl        := -lcjson -lsystemd

# Programs that run with privilege: `make tcb` counts these.
PRIVILEGED := postern postern-worker postern-spawner

# What systemd is told of them.
UNITS := $(wildcard systemd/*.service systemd/*.socket)

PAGES := $(wildcard man/*.[1-8])
SECTIONS := $(sort $(patsubst .%,%,$(suffix $(PAGES))))

# What the packages' maintainer scripts call.
PACKAGING := packaging/migrate packaging/restart

# What AppArmor, where it is in use, is told of each program.
PROFILES := $(wildcard apparmor/postern*)

LIBS_tests := -lcmocka -lcjson -lseccomp -lcap-ng
# The reader that our scanner is held against.
LIBS_fuzz_json := -ljansson

FOLDERS   := $(foreach p,$(PROGRAMS),$(DIR_$(p)))
sources    = $(sort $(wildcard $(1)/*.c $(1)/*/*.c))
ARCHIVES  := $(COMMON) $(FOLDERS)
UNIT      := $(patsubst %.c,%,$(sort $(wildcard tests/unit/test_*.c)))
FUZZ      := $(patsubst %.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
# Programs that the Python tests start, and hostile tests written in C.
HELPERS   := $(patsubst %.c,%,$(sort $(wildcard tests/integration/*.c tests/hostile/*.c)))
# What measures; of the agent they need the common folders at the most.
BENCH     := $(patsubst %.c,%,$(sort $(wildcard bench/*.c)))
C_FILES   := $(foreach d,$(ARCHIVES),$(call sources,$(d))) \
	     $(wildcard tests/*/*.c bench/*.c)
H_FILES   := $(wildcard $(ARCHIVES:%=%/*.h) $(ARCHIVES:%=%/*/*.h) tests/*/*.h)

# ---- flags --------------------------------------------------------------------------

# Those of the flags $(2) that the compiler $(1) knows, alone and together.
known = $(foreach f,$(2),$(shell $(1) -Werror $(f) -c -x c -o /dev/null /dev/null \
	2>/dev/null && echo '$(f)'))

WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	-Wwrite-strings -Wvla -Wformat=2 -Wundef -Wimplicit-fallthrough
DEFS := -D_GNU_SOURCE -DPOSTERN_VERSION='"$(VERSION)"' -DLIBEXECDIR='"$(LIBEXECDIR)"'
BASE := -std=gnu17 -I. $(DEFS) $(WARN)

# clang 14 takes the =zero only together with a switch of that release.
INIT_ZERO := -ftrivial-auto-var-init=zero
ifeq ($(call known,$(CC),$(INIT_ZERO)),)
INIT_ZERO := $(strip $(shell $(CC) -Werror $(INIT_ZERO) \
	-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang \
	-c -x c -o /dev/null /dev/null 2>/dev/null && echo $(INIT_ZERO) \
	-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang))
endif
HARDEN := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 $(INIT_ZERO) \
	$(call known,$(CC),-fstack-protector-strong -fstack-clash-protection \
	-fcf-protection -mbranch-protection=standard)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

FLAGS_release := -O2 -g -fPIE -ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables $(HARDEN)
FLAGS_asan    := -O1 -g -fPIE $(SANITIZE)
FLAGS_fuzz    := -O1 -g -fPIE $(SANITIZE) -fsanitize=fuzzer-no-link
FLAGS_cov     := -O0 -g -fPIE --coverage

# Relocations in two hundred bytes instead of twenty thousand, where linker and libc know
# how: libc then has the version that the linker asks for.
RELR := -Wl,-z,pack-relative-relocs
RELR := $(shell t=$$(mktemp) && echo 'int main(void) { return 0; }' | \
	$(CC) -pie -fPIE $(RELR) -x c -o "$$t" - 2>/dev/null && \
	grep -aq GLIBC_ABI_DT_RELR "$$t" && echo '$(RELR)'; rm -f "$$t")

LINK_release := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--gc-sections $(RELR)
# As in release: to bind late leaves registers, with what was just copied, on the stack.
LINK_asan    := -pie -Wl,-z,now $(SANITIZE)
LINK_fuzz    := -pie $(SANITIZE) -fsanitize=fuzzer
LINK_cov     := -pie --coverage

# ---- one tree: $(1) its name below build/, $(2) variant, $(3) compiler, $(4) defines ------

define TREE
COMPILE_$(1) := $(3) $(BASE) $(FLAGS_$(2)) $(4)
LINK_$(1)-tree := $(3) $(LINK_$(2)) -Wl,--as-needed

# Rewritten only when the command changed, so that objects never mix two sets of flags.
build/$(1)/flags: FORCE
	@mkdir -p $$(@D)
	@printf '%s\n' '$$(subst ','\'',$$(COMPILE_$(1)) $$(CFLAGS) $$(LDFLAGS))' >$$@.new
	@cmp -s $$@.new $$@ && rm $$@.new || mv $$@.new $$@

build/$(1)/%.o: %.c build/$(1)/flags
	@mkdir -p $$(@D)
	@$$(if $$(V),:,echo '  CC   $$@')
	$$(Q)$$(COMPILE_$(1)) $$(if $$(WERROR),-Werror) -MMD -MP $$(CFLAGS) -c -o $$@ $$<

# The assembler takes these in; nothing else tells that they changed.
build/$(1)/policy/profiles.o: $(wildcard policy/profiles/*.conf)

$(foreach d,$(ARCHIVES),$(call ARCHIVE,$(1),$(d)))
$(foreach p,$(PROGRAMS),$(call PROGRAM,$(1),$(p)))
$(foreach t,$(UNIT) $(HELPERS) $(FUZZ),$(call TEST,$(1),$(t)))
$(foreach b,$(BENCH),$(call MEASURE,$(1),$(b)))

.PHONY: programs-$(1) tests-$(1) helpers-$(1) bench-$(1)
programs-$(1): $(PROGRAMS:%=build/$(1)/%)
tests-$(1): $(UNIT:%=build/$(1)/%)
helpers-$(1): $(HELPERS:%=build/$(1)/%)
bench-$(1): $(BENCH:%=build/$(1)/%)
endef

# A folder as an archive, for the programs (common folders) and for the unit tests.
define ARCHIVE
build/$(1)/lib$(2).a: $(patsubst %.c,build/$(1)/%.o,$(filter-out $(2)/main.c,$(call sources,$(2))))
	@mkdir -p $$(@D)
	$$(Q)rm -f $$@ && $(AR) rcs $$@ $$(filter %.o,$$^)

endef

define PROGRAM
build/$(1)/$(2): $(patsubst %.c,build/$(1)/%.o,$(call sources,$(DIR_$(2)))) $(COMMON:%=build/$(1)/lib%.a)
	@$$(if $$(V),:,echo '  LINK $$@')
	$$(Q)$$(LINK_$(1)-tree) -Wl,-Map=$$@.map -o $$@ $$(filter %.o,$$^) \
		-Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $(LIBS_$(2)) $$(LDFLAGS)

endef

define TEST
build/$(1)/$(2): build/$(1)/$(2).o $(if $(filter $(UNIT),$(2)),build/$(1)/tests/lib/only.o) \
		$(ARCHIVES:%=build/$(1)/lib%.a)
	@$$(if $$(V),:,echo '  LINK $$@')
	$$(Q)$$(LINK_$(1)-tree) -o $$@ $$(filter %.o,$$^) \
		-Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $(LIBS_tests) $(LIBS_$(notdir $(2))) \
		$$(LDFLAGS)

endef

define MEASURE
build/$(1)/$(2): build/$(1)/$(2).o $(COMMON:%=build/$(1)/lib%.a)
	@$$(if $$(V),:,echo '  LINK $$@')
	$$(Q)$$(LINK_$(1)-tree) -o $$@ $$(filter %.o,$$^) \
		-Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(LDFLAGS)

endef

TEST_OPS := -DPOSTERN_TEST_OPS
$(foreach v,release asan cov,$(eval $(call TREE,$(v),$(v),$(CC),)))
$(foreach v,release asan cov,$(eval $(call TREE,$(v)-testops,$(v),$(CC),$(TEST_OPS))))
$(eval $(call TREE,fuzz,fuzz,$(FUZZ_CC),))
-include $(wildcard build/*/*/*.d build/*/*/*/*.d)

# ---- what people ask for --------------------------------------------------------------

.PHONY: FORCE all check check-trixie check-vm check-vm-full check-built run deps unit integration \
	bench fuzz lint tcb security pages cov deb install uninstall clean help
FORCE:

FUZZERS := $(FUZZ:%=build/fuzz/%)
TREE_ALL := programs-$(VARIANT)$(if $(TESTOPS),-testops)

all: $(if $(filter fuzz,$(VARIANT)),$(FUZZERS),$(TREE_ALL)) ## the programs of VARIANT

run: ## start the agent and hold a short conversation with it
	@tests/deps build
	@$(SELF) VARIANT=release TESTOPS= all
	@tests/demo build/release

check: ## every test, with what it needs installed and built
	@tests/deps build check
	@$(SELF) WERROR=1 check-built
	@tests/run all

check-trixie: ## the same in the root file system of a Debian 13
	@tests/deps root
	@tests/root trixie

check-vm: ## the agent in a real guest; AGENT=qemu-ga|off|wrong to compare
	@tests/deps build deb vm
	@tests/vm/run

check-vm-full: ## the same, with the cases that take minutes
	@tests/deps build deb vm
	@tests/vm/run --full

check-built: $(foreach v,release release-testops asan asan-testops,programs-$(v) helpers-$(v)) \
	bench-release tests-release tests-asan $(FUZZERS)

unit: ## the unit tests of VARIANT
	@$(SELF) tests-$(VARIANT)
	@tests/run unit:$(VARIANT)

integration: ## the integration tests of VARIANT
	@$(SELF) $(foreach t,$(VARIANT) $(VARIANT)-testops,programs-$(t) helpers-$(t)) bench-release
	@tests/run integration:$(VARIANT)

bench: ## against qemu-ga, side by side
	@tests/deps build bench
	@$(SELF) WERROR=1 programs-release bench-release
	@bench/run

fuzz: $(FUZZERS) ## each fuzz target for TIME seconds
	@tests/run --fuzz-time=$(TIME) fuzz

SCRIPTS := .ci/run packaging/migrate packaging/restart packaging/deb \
	$(addprefix debian/,preinst postinst prerm postrm) tests/deps tests/demo tests/lint/cov \
	tests/vm/guest/usr/local/sbin/vm-shell tests/vm/guest/usr/local/sbin/vm-hardware tests/fixtures/collect
lint: ## formatter, clang-tidy, cppcheck, shellcheck, mandoc, rules of our own: no finding
	@tests/lint/includes
	@tests/lint/records
	@tests/lint/starts
	clang-format --dry-run -Werror $(C_FILES) $(H_FILES)
	@printf '%s\n' $(C_FILES) | xargs -P $(JOBS) -I FILE \
		clang-tidy --quiet FILE -- $(BASE) $(TEST_OPS) 2>/dev/null
	cppcheck --quiet --std=c11 --language=c --enable=warning,style,performance,portability \
		--inline-suppr --suppressions-list=tests/lint/cppcheck --error-exitcode=1 \
		-j $(JOBS) -I. $(DEFS) $(TEST_OPS) $(C_FILES)
	shellcheck $(SCRIPTS)
	shellcheck -s bash completion/posternctl.bash
	zsh -n completion/_posternctl
	mandoc -T lint -W warning $(PAGES)

tcb: programs-release ## code lines that run with privilege, per program
	@tests/lint/tcb $(PRIVILEGED:%=build/release/%)

security: helpers-release ## rewrite what SECURITY.md says from the tables
	@tests/lint/security build/release

pages: programs-release helpers-release ## rewrite the lists in the manual pages from the tables
	@tests/lint/pages build/release

cov: tests-cov ## line coverage of the unit tests, per file
	@find build/cov -name '*.gcda' -delete
	@tests/run unit:cov
	@tests/lint/cov build/cov

deb: ## Debian packages into build/deb, looked at by lintian
	@tests/deps build deb
	@packaging/deb

deps: ## install what a fresh Debian lacks (tests/packages)
	@tests/deps

PLACES := sed -e 's|/usr/sbin/|$(SBINDIR)/|g' -e 's|/usr/bin/|$(BINDIR)/|g' \
	-e 's|/usr/libexec/postern/|$(LIBEXECDIR)/|g' -e 's|/usr/lib/systemd/system/|$(UNITDIR)/|g' \
	-e 's|/usr/share/postern/|$(DATADIR)/|g'
install: programs-release ## below DESTDIR and PREFIX
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBEXECDIR)
	install -m 755 build/release/postern $(DESTDIR)$(SBINDIR)
	install -m 755 build/release/posternctl $(DESTDIR)$(BINDIR)
	install -m 755 $(patsubst %,build/release/%,$(filter postern-%,$(PROGRAMS))) \
		$(DESTDIR)$(LIBEXECDIR)
	install -d $(DESTDIR)$(DATADIR)/profiles $(DESTDIR)$(DATADIR)/examples
	install -m 644 policy/profiles/*.conf $(DESTDIR)$(DATADIR)/profiles
	install -m 644 examples/*.conf $(DESTDIR)$(DATADIR)/examples
	install -d $(DESTDIR)$(DATADIR)/systemd
	install -m 644 systemd/postern-safe.conf $(DESTDIR)$(DATADIR)/systemd/safe.conf
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(UDEVDIR) $(DESTDIR)$(SYSUSERDIR) \
		$(DESTDIR)$(TMPFILEDIR) $(DESTDIR)$(CATALOGDIR)
	@# Units, profiles and what packages call have absolute paths of programs.
	for unit in $(notdir $(UNITS)); do \
		$(PLACES) systemd/$$unit >$(DESTDIR)$(UNITDIR)/$$unit || exit; \
		chmod 644 $(DESTDIR)$(UNITDIR)/$$unit; \
	done
	for script in $(notdir $(PACKAGING)); do \
		$(PLACES) packaging/$$script >$(DESTDIR)$(LIBEXECDIR)/$$script || exit; \
		chmod 755 $(DESTDIR)$(LIBEXECDIR)/$$script; \
	done
	install -d $(DESTDIR)$(APPARMORDIR)/abstractions
	for profile in $(notdir $(PROFILES)); do \
		$(PLACES) apparmor/$$profile >$(DESTDIR)$(APPARMORDIR)/$$profile || exit; \
		chmod 644 $(DESTDIR)$(APPARMORDIR)/$$profile; \
	done
	install -m 644 apparmor/abstractions/postern $(DESTDIR)$(APPARMORDIR)/abstractions
	install -m 644 systemd/postern.rules $(DESTDIR)$(UDEVDIR)/61-postern.rules
	install -m 644 systemd/postern.sysusers $(DESTDIR)$(SYSUSERDIR)/postern.conf
	install -m 644 systemd/postern.tmpfiles $(DESTDIR)$(TMPFILEDIR)/postern.conf
	@# Read once `journalctl --update-catalog` was run; packages have a trigger for it.
	install -m 644 systemd/postern.catalog $(DESTDIR)$(CATALOGDIR)
	install -d $(SECTIONS:%=$(DESTDIR)$(MANDIR)/man%) $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR)
	for page in $(PAGES); do \
		install -m 644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.} || exit; \
	done
	install -m 644 completion/posternctl.bash $(DESTDIR)$(BASHDIR)/posternctl
	install -m 644 completion/_posternctl $(DESTDIR)$(ZSHDIR)

uninstall: ## what install put there
	rm -f $(DESTDIR)$(SBINDIR)/postern $(DESTDIR)$(BINDIR)/posternctl \
		$(patsubst %,$(DESTDIR)$(LIBEXECDIR)/%,$(filter postern-%,$(PROGRAMS))) \
		$(PACKAGING:packaging/%=$(DESTDIR)$(LIBEXECDIR)/%)
	rm -rf $(DESTDIR)$(DATADIR)
	rm -f $(patsubst systemd/%,$(DESTDIR)$(UNITDIR)/%,$(UNITS)) \
		$(DESTDIR)$(UDEVDIR)/61-postern.rules $(DESTDIR)$(SYSUSERDIR)/postern.conf \
		$(DESTDIR)$(TMPFILEDIR)/postern.conf $(DESTDIR)$(CATALOGDIR)/postern.catalog
	rm -f $(foreach page,$(PAGES),$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))) \
		$(DESTDIR)$(BASHDIR)/posternctl $(DESTDIR)$(ZSHDIR)/_posternctl
	rm -f $(PROFILES:apparmor/%=$(DESTDIR)$(APPARMORDIR)/%) \
		$(DESTDIR)$(APPARMORDIR)/abstractions/postern
	-rmdir $(DESTDIR)$(LIBEXECDIR)

clean: ## remove what was built
	rm -rf build

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 14
