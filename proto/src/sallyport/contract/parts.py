"""What every part of the catalog is made of: names, limits, text that a reviewer can see all of."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.functional_validators import WrapValidator

UPSTREAM_MS: Final = 30_000
HIDDEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
Org = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Limits(Part):
    """What one call may cost."""

    timeout_ms: int = Field(default=5000, ge=1, le=60_000)  # of an upstream: UPSTREAM_MS, where nothing is said
    result_bytes: int = Field(default=256 << 10, ge=1, le=4 << 20)


def elsewhere(limits: Limits) -> Limits:
    """The same for what an upstream runs: its usual time is a server's, across a network, and not our own code's."""
    return limits if "timeout_ms" in limits.model_fields_set else limits.model_copy(update={"timeout_ms": UPSTREAM_MS})


def _visible(text: str) -> str:
    # Tool poisoning: the model reads characters that the reviewer's screen doesn't show.
    if any(unicodedata.category(character) in HIDDEN and character not in "\n\t" for character in text):
        raise ValueError("holds a control or invisible character; remove it")
    return text


def _orgs(value: Any, check: Any) -> Any:
    try:
        orgs = check(tuple(value) if isinstance(value, list) else value)
    except ValidationError:  # one message, not one for each side of the union
        orgs = ()
    if not orgs:  # empty means refuse, not everybody
        raise ValueError("must be `all` or a list of at least one org")
    return orgs


Title = Annotated[str, Field(max_length=256), AfterValidator(_visible)]
Description = Annotated[str, Field(max_length=8192), AfterValidator(_visible)]
UpstreamCallLimits = Annotated[Limits, AfterValidator(elsewhere)]
Orgs = Annotated[tuple[Org, ...] | Literal["all"], WrapValidator(_orgs)]
