"""A definition as an upstream sent it, made into the entry that catalog.yaml would have: a proposal, approved by nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sallyport.cli.catalog import texts
from sallyport.cli.catalog.findings import Finding
from sallyport.cli.catalog.tightening import carried_over, open_places, tightened
from sallyport.contract.surfaces import MAX_URI
from sallyport.pep.catalog import SchemaRefused
from sallyport.pep.schema import compile_schema
from sallyport.runtime import exact_json

MAX_TITLE: Final = 256  # as in the contract
MAX_DESCRIPTION: Final = 8192
MAX_NAME: Final = 128
_NOT_OF_A_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]")
_TEMPLATE: Final = re.compile(r"(?:[^{}]|\{[A-Za-z0-9_]{1,64}\})*")
_PROSE: Final = frozenset({"title", "description", "$comment"})


@dataclass(frozen=True, slots=True)
class Proposal:
    """`entry` has no effect: nobody has said yet what a call does."""

    entry: dict[str, Any]
    findings: tuple[Finding, ...]  # each holds the entry back
    notes: tuple[str, ...]  # what was done to it, and what a reviewer may want to narrow
    suggested: Mapping[str, Any]  # by the upstream's own hints, which bind nobody
    hinted: frozenset[str] = frozenset()  # those of them that it did hint at; the others are defaults


def exposed(there: str, prefix: str) -> str:
    """The name that clients would see; only what a catalog can hold."""
    return _NOT_OF_A_NAME.sub("_", prefix + there)[:MAX_NAME]


def of_tool(definition: Mapping[str, Any], upstream: str, name: str, *, keep_open: bool) -> Proposal:
    there = str(definition["name"])
    findings, notes = list(_of_name(there, name)), list[str]()
    provider: dict[str, Any] = {"upstream": upstream} if name == there else {"upstream": upstream, "tool": there}
    entry: dict[str, Any] = {"name": name, **_prose(definition, notes), "provider": provider}
    for key, field in (("input", "inputSchema"), ("output", "outputSchema")):
        schema = definition.get(field)
        if schema is None and key == "output":
            continue
        usable = _schema(schema, f"/{field}", findings, notes)
        if usable is None:
            continue
        if key == "input":
            usable = usable if keep_open else tightened(usable)
            notes += [f"takes any keys at {place}; narrow it if you can" for place in open_places(usable)[:5]]
        entry[key] = usable
    return Proposal(entry, tuple(findings), tuple(notes), *_hints(definition))


def of_prompt(definition: Mapping[str, Any], upstream: str, name: str) -> Proposal:
    there = str(definition["name"])
    findings, notes = list(_of_name(there, name)), list[str]()
    entry: dict[str, Any] = {"name": name, **_prose(definition, notes), "upstream": upstream}
    if name != there:
        entry["prompt"] = there
    arguments = definition.get("arguments")
    if isinstance(arguments, list) and arguments:
        entry["arguments"] = [_argument(one, findings) for one in arguments if isinstance(one, dict)]
    return Proposal(entry, tuple(findings), tuple(notes), {})


def of_resource(definition: Mapping[str, Any], upstream: str, field: str) -> Proposal | None:
    """`field` is `uri` or `template`. None where a catalog can't hold it."""
    address = definition.get("uri" if field == "uri" else "uriTemplate")
    if not isinstance(address, str) or not 0 < len(address) <= MAX_URI:
        return None
    simple = field == "uri" or _TEMPLATE.fullmatch(address)
    findings = (
        () if simple else (Finding("/uriTemplate", "is no template of level 1 ({name}); write one, or a prefix"),)
    )
    return Proposal({field: address, "upstream": upstream}, findings, (), {})


def _of_name(there: str, name: str) -> Iterator[Finding]:
    if _NOT_OF_A_NAME.search(there):
        yield Finding("/name", f"{there[:MAX_NAME]!a} holds characters that no name may; offered as {name}")


def _prose(definition: Mapping[str, Any], notes: list[str]) -> dict[str, str]:
    annotations = definition.get("annotations")
    hinted = annotations.get("title") if isinstance(annotations, dict) else None
    found: dict[str, str] = {}
    for key, value, most in (
        ("title", definition.get("title") or hinted, MAX_TITLE),
        ("description", definition.get("description"), MAX_DESCRIPTION),
    ):
        if not isinstance(value, str) or not value:
            continue
        seen = texts.cleaned(value)
        if len(seen) > most:
            notes.append(f"the {key} was cut to {most} characters")
        if seen != value:
            notes.append(f"hidden characters were taken out of the {key}")
        found[key] = seen[:most]
    return found


def _schema(schema: Any, where: str, findings: list[Finding], notes: list[str]) -> dict[str, Any] | None:
    """As the gate could hold to it, or None with a finding."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        findings.append(Finding(where, "is no JSON Schema with `type: object`; write one"))
        return None
    try:
        usable, dialect = carried_over(_integral(schema))
        compile_schema(usable)
    except (SchemaRefused, ValueError) as refused:
        findings.append(Finding(where, f"can't be held to: {texts.shown(str(refused))}; write one"))
        return None
    if dialect:
        notes.append(f"{where} was carried over from {dialect}")
    clean: dict[str, Any] = _cleaned(usable)
    if usable != clean:
        notes.append(f"hidden characters were taken out of texts in {where}")
    return clean


def _integral(node: Any) -> Any:
    """1.0 is 1 in JSON, and to the pin; a catalog has one way of writing it."""
    if isinstance(node, list):
        return [_integral(item) for item in node]
    if isinstance(node, dict):
        return {key: _integral(value) for key, value in node.items()}
    return int(node) if isinstance(node, float) and node.is_integer() and abs(node) <= exact_json.WIDEST else node


def _cleaned(node: Any) -> Any:
    """Without hidden characters in prose; a value that is compared stays as it is, and is a finding."""
    if isinstance(node, list):
        return [_cleaned(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: texts.cleaned(value) if key in _PROSE and isinstance(value, str) else _cleaned(value)
        for key, value in node.items()
    }


def _hints(definition: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """What to suggest, and what of it isn't just the default."""
    annotations = definition.get("annotations")
    hints = annotations if isinstance(annotations, dict) else {}
    if hints.get("readOnlyHint") is True:
        effect = "read_only"
    else:
        effect = "write" if hints.get("destructiveHint") is False else "destructive"
    said = any(isinstance(hints.get(hint), bool) for hint in ("readOnlyHint", "destructiveHint"))
    closed = {"open_world": False} if hints.get("openWorldHint") is False else {}
    return {"effect": effect, **closed}, frozenset(({"effect"} if said else set()) | closed.keys())


def _argument(argument: Mapping[str, Any], findings: list[Finding]) -> dict[str, Any]:
    name = argument.get("name")
    if not isinstance(name, str) or not name or _NOT_OF_A_NAME.search(name) or len(name) > MAX_NAME:
        findings.append(Finding("/arguments", f"the name {str(name)[:MAX_NAME]!a} can't stand in a catalog"))
    found: dict[str, Any] = {"name": str(name)[:MAX_NAME], **_prose(argument, [])}
    return {**found, "required": True} if argument.get("required") is True else found
