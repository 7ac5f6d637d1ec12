/*
 * The role that owns what is kept.  Nobody can be it: it has no login, no
 * members and no grants.  Whoever may create roles could have made one of that
 * name before, to read what others lose.
 */
DO LANGUAGE plpgsql $do$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'safemig_vault') THEN
		CREATE ROLE safemig_vault NOLOGIN NOINHERIT;
	ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = 'safemig_vault'
			AND (r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolbypassrls
				OR EXISTS (SELECT FROM pg_catalog.pg_auth_members m WHERE m.roleid = r.oid OR m.member = r.oid))) THEN
		RAISE EXCEPTION 'somebody can be role safemig_vault, or it has rights'
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Take its members, its memberships and its attributes away, or drop it.';
	END IF;
END
$do$;
