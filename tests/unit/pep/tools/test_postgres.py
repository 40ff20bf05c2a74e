"""The database tools on a real PostgreSQL: read-only, in time, and with row-level security that sees who asks."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from sallyport.contract.catalog import Limits
from sallyport.pep.model import Json, ToolOutput, Unresolved
from sallyport.pep.tools import ToolFailure
from sallyport.pep.tools.database import Database, postgres
from sallyport.runtime.problems import ConfigError
from tests.unit.pep.tools.support import ALICE
from tests.unit.pep.tools.tables import Bench, bench

PART = Path(__file__).parents[5] / "shared/parts/postgres"
pytestmark = [
    pytest.mark.skipif(not PART.is_file(), reason=f"no script {PART} to start PostgreSQL with"),
    pytest.mark.xdist_group("postgres"),
]
PASSWORD = "reader-password"
SETUP = f"""
CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE careless LOGIN BYPASSRLS PASSWORD '{PASSWORD}';
CREATE ROLE owner LOGIN PASSWORD '{PASSWORD}';
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE orders (id int PRIMARY KEY, org text, owner text, amount numeric(10,2), at timestamptz, day date,
                     mood mood, tags text[], extra jsonb, ref uuid, code char(4), net inet);
INSERT INTO orders VALUES
  (1, 'acme', 'alice', 10.50, '2026-01-01Z', '2026-01-01', 'glad', '{{a,b}}', '{{"k": [1, 2.5]}}',
   '00000000-0000-0000-0000-000000000001', 'ab', '10.0.0.1'),
  (2, 'acme', 'bob', 20, NULL, NULL, 'sad', NULL, NULL, NULL, NULL, NULL),
  (3, 'globex', 'carol', 30, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE mine (id int, owner text);
INSERT INTO mine VALUES (1, 'alice'), (2, 'bob');
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orders USING (org = current_setting('sallyport.org'));
CREATE POLICY own ON mine USING (owner = current_setting('sallyport.user')
  AND current_setting('sallyport.agent') = 'coding-bot' AND current_setting('sallyport.issuer') = 'laptop');
CREATE TABLE slow (id int);
INSERT INTO slow VALUES (1);
ALTER TABLE slow ENABLE ROW LEVEL SECURITY;
CREATE POLICY slowly ON slow USING (pg_sleep(30) IS NOT NULL);
CREATE VIEW past_the_policy AS SELECT * FROM mine;
CREATE TABLE seen (who text);
GRANT ALL ON ALL TABLES IN SCHEMA public TO reader, careless;
GRANT CREATE ON SCHEMA public TO owner;
SET ROLE owner;
CREATE TABLE owned (id int);
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
RESET ROLE;
"""


@dataclass(frozen=True, slots=True)
class Server:
    admin: str

    def url(self, role: str = "reader") -> str:
        return f"postgresql://{role}@{self.admin.partition('@')[2]}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("postgres")
    started = subprocess.run([PART, "start", folder], capture_output=True, text=True, timeout=90, check=False)
    if started.returncode:
        pytest.skip(f"PostgreSQL doesn't start here: {started.stderr[-200:]}")
    try:
        found = Server(started.stdout.strip().splitlines()[-1])
        asyncio.run(_set_up(found))
        yield found
    finally:
        subprocess.run([PART, "stop", folder], capture_output=True, timeout=60, check=True)
        # The cluster stands beside the folder, where its own user can reach it.
        shutil.rmtree((folder / "data").resolve(), ignore_errors=True)


async def _set_up(server: Server) -> None:
    connection = await asyncpg.connect(server.admin)
    await connection.execute(SETUP)
    await connection.close()


@pytest.fixture
async def here(server: Server) -> AsyncIterator[Bench]:
    async with bench(server.url(), PASSWORD, Limits(timeout_ms=1500)) as made:
        yield made


async def test_row_level_security_sees_user_agent_issuer_and_org(here: Bench) -> None:
    everything: dict[str, Any] = {"columns": ["id"]}
    bob, carol = replace(ALICE, user="bob"), replace(ALICE, user="carol", org="globex")
    other = [replace(ALICE, agent="chat-bot"), replace(ALICE, issuer="elsewhere")]
    for who, orders, mine in (
        (ALICE, [1, 2], [1]),
        (bob, [1, 2], [2]),
        (carol, [3], []),
        *((o, [1, 2], []) for o in other),
    ):
        assert await here.rows("orders", who, **everything) == [[number] for number in orders]
        assert await here.rows("mine", who, **everything) == [[number] for number in mine]


async def test_identities_do_not_mix_on_shared_connections(here: Bench) -> None:
    carol = replace(ALICE, user="carol", org="globex")
    found = await asyncio.gather(*(here.rows("orders", who, columns=["org"]) for who in (ALICE, carol) * 25))
    assert found == [[["acme"], ["acme"]], [["globex"]]] * 25


async def test_a_hostile_user_name_is_a_value_and_no_sql(here: Bench) -> None:
    for name in ("alice'); DROP TABLE mine; --", "alice\\", "$1", "alice' OR '1'='1", "é" * 100):
        assert await here.rows("mine", replace(ALICE, user=name), columns=["id"]) == []
    assert await here.rows("mine", columns=["id"]) == [[1]]


async def test_every_type_comes_out_as_json_and_can_be_filtered_by_its_text(here: Bench) -> None:
    expected = [
        1, "acme", "alice", "10.50", "2026-01-01T00:00:00+00:00", "2026-01-01", "glad", ["a", "b"],
        {"k": [1, 2.5]}, "00000000-0000-0000-0000-000000000001", "ab  ", "10.0.0.1",
    ]  # fmt: skip
    assert (await here.rows("orders", order=[{"column": "id"}]))[0] == expected
    examples: dict[str, Json] = {
        "id": 1, "amount": 10.5, "at": "2026-01-01 00:00:00+00", "day": "2026-01-01", "mood": "glad",
        "ref": "00000000000000000000000000000001", "net": "10.0.0.1", "code": "ab", "owner": "alice", "tags": "{a,b}",
    }  # fmt: skip
    for column, value in examples.items():
        filters: list[Json] = [{"column": column, "op": "eq", "value": value}]
        assert await here.rows("orders", columns=["id"], filters=filters) == [[1]], column


async def test_a_filter_is_not_rounded_to_the_columns_precision(here: Bench) -> None:
    filters: list[Json] = [{"column": "amount", "op": "eq", "value": "10.501"}]
    assert await here.rows("orders", columns=["id"], filters=filters) == []


@pytest.mark.parametrize(
    ("column", "value"), [("id", "1 OR 1=1"), ("at", "x"), ("mood", "x"), ("ref", "x"), ("id", 1.5), ("owner", "\0")]
)
async def test_a_value_that_does_not_fit_its_column_is_an_orderly_failure(
    here: Bench, column: str, value: Json
) -> None:
    with pytest.raises(ToolFailure, match="doesn't fit"):
        await here.query("orders", filters=[{"column": column, "op": "eq", "value": value}])
    assert await here.rows("orders", columns=["id"]) == [[1], [2]]


@pytest.mark.parametrize(
    ("op", "value", "ids"),
    [("like", "al%", [1]), ("like", "a\\%", []), ("in", ["alice", "bob"], [1, 2]), ("gt", "alice", [2])],
)
async def test_operators_on_text(here: Bench, op: str, value: Json, ids: list[int]) -> None:
    filters: list[Json] = [{"column": "owner", "op": op, "value": value}]
    assert await here.rows("orders", columns=["id"], filters=filters) == [[number] for number in ids]


async def test_a_pattern_fits_also_what_is_no_text_and_a_dangling_escape_is_orderly(here: Bench) -> None:
    assert await here.rows("orders", columns=["id"], filters=[{"column": "amount", "op": "like", "value": "10.%"}]) == [
        [1]
    ]
    with pytest.raises(ToolFailure):
        await here.query("orders", filters=[{"column": "owner", "op": "like", "value": "a\\"}])


async def test_a_slow_statement_is_cancelled_by_the_server(here: Bench) -> None:
    async with asyncio.timeout(60):
        with pytest.raises(ToolFailure, match="took longer"):
            await here.query("slow")
    assert await here.rows("mine", columns=["id"]) == [[1]]


async def test_a_view_which_reads_as_its_owner_is_no_table_here(here: Bench) -> None:
    assert isinstance(await here.query("past_the_policy"), Unresolved)


@pytest.mark.parametrize(
    "statement", ["INSERT INTO seen VALUES ('x')", "DELETE FROM seen", "CREATE TEMP TABLE t (a int)"]
)
async def test_even_a_role_that_may_write_can_not_through_our_connection(server: Server, statement: str) -> None:
    engine = postgres.engine(server.url(), PASSWORD, 1)
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError, match="read-only transaction"):
            await connection.execute(text(statement))
    await engine.dispose()


async def test_who_asked_is_forgotten_with_the_transaction(server: Server) -> None:
    engine = postgres.engine(server.url(), PASSWORD, 1)
    async with engine.connect() as connection:
        async with connection.begin():
            await postgres.identify(connection, ALICE, 1.5)
            shown = (
                await connection.execute(
                    text("SELECT current_setting('sallyport.user'), current_setting('statement_timeout')")
                )
            ).one()
            assert tuple(shown) == ("alice", "1500ms")
        left = (await connection.execute(text("SELECT current_setting('sallyport.user', true)"))).scalar_one()
        assert left in {"", None}
    await engine.dispose()


@pytest.mark.parametrize("role", ["careless", "owner", "postgres"])
async def test_a_role_that_row_level_security_does_not_bind_stops_the_start(server: Server, role: str) -> None:
    password: Any = (
        server.admin.partition("://")[2].partition("@")[0].partition(":")[2] if role == "postgres" else PASSWORD
    )
    with pytest.raises(ConfigError, match="row-level security"):
        await Database.open(server.url(role), password)


async def test_n7_a_wrong_password_stops_the_start_and_is_not_shown(server: Server) -> None:
    with pytest.raises(ConfigError, match="can't be opened") as caught:
        await Database.open(server.url(), "wrong-password-canary")
    assert "canary" not in str(caught.value)


async def test_n20_the_statement_text_is_the_same_for_all_values(here: Bench) -> None:
    here.statements.clear()
    for value in ("x", "' OR 1=1 --", "$1", "%s", ":a", "\\"):
        found = await here.query("orders", columns=["id"], filters=[{"column": "owner", "op": "eq", "value": value}])
        assert isinstance(found, ToolOutput)
    assert len(set(here.statements)) == 2, "who asks, and the question itself"


async def test_neither_query_nor_environment_leads_elsewhere_than_egress_was_held_against(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`egress` knows the host and port of the URL itself, so a connection goes there or nowhere."""
    address, _, name = server.url().partition("@")[2].partition("?")[0].partition("/")
    port = address.rpartition(":")[2]
    monkeypatch.setenv("PGPORT", port)
    for query in ("", f"?port={port}", f"?host=127.0.0.1:{port}"):
        with pytest.raises(ConfigError, match="can't be opened"):
            await Database.open(f"postgresql://reader@127.0.0.1/{name}{query}", PASSWORD)
    otherwise = await asyncpg.connect(f"postgresql://reader@127.0.0.1/{name}", password=PASSWORD)
    await otherwise.close()
