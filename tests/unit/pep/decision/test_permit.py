"""The permit: only from the decision room, for one call, once, for a second."""

from __future__ import annotations

import ast
import contextlib
from pathlib import Path

import pytest

from sallyport.pep.decision import permit as permits
from sallyport.pep.decision.counts import CallCounts, Reservation
from sallyport.pep.decision.permit import Permit, PermitRefused
from sallyport.pep.model import Caller
from tests.support.calls import ALICE, ALICE_ID, checked, expired

_PEP = Path(permits.__file__).resolve().parents[1]


def made(caller: Caller = ALICE, reservation: Reservation | None = None) -> Permit:
    return permits.make(
        caller=caller,
        call=checked(),
        identity=ALICE_ID,
        resolved=(),
        revision="r",
        reasons=(),
        obligations=(),
        reservation=reservation or CallCounts().reserve(ALICE_ID),
    )


def redeem(permit: Permit, *, method: str = "tools/call", name: str = "read_file", digest: str = "") -> None:
    permit.redeem(method=method, name=name, digest=digest or checked().digest)


def test_a_permit_is_redeemed_once() -> None:
    permit = made()
    redeem(permit)
    assert permit.redeemed
    with pytest.raises(PermitRefused, match="before"):
        redeem(permit)


def test_only_a_permit_that_is_spent_counts_and_it_counts_once() -> None:
    counts = CallCounts()
    for caller in (ALICE, expired(ALICE)):
        permit = made(caller, counts.reserve(ALICE_ID))
        for digest in ("", "0" * 64, ""):
            with contextlib.suppress(PermitRefused):
                redeem(permit, digest=digest)
        permit.end()
        permit.end()
    assert counts.of(ALICE_ID) == 1


def test_a_permit_whose_call_is_over_is_refused_and_counts_no_longer() -> None:
    counts = CallCounts()
    permit = made(reservation=counts.reserve(ALICE_ID))
    assert counts.of(ALICE_ID) == 1
    permit.end()
    with pytest.raises(PermitRefused, match="over"):
        redeem(permit)
    assert (counts.of(ALICE_ID), permit.redeemed) == (0, False)


def test_n11_a_permit_for_other_arguments_is_refused() -> None:
    other = checked(arguments={"path": "bob/notes.txt"}).digest
    permit = made()
    with pytest.raises(PermitRefused, match="another call"):
        redeem(permit, digest=other)
    assert not permit.redeemed


def test_a_permit_for_another_tool_or_method_is_refused() -> None:
    with pytest.raises(PermitRefused):
        redeem(made(), name="delete_file")
    with pytest.raises(PermitRefused):
        redeem(made(), method="resources/read")


def test_a_permit_dies_with_the_token() -> None:
    with pytest.raises(PermitRefused, match="token"):
        redeem(made(expired(ALICE)))


def test_a_permit_dies_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    permit = made()
    monkeypatch.setattr(permit, "_now", lambda: permit._dies)
    with pytest.raises(PermitRefused, match="second"):
        redeem(permit)


def test_nobody_makes_a_permit_without_the_makers_token() -> None:
    with pytest.raises(TypeError, match="decision room"):
        Permit(
            object(),
            caller=ALICE,
            call=checked(),
            identity=ALICE_ID,
            resolved=(),
            revision="r",
            reasons=(),
            obligations=(),
            reservation=CallCounts().reserve(ALICE_ID),
        )


def test_only_the_decision_room_imports_the_maker() -> None:
    importers = {
        path.relative_to(_PEP)
        for path in _PEP.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module == "sallyport.pep.decision.permit"
        and any(name.name in {"make", "_MAKER"} for name in node.names)
    }
    assert importers == {Path("decision/__init__.py")}
