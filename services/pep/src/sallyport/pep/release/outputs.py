"""A tool's output: shapes, schema, agreement, obligations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sallyport.pep.catalog import Validator
from sallyport.pep.model import Json, ToolOutput
from sallyport.pep.release import agreement, content, shape
from sallyport.pep.release.duty import Duty
from sallyport.pep.release.held_to import HeldTo
from sallyport.pep.release.withheld import Withheld
from sallyport.runtime import exact_json

_NO_DUTY: Final = Duty(())


def read(result: Mapping[str, Json]) -> ToolOutput:
    """A CallToolResult as an upstream wrote it, or Withheld. Its content is checked in `released`."""
    told = shape.fields(
        dict(result),
        {"content": shape.items(shape.mapping, most=content.MAX_ITEMS, what="content")},
        {"structuredContent": shape.mapping, "isError": shape.flag, "_meta": shape.mapping},
        what="a tool's result",
    )
    blocks = told["content"]
    return ToolOutput(
        tuple(shape.mapping(each) for each in blocks) if isinstance(blocks, list) else (),
        shape.mapping(told["structuredContent"]) if "structuredContent" in told else None,
        is_error=told.get("isError") is True,
        meta=shape.mapping(told.get("_meta", {})),
    )


def spell(output: ToolOutput) -> dict[str, Json]:
    """The CallToolResult of an output; a task carries it so."""
    structured: dict[str, Json] = {} if output.structured is None else {"structuredContent": output.structured}
    meta: dict[str, Json] = {"_meta": dict(output.meta)} if output.meta else {}
    return {"content": [*output.content], "isError": output.is_error, **structured, **meta}


def released(output: ToolOutput, held_to: HeldTo, duty: Duty) -> ToolOutput:
    """What may leave of it, or Withheld."""
    schema = None if output.is_error else held_to.output
    if schema is not None and output.structured is None:
        raise Withheld("no structured content, where the output schema wants some")
    _check_fit(output.structured, schema)
    if output.structured is None:
        structured, blocks = None, [content.block(each, duty) for each in output.content]
    else:
        structured, blocks = _both(output, output.structured, schema, duty)
    meta = {} if duty.any else shape.meta(dict(output.meta))
    return ToolOutput(tuple(blocks), structured, is_error=output.is_error, meta=meta)


def _both(
    output: ToolOutput, structured: dict[str, Json], schema: Validator | None, duty: Duty
) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    told = [content.block(each, _NO_DUTY) for each in output.content]
    agreement.check(told, structured)
    shaped = _shaped(structured, schema, duty)
    if duty.shapes:
        return shaped, _retold(told, shaped)
    knowing = duty.knowing(structured, shaped)
    return shaped, [content.block(each, knowing) for each in output.content]


def _shaped(structured: dict[str, Json], schema: Validator | None, duty: Duty) -> dict[str, Json]:
    """Masked; without the fields, or, where the schema wants them there, with marks in their place."""
    if not duty.any:
        return structured
    for marked in (False, True):
        shaped = shape.mapping(duty.data(structured, marked=marked))
        if schema is None or not schema.problem(shaped):
            return shaped
    raise Withheld("what the obligations leave doesn't fit the output schema")


def _retold(told: list[dict[str, Json]], structured: dict[str, Json]) -> list[dict[str, Json]]:
    """Text beside structured content may say the same in words, which have no fields: it is written anew."""
    if any(block["type"] != "text" for block in told):
        raise Withheld("an obligation on fields or rows can't be fulfilled on content that is no text")
    return [{"type": "text", "text": exact_json.encode(structured).decode()}]


def _check_fit(structured: dict[str, Json] | None, schema: Validator | None) -> None:
    problem = schema.problem(structured) if schema is not None and structured is not None else ""
    if problem:
        raise Withheld("structured content doesn't fit the output schema")
