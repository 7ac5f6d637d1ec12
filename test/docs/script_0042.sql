SELECT current_setting('data_directory') AS folder \gset
\setenv FOLDER :folder
\! mkdir "$FOLDER/migrations" && echo 'ALTER TABLE orders ADD COLUMN paid boolean;' >"$FOLDER/migrations/0042_orders.sql"
