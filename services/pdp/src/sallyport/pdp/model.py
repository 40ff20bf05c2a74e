"""The frozen values that pass between the service and the engine room; nothing here knows gRPC or Cedar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

Json: TypeAlias = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Purpose(IntEnum):
    """What is asked; the numbers are the contract's."""

    CALL = 1
    VISIBILITY = 2
    FILTER = 3  # judged as calls, each by itself: what a list may show, and whether a stream may go on


class Effect(IntEnum):
    """The decision; the numbers are the contract's, whose zero is no decision and isn't made here."""

    PERMIT = 1
    DENY = 2
    CONDITIONAL = 3  # visibility only: some call may be permitted; PERMIT there: every call is


class ErrorCode(IntEnum):
    """Why a question was denied without, or in spite of, a policy's word; names and numbers are the contract's."""

    NO_POLICIES = 1
    CATALOG_MISMATCH = 2
    INVALID_QUESTION = 3
    UNKNOWN_ACTION = 4
    UNKNOWN_AGENT = 5
    UNKNOWN_ROLE = 6
    UNKNOWN_RESOURCE = 7
    UNKNOWN_ORG = 8
    RESOURCE_CONFLICT = 9
    ORG_ISOLATION = 10
    VALUE_NOT_CARRIED = 11
    CONTEXT_MISSING = 12
    POLICY_ERROR = 13
    INTERNAL = 14


@dataclass(frozen=True, slots=True)
class Principal:
    """The compound identity, from verified facts only: a user via an agent, in the user's org."""

    issuer: str  # the issuer's configured name
    user_id: str  # the token's sub
    agent_id: str
    org: str
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """Facts about the session; None is unknown and stays absent in Cedar's context."""

    ip: str | None = None  # textual address
    risk: int | None = None  # 0 to 100
    mfa_age: int | None = None  # seconds
    call_count: int | None = (
        None  # calls of this compound identity within the last hour or being judged now, this one not
    )


@dataclass(frozen=True, slots=True)
class Query:
    """One action on one resource; for visibility the action alone counts."""

    action: str
    resource_type: str = ""
    resource_id: str = ""
    resource_attributes: Mapping[str, Json] = field(default_factory=dict)  # from a resolver, never from the caller
    input: Mapping[str, Json] = field(default_factory=dict)  # the judged arguments, strictly parsed
    session: Session = field(default_factory=Session)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one query. A permit never carries errors."""

    effect: Effect
    reasons: tuple[str, ...] = ()  # @id of the policies that decided
    errors: tuple[ErrorCode, ...] = ()
    obligations: tuple[str, ...] = ()  # the union over all determining permits
    advice: tuple[str, ...] = ()  # for the caller, only where the action is visible to them
    scopes: tuple[str, ...] = ()  # of a denial: OAuth scopes with which no policy that decided would; same


class Denied(Exception):
    """The question is denied before any policy is looked at."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code.name)
        self.code = code
