-- Every catalog of objects is described by a class of the registry, is part
-- of another object's description, or has a reason why not.
SET search_path = '';
CREATE TEMP TABLE covered (catalog text PRIMARY KEY, how text NOT NULL);
INSERT INTO covered VALUES
	('pg_am', 'class'),
	('pg_amop', 'part of operator classes and families'),
	('pg_amproc', 'part of operator classes and families'),
	('pg_attrdef', 'part of tables'),
	('pg_auth_members', 'part of roles'),
	('pg_authid', 'class'),
	('pg_cast', 'class'),
	('pg_class', 'class'),
	('pg_collation', 'class'),
	('pg_constraint', 'class'),
	('pg_conversion', 'class'),
	('pg_database', 'class'),
	('pg_default_acl', 'class'),
	('pg_enum', 'part of types'),
	('pg_event_trigger', 'class'),
	('pg_extension', 'class'),
	('pg_foreign_data_wrapper', 'class'),
	('pg_foreign_server', 'class'),
	('pg_language', 'class'),
	('pg_largeobject_metadata', 'class'),
	('pg_namespace', 'class'),
	('pg_opclass', 'class'),
	('pg_operator', 'class'),
	('pg_opfamily', 'class'),
	('pg_parameter_acl', 'none: shared, no event'),
	('pg_policy', 'class'),
	('pg_proc', 'class'),
	('pg_publication', 'class'),
	('pg_publication_namespace', 'part of publications'),
	('pg_publication_rel', 'part of publications'),
	('pg_rewrite', 'class'),
	('pg_statistic_ext', 'class'),
	('pg_subscription', 'class'),
	('pg_tablespace', 'class'),
	('pg_transform', 'class'),
	('pg_trigger', 'class'),
	('pg_ts_config', 'class'),
	('pg_ts_dict', 'class'),
	('pg_ts_parser', 'class'),
	('pg_ts_template', 'class'),
	('pg_type', 'class'),
	('pg_user_mapping', 'class');

-- catalogs that nobody has thought of: none
SELECT c.relname
FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'oid' AND NOT a.attisdropped
WHERE c.relkind = 'r' AND c.relnamespace = 'pg_catalog'::regnamespace
	AND c.relname NOT IN (SELECT catalog FROM covered)
ORDER BY 1;

-- One object of each class: what describes it.
CREATE SCHEMA reg;
SET search_path = reg;
CREATE TABLE t (id int PRIMARY KEY, p point);
ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end';
CREATE FUNCTION g(int) RETURNS reg.t LANGUAGE sql AS 'select null::reg.t';
CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
CREATE RULE ru AS ON INSERT TO t DO NOTHING;
CREATE POLICY po ON t USING (true);
CREATE STATISTICS st ON id, (id + 1) FROM t;
CREATE VIEW v AS SELECT id FROM t;
CREATE MATERIALIZED VIEW mv AS SELECT id FROM t;
CREATE SEQUENCE s;
SET client_min_messages = error;
CREATE PUBLICATION pu;
RESET client_min_messages;
CREATE COLLATION co FROM "C";
CREATE CAST (int AS t) WITH FUNCTION g(int);
CREATE FOREIGN DATA WRAPPER fdw;
CREATE SERVER srv FOREIGN DATA WRAPPER fdw;
CREATE USER MAPPING FOR PUBLIC SERVER srv;
CREATE FOREIGN TABLE ft (a int) SERVER srv;
CREATE DOMAIN d AS int CHECK (VALUE > 0);
CREATE PROCEDURE pr() LANGUAGE sql AS '';
ALTER DEFAULT PRIVILEGES IN SCHEMA reg GRANT SELECT ON TABLES TO PUBLIC;
CREATE FUNCTION tf(internal) RETURNS internal LANGUAGE internal IMMUTABLE AS 'int4out';
CREATE TRANSFORM FOR t LANGUAGE plpgsql (FROM SQL WITH FUNCTION tf(internal));
SET client_min_messages = error;
CREATE SUBSCRIPTION su CONNECTION 'dbname=nowhere' PUBLICATION pu WITH (connect = false, slot_name = NONE);
RESET client_min_messages;
SELECT lo_create(4242);

CREATE TEMP VIEW objects AS
SELECT 'pg_am'::regclass AS class, oid FROM pg_am WHERE amname = 'heap'
UNION ALL SELECT 'pg_cast', oid FROM pg_cast WHERE casttarget = 't'::regtype
UNION ALL SELECT 'pg_class', oid FROM pg_class WHERE relnamespace = 'reg'::regnamespace AND relkind <> 'c'
UNION ALL SELECT 'pg_collation', oid FROM pg_collation WHERE collname = 'co'
UNION ALL SELECT 'pg_constraint', oid FROM pg_constraint WHERE connamespace = 'reg'::regnamespace AND contype = 'c'
UNION ALL SELECT 'pg_conversion', min(oid) FROM pg_conversion
UNION ALL SELECT 'pg_default_acl', oid FROM pg_default_acl WHERE defaclnamespace = 'reg'::regnamespace
UNION ALL SELECT 'pg_extension', oid FROM pg_extension WHERE extname = 'plpgsql'
UNION ALL SELECT 'pg_foreign_data_wrapper', oid FROM pg_foreign_data_wrapper WHERE fdwname = 'fdw'
UNION ALL SELECT 'pg_foreign_server', oid FROM pg_foreign_server WHERE srvname = 'srv'
UNION ALL SELECT 'pg_language', oid FROM pg_language WHERE lanname = 'plpgsql'
UNION ALL SELECT 'pg_namespace', 'reg'::regnamespace
UNION ALL SELECT 'pg_opclass', oid FROM pg_opclass WHERE opcname = 'int4_ops' AND opcdefault AND opcmethod = 403
UNION ALL SELECT 'pg_operator', '+(int,int)'::regoperator
UNION ALL SELECT 'pg_opfamily', oid FROM pg_opfamily WHERE opfname = 'integer_ops' AND opfmethod = 403
UNION ALL SELECT 'pg_policy', oid FROM pg_policy WHERE polrelid = 't'::regclass
UNION ALL SELECT 'pg_proc', oid FROM pg_proc WHERE pronamespace = 'reg'::regnamespace
UNION ALL SELECT 'pg_proc', 'sum(int)'::regprocedure
UNION ALL SELECT 'pg_publication', oid FROM pg_publication WHERE pubname = 'pu'
UNION ALL SELECT 'pg_rewrite', oid FROM pg_rewrite WHERE rulename = 'ru'
UNION ALL SELECT 'pg_statistic_ext', oid FROM pg_statistic_ext WHERE stxname = 'st'
UNION ALL SELECT 'pg_transform', oid FROM pg_transform WHERE trftype = 't'::regtype
UNION ALL SELECT 'pg_trigger', oid FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal
UNION ALL SELECT 'pg_ts_config', oid FROM pg_ts_config WHERE cfgname = 'simple'
UNION ALL SELECT 'pg_ts_dict', oid FROM pg_ts_dict WHERE dictname = 'simple'
UNION ALL SELECT 'pg_ts_parser', oid FROM pg_ts_parser WHERE prsname = 'default'
UNION ALL SELECT 'pg_ts_template', oid FROM pg_ts_template WHERE tmplname = 'simple'
UNION ALL SELECT 'pg_type', 'd'::regtype
UNION ALL SELECT 'pg_user_mapping', oid FROM pg_user_mapping
UNION ALL SELECT 'pg_event_trigger', oid FROM pg_event_trigger WHERE evtname = '!safemig_start'
UNION ALL SELECT 'pg_authid', current_user::regrole
UNION ALL SELECT 'pg_subscription', oid FROM pg_subscription WHERE subname = 'su'
UNION ALL SELECT 'pg_largeobject', 4242
UNION ALL SELECT 'pg_database', oid FROM pg_database WHERE datname = 'template1'
UNION ALL SELECT 'pg_tablespace', oid FROM pg_tablespace WHERE spcname = 'pg_default';

-- What PostgreSQL calls them is what the list above has: an object of every
-- class, and no catalog whose objects it can name without one.
SELECT catalog FROM covered
WHERE how = 'class'
	AND NOT EXISTS (SELECT FROM objects WHERE class::text = replace(catalog, '_metadata', ''))
ORDER BY 1;

SELECT class, type, count(DISTINCT oid) > 0 AS described
FROM objects, LATERAL pg_identify_object(class, oid, 0), LATERAL safemig.image(class, oid) AS image
GROUP BY class, type ORDER BY class::text COLLATE "C", type COLLATE "C";

-- classes that the list above says are covered, and of which nothing is described: none
SELECT catalog FROM covered
WHERE how = 'class'
	AND NOT EXISTS (SELECT FROM objects, LATERAL safemig.image(class, oid) WHERE class::text = replace(catalog, '_metadata', ''))
ORDER BY 1;

SET client_min_messages = error;
DROP SCHEMA reg CASCADE;
DROP FOREIGN DATA WRAPPER fdw CASCADE;
DROP PUBLICATION pu;
DROP SUBSCRIPTION su;
SELECT lo_unlink(4242);
