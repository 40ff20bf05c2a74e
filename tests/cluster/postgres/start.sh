#!/usr/bin/env bash
# A fresh cluster in /data with TLS and scram only; /secrets has tls.crt, tls.key and password.
set -euo pipefail
bin=$(echo /usr/lib/postgresql/*/bin)
"$bin/initdb" --pgdata /data/pg --auth-local trust --auth-host scram-sha-256 --username owner --encoding UTF8 >/dev/null
install --mode 600 /secrets/tls.key /data/tls.key
cat >>/data/pg/postgresql.conf <<CONF
listen_addresses = '*'
unix_socket_directories = '/data'
ssl = on
ssl_cert_file = '/secrets/tls.crt'
ssl_key_file = '/data/tls.key'
ssl_min_protocol_version = 'TLSv1.3'
CONF
echo 'hostssl all all all scram-sha-256' >/data/pg/pg_hba.conf
echo 'local all owner trust' >>/data/pg/pg_hba.conf
"$bin/pg_ctl" --pgdata /data/pg --wait --log /data/log start >/dev/null
"$bin/psql" --quiet --host /data --username owner --dbname postgres --set password="$(cat /secrets/password)" <<'SQL'
CREATE ROLE sallyport LOGIN PASSWORD :'password';
CREATE DATABASE app;
\connect app
CREATE TABLE orders (id int PRIMARY KEY, item text NOT NULL);
INSERT INTO orders VALUES (1, 'rope'), (2, 'lamp oil');
CREATE TABLE salaries (name text PRIMARY KEY, amount int NOT NULL);
INSERT INTO salaries VALUES ('bob', 7);
GRANT SELECT ON orders, salaries TO sallyport;
SQL
"$bin/pg_ctl" --pgdata /data/pg --wait stop >/dev/null
exec "$bin/postgres" -D /data/pg
