/*
 * The role that owns what is kept.  Nobody can be it: it has no login, no
 * members and no grants.
 */
DO LANGUAGE plpgsql $do$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'safemig_vault') THEN
		CREATE ROLE safemig_vault NOLOGIN NOINHERIT;
	END IF;
END
$do$;
