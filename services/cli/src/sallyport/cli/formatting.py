"""Cedar text in the one form, with every comment kept and nothing else meant than before."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import cedarpy

from sallyport.cli.complaint import Complaint
from sallyport.pdp.cedar_text import statements
from sallyport.pdp.policy import parse
from sallyport.runtime.problems import ConfigError, Problem

WIDTH: Final = 100
_COMMENT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|(//[^\r\n]*)', re.DOTALL)


def formatted(text: str, name: str) -> str:
    """The text as Cedar's own formatter writes it. Raises ConfigError if it is no policy text that could be loaded."""
    problems: list[Problem] = []
    taken = sum(1 for _ in parse(text, name, problems))
    # Cedar's formatter recurses, so it sees no policy that the loader's own bounds refuse.
    if taken < sum(1 for _ in statements(text, name)):
        raise ConfigError(problems)
    if not text.strip():
        return text
    try:
        meant = cedarpy.policies_to_pst(text)
    except ValueError as error:
        raise ConfigError([Problem(name, 1, 1, f"not Cedar: {error}")]) from None
    written = cedarpy.format_policies(text, line_width=WIDTH, indent_width=2).strip("\n") + "\n"
    if cedarpy.policies_to_pst(written) != meant or _comments(written) != _comments(text):
        raise Complaint(
            f"{name}: formatting it would change what it says, or lose a comment; it is left as it is",
            "move comments to lines of their own, above the policy or the condition that they are about",
        )
    return written


def _comments(text: str) -> Counter[str]:
    return Counter(match[1].rstrip() for match in _COMMENT.finditer(text) if match[1] is not None)
