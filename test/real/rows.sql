-- Puts a few rows into each table, as far as its constraints let it; run by
-- run.pl, which sets safemig_test.rows.  The values depend on nothing but the
-- catalogs and the number of rows already there.

-- A value for a column: a key that exists for a foreign key, else something
-- of its type.  NULL if nothing comes to mind.
CREATE FUNCTION pg_temp.value_for(rel regclass, att pg_attribute, k bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	base regtype := coalesce((SELECT nullif(typbasetype, 0) FROM pg_type WHERE oid = att.atttypid), att.atttypid);
	category "char" := (SELECT typcategory FROM pg_type WHERE oid = base);
	ref record;
	result text;
BEGIN
	SELECT confrelid::regclass AS target, a.attname INTO ref
	FROM pg_constraint c, unnest(conkey, confkey) AS k(own, other), pg_attribute a
	WHERE conrelid = rel AND contype = 'f' AND k.own = att.attnum
	  AND a.attrelid = confrelid AND a.attnum = k.other LIMIT 1;
	IF FOUND THEN
		EXECUTE format('SELECT %1$I::text FROM %2$s ORDER BY 1 OFFSET %3$s %% greatest(1, (SELECT count(*) FROM %2$s)) LIMIT 1', ref.attname, ref.target, k) INTO result;
		RETURN result;
	END IF;
	IF (SELECT typtype FROM pg_type WHERE oid = base) = 'e' THEN
		SELECT enumlabel INTO result FROM pg_enum WHERE enumtypid = base ORDER BY enumsortorder
		OFFSET k % (SELECT count(*) FROM pg_enum WHERE enumtypid = base) LIMIT 1;
		RETURN result;
	END IF;
	RETURN CASE
		WHEN base = ANY ('{smallint,integer,bigint,real,double precision,numeric,money,oid}'::regtype[]) THEN k::text
		WHEN category = 'S' THEN left(format('%s %s', att.attname, k), CASE WHEN att.atttypmod > 4 THEN att.atttypmod - 4 ELSE 60 END)
		WHEN category = 'B' THEN (k % 2 = 0)::text
		WHEN category = 'D' THEN (timestamp '2024-01-01' + k * interval '1 day')::text
		WHEN category = 'T' THEN format('%s hours', k)
		WHEN category = 'A' THEN '{}'
		WHEN base = 'uuid'::regtype THEN md5(att.attname || k)::uuid::text
		WHEN base = ANY ('{json,jsonb}'::regtype[]) THEN format('{"k": %s}', k)
		WHEN base = 'bytea'::regtype THEN format('\x%s', md5(k::text))
		WHEN category = 'I' THEN format('10.0.%s.%s', k / 250 % 250, k % 250)
	END;
END $$;

-- Tries a full row, then one with only what has to be there.
CREATE FUNCTION pg_temp.add_row(rel regclass, k bigint, everything bool) RETURNS bool
LANGUAGE plpgsql AS $$
DECLARE
	names text[] := '{}';
	items text[] := '{}';
	att pg_attribute;
	item text;
BEGIN
	FOR att IN SELECT * FROM pg_attribute WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped
		AND attgenerated = '' AND attidentity = '' AND NOT atthasdef AND (everything OR attnotnull) ORDER BY attnum
	LOOP
		item := pg_temp.value_for(rel, att, k);
		IF item IS NOT NULL THEN
			names := names || quote_ident(att.attname);
			items := items || format('%L', item);
		END IF;
	END LOOP;
	IF names = '{}' THEN
		EXECUTE format('INSERT INTO %s DEFAULT VALUES', rel);
	ELSE
		EXECUTE format('INSERT INTO %s (%s) VALUES (%s)', rel, array_to_string(names, ', '), array_to_string(items, ', '));
	END IF;
	RETURN true;
EXCEPTION WHEN OTHERS THEN
	RETURN everything AND pg_temp.add_row(rel, k, false);
END $$;

-- Tables whose keys others need may come later in the list: three rounds.
DO $$
DECLARE
	rel regclass;
	n bigint;
	k bigint;
BEGIN
	FOR round IN 1 .. 3 LOOP
		FOR rel IN SELECT c.oid FROM pg_class c JOIN pg_namespace s ON s.oid = relnamespace
			WHERE relkind = 'r' AND NOT relispartition AND nspname !~ '^(pg_|safemig|information_schema)'
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND deptype = 'e')
			ORDER BY c.oid::regclass::text
		LOOP
			EXECUTE format('SELECT count(*) FROM %s', rel) INTO n;
			FOR k IN n + 1 .. least(n + current_setting('safemig_test.rows')::int, current_setting('safemig_test.rows')::int * 5) LOOP
				EXIT WHEN round > 1 AND n > 0;
				PERFORM pg_temp.add_row(rel, k, true);
			END LOOP;
		END LOOP;
	END LOOP;
END $$;
