"""Room 4: a call's arguments against the tool's schema, made canonical. Pure: no I/O.

What comes out is what is judged and, to the byte, what runs (N11): the arguments are read back from the very bytes
that are hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from sallyport.contract.catalog import Hosted, Tool
from sallyport.contract.limits import MAX_INPUT_BYTES
from sallyport.pep.catalog import LoadedCatalog
from sallyport.pep.model import CheckedCall, Json
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.schema.defaults import exceeds, filled_in
from sallyport.pep.schema.resources import NoResource, resources
from sallyport.pep.schema.validator import compile_schema
from sallyport.runtime import canonical_json, strict_json

__all__ = ["check", "compile_schema"]

_TOO_LARGE: Final = f"the arguments are larger than {MAX_INPUT_BYTES} bytes"


def check(name: str, arguments: Mapping[str, Json], loaded: LoadedCatalog) -> CheckedCall | Refusal:
    """The checked call, or why not. Names an argument by JSON Pointer, and never repeats a value."""
    tool = loaded.find(name)
    validator = loaded.validators.get(name)
    if tool is None or validator is None:
        return Refusal(Reason.UNKNOWN_TOOL, "the catalog has no such tool")
    try:
        final, canonical = _canonical(tool, arguments)
        problem = validator.problem(final)
        if problem:
            return _invalid(problem)
        touched = resources(tool, final)
    except (NoResource, _NotCarried) as error:
        return _invalid(str(error))
    return CheckedCall(name, final, canonical, hashlib.sha256(canonical).hexdigest(), touched, loaded.digest)


class _NotCarried(ValueError):
    """Arguments that can't be put into canonical form. The text may be shown."""


def _canonical(tool: Tool, arguments: Mapping[str, Json]) -> tuple[dict[str, Json], bytes]:
    if exceeds(arguments, MAX_INPUT_BYTES):
        raise _NotCarried(_TOO_LARGE)
    judged = filled_in(tool.input, dict(arguments)) if isinstance(tool.provider, Hosted) else dict(arguments)
    try:
        canonical = canonical_json.encode(judged)
        # Reading back makes 1.0 the integer 1, here as everywhere downstream.
        final = strict_json.parse(canonical)
    except ValueError as error:
        raise _NotCarried(f"the arguments can't be carried: {error}") from None
    if len(canonical) > MAX_INPUT_BYTES or not isinstance(final, dict):
        raise _NotCarried(_TOO_LARGE)
    return final, canonical


def _invalid(text: str) -> Refusal:
    # The record tells where, not what: an unknown argument's name is the caller's text.
    where = text.partition(":")[0] if text.startswith("/") else ""
    return Refusal(Reason.INVALID_ARGUMENTS, f"the arguments don't fit at {where or '/'}", public=text)
