/*-------------------------------------------------------------------------
 *
 * safemig.h
 *	  What the stages of safemig share.
 *
 * Data goes one way: capture/ finds what a command concerns, image/ describes
 * it, keep/ saves what would be destroyed, history/ writes it down; and back:
 * rollback/ plans, checks, applies, verifies.  A stage knows only the stages
 * before it.  Declarations stand here grouped by the file that implements
 * them; the only mutable state of the module is in state.c.
 *
 * Copyright (c) 2026, the safemig authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_H
#define SAFEMIG_H

#include "access/htup.h"
#include "catalog/objectaddress.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"
#include "utils/timestamp.h"

/* messages are looked up in our own catalog, po/ */
#undef TEXTDOMAIN
#define TEXTDOMAIN PG_TEXTDOMAIN("safemig")

/* text that becomes part of a message, in the language of messages */
#define said(text) dgettext(TEXTDOMAIN, text)
#define said_of(one, many, n) dngettext(TEXTDOMAIN, one, many, (unsigned long) (n))

#define SAFEMIG_SCHEMA			"safemig"
#define SAFEMIG_VAULT_PREFIX	"safemig_vault_"
#define SAFEMIG_VAULT_ROLE		"safemig_vault"
/* CHECK that a partition keeps in the vault: its bound */
#define SAFEMIG_BOUND_CHECK		"safemig_vault_bound"

/* SQLSTATEs of the public face; doc/reference.md explains each. */
#define ERRCODE_SAFEMIG_UNKNOWN			MAKE_SQLSTATE('S','M','0','0','1')
#define ERRCODE_SAFEMIG_WRONG_STATE		MAKE_SQLSTATE('S','M','0','0','2')
#define ERRCODE_SAFEMIG_CONFLICT		MAKE_SQLSTATE('S','M','0','0','3')
#define ERRCODE_SAFEMIG_IRREVERSIBLE	MAKE_SQLSTATE('S','M','0','0','4')
#define ERRCODE_SAFEMIG_STALE_PLAN		MAKE_SQLSTATE('S','M','0','0','5')
#define ERRCODE_SAFEMIG_LATER			MAKE_SQLSTATE('S','M','0','0','6')
#define ERRCODE_SAFEMIG_PRUNED			MAKE_SQLSTATE('S','M','0','0','7')
#define ERRCODE_SAFEMIG_CAPTURE			MAKE_SQLSTATE('S','M','0','0','8')
#define ERRCODE_SAFEMIG_LOCK			MAKE_SQLSTATE('S','M','0','0','9')
#define ERRCODE_SAFEMIG_UNEXPECTED		MAKE_SQLSTATE('S','M','0','1','1')

/*
 * Steps: the statements of a reverse.
 *
 * A rollback is not run by one identity: rights are checked once, before the
 * plan; then each statement runs in the way its class says (doc/architecture.md,
 * "Who runs what").
 */
typedef enum StepMode
{
	RUN_CATALOG = 'c',			/* evaluates nothing: as extension owner */
	RUN_INDEX = 'i',			/* core switches to the table owner itself */
	RUN_OWNER = 'o',			/* evaluates user code: as the object's owner,
								 * security-restricted */
	RUN_SUPERUSER = 's'			/* only a superuser could make this object */
} StepMode;

/*
 * Where a step stands within the reverse of one command.  Everything the
 * command made goes first (highest rank first), then the rest is put back in
 * rising rank.  Objects of the same rank are put back in the reverse of the
 * order in which PostgreSQL deleted them, which is an order of dependency.
 */
typedef enum StepRank
{
	RANK_ROLE = 5,				/* members and settings are one later */
	RANK_SCHEMA = 10,
	RANK_EXTENSION = 15,
	RANK_COLLATION = 18,
	RANK_TYPE = 20,
	RANK_SUPPORT = 25,			/* back from the vault, before the tables that
								 * need it */
	RANK_SEQUENCE = 30,
	RANK_HANDLER = 34,			/* functions in C, which need nothing */
	RANK_LANGUAGE = 36,			/* also access methods */
	RANK_FOREIGN_WRAPPER = 37,
	RANK_FOREIGN_SERVER = 38,
	RANK_USER_MAPPING = 39,
	RANK_TABLE = 40,			/* restore, rename, schema, columns */
	RANK_FUNCTION = 45,			/* also aggregates, operators, text search */
	RANK_CAST = 47,
	RANK_DOMAIN_CONSTRAINT = 48,	/* before columns: a column is revived onto
									 * its type as it was, with its CHECKs */
	RANK_COLUMN_TYPE = 52,
	RANK_COLUMN = 54,			/* revive; fill is one later */
	RANK_COLUMN_FUNCTION = 57,	/* functions whose stored body names columns */
	RANK_DEFAULT = 60,			/* defaults, generated, NOT NULL; fill, where
								 * there is a default */
	RANK_NOT_NULL = 65,			/* as a constraint: the children's come up to
								 * four earlier */
	RANK_IDENTITY = 66,			/* its position is one later */
	RANK_INDEX = 68,
	RANK_CONSTRAINT = 70,		/* keys, exclusion, CHECK */
	RANK_TABLE_AFTER = 72,		/* what names an index: replica identity ... */
	RANK_FOREIGN_KEY = 75,
	RANK_STATISTICS = 78,
	RANK_VIEW = 80,				/* also functions whose body holds a query */
	RANK_VIEW_INDEX = 82,
	RANK_RULE = 84,
	RANK_POLICY = 85,
	RANK_TRIGGER = 86,
	RANK_PUBLICATION = 88,
	RANK_EVENT_TRIGGER = 89,
	RANK_DEFAULT_ACL = 90,
	RANK_COMMON = 95			/* owner, privileges, comment, label */
} StepRank;

typedef struct Step
{
	int			order;			/* sort key; drops negative, see steps_sort */
	int			seq;			/* the object's place in the deletion order */
	int			index;			/* then the order in which steps were added */
	StepMode	mode;
	char	   *role;			/* who runs a RUN_OWNER step; else NULL */
	char	   *object;			/* for display: "table public.orders" */
	char	   *lock_mode;		/* as pg_locks would be spelt: "ACCESS EXCLUSIVE" or NULL */
	char	   *cost;			/* catalog, scan, index, rewrite */
	char	   *note;			/* may be NULL */
	char	   *sql;
	int			clause;			/* where the subcommand starts in an ALTER TABLE
								 * that may take in further ones, else 0 */
} Step;

typedef struct Image Image;
typedef struct ImageClass ImageClass;

typedef struct Steps
{
	List	   *list;			/* of Step* */
	const Image *image;			/* the object the next steps are for */
	bool		dropping;		/* steps added now take something away */
	char	   *irreversible;	/* reason why the list is not a whole reverse,
								 * or NULL */
	/* adds steps around the making anew of an object: what hangs on it */
	void		(*around_replacement) (const Image *have, const Image *want,
									   struct Steps *steps);
} Steps;

/*
 * Images.
 *
 * A facet is (part, name, value).  part is "" for the object itself, or the
 * name of a column (of an attribute, an enum label ...).  A facet whose name
 * starts with '@' is a hint for finding and reviving; it is stored, but never
 * compared: OIDs, attribute numbers, file nodes.
 * Values are text fragments fit to be put into SQL, taken under the pinned
 * settings, and never contain the object's own name or schema, nor those of
 * the table it belongs to: renaming an object must change no facet of it.
 */
typedef struct Facet
{
	char	   *part;			/* never NULL */
	char	   *name;
	char	   *value;			/* never NULL: an absent facet is not listed */
} Facet;

struct Image
{
	const ImageClass *class;	/* NULL: a class the registry does not know */
	ObjectAddress address;		/* as it was when the image was taken */
	char	   *type;			/* as pg_identify_object spells it */
	char	   *identity;		/* likewise, fully qualified */
	char	   *schema;			/* raw, NULL for classes without one */
	char	   *name;			/* raw name within schema, or within parent */
	char	   *parent_type;	/* the object this one lives in (a constraint's
								 * table, an owned sequence's table) ... */
	char	   *parent_identity;	/* ... or NULL */
	ObjectAddress parent;
	bool		elsewhere;		/* its OIDs are those of another incarnation */
	int			server;			/* server_version_num of who took it, if that was
								 * another major version; else 0 */
	char	   *owner;			/* role name, NULL for classes without one */
	char	   *names_sql;		/* pg_identify_object_as_address's names and */
	char	   *args_sql;		/* args, as SQL: ARRAY['public', 't']::text[] */
	int			rank;
	int			seq;			/* place in the deletion order, 0 if unknown */
	int64		kept;			/* kept_log.id that holds its data, or 0 */
	List	   *facets;			/* of Facet*, in canonical order */
	struct FacetIndex *index;	/* facets.c's own */
};

/*
 * One const record per object class, exported by its file in image/ and
 * listed in registry.c.
 *
 * read    fills facets (and schema, name, parent, owner, rank if not the
 *         class's) from the catalogs; false if the object is gone.  image.c
 *         has set address, type, identity before and adds the common facets
 *         (comment, labels, extension) after.
 * create  the object from nothing, all own facets; image.c adds the common
 *         ones (owner, acl, comment) after.  NULL: cannot be made from its
 *         image (tables: they come back from the vault).
 * drop    takes it away; RESTRICT.
 * alter   turns have into want where own facets differ (facets only; name,
 *         schema and common facets are compare.c's).  Returns false if that
 *         cannot be done in place: then compare.c drops and re-creates.
 *         NULL: always re-create.
 * reference  what follows ALTER, DROP or COMMENT ON where it is not the keyword
 *         and the identity.  May be NULL.
 * rename  statement that renames or moves; returns false to leave it to the
 *         default in compare.c: ALTER <keyword> name RENAME TO / SET SCHEMA.
 *
 * Renames run before everything else in the reverse of a command, so alter
 * names everything (the object, its parent, its columns) as want does.
 */
struct ImageClass
{
	Oid			catalog;
	const char *type;			/* as pg_identify_object spells it: the key */
	const char *keyword;		/* in ALTER <keyword> ..., COMMENT ON ... */
	int			rank;
	bool		(*read) (Image *image);
	void		(*create) (const Image *image, Steps *steps);
	void		(*drop) (const Image *image, Steps *steps);
	bool		(*alter) (const Image *have, const Image *want, Steps *steps);
	bool		(*rename) (const Image *have, const Image *want, Steps *steps);
	char	   *(*reference) (const Image *image);
};

/* ---- image/image.c: taking, adding facets ---- */

/* NULL if the object does not exist (any more) */
extern Image *image_take(const ObjectAddress *address);
extern void image_add(Image *image, const char *part, const char *name,
					  const char *value);
extern void image_addf(Image *image, const char *part, const char *name,
					   const char *fmt,...) pg_attribute_printf(4, 5);
/* "schema"."name" quoted as needed; the name SQL uses for the object */
extern char *image_qualified_name(const Image *image);
/* the parent's identity, which is its quoted qualified name */
extern char *image_parent_name(const Image *image);
/* what follows ALTER or COMMENT ON: "TABLE public.t", "CONSTRAINT c ON public.t" */
extern char *image_reference(const Image *image);
/* common readers used by class files */
extern void image_add_acl(Image *image, const char *part, Datum acl,
						  bool isnull, ObjectType objtype, Oid owner);
extern void image_add_owner(Image *image, Oid owner);
/* owner of what no statement gives another owner: only for rights and roles */
extern void image_belongs_to(Image *image, Oid owner);
extern void image_add_options(Image *image, const char *part,
							  const char *name, Datum options, bool isnull);
extern char *image_address_key(const Image *image);	/* type + identity */
/* comment and labels as the snapshot shows them; NULL: as they are now */
extern void image_read_marks(Image *image, Snapshot snapshot);

/* ---- image/large_object.c ---- */
extern Image *large_object_image_before(HeapTuple row, CommandId command);

/* ---- image/facets.c ---- */
extern const char *image_get(const Image *image, const char *part,
							 const char *name);

/* ---- image/store.c ---- */
/* what base has too is only referred to; base may be NULL */
extern ArrayType *image_to_array(const Image *image, const Image *base);
extern Image *image_from_array(ArrayType *array, ArrayType *base);
extern ArrayType *text_array_from(const char *const *texts, int n);

/* ---- image/version.c ---- */
/* server_version_num of what is running */
extern int	server_version(void);
/* what one of that version recorded, as this one has it */
extern void image_from_version(Image *image, int version);

/* ---- image/registry.c ---- */
extern const ImageClass *registry_find(const char *type);
/* "table public.t" → "public.t" */
extern const char *registry_identity(const char *key);

/* ---- image/compare.c: two images → steps ---- */
extern bool image_has_other_parts(const Image *a, const Image *b);
extern bool image_equal(const Image *a, const Image *b);
/* (part, facet, a's value or NULL, b's value or NULL) for each difference */
typedef void (*FacetDifference) (void *arg, const char *part,
								 const char *name, const char *a,
								 const char *b);
extern void image_compare(const Image *a, const Image *b,
						  FacetDifference report, void *arg);
/* likewise, but for what only PostgreSQL words otherwise */
extern void image_compare_meaning(const Image *a, const Image *b,
								  FacetDifference report, void *arg);
/* steps that turn have into want; either may be NULL (absent) */
extern void compare_to_steps(const Image *have, const Image *want,
							 Steps *steps);
/* only what makes it, or brings it back from the vault */
extern void make_steps(const Image *want, Steps *steps);
extern void compare_common_to_steps(const Image *have, const Image *want,
									Steps *steps);
/* does it hang on something else, as an array or a row type does? (type.c) */
extern bool type_image_is_dependent(const Image *image);
extern bool facet_differs(const Image *a, const Image *b, const char *part,
						  const char *name);

/* ---- image/spelling.c ---- */
/* what PostgreSQL describes, so that it is parsed to what was described */
extern char *spell_exactly(const char *sql);
/* where that cannot be: do the two differ in casts of arrays alone? */
extern bool spelled_alike(const char *a, const char *b);

/* ---- image/view.c ---- */
/* a view's or materialized view's query, without the names of its columns
 * where those would make another query of it */
extern char *view_words(Oid view);
/* the transforms that creating a function anew would make it hang on, and those
 * it does hang on (image/function.c) */
extern List *function_possible_transforms(HeapTuple row);
extern List *function_transforms(Oid function);
extern Oid	operator_class_of_member(Oid catalog, Oid member);

/* what pg_depend says (depend.c) */
extern List *dependencies_of(Oid classid, Oid objid);
extern List *dependencies_on(Oid classid, Oid objid);
extern bool has_dependants(Oid classid, Oid objid);
extern bool object_depends_by(const ObjectAddress *address, char deptype);
extern List *address_needs(const ObjectAddress *address);

/* ---- image/steps.c ---- */
/*
 * Adds a step for steps->image.  The statement must quote everything and
 * qualify every name.  order is a StepRank.
 */
extern Step *step_add(Steps *steps, int order, StepMode mode,
					  const char *lock_mode, const char *cost,
					  const char *fmt,...) pg_attribute_printf(6, 7);
extern void steps_irreversible(Steps *steps, const char *fmt,...) pg_attribute_printf(2, 3);
extern void steps_init(Steps *steps);
extern void steps_sort(Steps *steps);
extern ArrayType *steps_to_array(const Steps *steps);
extern List *steps_from_array(ArrayType *array);

/* ---- settings.c ---- */
typedef enum CaptureFailure
{
	CAPTURE_FAILURE_ERROR,
	CAPTURE_FAILURE_WARN
} CaptureFailure;

/* whose rows are kept */
typedef enum CaptureData
{
	CAPTURE_DATA_DDL,			/* of every transaction with a migration in it */
	CAPTURE_DATA_EXPLICIT,		/* of explicit and labelled migrations */
	CAPTURE_DATA_TRANSACTION	/* also of transactions without any DDL */
} CaptureData;

typedef enum OnLimit
{
	ON_LIMIT_REFUSE,			/* the command fails */
	ON_LIMIT_IRREVERSIBLE		/* it runs, and nothing is kept of it */
} OnLimit;

/* safemig.on_published: what is to be kept, where all tables are published */
typedef enum OnPublished
{
	ON_PUBLISHED_KEEP,			/* it is kept, and published */
	ON_PUBLISHED_REFUSE			/* the command fails */
} OnPublished;

extern bool safemig_enabled;
extern char *safemig_label;
extern char *safemig_reason;
extern char *safemig_notes;
extern int	safemig_on_capture_failure;
extern bool safemig_require_reversible;
extern bool safemig_allow_drop;
extern bool safemig_notices;
extern bool safemig_report_at_end;
extern bool safemig_keep_undone;
extern int	safemig_lock_timeout;
extern double safemig_max_kept_bytes;	/* -1: no limit */
extern int	safemig_on_limit;
extern int	safemig_on_published;
extern char *safemig_retention; /* an interval, or "never" */
extern char *safemig_retention_grace;	/* an interval */
extern int	safemig_retention_every;	/* seconds; 0: never */
extern char *safemig_discard;	/* the reason, or "" */
extern int	safemig_notify;
extern int	safemig_guard_retries;
extern int	safemig_guard_timeout;	/* milliseconds */
extern int	safemig_capture_data;
extern void settings_define(void);
extern bool is_discarding(void);
extern char *discard_reason(void);

/* What those hear of it who LISTEN to this channel. */
#define SAFEMIG_CHANNEL		"safemig"

typedef enum Notify
{
	NOTIFY_NONE,
	NOTIFY_ROLLBACKS,
	NOTIFY_ALL
} Notify;

/* What becomes of rows that were written again since. */
typedef enum ConflictPolicy
{
	CONFLICT_REFUSE,			/* the rollback does not happen */
	CONFLICT_KEEP,				/* they stay as they are */
	CONFLICT_RESTORE			/* they become what they were */
} ConflictPolicy;

/* ---- state.c: the only mutable state ---- */
typedef struct State
{
	int			own_depth;		/* > 0: what runs now is our own work, not a
								 * command to record */
	int64		explicit_id;	/* open migration of this session, or 0 */
	List	   *ended;			/* of int64*: those that this transaction ended;
								 * their locks go when it commits */
	int64		xact_id;		/* migration that this transaction writes, or 0 */
	int64		written_id;		/* the one that commands of this transaction
								 * were recorded in, whichever it is, or 0 */
	bool		relabelled;		/* rows written from now on are not of that one */
	char	   *row_label;		/* safemig.label of what was written since the
								 * last look, or NULL */
	List	   *writers;		/* of int64*: whose rows this transaction wrote */
	int64		labelled_id;	/* the last one under safemig.label ... */
	char	   *labelled;		/* ... and the label */
	int64		last_id;		/* the last migration of this session */
	char	   *framework;		/* that runs migrations here, or NULL ... */
	bool		framework_rows; /* ... some of which may be rows alone, ... */
	TimestampTz framework_seen; /* ... and when it was last seen to do so, or 0 */
	int64		framework_done; /* none up to that one is waiting for its row */
	Oid			row_unseen_in;	/* an updated row there is to be taken for a new one */
	int64		begun_id;		/* a framework's migration whose row came first, or 0 */
	int64		reverted_id;	/* what this transaction's last row took back is in
								 * that one, or 0 */
	List	   *overrides;		/* of List*: of a policy, not noted yet */
	struct Shape *shape;		/* what policy has seen of the transaction, or NULL */
	List	   *emptied;		/* of Oid: history tables that it truncated */
	struct Touched *touched;	/* what of which migration, newest first, or NULL */
	bool		lent;			/* rights are lent, for a statement that runs ... */
	int			lent_commands;	/* ... and so many commands may still start */
	List	   *loans;			/* of struct Loan*: what is lent */
	int64		record_id;		/* record of the rollback that runs, or 0 */
	int64		undone_id;		/* the same, until the transaction ends */
	struct Script *script;		/* the rollback by script that is under way, or NULL */
	int64		tables_restored;	/* moved back out of the vault */
	int64		rows_restored;	/* counted by the rollback's data steps */
	int64		rows_later;
	List	   *later;			/* of LaterWrites*, summed up in rows_later */
	List	   *written;		/* of struct Written*, as the last look found it */
	CommandId	written_since;	/* earlier commands have been looked at */
	List	   *seen;			/* of struct Seen*: by looks since then */
	List	   *positions;		/* of struct NotedPosition* */
	List	   *positions_of;	/* OIDs of tables whose sequences are noted */
	int			positions_recorded; /* of those that outlast a savepoint */
	List	   *foreign_written;	/* OIDs of foreign tables */
	struct Truncation *truncation;	/* kept, and not written down yet, or NULL */
	ConflictPolicy on_conflict; /* of the rollback that runs */
	struct NetWrites *net;		/* the rows that it meets, or NULL */
	bool		collects;		/* goes on after a conflict, to find the others */
	List	   *broken_references;	/* of struct Reference*, on its way */
	List	   *astray;			/* of struct Astray*, of the rollback that runs */
	List	   *conversion_settings;	/* of char*, by conversion_settings_now()
										 * for the command that is about to run, or NIL */
	struct Caller *caller;		/* of the rollback that runs, or NULL */
	struct Progress *progress;	/* how far that is, or NULL */
	struct RestoredValues *restored_values; /* what safemig.restored_value()
											 * answers with, or NULL */
} State;

extern State safemig_state;
extern void state_init(void);
/* before changing safemig_state: undone if this (sub)transaction is */
extern void state_save(void);
/* what runs in between is our own work, not a command to record */
extern void own_work_begin(void);
extern void own_work_end(void);

/* ---- worker.c: background workers, and one in each database ---- */
struct BackgroundWorker;
extern void worker_describe(struct BackgroundWorker *worker, const char *function,
							const char *name, const char *type);
/* one after the other, waiting for each; false: none was free for that one */
typedef void (*WorkerRefused) (Oid database);
extern void worker_in_each_database(const char *function, const char *name,
									const char *type, WorkerRefused refused);

/* ---- rollback/retention.c ---- */
extern void retention_init(void);

/* ---- attempt.c ---- */
extern ErrorData *attempt(bool (*what) (void *arg), void *arg);

/* ---- lockorder.c ---- */
extern int	lock_rank(Oid relid);
extern int	lock_order(int rank_x, Oid x, int rank_y, Oid y);

/* ---- tuples.c: tuplestores ---- */
struct Tuplestorestate;
struct TupleTableSlot;
extern bool stored_tuple_next(struct Tuplestorestate *store, struct TupleTableSlot *slot);

/* ---- security.c: who runs what, and in which frame ---- */
typedef struct Frame
{
	Oid			userid;
	int			sec_context;
	int			guc_level;
	List	   *loans;			/* of Loan*, taken back when it is left */
	bool		lent;			/* as safemig_state had it */
	int			lent_commands;
	List	   *lent_before;
} Frame;

/* pinned settings under which every image and every step is made */
extern void frame_pin(Frame *frame);
extern void frame_unpin(Frame *frame);
extern void pin_until_commit(void);
extern void frame_become_owner(Frame *frame);	/* pin + extension's owner */
extern void frame_become(Frame *frame, Oid role);	/* pin + role, restricted */

/* who called a rollback, and the values of what is pinned meanwhile */
typedef struct Caller
{
	Oid			userid;
	int			sec_context;
	char	   *settings[FLEXIBLE_ARRAY_MEMBER];
} Caller;

extern Caller *caller_now(void);
extern const char *pinned_setting(int number);
extern Oid	extension_owner(void);
extern Oid	vault_role(void);
extern bool is_administrator(Oid role);

/* ---- loan.c: rights, lent to an owner for one statement ---- */
/*
 * frame_become(), for reading or running what was parsed: USAGE of the schemas
 * that it names, and CREATE in one of them (or InvalidOid); for ALTER TABLE
 * also what belongs to others and that changes too.  Of a list the first is
 * what runs.  While anything is out so many commands may start and no more:
 * one, where parsed is a command.
 */
extern void frame_become_for(Frame *frame, Oid role, Node *parsed,
							 Oid create_in, int commands);
/* what is called when rows of the relation are written */
extern void frame_lend_for_rows(Frame *frame, Oid role, Relation rel);
/* what is needed to look at a foreign key between these tables */
extern void frame_lend_for_reference(Frame *frame, Oid role, Oid relid, Oid referenced);
/* what these subcommands of ALTER TABLE change and do not ask him for */
extern void frame_lend_for_alter(Frame *frame, Oid role, Oid relid, List *cmds,
								 bool recurse);
extern void loans_take_back(Frame *frame);
extern void check_no_loan_is_used(void);
/* the owner that a relation has apart from loans */
extern Oid	loan_owner(Oid relid, Oid owner);
extern bool loan_acl(Oid classid, Oid objid, Datum *acl);

/* ---- bystander.c: event triggers of others run as the rollback's caller ---- */
extern void bystander_init(void);
extern void bystander_forget(void);

/* ---- named.c: what a parse tree names, as OIDs ---- */
typedef struct Names
{
	List	   *schemas;
	List	   *functions;		/* all that have one of the names */
	List	   *types;
	List	   *relations;
} Names;

extern void names_in(Node *parsed, Names *named);
extern Oid	replaced_function(const CreateFunctionStmt *stmt);

/* ---- runner.c: who runs a statement that may hold the user's expressions ---- */
typedef struct Runner
{
	Oid			role;			/* InvalidOid: the extension's owner */
	Oid			namespace;		/* in which he may need to create, or InvalidOid */
	Node	   *parsed;			/* the statement, or NULL if it names nothing that
								 * is looked up as him */
	bool		refreshes;		/* a materialized view */
} Runner;

/* for what the step's statement needs; to be left by frame_unpin() */
extern void frame_become_runner(Frame *frame, const Runner *runner);

/* exactly one statement */
extern Node *parse_statement(const char *sql);
extern FuncCall *parsed_own_call(Node *parsed);
extern Runner step_runner(const Step *step);
extern bool step_needs_runner(const Step *step);
/* runs one statement as whoever it has to be; owner where that cannot be told */
extern void run_statement(const char *sql, Oid owner);
extern Oid	relation_owner(Oid relid);

/* ---- capture/capture.c: a command, or one of our own acts, as a frame ---- */
/* own acts (revive, restore ...) that are recorded like a command */
extern void capture_internal_begin(const char *tag, List *addresses);
/* after begin: the act moves the position of the sequences it is about */
extern void capture_internal_moves_sequence(void);
/* after begin: the act has made this object */
extern void capture_internal_made(Oid class_id, Oid object_id);
extern void capture_internal_end(void);

/*
 * Kept data.  A row of safemig.kept_log says where one kept thing is; the
 * thing itself is an ordinary relation (or type) in a vault schema, so that
 * pg_dump takes both along.  Everything is found by name; OIDs are caches.
 */
typedef struct Kept
{
	int64		id;				/* set by history_add_kept if 0 */
	int64		migration;
	int64		command;
	char	   *kind;			/* relation, type, collation, column, values, rows, position */
	char	   *object_type;	/* the object it belongs to, as it was called */
	char	   *identity;
	char	   *part;			/* column name, or "" */
	char	   *vault_schema;	/* where the data is; NULL for position */
	char	   *vault_name;
	int64		rows;			/* -1: not counted (moved, not copied) */
	int64		bytes;
	char	   *checksum;		/* of a copy; NULL for what was moved */
	char	   *state;			/* kept, restored, pruned */
	List	   *details;		/* of char*: name, value, name, value ... */
} Kept;

extern const char *kept_detail(const Kept *kept, const char *name);
extern void kept_add_detail(Kept *kept, const char *name, const char *value);

/* ---- history/kept.c ---- */
extern int64 history_add_kept(Kept *kept);
extern Kept *history_get_kept(int64 id);	/* ERROR SM007 if pruned or gone */
extern void history_set_kept_state(int64 id, const char *state);
extern void history_update_kept(const Kept *kept);	/* bytes, checksum, details */
/* of Kept*, by a condition on the rows k of kept_log */
extern List *history_kept_where(const char *where, int nargs, Oid *types,
								Datum *args, const char *nulls);
/* of Kept*, what one command kept of this kind and part (NULL: any); not what
 * is pruned */
extern List *history_find_kept(int64 migration, int64 command,
							   const char *kind, const char *part);
/* what is in the vault under that name, or NULL */
extern Kept *history_kept_in_vault(const char *kind, const char *schema,
								   const char *name);

/* ---- keep/vault.c: moving relations and types out of the way and back ---- */
/* vault schema for this command's objects of that schema; made when missing */
extern Oid	vault_schema_for(int64 migration, int64 command, Oid source_namespace);
extern bool vault_is_schema(Oid namespace);
/* its schemas and what is in them become ordinary ones */
extern void vault_give_up(void);
/* can the type be made only when some table is there? */
extern bool type_needs_table(Oid typid);
/* the type's name, for one in the vault that which it has out of it */
extern char *type_name_at_home(Oid typid, int32 typmod);
extern char *collation_name_at_home(Oid collation);
/* materialized views before what they read, parents before their children;
 * see relation.c */
extern int64 vault_keep_relation(Oid relid, int64 migration, int64 command);
extern int64 vault_keep_type(Oid typid, int64 migration, int64 command);
extern int64 vault_keep_collation(Oid collation, int64 migration, int64 command);
/* functions, operators, their classes and families: what a partition key needs */
extern bool is_support(Oid class_id);
extern int64 vault_keep_support(const ObjectAddress *address, int64 migration,
								int64 command);
/* after the dependants' removal: an object left over is an error */
extern void vault_check_untied(Oid relid);
/* what these rows of kept_log hold goes for good; see discard.c */
extern void vault_discard(List *all);
/* is it there? */
extern bool vault_holds(const Kept *kept);
/* OIDs of the tables OF a type */
extern List *type_tables(Oid typid);
/* before these go for good, while kept rows may need them */
extern void vault_freeze(List *types, List *opclasses, List *methods, List *later);
extern void vault_freeze_type(Oid typid);
/* while these change in a way that stored values forbid */
extern void vault_freeze_rows(List *types);

/* ---- keep/column.c: values of a column that a command takes or changes ---- */
/* Columns of a table that one command takes away or changes. */
typedef struct Together
{
	Bitmapset  *all;
	Bitmapset  *dropped;
	Bitmapset  *lossy;			/* dropped, or changed so that casting does not
								 * give the values back */
	Bitmapset  *passing;		/* added by the same migration */
} Together;

/*
 * kind: "column" before DROP COLUMN, "values" before a change of type, "cast"
 * before one without USING (cheaper: kept as "values" too).
 */
extern int64 column_keep(Oid relid, AttrNumber attnum, const Together *together,
						 const char *kind, int64 migration, int64 command);
/* the session's settings that decide what casts give; to be put, before
 * anything is pinned, where column_keep finds them */
extern List *conversion_settings_now(void);
extern void column_keep_finish(int64 kept);	/* after the command: stamp */
/* of int64*: kept values, to be finished after the rewrite that is to come */
extern List *column_keep_follow(Oid relid, const Image *before);

extern bool type_change_is_lossless(Oid from, int32 from_typmod,
									Oid to, int32 to_typmod);

/* ---- rollback/apply.c: what the data steps of a rollback did ---- */
extern void rollback_count(Oid relid, int64 restored, int64 later);

/* ---- keep/astray.c: what a rollback by keys cannot tell ---- */
extern void astray_report(void);
extern char *astray_forecast(int64 kept_id);
/* in ACCESS SHARE, if it can be had without waiting; or NULL */
extern Relation relation_open_now(Oid relid);

/* ---- rollback/report.c: a commit, of which there may be something to say ---- */
extern void migration_report_at_commit(void);

/* ---- rollback/scriptrun.c: a commit in the middle of a script ---- */
extern void script_refuse_commit(void);

/* ---- keep/sequence.c ---- */
typedef struct SequencePosition
{
	int64		last_value;
	int64		log_cnt;
	bool		is_called;
} SequencePosition;

extern bool sequence_has_numbers_out(Oid seqid);
extern void sequence_read_position(Oid seqid, SequencePosition *position);
/* a position read before the rows of the table that owns the sequence */
extern Kept *sequence_keep_noted(Oid seqid, Oid relid,
								 const SequencePosition *position,
								 int64 migration, int64 command);
extern void sequence_note_after(int64 kept, Oid seqid);
extern int64 sequence_keep_position(Oid seqid, int64 migration, int64 command);

#endif							/* SAFEMIG_H */
