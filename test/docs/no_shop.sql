-- The README makes it itself.
\c postgres
DROP DATABASE shop WITH (FORCE);
