/*
 * The history.  These tables are written by the library alone; the views of
 * 30_views.sql are the public face.  No foreign keys among them: a dump of
 * the data alone must load in any order.
 */
CREATE SCHEMA safemig;
GRANT USAGE ON SCHEMA safemig TO PUBLIC;

CREATE SEQUENCE safemig.migration_id;
CREATE SEQUENCE safemig.command_seq;
CREATE SEQUENCE safemig.kept_id;
CREATE SEQUENCE safemig.failure_id;

/* One row, made anew in every database that this is created in: OIDs in the
 * history are believed only while it is the one they were written under. */
CREATE TABLE safemig.incarnation (
	marker		text PRIMARY KEY,
	since		timestamptz NOT NULL DEFAULT pg_catalog.now()
);
INSERT INTO safemig.incarnation (marker) VALUES (pg_catalog.gen_random_uuid()::text);

CREATE TABLE safemig.migration_log (
	id			bigint PRIMARY KEY,
	kind		text NOT NULL,
	label		text,
	framework	text,
	version		text,
	state		text NOT NULL,
	role		text NOT NULL,
	session_role text NOT NULL,
	client		text,
	application	text,
	reason		text,
	started_at	timestamptz NOT NULL,
	finished_at	timestamptz,
	xid			text,
	lsn			pg_lsn,
	rolled_back_by bigint,
	rolls_back	bigint[],
	effective	bigint,
	incarnation	text NOT NULL,
	session		text,			-- that began it: pid and start
	history		text,			-- the framework's table that names it
	line		text,			-- migrations of a framework whose order is binding
	previous	text,			-- label that the one row of the line had before
	reverted_by	bigint			-- the framework's own way back
);
CREATE INDEX migration_log_label ON safemig.migration_log (label);
CREATE INDEX migration_log_state ON safemig.migration_log (state, id);
CREATE INDEX migration_log_history ON safemig.migration_log (history, id);
CREATE INDEX migration_log_reverted ON safemig.migration_log (reverted_by);

CREATE TABLE safemig.command_log (
	seq			bigint PRIMARY KEY,
	migration	bigint NOT NULL,
	tag			text NOT NULL,
	query		text,
	role		text NOT NULL,
	search_path	text NOT NULL,
	started_at	timestamptz NOT NULL,
	ms			double precision NOT NULL,
	rewrote		text[],
	reverse		text[],
	irreversible text,
	unkept		text,
	-- what it took; NULL where nobody looked
	own_ms		double precision,
	waited_ms	double precision,
	locks		text[],			-- relation, mode, relation, mode ...; strongest first
	locked		bigint,
	wal_bytes	bigint,
	own_wal_bytes bigint,
	written_bytes bigint,
	cost		text,
	table_bytes	bigint
);
CREATE INDEX command_log_migration ON safemig.command_log (migration, seq);

CREATE TABLE safemig.change_log (
	command		bigint NOT NULL,
	ord			int NOT NULL,
	migration	bigint NOT NULL,
	action		text NOT NULL,
	type		text NOT NULL,
	identity_before text,
	identity_after text,
	parent		text,
	classid		oid NOT NULL,
	objid		oid NOT NULL,
	incarnation	text NOT NULL,
	before		text[],
	after		text[],
	kept		bigint,
	server		int NOT NULL,	-- server_version_num
	PRIMARY KEY (command, ord)
)
-- the description of an ordinary table fits, and need not be compressed
WITH (toast_tuple_target = 4080);
CREATE INDEX change_log_before ON safemig.change_log (identity_before, type);
CREATE INDEX change_log_after ON safemig.change_log (identity_after, type);
CREATE INDEX change_log_migration ON safemig.change_log (migration);

CREATE TABLE safemig.kept_log (
	id			bigint PRIMARY KEY,
	migration	bigint NOT NULL,
	command		bigint NOT NULL,
	kind		text NOT NULL,
	object_type	text NOT NULL,
	identity	text NOT NULL,
	part		text NOT NULL DEFAULT '',
	vault_schema text,
	vault_name	text,
	rows		bigint NOT NULL,
	bytes		bigint NOT NULL,
	checksum	text,
	state		text NOT NULL,
	details		text[]
);
CREATE INDEX kept_log_migration ON safemig.kept_log (migration);

-- the transactions, with their subtransactions, in which a migration wrote
-- rows: who knows a row by what it holds has to know who wrote it
CREATE TABLE safemig.writer_log (
	migration	bigint NOT NULL,
	xids		bigint[] NOT NULL
);
CREATE INDEX writer_log_migration ON safemig.writer_log (migration);
-- no key, and it is published where all tables are
ALTER TABLE safemig.writer_log REPLICA IDENTITY FULL;

CREATE TABLE safemig.failure_log (
	id			bigint PRIMARY KEY,
	migration	bigint,
	tag			text NOT NULL,
	query		text,
	role		text NOT NULL,
	sqlstate	text,
	message		text,
	failed_at	timestamptz NOT NULL
);

CREATE TABLE safemig.note_log (
	migration	bigint NOT NULL,
	key			text NOT NULL,
	value		text,
	noted_at	timestamptz NOT NULL DEFAULT pg_catalog.now(),
	role		text NOT NULL DEFAULT CURRENT_USER,
	PRIMARY KEY (migration, key)
);

-- what the proof of a rollback found: object, state and fingerprint of each
CREATE TABLE safemig.certificate_log (
	record		bigint PRIMARY KEY,
	on_conflict	text NOT NULL,
	tables_put_back bigint NOT NULL,
	rows_restored bigint NOT NULL,
	later_writes bigint NOT NULL,
	objects		text[] NOT NULL,
	verified_at	timestamptz NOT NULL,
	ms			double precision	-- from the plan to the proof
);

-- what was kept and is not any more, by whose order
CREATE TABLE safemig.prune_log (
	kept		bigint PRIMARY KEY,
	migration	bigint NOT NULL,
	bytes		bigint NOT NULL,
	role		text NOT NULL,
	reason		text,
	pruned_at	timestamptz NOT NULL
);
CREATE INDEX prune_log_migration ON safemig.prune_log (migration);

-- what may not be pruned yet
CREATE TABLE safemig.pin_log (
	migration	bigint PRIMARY KEY,
	until		timestamptz NOT NULL,
	role		text NOT NULL,
	reason		text,
	pinned_at	timestamptz NOT NULL
);

-- what has expired, and is to be pruned when the time of grace is over
CREATE TABLE safemig.expiry_log (
	migration	bigint PRIMARY KEY,
	marked_at	timestamptz NOT NULL,
	prune_after	timestamptz NOT NULL
);

-- what was taken out of what is kept, or out of the texts of a migration: the
-- condition is not told, since it names whom it was about
CREATE TABLE safemig.erase_log (
	migration	bigint NOT NULL,
	kept		bigint,
	rows		bigint NOT NULL,
	role		text NOT NULL,
	reason		text,
	erased_at	timestamptz NOT NULL
);
CREATE INDEX erase_log_migration ON safemig.erase_log (migration);
ALTER TABLE safemig.erase_log REPLICA IDENTITY FULL;

-- how often tables had been read and written when a migration that changed
-- them committed, for safemig.impact.  As the counters of the server, they are
-- not dumped.
CREATE TABLE safemig.counter_log (
	migration	bigint NOT NULL,
	relid		oid NOT NULL,
	seq_scan	bigint NOT NULL,
	seq_tup_read bigint NOT NULL,
	idx_scan	bigint NOT NULL,
	idx_tup_fetch bigint NOT NULL,
	n_tup_ins	bigint NOT NULL,
	n_tup_upd	bigint NOT NULL,
	n_tup_del	bigint NOT NULL,
	counted_at	timestamptz NOT NULL
);
CREATE INDEX counter_log_migration ON safemig.counter_log (migration, relid);
ALTER TABLE safemig.counter_log REPLICA IDENTITY FULL;

-- how long steps of rollbacks and rehearsals took; those that change catalogs
-- alone are one line for each kind, with the mean.  The newest of each kind
-- stay.  It is what the server of now does, so that it is not dumped.
CREATE TABLE safemig.step_log (
	measured_at	timestamptz NOT NULL,
	kind		text NOT NULL,
	cost		text NOT NULL,
	rows		bigint,
	bytes		bigint,
	ms			double precision NOT NULL
);
CREATE INDEX step_log_kind ON safemig.step_log (kind COLLATE "C", cost COLLATE "C", measured_at);
ALTER TABLE safemig.step_log REPLICA IDENTITY FULL;

SELECT pg_catalog.pg_extension_config_dump('safemig.migration_id', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.command_seq', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.kept_id', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.failure_id', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.migration_log', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.command_log', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.change_log', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.kept_log', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.writer_log', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.failure_log', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.note_log', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.certificate_log', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.prune_log', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.pin_log', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.expiry_log', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.erase_log', '');
