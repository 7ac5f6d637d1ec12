/*
 * The event triggers.  ENABLE ALWAYS: session_replication_role = replica is
 * no way round.  They fire in the order of their names: first of all, so that
 * what other ones run is recorded after the command that they follow.
 */
CREATE FUNCTION safemig.on_event() RETURNS event_trigger LANGUAGE C
AS 'MODULE_PATHNAME', 'safemig_on_event';
COMMENT ON FUNCTION safemig.on_event() IS
'Called by the event triggers !safemig_start, !safemig_drop, !safemig_rewrite and !safemig_end.';

CREATE EVENT TRIGGER "!safemig_start" ON ddl_command_start EXECUTE FUNCTION safemig.on_event();
CREATE EVENT TRIGGER "!safemig_drop" ON sql_drop EXECUTE FUNCTION safemig.on_event();
CREATE EVENT TRIGGER "!safemig_rewrite" ON table_rewrite EXECUTE FUNCTION safemig.on_event();
CREATE EVENT TRIGGER "!safemig_end" ON ddl_command_end EXECUTE FUNCTION safemig.on_event();
ALTER EVENT TRIGGER "!safemig_start" ENABLE ALWAYS;
ALTER EVENT TRIGGER "!safemig_drop" ENABLE ALWAYS;
ALTER EVENT TRIGGER "!safemig_rewrite" ENABLE ALWAYS;
ALTER EVENT TRIGGER "!safemig_end" ENABLE ALWAYS;

/* Whoever follows all tables of this database follows these too. */
DO LANGUAGE plpgsql $do$
DECLARE
	names text := (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(p.pubname), ', ' ORDER BY p.pubname)
		FROM pg_catalog.pg_publication p WHERE p.puballtables);
BEGIN
	IF names IS NOT NULL THEN
		RAISE WARNING 'the tables of safemig are published by %', names
			USING DETAIL = 'A subscriber that does not have them stops at the first row.',
				HINT = 'CREATE EXTENSION safemig on the subscribers before this is committed, or publish schemas or tables by name.';
	END IF;
END
$do$;
