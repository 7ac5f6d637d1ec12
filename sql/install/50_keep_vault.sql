/*
 * What safemig does to objects that is not SQL: the steps of a rollback call
 * these, so that the plan can be read as SQL.  Each is recorded like a
 * command, and refuses anybody but a superuser or the extension's owner.
 */
CREATE FUNCTION safemig.restore_relation(kept bigint)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_restore_relation';
REVOKE EXECUTE ON FUNCTION safemig.restore_relation(bigint) FROM PUBLIC;
COMMENT ON FUNCTION safemig.restore_relation(bigint) IS
	'takes a table or materialized view out of the vault; SM003 if it is not what was kept or its place is taken';

CREATE FUNCTION safemig.detach_partition(parent text, relation text)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_detach_partition';
REVOKE EXECUTE ON FUNCTION safemig.detach_partition(text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.detach_partition(text, text) IS
	'DETACH PARTITION, together with the constraint triggers FROM another table that PostgreSQL would leave on the partition';

CREATE FUNCTION safemig.set_detach_pending(relation text, pending boolean)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_set_detach_pending';
REVOKE EXECUTE ON FUNCTION safemig.set_detach_pending(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_detach_pending(text, boolean) IS
	'puts a partition into, or takes it out of, the state between the transactions of DETACH PARTITION CONCURRENTLY';

CREATE FUNCTION safemig.restore_type(kept bigint)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_restore_type';
REVOKE EXECUTE ON FUNCTION safemig.restore_type(bigint) FROM PUBLIC;
COMMENT ON FUNCTION safemig.restore_type(bigint) IS
	'takes a type out of the vault; SM003 if it is not what was kept or its place is taken';

CREATE FUNCTION safemig.restore_support(kept bigint)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_restore_support';
REVOKE EXECUTE ON FUNCTION safemig.restore_support(bigint) FROM PUBLIC;
COMMENT ON FUNCTION safemig.restore_support(bigint) IS
	'takes a function, operator, operator class or family that a partition key needs out of the vault; SM003 if it is not what was kept or its place is taken';

CREATE FUNCTION safemig.restore_collation(kept bigint)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_restore_collation';
REVOKE EXECUTE ON FUNCTION safemig.restore_collation(bigint) FROM PUBLIC;
COMMENT ON FUNCTION safemig.restore_collation(bigint) IS
	'takes a collation out of the vault; SM003 if it is not what was kept or its place is taken';

CREATE FUNCTION safemig.set_range_functions(type_name text, canonical text, subtype_diff text)
	RETURNS void LANGUAGE C CALLED ON NULL INPUT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_set_range_functions';
REVOKE EXECUTE ON FUNCTION safemig.set_range_functions(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_range_functions(text, text, text) IS
	'gives a range type these functions, each as a signature, or none (null)';

CREATE FUNCTION safemig.empty_type(type_name text)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_empty_type';
REVOKE EXECUTE ON FUNCTION safemig.empty_type(text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.empty_type(text) IS
	'makes a base type the shell again that it was made from; SM003 if anything but functions uses it';

CREATE FUNCTION safemig.set_role_settings(role_name text, database text, settings text)
	RETURNS void LANGUAGE C CALLED ON NULL INPUT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_set_role_settings';
REVOKE EXECUTE ON FUNCTION safemig.set_role_settings(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_role_settings(text, text, text) IS
	'gives a role, or ('''') everybody, these settings, an array as pg_db_role_setting has it, in a database or ('''') in all of them; null: none';

CREATE FUNCTION safemig.unset_valid_until(role_name text)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_unset_valid_until';
REVOKE EXECUTE ON FUNCTION safemig.unset_valid_until(text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.unset_valid_until(text) IS
	'takes VALID UNTIL from a role, as if nobody had ever said it';

CREATE FUNCTION safemig.restore_position(kept bigint)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_restore_position';
REVOKE EXECUTE ON FUNCTION safemig.restore_position(bigint) FROM PUBLIC;
COMMENT ON FUNCTION safemig.restore_position(bigint) IS
	'puts a sequence back to the position that was kept; undone with the transaction';

CREATE FUNCTION safemig.restore_sequence(kept bigint, options text)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_restore_sequence';
REVOKE EXECUTE ON FUNCTION safemig.restore_sequence(bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.restore_sequence(bigint, text) IS
	'gives a sequence options back, as ALTER SEQUENCE has them, and its position as restore_position() does: where the position that it has now is out of its bounds then; kept: kept_log.id; a step of a rollback, lock: SHARE ROW EXCLUSIVE';

CREATE FUNCTION safemig.remove_enum_label(type_name text, label text)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_remove_enum_label';
REVOKE EXECUTE ON FUNCTION safemig.remove_enum_label(text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.remove_enum_label(text, text) IS
	'takes a label away from an enum type after proving that nothing uses it; SM003 if something does';

CREATE FUNCTION safemig.set_acl(type text, names text[], args text[], part text, acl text)
	RETURNS void LANGUAGE C CALLED ON NULL INPUT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_set_acl';
REVOKE EXECUTE ON FUNCTION safemig.set_acl(text, text[], text[], text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_acl(text, text[], text[], text, text) IS
	'writes the privileges of an object, or of its column part, exactly as given; null is the default';

CREATE FUNCTION safemig.set_constraint_valid(type text, names text[], args text[], valid boolean)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_set_constraint_valid';
REVOKE EXECUTE ON FUNCTION safemig.set_constraint_valid(text, text[], text[], boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_constraint_valid(text, text[], text[], boolean) IS
	'marks a constraint as validated, or as not, without looking at the rows';
