MODULE_big = safemig
EXTENSION = safemig
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" safemig.control)
# three numbers, as PGXN wants them
DISTVERSION = $(EXTVERSION).0

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
HEADERFILES = $(wildcard src/*.h src/*/*.h)
INSTALLSCRIPT = sql/safemig--$(EXTVERSION).sql
DATA_built = $(INSTALLSCRIPT)
# from one released version to the next; test/t/103_packaging.pl tries each
DATA = $(wildcard sql/safemig--*--*.sql)
PG_CPPFLAGS = -I$(srcdir)/src
# "make POINTS=1" makes it fail where a test says so (src/point.h), and is for
# tests alone; not by the environment, where somebody may have left it.
ifeq ($(origin POINTS),command line)
PG_CPPFLAGS += $(if $(POINTS),-DSAFEMIG_POINTS)
endif
# our own names win over the server's (before 16 everything is exported)
SHLIB_LINK = -Wl,-Bsymbolic
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers $(CLANG_CFLAGS)
# flags and attributes of the gcc that the server was configured for
CLANG_CFLAGS = $(if $(findstring clang,$(CC)),-Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes)
EXTRA_CLEAN = $(INSTALLSCRIPT)

# pg_regress, in this order: house creates the extension that the others use.
REGRESS = \
	house \
	capture \
	rollback \
	vault \
	records \
	registry \
	prune \
	retention \
	rehearse \
	drill \
	plan \
	check \
	certificate \
	limit \
	assess \
	policy \
	facts \
	stats \
	report \
	doctor \
	privilege
REGRESS_OPTS = --inputdir=test --outputdir=. --encoding=UTF8

# isolation, test/specs/iso_*.spec
ISOLATION = \
	iso_rollback \
	iso_rollbacks \
	iso_changes \
	iso_begin \
	iso_locks \
	iso_order \
	iso_copy \
	iso_snapshot \
	$(if $(filter 15 16 17,$(MAJORVERSION)),iso_stranger)
ISOLATION_OPTS = --inputdir=test --outputdir=. --encoding=UTF8

# Perl; one of the files runs pgTAP on test/pgtap
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config

# These bring their own PostgreSQL and need no PGXS here: where nothing is
# installed yet, it is their first step to change that.  "make check-versions"
# does so for several versions, VERSIONS="17 18" for some of them; "make
# check-upgrade" goes from one to the next with pg_upgrade; "make check-assert"
# tests on a server built with assertions, with FIDELITY=1 PostgreSQL's own
# regression scripts under capture instead; "make check-valgrind" looks at each
# access to memory.  "make check-packages" builds the Debian package of what
# "make dist" makes, and installs it in a bare system.  "make fidelity" proves
# it on PostgreSQL's own regression scripts, FILES="alter_table" on some of
# them, PASSES="schema" as an ordinary role that owns its schema.
# "make real FOLDER=path" proves it on the migrations of a project, with ROWS=5
# in each table.  "make soak" runs random cases for hours: CASES=2000 of rows,
# SEQUENCES=5000 of everything, from the case SEED=1 on.  "make crash" kills the server over and
# over, KILLS=1000 times, and proves each time that nothing was half done; "make
# races" takes back what others write to, for SECONDS=1800; "make calls" gives
# random arguments to every function, CALLS=20000 times.
OWN_GOALS = bench check check-monitoring check-packages check-versions check-upgrade check-assert check-valgrind calls crash demo dist drill fidelity frameworks races real soak

ifneq ($(filter $(OWN_GOALS),$(MAKECMDGOALS)),)

.PHONY: $(MAKECMDGOALS)
.NOTPARALLEL:

check:
	@PG_CONFIG='$(PG_CONFIG)' script/throwaway check script/suites

# the queries and rules of monitoring/, by Prometheus and its exporter
check-monitoring:
	@PG_CONFIG='$(PG_CONFIG)' script/throwaway monitoring script/monitoring

check-versions:
	@script/versions $(VERSIONS)

# UPGRADES="15:17" for some of them
check-upgrade:
	@script/upgrades $(UPGRADES)

# SUITE=trixie for another one of Debian's
check-packages:
	@script/packages '$(or $(SUITE),bookworm)'

# What is committed, as PGXN and Debian want it.
dist:
	git archive --format=zip --prefix=safemig-$(DISTVERSION)/ -o safemig-$(DISTVERSION).zip HEAD
	git archive --format=tar.gz --prefix=safemig-$(DISTVERSION)/ -o safemig-$(DISTVERSION).tar.gz HEAD

check-assert:
	@FIDELITY='$(FIDELITY)' PG_CONFIG='$(PG_CONFIG)' script/assert $(FILES)

# FILES="010_columns" for TAP files too
check-valgrind:
	@VALGRIND=1 FILES='$(FILES)' PG_CONFIG='$(PG_CONFIG)' script/assert

fidelity:
	@PASSES='$(or $(PASSES),superuser schema tables)' PG_CONFIG='$(PG_CONFIG)' script/fidelity $(FILES)

# NAMES="alembic prisma" for some of them
frameworks:
	@NAMES='$(NAMES)' PG_CONFIG='$(PG_CONFIG)' script/throwaway frameworks script/frameworks
	@bench/report tmp_check/frameworks.md doc/frameworks.md

real:
	@PG_CONFIG='$(PG_CONFIG)' script/throwaway check script/real '$(abspath $(FOLDER))' '$(or $(ROWS),5)'

soak:
	@PG_CONFIG='$(PG_CONFIG)' SAFEMIG_SEED='$(or $(SEED),1)' SAFEMIG_CASES='$(or $(CASES),2000)' \
	SAFEMIG_SEQUENCES='$(or $(SEQUENCES),5000)' script/throwaway check script/soak

crash:
	@PG_CONFIG='$(PG_CONFIG)' SAFEMIG_SEED='$(SEED)' SAFEMIG_KILLS='$(or $(KILLS),1000)' script/throwaway check script/long 092_crash crash
	@bench/report tmp_check/crash.md doc/reliability.md crash

races:
	@PG_CONFIG='$(PG_CONFIG)' SAFEMIG_SEED='$(or $(SEED),1)' SAFEMIG_SECONDS='$(or $(SECONDS),1800)' \
	script/throwaway check script/long 099_races races
	@bench/report tmp_check/races.md doc/reliability.md races

calls:
	@PG_CONFIG='$(PG_CONFIG)' SAFEMIG_SEED='$(or $(SEED),1)' SAFEMIG_CALLS='$(or $(CALLS),20000)' \
	script/throwaway check script/long 100_calls calls
	@bench/report tmp_check/calls.md doc/reliability.md calls

demo:
	@PG_CONFIG='$(PG_CONFIG)' script/throwaway demo script/demo

drill:
	@PG_CONFIG='$(PG_CONFIG)' script/throwaway demo script/drill

# SCALE=10 is the size that the budgets are for
bench:
	@SCALE='$(or $(SCALE),1)' ROUNDS='$(or $(ROUNDS),5)' PG_CONFIG='$(PG_CONFIG)' script/throwaway bench bench/run
	@for table in budgets sizes objects kinds waits; do \
		bench/report tmp_check/bench/$$table.md doc/performance.md $$table || exit; \
	done
	@mkdir -p doc/performance && cp tmp_check/bench/*.svg doc/performance/
	@bench/quote README.md README.ja.md

# whatever else was asked for along with them
$(filter-out $(OWN_GOALS),$(MAKECMDGOALS)):
	@$(MAKE) --no-print-directory $@

else

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

ifneq ($(wildcard $(PGXS)),)

# Bitcode for the JIT compiler is of no use to code that no query inlines.
override with_llvm = no

# messages in other languages need gettext's msgfmt; without it they are English
ifeq ($(shell command -v msgfmt 2>/dev/null),)
override enable_nls = no
endif

include $(PGXS)

$(INSTALLSCRIPT): $(sort $(wildcard sql/install/*.sql)) safemig.control
	cat $(filter %.sql,$^) > $@

$(OBJS) $(OBJS:.o=.bc): $(HEADERFILES)

else

all install installcheck uninstall clean:
	@echo "$(PG_CONFIG) finds no PGXS: install the PostgreSQL server development files or set PG_CONFIG." >&2; exit 1

endif
endif
