"""What to do about a problem that keeps a set from loading, where Cedar's own words leave one alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sallyport.runtime.problems import Problem

_MENDS: Final[Mapping[re.Pattern[str], str]] = {
    re.compile(r"safety of access to optional attribute `([^`]+)` on entity type"): "it may not be there: ask first, "
    "`resource has {0} && ...`; a forbid that must also hold without it: `unless {{ resource has {0} && ... }}`",
    re.compile(
        r"safety of access to optional attribute `((?:[^`]+\.)?)([^`.]+)` in context"
    ): "it may not be there: ask "
    "first, `context.{0} has {1} && ...`; a forbid that must also hold without it: `unless {{ context.{0} has {1} && ... "
    "}}`",
    re.compile(r"safety of access to tag `([^`]+)`"): "it may not be there: ask first, `hasTag({0}) && ...`",
    re.compile(r"unable to find an applicable action"): "no action in the scope takes this principal and resource: "
    "catalog.yaml says which type each tool touches; a principal is a Compound, which is *in* its User, Agent and "
    "Roles: write `principal in User::...`, not `==`",
    re.compile(
        r"attribute `([^`]+)` .*not found"
    ): "not every type in the scope has {0}: say `resource is TYPE` in the scope, or ask `resource has {0} && ...`",
    re.compile(r"types (.+) are not compatible"): "both sides must have one type; write numbers without quotes, and "
    'entities as Type::"id"',
}


def mend(problem: Problem) -> str:
    """What to do next; empty where the message itself says it."""
    for pattern, words in _MENDS.items():
        match = pattern.search(problem.message)
        if match:
            return words.format(*(group.rstrip(".") for group in match.groups()))
    return ""
