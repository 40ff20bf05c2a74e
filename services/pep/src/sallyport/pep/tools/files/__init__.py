"""Hosted tools for files beneath one root. Every effect goes through the handle that was judged."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final, TypeAlias
from urllib.parse import quote

from sallyport.pep.model import CheckedCall, Identity, Json, Resolved, ToolOutput, Unresolved
from sallyport.pep.tools.files import io
from sallyport.pep.tools.files.root import Handle, Root
from sallyport.pep.tools.hosted import HostedCall, HostedTool, Pool, Resolver, ToolFailure, hosted_tool
from sallyport.runtime import canonical_json

__all__ = ["Root", "tools"]

Find: TypeAlias = Callable[[str], Handle | Unresolved]

_FRAME: Final = 1024  # bytes left for what stands around a file's content


def tools(root: Root, pool: Pool) -> tuple[HostedTool, ...]:
    """The four tools, bound to one root."""
    a_file, a_folder = _resolver(root.file, "File", pool), _resolver(root.folder, "Folder", pool)

    @hosted_tool("list_files", pool=pool, resolver=a_folder)
    async def list_files(call: HostedCall) -> ToolOutput:
        folder = _handle(call).descriptor
        if folder is None:
            raise ToolFailure("folder not found")
        shown, truncated = await pool.shielded_thread(lambda: io.entries(folder))
        return _structured({"entries": list(shown), "truncated": truncated})

    @hosted_tool("read_file", pool=pool, resolver=a_file)
    async def read_file(call: HostedCall) -> ToolOutput:
        cap = call.limits.result_bytes
        data = await pool.shielded_thread(lambda: io.read(_handle(call), cap))
        block = _block(call.resolved[0].ref.id, data)
        # Escapes and base64 make content longer than the file.
        if len(canonical_json.encode(block)) > cap - _FRAME:
            raise ToolFailure("the file is too large for one answer")
        return ToolOutput((block,))

    @hosted_tool("write_file", pool=pool, resolver=a_file)
    async def write_file(call: HostedCall) -> ToolOutput:
        content, overwrite = call.arguments.get("content"), call.arguments.get("overwrite", True)
        if not isinstance(content, str) or not isinstance(overwrite, bool):
            raise ToolFailure("content must be a string, and overwrite a boolean")
        data = content.encode()
        await pool.shielded_thread(lambda: io.write(_handle(call), data, overwrite=overwrite))
        return _text(f"wrote {len(data)} bytes")

    @hosted_tool("delete_file", pool=pool, resolver=a_file)
    async def delete_file(call: HostedCall) -> ToolOutput:
        await pool.shielded_thread(lambda: io.delete(_handle(call)))
        return _text("deleted")

    return (list_files, read_file, write_file, delete_file)


def _resolver(find: Find, kind: str, pool: Pool) -> Resolver:
    async def resolve(_: Identity, call: CheckedCall) -> tuple[Resolved, ...] | Unresolved:
        # The id that is judged is opened, not an argument that the catalog may map otherwise.
        if len(call.resources) != 1 or call.resources[0].type != kind:
            return Unresolved(f"the catalog must map this tool to exactly one {kind}")
        ref = call.resources[0]
        found = await pool.shielded_thread(lambda: find(ref.id), discard=_close)
        return found if isinstance(found, Unresolved) else (Resolved(ref, handle=found),)

    return resolve


def _close(found: Handle | Unresolved) -> None:
    if isinstance(found, Handle):
        found.close()


def _handle(call: HostedCall) -> Handle:
    (resolved,) = call.resolved
    if not isinstance(resolved.handle, Handle):
        raise TypeError("a file tool runs only on the handle that its resolver opened")
    return resolved.handle


def _block(path: str, data: bytes) -> dict[str, Json]:
    try:
        return {"type": "text", "text": data.decode()}
    except UnicodeDecodeError:
        blob = base64.b64encode(data).decode()
        uri = f"file:///{quote(path)}"
        return {
            "type": "resource",
            "resource": {"uri": uri, "mimeType": "application/octet-stream", "blob": blob},
        }


def _text(text: str) -> ToolOutput:
    return ToolOutput(({"type": "text", "text": text},))


def _structured(value: dict[str, Json]) -> ToolOutput:
    return ToolOutput(({"type": "text", "text": canonical_json.encode(value).decode()},), value)
