--
-- How long somebody who reads bench.rows has to wait, at most, while it is
-- migrated: called by bench/run, with the statement that is run meanwhile by
-- another session.
--
\set QUIET on
CREATE PROCEDURE bench.watch(what text) LANGUAGE plpgsql AS
$$
DECLARE
	since timestamptz;
	longest float8 := 0;
BEGIN
	LOOP
		since := clock_timestamp();
		PERFORM FROM bench.rows LIMIT 1;
		longest := greatest(longest, extract(epoch FROM clock_timestamp() - since) * 1000);
		COMMIT;
		EXIT WHEN EXISTS (SELECT FROM bench.stop);
		PERFORM pg_sleep(0.001);
	END LOOP;
	INSERT INTO bench.sample VALUES ('wait', what, longest);
	COMMIT;
END
$$;
CREATE TABLE bench.stop ();
