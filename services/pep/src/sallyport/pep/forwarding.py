"""Step 7 for what an upstream runs: the permitted request, under the names it has there, by the room `upstream`."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from sallyport.contract import catalog
from sallyport.contract.catalog import Limits, UpstreamRef
from sallyport.pep import mirrored
from sallyport.pep.decision import Permit
from sallyport.pep.given import Task
from sallyport.pep.model import (
    TIMEOUT,
    CheckedCall,
    Emit,
    Envelope,
    Failed,
    Identity,
    Json,
    Output,
    Reply,
    ToolOutput,
    digest_of,
)
from sallyport.pep.upstream import Upstreams, UpstreamUnavailable
from sallyport.pep.upstream.forward import Forward
from sallyport.runtime import canonical_json

_OPENING: Final = 10.0  # seconds for a session: a stdio server may have to start for it


class CallMismatch(Exception):
    """The permit names another request; nothing has begun."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes, and under which name."""

    upstream: str
    entry: catalog.Upstream
    there: str  # the tool's or prompt's name at the upstream, or the URI
    limits: Limits
    headers: mirrored.Declared  # arguments that are repeated in Mcp-Param-*


def route(call: CheckedCall, held: catalog.Catalog, task: Task | None = None) -> Route | None:
    """The way of a checked call, or None where no upstream stands behind it."""
    found = _behind(call, held, task)
    if found is None or found[0] not in held.upstreams:
        return None
    name, there, limits, headers = found
    return Route(name, held.upstreams[name], there, limits, headers)


def _behind(
    call: CheckedCall, held: catalog.Catalog, task: Task | None
) -> tuple[str, str, Limits, mirrored.Declared] | None:
    if task is not None:
        tool = held.tool(task.tool)
        return None if tool is None else (task.upstream, task.id, tool.limits, {})
    if call.method == "tools/call":
        tool = held.tool(call.name)
        if tool is None or not isinstance(tool.provider, UpstreamRef):
            return None
        return tool.provider.upstream, tool.provider.tool or tool.name, tool.limits, mirrored.declared(tool.input)
    if call.resources[0].type == "Prompt":
        prompt = held.prompt(call.name)
        return None if prompt is None else (prompt.upstream, prompt.there, prompt.limits, {})
    resource = held.resource(call.name)
    return None if resource is None else (resource.upstream, call.name, resource.limits, {})


class Forwarding:
    """The only caller of `Upstreams.request` with a permit."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    async def ready(self, way: Route, identity: Identity) -> None:
        """Open what the way needs. Where that fails, the request itself will say so."""
        with contextlib.suppress(UpstreamUnavailable, TimeoutError):
            async with asyncio.timeout(_OPENING):
                await self._upstreams.ready(way.upstream, way.entry, identity)

    async def run(self, permit: Permit, call: CheckedCall, way: Route, envelope: Envelope, emit: Emit) -> Output:
        """Send what was judged, to the byte. Raises what `Upstreams.request` and the permit raise."""
        if (
            call.digest != digest_of(call.canonical, call.retry)
            or canonical_json.encode(dict(call.arguments)) != call.canonical
        ):
            raise CallMismatch("the arguments changed since they were judged")
        forward = Forward(
            method=call.method,
            name="" if call.method == "completion/complete" else way.there,  # which has no Mcp-Name
            params=params(call, way.there),
            envelope=envelope,
            identity=permit.identity,
            digest=call.digest,
            timeout_ms=way.limits.timeout_ms,
            timeout_by=TIMEOUT,
            result_bytes=way.limits.result_bytes,
            param_headers=mirrored.written(way.headers, call.arguments),
        )

        def begun() -> None:
            permit.redeem(method=call.method, name=call.name, digest=call.digest)

        answer = await self._upstreams.request(way.upstream, way.entry, forward, begun=begun, emit=emit)
        return _as_output(call.method, answer)


def params(call: CheckedCall, there: str) -> bytes:
    """The request's params, canonical: the judged arguments stand in them to the byte (N11)."""
    match call.method:
        case "tools/call" | "prompts/get":
            behind = canonical_json.encode({"name": there, **call.retry})  # each of them sorts behind "arguments"
            return b'{"arguments":%b,%b' % (call.canonical, behind[1:])
        case "resources/read" | "resources/subscribe":
            whole: dict[str, Json] = {"uri": there, **call.retry}
        case "completion/complete":
            whole = _completion(call, there)
        case _:
            whole = {**call.arguments, "taskId": there}
    return canonical_json.encode(whole)


def _completion(call: CheckedCall, there: str) -> dict[str, Json]:
    named: dict[str, Json] = (
        {"type": "ref/prompt", "name": there}
        if call.resources[0].type == "Prompt"
        else {"type": "ref/resource", "uri": there}
    )
    context = call.arguments["context"]
    whole: dict[str, Json] = {"ref": named, "argument": call.arguments["argument"]}
    return whole | ({"context": {"arguments": context}} if context else {})


def _as_output(method: str, answer: Reply | Failed) -> Output:
    if method != "tools/call" or not isinstance(answer, Reply) or answer.type != "complete":
        return answer
    content, structured = answer.result.get("content", []), answer.result.get("structuredContent")
    meta, is_error = answer.result.get("_meta", {}), answer.result.get("isError", False)
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else None
    if blocks is None or not isinstance(content, list) or len(blocks) != len(content) or not isinstance(is_error, bool):
        return Failed(-32603, "the upstream's answer is no tool result")
    if not isinstance(structured, dict | None) or not isinstance(meta, dict):
        return Failed(-32603, "the upstream's answer is no tool result")
    return ToolOutput(tuple(blocks), structured, is_error, meta)
