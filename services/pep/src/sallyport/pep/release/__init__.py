"""Room 8: what leaves. Pure: checks, caps, fulfils the permit's obligations, marks what is data; or withholds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sallyport.pep.model import Failed, Json, Output, Reply, ToolOutput
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.release import failures, grammar, outputs, replies
from sallyport.pep.release.duty import Duty, duty_of
from sallyport.pep.release.entries import entry
from sallyport.pep.release.held_to import HeldTo
from sallyport.pep.release.notices import notification
from sallyport.pep.release.withheld import Withheld
from sallyport.runtime import exact_json, sliced_json

__all__ = ["UNTRUSTED", "UPSTREAM", "HeldTo", "entry", "fulfils", "listing", "notification", "result"]

# In the `_meta` of whatever somebody else wrote: a client that looks can keep its model from taking it for orders.
UNTRUSTED: Final = "sallyport.io/untrusted"
UPSTREAM: Final = "sallyport.io/upstream"


def fulfils(obligation: str) -> bool:
    """Whether this room knows it. A permit that demands anything else is none."""
    return bool(grammar.parse(obligation))


def result(output: Output, *, held_to: HeldTo, obligations: Sequence[str]) -> Output | Refusal:
    """What may leave of it, or why nothing may (the effect is done all the same)."""
    demanded = duty_of(tuple(obligations))
    if demanded is None:
        return _withheld("an obligation that can't be fulfilled")
    try:
        shown = _shown(output, held_to, demanded)
        size = len(sliced_json.written(_value(shown), exact_json.encode))
    except Withheld as error:
        return _withheld(str(error))
    except (ValueError, RecursionError) as error:
        return _withheld(f"not JSON: {error}")
    return (
        _marked(shown, held_to) if size <= held_to.max_bytes else _withheld(f"{size} bytes, over {held_to.max_bytes}")
    )


def listing(tools: Iterable[dict[str, Json]], visible: frozenset[str]) -> list[dict[str, Json]]:
    """The tools that this caller may see, in the catalog's order."""
    return [tool for tool in tools if tool["name"] in visible]


def _shown(output: Output, held_to: HeldTo, demanded: Duty) -> Output:
    if isinstance(output, Failed):
        return failures.failed(output, demanded)
    if isinstance(output, Reply):
        return replies.reply(output, held_to, demanded)
    return outputs.released(output, held_to, demanded)


def _value(shown: Output) -> dict[str, Json]:
    if isinstance(shown, Failed):
        return {"code": shown.code, "message": shown.message, "data": shown.data}
    return outputs.spell(shown) if isinstance(shown, ToolOutput) else dict(shown.result)


def _marked(shown: Output, held_to: HeldTo) -> Output:
    mark: dict[str, Json] = {UNTRUSTED: True, **({UPSTREAM: held_to.upstream} if held_to.upstream else {})}
    if isinstance(shown, ToolOutput):
        return ToolOutput(shown.content, shown.structured, is_error=shown.is_error, meta={**shown.meta, **mark})
    if isinstance(shown, Reply):
        meta = shown.result.get("_meta")
        return Reply({**shown.result, "_meta": {**(meta if isinstance(meta, dict) else {}), **mark}}, shown.type)
    # An error has no _meta; its data is an object here, or none: see `failures`.
    return Failed(shown.code, shown.message, {**(shown.data if isinstance(shown.data, dict) else {}), **mark})


def _withheld(detail: str) -> Refusal:
    return Refusal(Reason.WITHHELD, detail, data={"effect": "done"})
