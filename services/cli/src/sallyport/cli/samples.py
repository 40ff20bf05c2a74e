"""Sample data for the tools: a few files of alice and bob, and a SQLite database with believable rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

CANARY: Final = "canary-4b1f-salaries"  # must never show up outside the database: tests look for it

FILES: Final = {
    "alice/notes.txt": "Ship the export on Thursday. Ask Bob about the tax rounding.\n",
    "alice/todo.txt": "- review the retry patch\n- answer Initech about order 1003\n",
    "alice/report.md": "# Week 46\n\nOrders up 4 %, two refunds, one of them ours.\n",
    "bob/notes.txt": "Tax rounding: half to even, per line, see the March ticket.\n",
    "bob/private.txt": "Salary talk with HR on Friday. Not for the team.\n",
}

_SCHEMA: Final = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, city TEXT NOT NULL);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id),
                     item TEXT NOT NULL, quantity INTEGER NOT NULL, cents INTEGER NOT NULL, placed_on TEXT NOT NULL);
CREATE TABLE salaries (employee TEXT PRIMARY KEY, title TEXT NOT NULL, cents INTEGER NOT NULL, note TEXT NOT NULL);
CREATE TABLE globex_orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, item TEXT NOT NULL, cents INTEGER NOT NULL);
"""

_ROWS: Final[dict[str, list[tuple[int | str, ...]]]] = {
    "customers": [
        (1, "Initech", "buying@initech.example", "Austin"),
        (2, "Hooli", "orders@hooli.example", "Palo Alto"),
        (3, "Vandelay", "art@vandelay.example", "New York"),
    ],
    "orders": [
        (1001, 1, "stapler, red", 40, 51960, "2026-10-02"),
        (1002, 2, "server rack", 2, 389000, "2026-10-09"),
        (1003, 1, "cover sheets", 500, 2500, "2026-10-21"),
        (1004, 3, "latex gloves", 120, 7188, "2026-11-03"),
    ],
    "salaries": [
        ("alice", "engineer", 9120000, "reviewed in May"),
        ("bob", "engineer", 8840000, "reviewed in May"),
        ("dana", "head of finance", 13450000, CANARY),
    ],
    "globex_orders": [
        (1, "Duff", "hops", 120000),
        (2, "Krusty", "neon sign", 88000),
    ],
}


def write(files: Path, database: Path) -> None:
    for name, text in FILES.items():
        path = files / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(_SCHEMA)
        for table, rows in _ROWS.items():
            places = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608 — constants above
    database.chmod(0o600)
