/*
 * The event triggers.  ENABLE ALWAYS: session_replication_role = replica is
 * no way round.
 */
CREATE FUNCTION safemig.on_event() RETURNS event_trigger LANGUAGE C
AS 'MODULE_PATHNAME', 'safemig_on_event';
COMMENT ON FUNCTION safemig.on_event() IS
'Called by the event triggers safemig_start, safemig_rewrite and safemig_end.';

CREATE EVENT TRIGGER safemig_start ON ddl_command_start EXECUTE FUNCTION safemig.on_event();
CREATE EVENT TRIGGER safemig_drop ON sql_drop EXECUTE FUNCTION safemig.on_event();
CREATE EVENT TRIGGER safemig_rewrite ON table_rewrite EXECUTE FUNCTION safemig.on_event();
CREATE EVENT TRIGGER safemig_end ON ddl_command_end EXECUTE FUNCTION safemig.on_event();
ALTER EVENT TRIGGER safemig_start ENABLE ALWAYS;
ALTER EVENT TRIGGER safemig_drop ENABLE ALWAYS;
ALTER EVENT TRIGGER safemig_rewrite ENABLE ALWAYS;
ALTER EVENT TRIGGER safemig_end ENABLE ALWAYS;
