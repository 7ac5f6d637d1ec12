/*
 * The rules: id, name, severity, lock, cost, undo, its lock, its cost, also of
 * what the script itself makes, why, safer form.  Locks and costs are those of
 * PostgreSQL 15, read in pg_locks and pg_class.  No guard: it is included for
 * what RULE() makes of each line.
 *
 * In a safer form {object} is the relation, {part} what is in it, {schema} the
 * relation's schema, {clause} a part of the statement's text, {statement} all
 * of it.
 */

#define AEL	"ACCESS EXCLUSIVE"
#define EXL	"EXCLUSIVE"
#define SRE	"SHARE ROW EXCLUSIVE"
#define SHL	"SHARE"
#define SUE	"SHARE UPDATE EXCLUSIVE"
#define REL	"ROW EXCLUSIVE"

/* ---- what loses data ---- */
RULE(RULE_DROP_DATABASE, "drop-database", SEVERITY_CRITICAL, NULL, NULL, "irreversible", NULL, NULL, false,
	 "Everything in it is lost, and no event trigger fires.", NULL)
RULE(RULE_DROP_SCHEMA_CASCADE, "drop-schema-cascade", SEVERITY_CRITICAL, AEL, "catalog", "kept", AEL, "scan", false,
	 "Everything in the schema goes, and what depends on it elsewhere, without being named.",
	 "ALTER SCHEMA {object} RENAME TO {part}_to_be_dropped;")
RULE(RULE_DROP_TABLE, "drop-table", SEVERITY_CRITICAL, AEL, "catalog", "kept", AEL, "catalog", false,
	 "Its rows are lost to everybody who reads them; tables that its foreign keys refer to are locked as well.",
	 "ALTER TABLE {object} RENAME TO {part}_to_be_dropped;")
RULE(RULE_DROP_CASCADE, "drop-cascade", SEVERITY_CRITICAL, AEL, "catalog", "kept", AEL, "catalog", false,
	 "It goes without being named, because something that it depends on does.", NULL)
RULE(RULE_DROP_COLUMN, "drop-column", SEVERITY_CRITICAL, AEL, "catalog", "kept", AEL, "scan", false,
	 "Its values are lost to everybody who reads them, and statements that name it fail.",
	 "ALTER TABLE {object} RENAME COLUMN {part} TO {part}_to_be_dropped;")
RULE(RULE_TRUNCATE, "truncate", SEVERITY_CRITICAL, AEL, "catalog", "kept", AEL, "rewrite", false,
	 "All rows go, no row trigger sees it, and nobody reads or writes meanwhile.",
	 "DELETE FROM {object} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {object} LIMIT 10000));")
RULE(RULE_TRUNCATE_CASCADE, "truncate-cascade", SEVERITY_CRITICAL, AEL, "catalog", "kept", AEL, "rewrite", false,
	 "A table that refers to a truncated one is emptied without being named.",
	 "TRUNCATE {object};")
RULE(RULE_DELETE_WITHOUT_WHERE, "delete-without-where", SEVERITY_CRITICAL, REL, "scan", "kept", AEL, "rewrite", false,
	 "All rows go, in one long transaction.",
	 "DELETE FROM {object} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {object} LIMIT 10000));")
RULE(RULE_UPDATE_WITHOUT_WHERE, "update-without-where", SEVERITY_CRITICAL, REL, "scan", "kept", AEL, "rewrite", false,
	 "Every row is written anew in one long transaction, and stays locked until it ends.",
	 "UPDATE {object} SET {clause} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {object} WHERE /* not yet done */ LIMIT 10000));")
RULE(RULE_DROP_VIEW, "drop-view", SEVERITY_HIGH, AEL, "catalog", "exact", AEL, "catalog", false,
	 "Statements that read it fail.", "ALTER VIEW {object} RENAME TO {part}_to_be_dropped;")
RULE(RULE_DROP_FUNCTION, "drop-function", SEVERITY_HIGH, NULL, "catalog", "exact", NULL, "catalog", false,
	 "Bodies of other functions, and statements that call it, name it as text.", NULL)
RULE(RULE_DROP_TYPE, "drop-type", SEVERITY_HIGH, NULL, "catalog", "exact", NULL, "catalog", false,
	 "With CASCADE every column of the type goes with its values.", NULL)
RULE(RULE_DROP_DOMAIN, "drop-domain", SEVERITY_HIGH, NULL, "catalog", "exact", NULL, "catalog", false,
	 "With CASCADE every column of the domain goes with its values.", NULL)
RULE(RULE_DROP_MATVIEW, "drop-matview", SEVERITY_MEDIUM, AEL, "catalog", "kept", AEL, "catalog", false,
	 "To compute it again may take long.", "ALTER MATERIALIZED VIEW {object} RENAME TO {part}_to_be_dropped;")
RULE(RULE_DROP_SEQUENCE, "drop-sequence", SEVERITY_MEDIUM, AEL, "catalog", "kept", AEL, "catalog", false,
	 "The position is lost: one that is made anew gives numbers that rows have already.",
	 "SELECT last_value, is_called FROM {object};")
RULE(RULE_SEQUENCE_RESTART, "alter-sequence-restart", SEVERITY_MEDIUM, SRE, "catalog", "kept", NULL, "catalog", false,
	 "Numbers that rows have already are given again.", "SELECT last_value, is_called FROM {object};")
RULE(RULE_DROP_EXTENSION, "drop-extension", SEVERITY_HIGH, NULL, "catalog", "kept", NULL, "catalog", false,
	 "What uses its types, functions and operators goes with CASCADE; its own tables are not kept.", NULL)
RULE(RULE_EXTENSION_UPGRADE, "extension-upgrade", SEVERITY_MEDIUM, NULL, NULL, "irreversible", NULL, NULL, false,
	 "Its script takes locks of its own, and rarely is there one that leads back.",
	 "SELECT * FROM pg_extension_update_paths('{part}') WHERE path IS NOT NULL;")

/* ---- what running code does not expect ---- */
RULE(RULE_RENAME_TABLE, "rename-table", SEVERITY_HIGH, AEL, "catalog", "exact", AEL, "catalog", false,
	 "Code that runs, and bodies of functions, name it as text.",
	 "{statement};\nCREATE VIEW {object} AS SELECT * FROM {schema}.{clause};")
RULE(RULE_RENAME_COLUMN, "rename-column", SEVERITY_HIGH, AEL, "catalog", "exact", AEL, "catalog", false,
	 "Code that runs, and bodies of functions, name it as text.",
	 "ALTER TABLE {object} ADD COLUMN {clause} ...;\n-- fill it, write both, read the new one, then drop {part}")
RULE(RULE_RENAME_SCHEMA, "rename-schema", SEVERITY_HIGH, NULL, "catalog", "exact", NULL, "catalog", false,
	 "Every name in it that is qualified fails, and search_path of roles, functions and databases names it as text.", NULL)
RULE(RULE_RENAME_ENUM_VALUE, "rename-enum-value", SEVERITY_HIGH, NULL, "catalog", "exact", NULL, "catalog", false,
	 "Code that compares with the old label fails.", NULL)
RULE(RULE_SET_SCHEMA, "set-schema", SEVERITY_HIGH, AEL, "catalog", "exact", AEL, "catalog", false,
	 "Code that finds it by search_path or by its qualified name does not any more.",
	 "{statement};\nCREATE VIEW {object} AS SELECT * FROM {clause};")

/* ---- types of columns ---- */
RULE(RULE_TYPE_CHANGE_REWRITE, "type-change-rewrite", SEVERITY_HIGH, AEL, "rewrite", "kept", AEL, "rewrite", false,
	 "The table and its indexes are written anew while nobody reads or writes.",
	 "ALTER TABLE {object} ADD COLUMN {part}_new {clause};\n-- trigger that keeps both alike, fill in batches, then rename both")
RULE(RULE_TYPE_NARROW, "type-narrow", SEVERITY_CRITICAL, AEL, "rewrite", "kept", AEL, "rewrite", false,
	 "Values that do not fit fail or are cut, and the table is written anew while nobody reads or writes.",
	 "ALTER TABLE {object} ADD CONSTRAINT {part}_fits CHECK ({part}::{clause}::text = {part}::text) NOT VALID;\nALTER TABLE {object} VALIDATE CONSTRAINT {part}_fits;")
RULE(RULE_TYPE_WIDEN_WITH_CHECK, "type-widen-with-check", SEVERITY_MEDIUM, AEL, "scan", "exact", AEL, "rewrite", false,
	 "A CHECK on the column is validated again, in a scan while nobody reads or writes.",
	 "-- drop the CHECK, then\n{statement};\n-- and add it NOT VALID, then VALIDATE CONSTRAINT in another transaction")
RULE(RULE_TIMESTAMP_ZONE, "timestamp-timestamptz", SEVERITY_HIGH, AEL, "rewrite", "kept", AEL, "rewrite", false,
	 "What the values mean depends on the session's TimeZone; with UTC it changes the catalogs only, else it rewrites.",
	 "SET TIME ZONE 'UTC'; -- if the values are meant so\n{statement};")
RULE(RULE_TYPE_CHANGE_BLOCKED, "type-change-blocked", SEVERITY_MEDIUM, AEL, NULL, "not needed", NULL, NULL, false,
	 "A view or rule uses the column: PostgreSQL refuses.", "-- drop and make anew, in the same transaction: {clause}")
RULE(RULE_COLLATION_CHANGE, "collation-change", SEVERITY_HIGH, AEL, "index", "exact", AEL, "rewrite", false,
	 "Indexes on the column are built anew while nobody reads or writes.",
	 "ALTER TABLE {object} ADD COLUMN {part}_new {clause};\n-- trigger that keeps both alike, fill in batches, then rename both")

/* ---- new columns ---- */
RULE(RULE_ADD_VOLATILE_DEFAULT, "add-column-volatile-default", SEVERITY_HIGH, AEL, "rewrite", "kept", AEL, "scan", false,
	 "The default is computed for each row: the table is written anew while nobody reads or writes.",
	 "ALTER TABLE {object} ADD COLUMN {part} {type};\nALTER TABLE {object} ALTER COLUMN {part} SET DEFAULT {clause};\nUPDATE {object} SET {part} = {clause} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {object} WHERE {part} IS NULL LIMIT 10000));")
RULE(RULE_ADD_SERIAL, "add-column-serial", SEVERITY_HIGH, AEL, "rewrite", "kept", AEL, "scan", false,
	 "Each row gets its number: the table is written anew while nobody reads or writes.",
	 "CREATE SEQUENCE {sequence};\nALTER TABLE {object} ADD COLUMN {part} bigint;\nALTER TABLE {object} ALTER COLUMN {part} SET DEFAULT nextval('{sequence}');\nUPDATE {object} SET {part} = DEFAULT WHERE ctid = ANY (ARRAY(SELECT ctid FROM {object} WHERE {part} IS NULL LIMIT 10000));")
RULE(RULE_ADD_IDENTITY, "add-column-identity", SEVERITY_HIGH, AEL, "rewrite", "kept", AEL, "scan", false,
	 "Each row gets its number: the table is written anew while nobody reads or writes.",
	 "CREATE SEQUENCE {sequence};\nALTER TABLE {object} ADD COLUMN {part} bigint;\nALTER TABLE {object} ALTER COLUMN {part} SET DEFAULT nextval('{sequence}');\nUPDATE {object} SET {part} = DEFAULT WHERE ctid = ANY (ARRAY(SELECT ctid FROM {object} WHERE {part} IS NULL LIMIT 10000));")
RULE(RULE_ADD_STORED_GENERATED, "add-column-stored-generated", SEVERITY_HIGH, AEL, "rewrite", "exact", AEL, "catalog", false,
	 "It is computed for each row: the table is written anew while nobody reads or writes.",
	 "ALTER TABLE {object} ADD COLUMN {part} {type};\n-- trigger that fills it, then fill in batches")
RULE(RULE_ADD_CONSTRAINED_DOMAIN, "add-column-constrained-domain", SEVERITY_HIGH, AEL, "rewrite", "kept", AEL, "scan", false,
	 "The domain's constraints are evaluated for each row: the table is written anew while nobody reads or writes.",
	 "ALTER TABLE {object} ADD COLUMN {part} {type};\nALTER TABLE {object} ADD CONSTRAINT {part}_check CHECK (...) NOT VALID;")
RULE(RULE_ADD_NOT_NULL, "add-column-not-null-no-default", SEVERITY_HIGH, AEL, "scan", "kept", AEL, "scan", false,
	 "It fails if there are rows, and afterwards INSERTs that do not name the column fail.",
	 "ALTER TABLE {object} ADD COLUMN {part} {type};\n-- fill it, then CHECK ({part} IS NOT NULL) NOT VALID, VALIDATE, SET NOT NULL")
RULE(RULE_ADD_INLINE_CHECK, "add-column-inline-check", SEVERITY_MEDIUM, AEL, "scan", "kept", AEL, "scan", false,
	 "All rows are read while nobody reads or writes.",
	 "ALTER TABLE {object} ADD COLUMN {part} {type};\nALTER TABLE {object} ADD {clause} NOT VALID;")
RULE(RULE_ADD_INLINE_FK, "add-column-inline-fk", SEVERITY_MEDIUM, AEL, "catalog", "kept", AEL, "scan", false,
	 "Nobody writes to the referenced table meanwhile; with a DEFAULT all rows are looked up.",
	 "ALTER TABLE {object} ADD COLUMN {part} {type};\nALTER TABLE {object} ADD FOREIGN KEY ({part}) {clause} NOT VALID;")
RULE(RULE_ADD_COLUMN_UNIQUE, "add-column-unique", SEVERITY_HIGH, AEL, "index", "kept", AEL, "scan", false,
	 "The index is built while nobody reads or writes.",
	 "ALTER TABLE {object} ADD COLUMN {part} {type};\nCREATE UNIQUE INDEX CONCURRENTLY {index} ON {object} ({part});\nALTER TABLE {object} ADD UNIQUE USING INDEX {index};")
RULE(RULE_JSON_TYPE, "json-type", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "json has no equality: DISTINCT, GROUP BY and UNION fail.", "{part} jsonb")
RULE(RULE_SERIAL_TYPE, "serial-type", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "The sequence has rights and a name of its own, and anybody may write the column.",
	 "{part} bigint GENERATED ALWAYS AS IDENTITY")
RULE(RULE_INT_KEY, "int-primary-key", SEVERITY_MEDIUM, NULL, NULL, NULL, NULL, NULL, true,
	 "After 2147483647 rows no row can be added, and to change the type then rewrites the table.", "{part} bigint")
RULE(RULE_VARCHAR_TYPE, "varchar-type", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "Another limit is another change of type.", "{part} text CHECK (length({part}) <= {clause})")
RULE(RULE_CHAR_TYPE, "char-type", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "Values are filled up with blanks, which count in some comparisons and not in others.", "{part} text")
RULE(RULE_TIMESTAMP_TYPE, "timestamp-type", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "It is no point in time: it means something else in each time zone.", "{part} timestamptz")
RULE(RULE_MONEY_TYPE, "money-type", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "Its currency and digits are those of lc_monetary, which may change.", "{part} numeric")
RULE(RULE_ENUM_CREATED, "enum-created", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "A label cannot be removed, nor its place changed.", "-- a table of values, or text with a CHECK")

/* ---- constraints ---- */
RULE(RULE_SET_NOT_NULL, "set-not-null", SEVERITY_HIGH, AEL, "scan", "exact", AEL, "catalog", false,
	 "All rows are read while nobody reads or writes, and it fails if one has NULL.",
	 "ALTER TABLE {object} ADD CONSTRAINT {constraint} CHECK ({part} IS NOT NULL) NOT VALID;\nALTER TABLE {object} VALIDATE CONSTRAINT {constraint};\nALTER TABLE {object} ALTER COLUMN {part} SET NOT NULL;\nALTER TABLE {object} DROP CONSTRAINT {constraint};")
RULE(RULE_DROP_NOT_NULL, "drop-not-null", SEVERITY_MEDIUM, AEL, "catalog", "exact unless rows with NULL come", AEL, "scan", false,
	 "Code relies on it; to take it back reads all rows, and fails if a NULL has been written.", NULL)
RULE(RULE_SET_DEFAULT, "set-default", SEVERITY_LOW, AEL, "catalog", "exact", AEL, "catalog", false,
	 "Rows that name no value get another one from now on.", NULL)
RULE(RULE_DROP_DEFAULT, "drop-default", SEVERITY_LOW, AEL, "catalog", "exact", AEL, "catalog", false,
	 "Rows that name no value get NULL from now on.", NULL)
RULE(RULE_ADD_CHECK, "add-check", SEVERITY_HIGH, AEL, "scan", "exact", AEL, "catalog", false,
	 "All rows are read while nobody reads or writes.",
	 "ALTER TABLE {object} ADD CONSTRAINT {part} {clause} NOT VALID;\n-- in another transaction:\nALTER TABLE {object} VALIDATE CONSTRAINT {part};")
RULE(RULE_ADD_FK, "add-foreign-key", SEVERITY_HIGH, SRE, "scan", "exact", AEL, "catalog", false,
	 "All rows are looked up while nobody writes to either table; to take it back locks both ACCESS EXCLUSIVE.",
	 "ALTER TABLE {object} ADD CONSTRAINT {part} {clause} NOT VALID;\n-- in another transaction:\nALTER TABLE {object} VALIDATE CONSTRAINT {part};")
RULE(RULE_FK_MISSING_INDEX, "fk-missing-index", SEVERITY_MEDIUM, NULL, NULL, NULL, NULL, NULL, false,
	 "Each DELETE and UPDATE of a key in the referenced table reads this table from end to end.",
	 "CREATE INDEX CONCURRENTLY ON {object} ({part});")
RULE(RULE_ADD_UNIQUE, "add-unique", SEVERITY_HIGH, AEL, "index", "exact", AEL, "catalog", false,
	 "The index is built while nobody reads or writes, and it fails if there are duplicates.",
	 "CREATE UNIQUE INDEX CONCURRENTLY {part} ON {object} {clause};\nALTER TABLE {object} ADD CONSTRAINT {part} UNIQUE USING INDEX {part};")
RULE(RULE_ADD_PRIMARY_KEY, "add-primary-key", SEVERITY_HIGH, AEL, "index", "exact", AEL, "catalog", false,
	 "The index is built, and the columns are looked through for NULLs, while nobody reads or writes.",
	 "CREATE UNIQUE INDEX CONCURRENTLY {part} ON {object} {clause};\nALTER TABLE {object} ADD CONSTRAINT {part} PRIMARY KEY USING INDEX {part};")
RULE(RULE_PK_NULLABLE, "pk-using-nullable-index", SEVERITY_MEDIUM, AEL, "scan", "exact", AEL, "index", false,
	 "A column of the index is not NOT NULL yet: all rows are read for it while nobody reads or writes.",
	 "ALTER TABLE {object} ADD CONSTRAINT {constraint} CHECK ({part} IS NOT NULL) NOT VALID;\nALTER TABLE {object} VALIDATE CONSTRAINT {constraint};\nALTER TABLE {object} ALTER COLUMN {part} SET NOT NULL;\n{statement};")
RULE(RULE_ADD_EXCLUSION, "add-exclusion", SEVERITY_HIGH, AEL, "index", "exact", AEL, "catalog", false,
	 "The index is built, and every row is compared, while nobody reads or writes; there is no other way.", NULL)
RULE(RULE_DROP_CONSTRAINT, "drop-constraint", SEVERITY_MEDIUM, AEL, "catalog", "exact unless rows break it", AEL, "scan", false,
	 "Rows that break it can be written from now on; to take it back reads all rows, and fails then.", NULL)
RULE(RULE_NOT_ENFORCED, "not-enforced", SEVERITY_LOW, NULL, "catalog", "exact", AEL, "catalog", false,
	 "It looks like a guarantee, and nothing is checked.", NULL)
RULE(RULE_VALIDATE_SAME_TX, "not-valid-validated-in-transaction", SEVERITY_HIGH, NULL, "scan", "not needed", NULL, NULL, false,
	 "The lock of ADD CONSTRAINT is held while all rows are read: NOT VALID was of no use.",
	 "COMMIT;\nBEGIN;\n{statement};")
RULE(RULE_DOMAIN_CONSTRAINT, "domain-constraint", SEVERITY_HIGH, SHL, "scan", "exact", NULL, "catalog", false,
	 "Nobody writes to any table with a column of the domain, none of which is named, while all their rows are read.",
	 "ALTER DOMAIN {object} ADD CONSTRAINT {part} {clause} NOT VALID;\n-- in another transaction:\nALTER DOMAIN {object} VALIDATE CONSTRAINT {part};")

/* ---- indexes ---- */
RULE(RULE_INDEX_NOT_CONCURRENT, "index-not-concurrent", SEVERITY_HIGH, SHL, "index", "exact", AEL, "catalog", false,
	 "Nobody writes to the table while the index is built.", "{concurrently};")
RULE(RULE_INDEX_ON_PARTITIONED, "index-on-partitioned", SEVERITY_HIGH, SHL, "index", "exact", AEL, "catalog", false,
	 "Nobody writes to any partition until the indexes of all are built; CONCURRENTLY is not to be had.",
	 "CREATE INDEX {part} ON ONLY {object} {clause};\n-- for each partition:\nCREATE INDEX CONCURRENTLY {part}_1 ON partition {clause};\nALTER INDEX {part} ATTACH PARTITION {part}_1;")
RULE(RULE_DROP_INDEX, "drop-index", SEVERITY_HIGH, AEL, "catalog", "exact", SHL, "index", false,
	 "Nobody reads or writes meanwhile, and queries that used it read whole tables; to take it back builds it.",
	 "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelid = '{object}'::regclass;\nDROP INDEX CONCURRENTLY {object};")
RULE(RULE_CONCURRENTLY_IN_TX, "concurrently-in-transaction", SEVERITY_MEDIUM, NULL, NULL, "not needed", NULL, NULL, true,
	 "PostgreSQL refuses it inside a transaction.", "COMMIT;\n{statement};")
RULE(RULE_INVALID_INDEX, "invalid-index", SEVERITY_MEDIUM, NULL, NULL, NULL, NULL, NULL, false,
	 "A CONCURRENTLY command failed: the index costs each write, and no query uses it.",
	 "DROP INDEX CONCURRENTLY {index};")
RULE(RULE_REINDEX, "reindex", SEVERITY_HIGH, SHL, "index", "not needed", NULL, NULL, false,
	 "Nobody writes to the table, nor reads by the index, while it is built.", "{concurrently};")
RULE(RULE_REDUNDANT_INDEX, "redundant-index", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, false,
	 "An index that is there already begins with the same columns: each write pays for both.", NULL)
RULE(RULE_WIDE_INDEX, "too-wide-index", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "Of more than three columns the later ones rarely help, and each write pays for them.", NULL)

/* ---- rewriting and storage ---- */
RULE(RULE_CLUSTER, "cluster", SEVERITY_HIGH, AEL, "rewrite", "exact", AEL, "catalog", false,
	 "The table and its indexes are written anew while nobody reads or writes; values of dropped columns, by which a rollback is fast, go.", NULL)
RULE(RULE_VACUUM_FULL, "vacuum-full", SEVERITY_HIGH, AEL, "rewrite", "not needed", NULL, NULL, false,
	 "The table and its indexes are written anew while nobody reads or writes; values of dropped columns, by which a rollback is fast, go.",
	 "VACUUM {object};")
RULE(RULE_SET_TABLESPACE, "set-tablespace", SEVERITY_HIGH, AEL, "rewrite", "exact", AEL, "rewrite", false,
	 "All files are copied while nobody reads or writes.", NULL)
RULE(RULE_SET_LOGGED, "set-logged", SEVERITY_HIGH, AEL, "rewrite", "exact", AEL, "rewrite", false,
	 "The table is written anew, and into the log, while nobody reads or writes.", NULL)
RULE(RULE_SET_UNLOGGED, "set-unlogged", SEVERITY_CRITICAL, AEL, "rewrite", "exact", AEL, "rewrite", false,
	 "It is empty after a crash and on every standby, and written anew while nobody reads or writes.", NULL)
RULE(RULE_SET_ACCESS_METHOD, "set-access-method", SEVERITY_HIGH, AEL, "rewrite", "exact", AEL, "rewrite", false,
	 "The table is written anew while nobody reads or writes.", NULL)
RULE(RULE_STORAGE_PARAMS, "storage-params", SEVERITY_LOW, SUE, "catalog", "exact", SUE, "catalog", false,
	 "Without autovacuum a table bloats, until transaction ids run out.", NULL)
RULE(RULE_SET_STORAGE, "set-storage", SEVERITY_LOW, AEL, "catalog", "exact", AEL, "catalog", false,
	 "It is of values written from now on only.", NULL)
RULE(RULE_SET_COMPRESSION, "set-compression", SEVERITY_LOW, AEL, "catalog", "exact", AEL, "catalog", false,
	 "It is of values written from now on only.", NULL)
RULE(RULE_REPLICA_IDENTITY, "replica-identity", SEVERITY_MEDIUM, AEL, "catalog", "exact", AEL, "catalog", false,
	 "Without one, updates and deletes of a published table fail; FULL writes the whole old row into the log.",
	 "SELECT * FROM pg_publication_tables WHERE format('%I.%I', schemaname, tablename) = '{object}';")
RULE(RULE_PUBLICATION, "publication-change", SEVERITY_MEDIUM, SUE, "catalog", "exact", SUE, "catalog", false,
	 "Subscribers see it after ALTER SUBSCRIPTION ... REFRESH PUBLICATION only, and what was written meanwhile they do not have.", NULL)

/* ---- triggers, rules, rights ---- */
RULE(RULE_CREATE_TRIGGER, "create-trigger", SEVERITY_MEDIUM, SRE, "catalog", "exact", AEL, "catalog", false,
	 "Each write does more from now on; to take it back needs ACCESS EXCLUSIVE.", "SET LOCAL lock_timeout = '2s';\n{statement};")
RULE(RULE_DROP_TRIGGER, "drop-trigger", SEVERITY_MEDIUM, AEL, "catalog", "exact", SRE, "catalog", false,
	 "What it saw to is not seen to any more.", "SET LOCAL lock_timeout = '2s';\n{statement};")
RULE(RULE_DISABLE_TRIGGER, "disable-trigger", SEVERITY_HIGH, SRE, "catalog", "exact", SRE, "catalog", false,
	 "What it saw to is not seen to; ALL also switches foreign keys off.", NULL)
RULE(RULE_CREATE_RULE, "create-rule", SEVERITY_MEDIUM, AEL, "catalog", "exact", AEL, "catalog", false,
	 "It rewrites queries, and with them what they return and whether volatile functions run twice.", "-- a trigger")
RULE(RULE_RLS_ENABLE, "rls-enable", SEVERITY_HIGH, AEL, "catalog", "exact", AEL, "catalog", false,
	 "Rows that no policy shows are gone for everybody but the owner.", NULL)
RULE(RULE_RLS_DISABLE, "rls-disable", SEVERITY_HIGH, AEL, "catalog", "exact", AEL, "catalog", false,
	 "All rows are shown to everybody who may read the table.", NULL)
RULE(RULE_RLS_FORCE, "rls-force", SEVERITY_HIGH, AEL, "catalog", "exact", AEL, "catalog", false,
	 "It decides whether the owner, and with him foreign keys and views, see all rows.", NULL)
RULE(RULE_POLICY_ADD, "policy-add", SEVERITY_HIGH, AEL, "catalog", "exact", AEL, "catalog", false,
	 "A permissive policy shows more rows, a restrictive one fewer.", NULL)
RULE(RULE_POLICY_ALTER, "policy-alter", SEVERITY_HIGH, AEL, "catalog", "exact", AEL, "catalog", false,
	 "Other rows are shown from now on.", NULL)
RULE(RULE_POLICY_DROP, "policy-drop", SEVERITY_HIGH, AEL, "catalog", "exact", AEL, "catalog", false,
	 "Rows that it alone showed are gone, those that it alone hid are shown.", NULL)
RULE(RULE_GRANT, "grant", SEVERITY_HIGH, NULL, "catalog", "exact", NULL, "catalog", false,
	 "Who may more: PUBLIC is everybody, of all databases' roles too.", NULL)
RULE(RULE_REVOKE, "revoke", SEVERITY_HIGH, NULL, "catalog", "exact", NULL, "catalog", false,
	 "Code that needs it fails.", NULL)
RULE(RULE_OWNER, "owner-change", SEVERITY_HIGH, AEL, "catalog", "exact", AEL, "catalog", false,
	 "Who owned it may not alter it any more, and views read with the rights of their owner.", NULL)

/* ---- partitions ---- */
RULE(RULE_ATTACH_PARTITION, "attach-partition", SEVERITY_HIGH, AEL, "scan", "exact", AEL, "catalog", false,
	 "All rows of the table, and of the default partition, are read while nobody reads or writes them.",
	 "-- before, a CHECK that is validated and says what the bound says; on the default partition one that says the contrary\n{statement};")
RULE(RULE_PARTITION_WITH_DEFAULT, "create-partition-with-default", SEVERITY_HIGH, AEL, "scan", "kept", AEL, "catalog", false,
	 "All rows of the default partition are read while nobody reads or writes the whole table.",
	 "CREATE TABLE {part} (LIKE {object} INCLUDING ALL);\n-- a validated CHECK on the default partition that says the contrary, then\nALTER TABLE {object} ATTACH PARTITION {part} {clause};")
RULE(RULE_DETACH_PARTITION, "detach-partition", SEVERITY_HIGH, AEL, "catalog", "exact", AEL, "scan", false,
	 "Nobody reads or writes the whole table meanwhile.", "ALTER TABLE {object} DETACH PARTITION {part} CONCURRENTLY;")

/* ---- enums, views, functions ---- */
RULE(RULE_ENUM_ADD_VALUE, "enum-add-value", SEVERITY_MEDIUM, NULL, "catalog", "exact unless it is used", SHL, "scan", false,
	 "PostgreSQL cannot remove it again, and it cannot be used in the same transaction.", NULL)
RULE(RULE_MATVIEW_REFRESH, "matview-refresh", SEVERITY_HIGH, AEL, "rewrite", "refreshed again", AEL, "rewrite", false,
	 "Nobody reads it while it is computed.", "REFRESH MATERIALIZED VIEW CONCURRENTLY {object};")
RULE(RULE_VIEW_REPLACE, "view-replace", SEVERITY_MEDIUM, AEL, "catalog", "exact", AEL, "catalog", false,
	 "Statements that read it get something else, or fail if columns are others.", NULL)
RULE(RULE_FUNCTION_CHANGE, "function-change", SEVERITY_HIGH, NULL, "catalog", "exact", NULL, "catalog", false,
	 "An index over a function that is not immutable any more is wrong; SECURITY DEFINER without its own search_path runs what its caller puts there.",
	 "ALTER FUNCTION {part} SET search_path = pg_catalog, pg_temp;")
RULE(RULE_COMMENT, "comment", SEVERITY_LOW, SUE, "catalog", "exact", SUE, "catalog", false,
	 "It waits for VACUUM and CREATE INDEX CONCURRENTLY, and they for it.", NULL)
RULE(RULE_CREATE_STATISTICS, "create-statistics", SEVERITY_LOW, SUE, "catalog", "exact", SUE, "catalog", false,
	 "It waits for VACUUM and CREATE INDEX CONCURRENTLY, and they for it; plans change with the next ANALYZE.", NULL)

/* ---- the shape of the transaction ---- */
RULE(RULE_NO_LOCK_TIMEOUT, "no-lock-timeout", SEVERITY_HIGH, NULL, NULL, NULL, NULL, NULL, false,
	 "As long as it waits for its lock, everybody who comes later waits behind it, readers too.",
	 "SET lock_timeout = '2s';")
RULE(RULE_LOCK_TIMEOUT_ZERO, "lock-timeout-zero", SEVERITY_MEDIUM, NULL, NULL, NULL, NULL, NULL, true,
	 "Zero waits for ever, and everybody behind it.", "SET lock_timeout = '2s';")
RULE(RULE_LOCK_TIMEOUT_LONG, "lock-timeout-long", SEVERITY_MEDIUM, NULL, NULL, NULL, NULL, NULL, true,
	 "So long everybody who comes later waits behind it.", "SET lock_timeout = '2s';")
RULE(RULE_NO_STATEMENT_TIMEOUT, "no-statement-timeout", SEVERITY_MEDIUM, NULL, NULL, NULL, NULL, NULL, false,
	 "Nothing ends a statement that reads or writes a whole table under a lock.", "SET statement_timeout = '15min';")
RULE(RULE_NO_IDLE_TIMEOUT, "no-idle-timeout", SEVERITY_MEDIUM, NULL, NULL, NULL, NULL, NULL, false,
	 "If the client goes to sleep inside its transaction, the locks stay.",
	 "SET idle_in_transaction_session_timeout = '1min';")
RULE(RULE_STATEMENT_AFTER_LOCK, "statement-after-exclusive-lock", SEVERITY_HIGH, NULL, NULL, NULL, NULL, NULL, false,
	 "It reads or writes a whole table while the transaction holds ACCESS EXCLUSIVE on another, or the same.",
	 "COMMIT;\nBEGIN;\n{statement};")
RULE(RULE_WIDE_LOCK_WINDOW, "wide-lock-window", SEVERITY_MEDIUM, NULL, NULL, NULL, NULL, NULL, false,
	 "Locks of several tables in one transaction add up, and meet others that lock them in another order.",
	 "-- a transaction for each table")
RULE(RULE_MERGEABLE, "mergeable-alters", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, false,
	 "Each ALTER TABLE locks, and may read or write the table, once.", "-- one ALTER TABLE {object} with all subcommands")
RULE(RULE_LONG_TRANSACTION, "long-running-transaction", SEVERITY_MEDIUM, NULL, NULL, NULL, NULL, NULL, false,
	 "It holds what the statement will wait for, and everybody behind it.",
	 "SELECT pid, now() - xact_start AS age, state, query FROM pg_stat_activity WHERE pid IN ({clause});")
RULE(RULE_UNCLOSED_TX, "unclosed-transaction", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "The script ends inside its transaction: locks stay, or all is undone.", "COMMIT;")
RULE(RULE_TOO_MANY_OBJECTS, "too-many-objects", SEVERITY_MEDIUM, NULL, NULL, NULL, NULL, NULL, true,
	 "What goes wrong is harder to find, and takes more back.", "-- several migrations")
RULE(RULE_DESTRUCTIVE_WITHOUT_EXPAND, "destructive-without-expand", SEVERITY_HIGH, NULL, NULL, NULL, NULL, NULL, false,
	 "What it takes away has been in use up to now by somebody: statistics or dependants say so.",
	 "-- first a migration after which nobody uses it, then this one")
RULE(RULE_OUTSIDE_WINDOW, "outside-window", SEVERITY_HIGH, NULL, NULL, NULL, NULL, NULL, false,
	 "It is not the time that safemig.change_window names.", "-- wait for safemig.change_window")

/* ---- the rest ---- */
RULE(RULE_CREATE_TABLE_AS, "create-table-as", SEVERITY_MEDIUM, NULL, "scan", "kept", AEL, "catalog", true,
	 "No key, constraint, index, default or right is copied.", "CREATE TABLE ... (LIKE ... INCLUDING ALL);\nINSERT INTO ... SELECT ...;")
RULE(RULE_CREATE_TABLE_LIKE, "create-table-like", SEVERITY_LOW, NULL, "catalog", "kept", AEL, "catalog", true,
	 "Without INCLUDING ALL no default, constraint or index is copied, and foreign keys never.", NULL)
RULE(RULE_INHERITS, "create-table-inherits", SEVERITY_LOW, SUE, "catalog", "kept", AEL, "catalog", true,
	 "Keys, unique and foreign keys do not hold over the whole tree.", "-- partitions")
RULE(RULE_DYNAMIC_SQL, "dynamic-sql", SEVERITY_MEDIUM, NULL, NULL, NULL, NULL, NULL, true,
	 "What it does is not known before it runs.", "SELECT * FROM safemig_assess(script, observe => true);")
RULE(RULE_C_FUNCTION, "executes-c-function", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "What it does is known to its library alone.", NULL)
RULE(RULE_NOT_IDEMPOTENT, "not-idempotent", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "A second run fails at its first statement that has been done already.", "-- IF NOT EXISTS, IF EXISTS, OR REPLACE")
RULE(RULE_UNQUALIFIED, "unqualified-name", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "Where it is made depends on search_path.", "{object}")
RULE(RULE_NAMING, "quoted-name", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "The name has to be quoted wherever it is used.", NULL)
RULE(RULE_NAME_TOO_LONG, "name-too-long", SEVERITY_LOW, NULL, NULL, NULL, NULL, NULL, true,
	 "PostgreSQL cuts it after 63 bytes.", NULL)
RULE(RULE_IRREVERSIBLE, "irreversible", SEVERITY_HIGH, NULL, NULL, "irreversible", NULL, NULL, true,
	 "There is no exact way back.", "SET safemig.require_reversible = on;")
RULE(RULE_NAMED_BY_STATEMENTS, "named-by-statements", SEVERITY_HIGH, NULL, NULL, NULL, NULL, NULL, false,
	 "Statements that pg_stat_statements has seen name it: they fail from now on.", NULL)
RULE(RULE_DRIFT, "drift", SEVERITY_HIGH, NULL, NULL, NULL, NULL, NULL, false,
	 "It was changed unseen since its newest record: the script was written for another state.",
	 "SELECT * FROM safemig.drift() WHERE object = '{clause}';")
RULE(RULE_NON_LINEAR, "open-migration", SEVERITY_HIGH, NULL, NULL, NULL, NULL, NULL, false,
	 "A migration that another session has open has changed it: neither can be taken back alone.",
	 "SELECT * FROM safemig.migrations WHERE state = 'open';")

#undef AEL
#undef EXL
#undef SRE
#undef SHL
#undef SUE
#undef REL
