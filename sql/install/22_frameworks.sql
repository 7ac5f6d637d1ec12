/*
 * The migration frameworks whose history tables are known: how such a table is
 * told from others, how a row of it is read, how a run of migrations looks.
 */
CREATE TABLE safemig.frameworks (
	name		text PRIMARY KEY,
	table_name	text,			-- regular expression; NULL: any name
	columns		text[] NOT NULL CHECK (pg_catalog.cardinality(columns) > 0),
	beside		text,			-- a table that stands beside it
	label		text NOT NULL,
	version		text NOT NULL,
	applied		text NOT NULL DEFAULT 'true',
	row_written	text NOT NULL CHECK (row_written IN
		('with the migration', 'after the migration', 'before the migration', 'by another session')),
	transactions text NOT NULL CHECK (transactions IN ('run', 'migration', 'statement')),
	linear_by	text[],			-- NULL: order is not binding
	parts		text[] NOT NULL DEFAULT '{}',
	helpers		text[] NOT NULL DEFAULT '{}',
	schema_name	text,
	taken_back	text NOT NULL DEFAULT 'its row is deleted',
	one_row		boolean NOT NULL DEFAULT false,
	seeded		boolean NOT NULL DEFAULT false
);
GRANT SELECT ON safemig.frameworks TO PUBLIC;
COMMENT ON TABLE safemig.frameworks IS
'One row per migration framework whose history table is known. The owner of the extension may add rows, for renamed tables or other frameworks. Expressions run as the owner of the history table.';
COMMENT ON COLUMN safemig.frameworks.name IS
'As safemig.migrations and safemig_rollback_last() call it. Where several rows match a table, added ones come before those that CREATE EXTENSION made, then those with a table beside, then the first by name.';
COMMENT ON COLUMN safemig.frameworks.table_name IS
'Regular expression that the whole name of the history table matches, in any schema; NULL where the columns alone tell.';
COMMENT ON COLUMN safemig.frameworks.columns IS
'The columns, each as "name type", the type as format_type() spells it without its modifier, several with |. One with a ? behind may be missing. A table with further columns is not meant.';
COMMENT ON COLUMN safemig.frameworks.beside IS
'Name of a table in the same schema without which it is another framework''s.';
COMMENT ON COLUMN safemig.frameworks.label IS
'SQL expression over the columns that gives the name of a row''s migration, under search_path pg_catalog.';
COMMENT ON COLUMN safemig.frameworks.version IS
'Likewise, the version.';
COMMENT ON COLUMN safemig.frameworks.applied IS
'Likewise, boolean: the migration of this row has been applied.';
COMMENT ON COLUMN safemig.frameworks.row_written IS
'When: with the migration (in its transaction, behind its commands), after it (in a transaction of its own), before it, or by another session when the migration has committed (then table_name and parts are names, with | between them).';
COMMENT ON COLUMN safemig.frameworks.transactions IS
'What one transaction holds: a whole run of migrations, one migration, or one statement.';
COMMENT ON COLUMN safemig.frameworks.linear_by IS
'Columns within whose values the order of migrations is binding, so that one below the newest is not rolled back alone; {} is the whole table; NULL where gaps are tolerated.';
COMMENT ON COLUMN safemig.frameworks.parts IS
'Regular expressions for tables in which the framework writes down more about a migration: their rows go and come with it.';
COMMENT ON COLUMN safemig.frameworks.helpers IS
'Regular expressions for tables of the framework''s own, as for its lock: they belong to no migration.';
COMMENT ON COLUMN safemig.frameworks.schema_name IS
'Schema that the framework makes for itself; parts and helpers stand in it.';
COMMENT ON COLUMN safemig.frameworks.taken_back IS
'What becomes of a migration''s row when it is rolled back.';
COMMENT ON COLUMN safemig.frameworks.one_row IS
'Whether one row (of each branch, or each value of linear_by) names the last migration alone, and the next one writes it anew; otherwise each migration has a row, and one that gets another name is the same migration.';
COMMENT ON COLUMN safemig.frameworks.seeded IS
'Whether CREATE EXTENSION made this row; it is not dumped then.';

INSERT INTO safemig.frameworks
	(name, table_name, columns, beside, label, version, applied, row_written, transactions, linear_by, parts, helpers, schema_name, taken_back, one_row, seeded)
VALUES
('activerecord', 'schema_migrations', '{version character varying}', 'ar_internal_metadata',
	'version', 'version', 'true', 'with the migration', 'migration', NULL, '{}', '{ar_internal_metadata}', NULL, 'its row is deleted', false, true),
('alembic', NULL, '{version_num character varying}', NULL,
	'version_num', 'version_num', 'true', 'with the migration', 'run', '{}', '{}', '{}', NULL, 'the row names the migration before, or is deleted', true, true),
('db-migrate', 'migrations', '{id integer,name character varying,run_on timestamp without time zone}', NULL,
	'pg_catalog.ltrim(name, ''/'')', 'pg_catalog.ltrim(name, ''/'')', 'true', 'with the migration', 'migration', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('dbmate', 'schema_migrations', '{version character varying}', NULL,
	'version', 'version', 'true', 'with the migration', 'migration', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('diesel', '__diesel_schema_migrations', '{version character varying,run_on timestamp without time zone}', NULL,
	'version', 'version', 'true', 'with the migration', 'migration', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('django', 'django_migrations', '{id integer|bigint,app character varying,name character varying,applied timestamp with time zone}', NULL,
	'app || ''.'' || name', 'name', 'true', 'with the migration', 'migration', '{app}', '{}', '{}', NULL, 'its row is deleted', false, true),
('drizzle', '__drizzle_migrations', '{id integer,hash text,created_at bigint,name text?,applied_at timestamp with time zone?}', NULL,
	'COALESCE(name, hash)', 'created_at::text', 'true', 'with the migration', 'run', '{}', '{}', '{}', 'drizzle', 'its row is deleted', false, true),
('flyway', 'flyway_schema_history|schema_version', '{installed_rank integer,version character varying,description character varying,type character varying,script character varying,checksum integer,installed_by character varying,installed_on timestamp without time zone,execution_time integer,success boolean}', NULL,
	'script', 'COALESCE(version, description)', 'success AND type NOT IN (''BASELINE'', ''SCHEMA'')', 'by another session', 'migration', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('golang-migrate', 'schema_migrations', '{version bigint,dirty boolean}', NULL,
	'version::text', 'version::text', 'NOT dirty', 'before the migration', 'migration', '{}', '{}', '{}', NULL, 'the row names the migration before', true, true),
('goose', 'goose_db_version', '{id integer,version_id bigint,is_applied boolean,tstamp timestamp without time zone|timestamp with time zone}', NULL,
	'version_id::text', 'version_id::text', 'is_applied AND version_id > 0', 'with the migration', 'migration', '{}', '{}', '{}', NULL, 'its row is deleted', false, true),
('graphile-migrate', 'migrations', '{hash text,previous_hash text,filename text,date timestamp with time zone}', NULL,
	'filename', 'filename', 'true', 'with the migration', 'migration', '{}', '{}', '{current}', 'graphile_migrate', 'its row is deleted', false, true),
('knex', NULL, '{id integer,name character varying,batch integer,migration_time timestamp with time zone}', NULL,
	'name', 'name', 'true', 'with the migration', 'run', NULL, '{}', '{knex_migrations_lock}', NULL, 'its row is deleted', false, true),
('kysely', 'kysely_migration', '{name character varying,timestamp character varying}', NULL,
	'name', 'name', 'true', 'with the migration', 'run', '{}', '{}', '{kysely_migration_lock}', NULL, 'its row is deleted', false, true),
('laravel', 'migrations', '{id integer|bigint,migration character varying,batch integer}', NULL,
	'migration', 'migration', 'true', 'after the migration', 'migration', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('liquibase', 'databasechangelog', '{id character varying,author character varying,filename character varying,dateexecuted timestamp without time zone,orderexecuted integer,exectype character varying,md5sum character varying?,description character varying?,comments character varying?,tag character varying?,liquibase character varying?,contexts character varying?,labels character varying?,deployment_id character varying?}', NULL,
	'filename || ''::'' || id || ''::'' || author', 'id', 'exectype <> ''FAILED''', 'after the migration', 'migration', NULL, '{}', '{databasechangeloglock}', NULL, 'its row is deleted', false, true),
('mikro-orm', 'mikro_orm_migrations', '{id integer,name character varying,executed_at timestamp with time zone}', NULL,
	'name', 'name', 'true', 'with the migration', 'run', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('mojo-pg', 'mojo_migrations', '{name text,version bigint}', NULL,
	'name || '' '' || version', 'version::text', 'version > 0', 'with the migration', 'run', '{name}', '{}', '{}', NULL, 'the row names the version before', true, true),
('node-pg-migrate', 'pgmigrations', '{id integer,name character varying,run_on timestamp without time zone}', NULL,
	'name', 'name', 'true', 'with the migration', 'run', '{}', '{}', '{}', NULL, 'its row is deleted', false, true),
('postgrator', 'schemaversion', '{version bigint,name text?,md5 text?,run_at timestamp with time zone?}', NULL,
	'COALESCE(name, version::text)', 'version::text', 'version > 0', 'after the migration', 'migration', '{}', '{}', '{}', NULL, 'its row is deleted', false, true),
('prisma', '_prisma_migrations', '{id character varying,checksum character varying,finished_at timestamp with time zone,migration_name character varying,logs text,rolled_back_at timestamp with time zone,started_at timestamp with time zone,applied_steps_count integer}', NULL,
	'migration_name', 'pg_catalog.split_part(migration_name, ''_'', 1)', 'finished_at IS NOT NULL AND rolled_back_at IS NULL', 'before the migration', 'statement', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('seaorm', 'seaql_migrations', '{version character varying,applied_at bigint}', NULL,
	'version', 'version', 'true', 'with the migration', 'migration', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('sequel', 'schema_migrations', '{filename text}', NULL,
	'filename', 'pg_catalog.split_part(filename, ''_'', 1)', 'true', 'with the migration', 'migration', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('sequel-integer', 'schema_info', '{version integer}', NULL,
	'version::text', 'version::text', 'version > 0', 'with the migration', 'migration', '{}', '{}', '{}', NULL, 'the row names the version before', true, true),
('sequelize', '"?SequelizeMeta"?', '{name character varying,createdAt timestamp with time zone?,updatedAt timestamp with time zone?}', NULL,
	'name', 'name', 'true', 'after the migration', 'statement', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('sql-migrate', 'gorp_migrations', '{id text,applied_at timestamp with time zone}', NULL,
	'id', 'id', 'true', 'with the migration', 'migration', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('sqitch', 'changes', '{change_id text,script_hash text,change text,project text,note text,committed_at timestamp with time zone,committer_name text,committer_email text,planned_at timestamp with time zone,planner_name text,planner_email text}', NULL,
	'change', 'change_id', 'true', 'by another session', 'migration', '{project}', '{dependencies,tags,events}', '{projects,releases}', 'sqitch', 'its rows are deleted', false, true),
('sqlx', '_sqlx_migrations', '{version bigint,description text,installed_on timestamp with time zone,success boolean,checksum bytea,execution_time bigint}', NULL,
	'version || ''_'' || pg_catalog.replace(description, '' '', ''_'')', 'version::text', 'success', 'with the migration', 'migration', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('typeorm', NULL, '{id integer,timestamp bigint,name character varying}', NULL,
	'name', '"timestamp"::text', 'true', 'with the migration', 'run', NULL, '{}', '{typeorm_metadata}', NULL, 'its row is deleted', false, true),
('umzug', 'umzug.*|.*migrations_meta', '{name character varying,createdAt timestamp with time zone?,updatedAt timestamp with time zone?}', NULL,
	'name', 'name', 'true', 'after the migration', 'statement', NULL, '{}', '{}', NULL, 'its row is deleted', false, true),
('yoyo', '_yoyo_migration', '{migration_hash character varying,migration_id character varying,applied_at_utc timestamp without time zone}', NULL,
	'migration_id', 'migration_id', 'true', 'by another session', 'migration', NULL, '{}', '{_yoyo_migration,_yoyo_log,_yoyo_version,yoyo_lock,yoyo_tmp_.*}', NULL, 'its row is deleted', false, true);

-- sessions have them in memory
CREATE FUNCTION safemig.on_frameworks_change()
RETURNS trigger LANGUAGE C
AS 'MODULE_PATHNAME', 'safemig_on_frameworks_change';
REVOKE EXECUTE ON FUNCTION safemig.on_frameworks_change() FROM PUBLIC;
COMMENT ON FUNCTION safemig.on_frameworks_change() IS
'Has every session read safemig.frameworks anew.';
CREATE TRIGGER on_frameworks_change
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON safemig.frameworks
	FOR EACH STATEMENT EXECUTE FUNCTION safemig.on_frameworks_change();

SELECT pg_catalog.pg_extension_config_dump('safemig.frameworks', 'WHERE NOT seeded');
