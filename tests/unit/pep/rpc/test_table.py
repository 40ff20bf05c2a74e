"""The table of methods: each row is judged by an action that the PDP has, or says what everybody with a token may know."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Final

import pytest
from mcp_types import methods as protocol

from sallyport.pdp import schema
from sallyport.pep import model
from sallyport.pep.model import Era
from sallyport.pep.pipeline import Decided
from sallyport.pep.refusal import Reason
from sallyport.pep.rpc import METHODS, Rejected, parse
from tests.support.messages import BOTH, legacy, modern

# What everybody may know, or what changes nothing: nobody is asked.
KNOWN_TO_ALL: Final = frozenset({"initialize", "ping", "server/discover", "resources/unsubscribe"})
NOTIFICATIONS: Final = frozenset(name for name in METHODS if name.startswith("notifications/"))
TASKS: Final = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})  # an extension, which the SDK doesn't have
PARAMS: Final[dict[str, dict[str, Any]]] = {
    "initialize": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}},
    "notifications/cancelled": {"requestId": 1},
    "notifications/progress": {"progressToken": 1, "progress": 1},
    "tools/call": {"name": "t", "arguments": {}},
    "prompts/get": {"name": "p", "arguments": {"a": "b"}},
    "resources/read": {"uri": "a:b"},
    "resources/subscribe": {"uri": "a:b"},
    "resources/unsubscribe": {"uri": "a:b"},
    "completion/complete": {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}},
    "logging/setLevel": {"level": "info"},
    "subscriptions/listen": {"notifications": {"toolsListChanged": True}},
    "tasks/get": {"taskId": "t"},
    "tasks/update": {"taskId": "t", "inputResponses": {}},
    "tasks/cancel": {"taskId": "t"},
}
MAKE: Final = {Era.LEGACY: legacy, Era.MODERN: modern}


def read(method: str, era: Era, params: dict[str, Any] | None = None, **headers: str) -> model.Message | Rejected:
    given = PARAMS.get(method, {}) if params is None else params
    asked = MAKE[era](method, given, None if method in NOTIFICATIONS else 1, **headers)
    return parse(asked, eras=BOTH, max_depth=64)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_each_method_is_judged_or_is_on_the_list_of_what_everybody_may_know(name: str) -> None:
    row = METHODS[name]
    assert row.decided is not (name in KNOWN_TO_ALL | NOTIFICATIONS)
    assert row.notification is (name in NOTIFICATIONS)
    if row.decided and name != "tools/call":  # which is judged by the tool's own name
        assert name in schema.METHODS, "the PDP has no action for it"


def test_the_pdp_has_no_action_that_no_method_asks_for() -> None:
    never_asked = {name for name in schema.METHODS if not name.startswith("method:")} - set(METHODS)
    assert never_asked == set()
    undecided = {name for name in schema.METHODS if name in METHODS and not METHODS[name].decided}
    assert undecided <= KNOWN_TO_ALL


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("era", Era)
def test_a_method_is_read_in_the_eras_of_its_row_and_in_no_other(name: str, era: Era) -> None:
    found = read(name, era)
    if era in METHODS[name].eras:
        assert not isinstance(found, Rejected), found
        assert (found.envelope.method, found.envelope.era) == (name, era)
        # What is decided comes to the part of the pipeline that asks, and nothing else does.
        judged = typing.get_args(Decided)
        flat = {kind for one in judged for kind in (typing.get_args(one) or (one,))}
        assert (type(found) in flat) is METHODS[name].decided
    else:
        assert isinstance(found, Rejected)
        assert found.refusal.reason in {Reason.UNKNOWN_METHOD, Reason.HEADER_MISMATCH}


@pytest.mark.parametrize("era", Era)
def test_the_table_has_what_the_protocols_own_tables_have(era: Era) -> None:
    ours = {name for name, row in METHODS.items() if era in row.eras}
    requests = {method for method, version in protocol.CLIENT_REQUESTS if version == era.value}
    notifications = {method for method, version in protocol.CLIENT_NOTIFICATIONS if version == era.value}
    left_out = {name for name in requests | notifications if name.startswith("tasks/")} | {"notifications/tasks/status"}
    assert ours - TASKS == (requests | notifications) - left_out


def test_every_message_of_the_union_has_a_method() -> None:
    found = {type(read(name, era)) for name, row in METHODS.items() for era in row.eras}
    assert found == set(typing.get_args(model.Message))
    assert all(dataclasses.is_dataclass(kind) for kind in found)


NAMED: Final = {
    "tools/call": "t",
    "prompts/get": "p",
    "resources/read": "a:b",
    "tasks/get": "t",
    "tasks/update": "t",
    "tasks/cancel": "t",
}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_n13_the_name_header_repeats_what_the_method_names_and_is_missing_elsewhere(name: str) -> None:
    for era in METHODS[name].eras:
        repeated = NAMED.get(name)
        if repeated is None:
            assert isinstance(read(name, era, mcp_name="t"), Rejected)
            continue
        assert not isinstance(read(name, era, mcp_name=repeated), Rejected)
        for wrong in ("x", repeated.upper(), repeated + " x", "=?base64?eA==?=", ""):
            found = read(name, era, mcp_name=wrong)
            assert isinstance(found, Rejected)
            assert found.refusal.reason is Reason.HEADER_MISMATCH, wrong


@pytest.mark.parametrize("name", sorted(NAMED))
def test_n13_the_modern_era_requires_the_name_header(name: str) -> None:
    if Era.MODERN not in METHODS[name].eras:
        return
    asked = modern(name, PARAMS[name])
    headers = tuple(pair for pair in asked.headers if pair[0] != b"mcp-name")
    found = parse(dataclasses.replace(asked, headers=headers), eras=BOTH, max_depth=64)
    assert isinstance(found, Rejected)
    assert found.refusal.reason is Reason.HEADER_MISMATCH
