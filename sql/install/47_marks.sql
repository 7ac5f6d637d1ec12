/*
 * Flags in the catalogs that a rollback sets where no statement can.  Called by
 * the steps of a plan, as the extension's owner.
 */
CREATE FUNCTION safemig.set_column_local(relation text, column_name text, local boolean)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_column_local';
REVOKE EXECUTE ON FUNCTION safemig.set_column_local(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_column_local(text, text, boolean) IS
'Says whether an inherited column of a table is also defined in the table itself. relation is a quoted, qualified name, column_name a plain one. Takes ACCESS EXCLUSIVE on the table. Errors: 42P01, 42703.';

CREATE FUNCTION safemig.drop_not_null(relation text, column_name text)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_drop_not_null';
REVOKE EXECUTE ON FUNCTION safemig.drop_not_null(text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.drop_not_null(text, text) IS
'ALTER COLUMN DROP NOT NULL of a partitioned table alone, before PostgreSQL 18: partitions that had it themselves keep it. relation is a quoted, qualified name, column_name a plain one. Takes ACCESS EXCLUSIVE on the table. Errors: 42P01, 42703.';

CREATE FUNCTION safemig.set_constraint_local(relation text, constraint_name text, local boolean)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_constraint_local';
REVOKE EXECUTE ON FUNCTION safemig.set_constraint_local(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_constraint_local(text, text, boolean) IS
'Says whether an inherited constraint of a table is also defined in the table itself. relation is a quoted, qualified name, constraint_name a plain one. Takes ACCESS EXCLUSIVE on the table. Errors: 42P01, 42704.';

CREATE FUNCTION safemig.set_constraint_parents(relation text, constraint_name text, parents int)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_constraint_parents';
REVOKE EXECUTE ON FUNCTION safemig.set_constraint_parents(text, text, int) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_constraint_parents(text, text, int) IS
'Says from how many parents an inherited constraint of a table comes: DROP COLUMN of a parent leaves that as it was. relation is a quoted, qualified name, constraint_name a plain one. Takes ACCESS EXCLUSIVE on the table. Errors: 42P01, 42704.';

CREATE FUNCTION safemig.set_constraint_no_inherit(relation text, constraint_name text, no_inherit boolean)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_constraint_no_inherit';
REVOKE EXECUTE ON FUNCTION safemig.set_constraint_no_inherit(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_constraint_no_inherit(text, text, boolean) IS
'Says whether a key or foreign key counts as one that is not passed on: attaching and detaching partitions leaves traces there. relation is a quoted, qualified name, constraint_name a plain one. Takes ACCESS EXCLUSIVE on the table. Errors: 42P01, 42704.';

CREATE FUNCTION safemig.name_constraint_copy(relation text, constraint_name text, referenced text, copy_name text)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_name_constraint_copy';
REVOKE EXECUTE ON FUNCTION safemig.name_constraint_copy(text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.name_constraint_copy(text, text, text, text) IS
'Names the copy that PostgreSQL keeps of a foreign key for one partition of the table it refers to. relation and referenced are quoted, qualified names, constraint_name, of the foreign key itself, and copy_name plain ones. A copy that has the name already gets another. Takes ACCESS EXCLUSIVE on relation. Errors: 42P01, 42704.';

CREATE FUNCTION safemig.name_constraint_part(relation text, parent text, constraint_name text, part_name text)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_name_constraint_part';
REVOKE EXECUTE ON FUNCTION safemig.name_constraint_part(text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.name_constraint_part(text, text, text, text) IS
'Names the part that a partition has of a foreign key of its parent. relation and parent are quoted, qualified names, constraint_name, of the parent''s, and part_name plain ones. Another constraint of the partition that has the name already gets another. Takes ACCESS EXCLUSIVE on relation. Errors: 42P01, 42704.';

CREATE FUNCTION safemig.set_constraint_triggers(relation text, constraint_name text, states text, tied boolean)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_constraint_triggers';
REVOKE EXECUTE ON FUNCTION safemig.set_constraint_triggers(text, text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_constraint_triggers(text, text, text, boolean) IS
'Puts the triggers that enforce a constraint into the states that ALTER TABLE ENABLE and DISABLE TRIGGER gave them. relation is a quoted, qualified name, constraint_name a plain one; states is a list such as "RI_FKey_check_ins D, RI_FKey_check_upd D", with the values of pg_trigger.tgenabled; triggers that it does not name are enabled. tied says whether those of a partition depend on those of the partitioned table. Takes SHARE ROW EXCLUSIVE on both tables. Errors: 42P01, 42704.';

CREATE FUNCTION safemig.set_index_valid(index text, valid boolean, built boolean DEFAULT true)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_index_valid';
REVOKE EXECUTE ON FUNCTION safemig.set_index_valid(text, boolean, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_index_valid(text, boolean, boolean) IS
'Builds an index that is invalid, or marks one as such: an index that a failed CREATE INDEX CONCURRENTLY had left invalid comes back as such; built says whether rows are still put into that one. index is a quoted, qualified name. Takes ACCESS EXCLUSIVE on the table and the index. Errors: 42P01, 42809.';

CREATE FUNCTION safemig.set_persistence(relation text, unlogged boolean)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_persistence';
REVOKE EXECUTE ON FUNCTION safemig.set_persistence(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_persistence(text, boolean) IS
'Makes a table unlogged or logged, and leaves the sequences that it owns as they are. relation is a quoted, qualified name. Takes ACCESS EXCLUSIVE on it and writes it anew. Errors: 42P01.';

CREATE FUNCTION safemig.create_unbuilt_index(definition text)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_create_unbuilt_index';
REVOKE EXECUTE ON FUNCTION safemig.create_unbuilt_index(text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.create_unbuilt_index(text) IS
'Makes an index as a failed CREATE INDEX CONCURRENTLY leaves it: invalid, empty, and not written to. definition is a CREATE INDEX statement with qualified names. Takes SHARE on the table. Errors: 42P01, 42601.';

CREATE FUNCTION safemig.attach_index(parent text, index text)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_attach_index';
REVOKE EXECUTE ON FUNCTION safemig.attach_index(text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.attach_index(text, text) IS
'ALTER INDEX parent ATTACH PARTITION index, if the table of index is a partition of that of parent already; else nothing is done. Both are quoted, qualified names. Takes the locks of that statement. Errors: 42P01, 42809.';

CREATE FUNCTION safemig.detach_index(index text)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_detach_index';
REVOKE EXECUTE ON FUNCTION safemig.detach_index(text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.detach_index(text) IS
'Takes back ALTER INDEX ATTACH PARTITION. index is a quoted, qualified name. Takes ACCESS EXCLUSIVE on the table and the index. Errors: 42P01, 42809.';

CREATE FUNCTION safemig.set_index_live(index text, live boolean)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_index_live';
REVOKE EXECUTE ON FUNCTION safemig.set_index_live(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_index_live(text, boolean) IS
'Lets ATTACH PARTITION pass over an index of the partitioned table that the partition did not have, and no longer. index is a quoted, qualified name; nothing is done if there is no such partitioned index. Takes ACCESS EXCLUSIVE on the table and the index. Errors: 42602.';

CREATE FUNCTION safemig.validate_constraint(relation text, constraint_name text)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_validate_constraint';
REVOKE EXECUTE ON FUNCTION safemig.validate_constraint(text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.validate_constraint(text, text) IS
'Validates a constraint as the table''s owner, who needs no right to the schema for it. relation is a quoted, qualified name, constraint_name a plain one. Takes SHARE UPDATE EXCLUSIVE on the table. Errors: 42P01, 42704, 23503, 23514.';

CREATE FUNCTION safemig.add_partitioned_foreign_key(statement text)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_add_partitioned_foreign_key';
REVOKE EXECUTE ON FUNCTION safemig.add_partitioned_foreign_key(text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.add_partitioned_foreign_key(text) IS
'Adds a foreign key to a partitioned table and validates it, partition by partition, as each table''s owner. statement is an ALTER TABLE with qualified names that adds one. Takes SHARE ROW EXCLUSIVE on the tables. Errors: 42P01, 42601, 23503.';

CREATE FUNCTION safemig.alter_domain(statement text)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_alter_domain';
REVOKE EXECUTE ON FUNCTION safemig.alter_domain(text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.alter_domain(text) IS
'Validates a constraint of a domain, or sets it NOT NULL, also where values of it are stored inside of arrays, rows or ranges. statement is an ALTER DOMAIN with a qualified name. Takes SHARE on the tables that have it. Errors: 23502, 23514, 42601, 42704.';

CREATE FUNCTION safemig.set_not_null(relation text, column_name text, this_only boolean)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_not_null';
REVOKE EXECUTE ON FUNCTION safemig.set_not_null(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_not_null(text, text, boolean) IS
'Makes a column NOT NULL as the table''s owner, who needs no right to the schema for it; in the tables that inherit it, too, unless this_only. relation is a quoted, qualified name, column_name a plain one. Takes ACCESS EXCLUSIVE on the table. Errors: 42P01, 42703, 23502.';

CREATE FUNCTION safemig.set_array_type_name(type text, name text)
RETURNS void LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_array_type_name';
REVOKE EXECUTE ON FUNCTION safemig.set_array_type_name(text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_array_type_name(text, text) IS
'Renames the array type of a type, which gave its name up to something else; a name of NULL is that with one underscore. type is a quoted, qualified name, name a plain one. Takes no lock. Errors: 42704, 42710.';
