"""The database tools against lists of SQL injection payloads, in every string that a caller can give."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from sallyport.pep.model import Json, ToolOutput, Unresolved
from sallyport.pep.tools import ToolFailure
from tests.support.attacks import texts
from tests.support.attacks.lists import PAYLOADS, both
from tests.unit.pep.tools.support import shown
from tests.unit.pep.tools.tables import bench, sample

pytestmark = pytest.mark.parametrize("source", both(PAYLOADS))


def payloads(source: str) -> list[str]:
    if source == "own":
        return texts.statements()
    files = sorted(PAYLOADS.glob("sql-injection_*.txt"))
    return sorted({line for file in files for line in file.read_text("utf-8", "replace").splitlines() if line})


async def test_n20_a_payload_as_a_value_leaves_the_statement_and_every_row_as_they_are(
    tmp_path: Path, source: str
) -> None:
    path = sample(tmp_path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    texts: set[str] = set()
    async with bench(f"sqlite:///{path}") as here:
        here.statements.clear()
        for payload in payloads(source):
            values: dict[str, Json] = {"eq": payload, "ne": payload, "like": payload[:256], "in": [payload]}
            found = await here.query(
                "orders",
                filters=[{"column": "customer", "op": operator, "value": value} for operator, value in values.items()],
            )
            assert isinstance(found, ToolOutput)
            assert "canary-row" not in shown(found)
            texts.update(here.statements)
    assert len(texts) == 1
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


async def test_n20_a_payload_as_a_name_reaches_no_database(tmp_path: Path, source: str) -> None:
    path = sample(tmp_path)
    async with bench(f"sqlite:///{path}") as here:
        here.statements.clear()
        for payload in payloads(source):
            assert isinstance(await here.query(payload), Unresolved)
            assert isinstance(await here.describe(payload), Unresolved)
            places: list[dict[str, Any]] = [
                {"columns": [payload]},
                {"filters": [{"column": payload, "op": "eq", "value": 1}]},
                {"filters": [{"column": "id", "op": payload, "value": 1}]},
                {"order": [{"column": payload}]},
                {"order": [{"column": "id", "direction": payload}]},
                {"limit": payload},
            ]
            for arguments in places:
                with pytest.raises(ToolFailure):
                    await here.query("orders", **arguments)
        assert here.statements == []
