\! pg_dump shop >copy.sql && createdb shop_copy && psql -Xqo copy.out -f copy.sql shop_copy
