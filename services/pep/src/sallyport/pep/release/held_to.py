"""To what a result is held, besides the obligations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sallyport.pep.catalog import Validator
from sallyport.pep.model import CheckedCall, Era, Json


@dataclass(frozen=True, slots=True)
class HeldTo:
    """What was asked for, and what the catalog and the client's own request say about the answer."""

    call: CheckedCall
    max_bytes: int  # of the whole result
    output: Validator | None = None  # of the tool's output schema; also where a task of that tool is asked about
    upstream: str = ""  # empty: a hosted tool
    capabilities: Mapping[str, Json] = field(default_factory=dict)  # the caller's
    era: Era = Era.MODERN  # the caller's
