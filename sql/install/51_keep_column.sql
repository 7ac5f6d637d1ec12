/*
 * Columns that come back.  Steps of a rollback call these; they look at no
 * privileges but whether the extension's owner, or a superuser, is asking.
 */
CREATE FUNCTION safemig.revive_column(kept bigint) RETURNS text
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'revive_column';
REVOKE EXECUTE ON FUNCTION safemig.revive_column(bigint) FROM PUBLIC;
COMMENT ON FUNCTION safemig.revive_column(bigint) IS
	'brings a dropped column back; NULL, or why it is not in its old place but the last one';

CREATE FUNCTION safemig.revive_attribute(type_name text, attribute_name text, attnum int,
		"position" int, attribute_type text, type_oid oid, collation_name text) RETURNS void
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'revive_attribute';
REVOKE EXECUTE ON FUNCTION safemig.revive_attribute(text, text, int, int, text, oid, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.revive_attribute(text, text, int, int, text, oid, text) IS
	'brings a dropped attribute of a composite type back to its old place; an empty collation is that of the type';

CREATE FUNCTION safemig.fill_column(kept bigint, default_expression text DEFAULT NULL) RETURNS bigint
	LANGUAGE C AS 'MODULE_PATHNAME', 'fill_column';
REVOKE EXECUTE ON FUNCTION safemig.fill_column(bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.fill_column(bigint, text) IS
	'puts kept values into rows written since the column was dropped, the default into rows added since; returns the number of the former';

CREATE FUNCTION safemig.restore_column_type(kept bigint) RETURNS void
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'restore_column_type';
REVOKE EXECUTE ON FUNCTION safemig.restore_column_type(bigint) FROM PUBLIC;
COMMENT ON FUNCTION safemig.restore_column_type(bigint) IS
	'gives a column its old type and rows not written since their old values';

CREATE FUNCTION safemig.revert_column_type(table_name text, column_name text, type_name text,
		collation_name text DEFAULT NULL) RETURNS void
	LANGUAGE C AS 'MODULE_PATHNAME', 'revert_column_type';
REVOKE EXECUTE ON FUNCTION safemig.revert_column_type(text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.revert_column_type(text, text, text, text) IS
	'gives a column a type of which the present one holds every value; an error if a value does not fit';

CREATE FUNCTION safemig.set_generated(table_name text, column_name text, expression text,
		virtual boolean DEFAULT false) RETURNS void
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'set_generated';
REVOKE EXECUTE ON FUNCTION safemig.set_generated(text, text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_generated(text, text, text, boolean) IS
	'makes a column GENERATED ALWAYS AS (expression) STORED, its values being there, or VIRTUAL (PostgreSQL 18)';

CREATE FUNCTION safemig.compute_column(table_name text, column_name text, expression text) RETURNS void
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'compute_column';
REVOKE EXECUTE ON FUNCTION safemig.compute_column(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.compute_column(text, text, text) IS
	'gives the rows of a table, not of its children, the values of a column that is about to be generated';

CREATE FUNCTION safemig.unset_generated(table_name text, column_name text) RETURNS void
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'unset_generated';
REVOKE EXECUTE ON FUNCTION safemig.unset_generated(text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.unset_generated(text, text) IS
	'makes a generated column a plain one, virtual ones too, with the values that are in the rows';

-- for everybody: runs as the caller, and needs no more than the caller has
CREATE FUNCTION safemig.value_fits(value anyelement, type_name text) RETURNS boolean
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'value_fits';
COMMENT ON FUNCTION safemig.value_fits(anyelement, text) IS
	'could this value be cast to that type and back without a loss?';

-- for everybody: ALTER TABLE asks as the table's owner; else it is an error
CREATE FUNCTION safemig.restored_value(relation oid, place tid, number int, type anyelement) RETURNS anyelement
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'restored_value';
