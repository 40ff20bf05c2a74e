"""How large a schema is once its references are followed: what one argument may cost to check, bounded at load.

Thirty lines of `allOf: [{$ref: next}, {$ref: next}]` are a billion steps, and a schema that refers to itself doubles
its work at every level of the arguments. The validator can't be interrupted, so neither may serve (CWE-400, CWE-674).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urldefrag, urljoin

from sallyport.pep.catalog import SchemaRefused

MAX_DEPTH: Final = 32
MAX_NODES: Final = 4096  # as written
MAX_EXPANDED: Final = 20_000  # with every reference written out
_BASE: Final = "https://schema.invalid/"  # RFC 6761 §6.4: names nothing
_BY_REFERENCE_ONLY: Final = frozenset({"$defs", "definitions"})
_VALUES: Final = frozenset({"enum", "const", "default", "examples"})


class _Index:
    """Every object in the document, its base URI, and what it can be referred to by."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.bases: dict[int, str] = {}
        self.targets: dict[str, Any] = {_BASE: schema}
        self.dynamic: dict[str, list[Any]] = {}
        self._count = 0
        self._add(schema, _BASE, 1)

    def _add(self, node: Any, base: str, depth: int) -> None:
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_NODES:
            raise SchemaRefused(f"too large: at most {MAX_DEPTH} levels and {MAX_NODES} nodes; simplify it")
        if isinstance(node, Mapping):
            base = self._name(node, base)
            children = list(node.values())
        else:
            children = node if isinstance(node, list) else []
        for child in children:
            self._add(child, base, depth + 1)

    def _name(self, node: Mapping[str, Any], base: str) -> str:
        if isinstance(node.get("$id"), str):
            base = urldefrag(_join(base, node["$id"])).url
            self.targets.setdefault(base, node)
        self.bases[id(node)] = base
        for key in ("$anchor", "$dynamicAnchor"):
            if isinstance(node.get(key), str):
                self.targets.setdefault(f"{base}#{node[key]}", node)
        if isinstance(node.get("$dynamicAnchor"), str):
            self.dynamic.setdefault(node["$dynamicAnchor"], []).append(node)
        return base

    def referred(self, node: Mapping[str, Any]) -> Iterator[Any]:
        """Everything that the node's references may lead to within the document."""
        for key in ("$ref", "$dynamicRef"):
            reference = node.get(key)
            if isinstance(reference, str):
                yield self._resolve(_join(self.bases[id(node)], reference))
                if key == "$dynamicRef":
                    yield from self.dynamic.get(urldefrag(reference).fragment, [])

    def _resolve(self, uri: str) -> Any:
        resource, fragment = urldefrag(uri)
        if not fragment.startswith("/"):
            return self.targets.get(uri if fragment else resource)
        here = self.targets.get(resource)
        for escaped in unquote(fragment).split("/")[1:]:
            step = escaped.replace("~1", "/").replace("~0", "~")
            if isinstance(here, Mapping):
                here = here.get(step)
            elif isinstance(here, list) and step.isdecimal() and int(step) < len(here):
                here = here[int(step)]
            else:
                return None  # the compile step says so
        return here


def _join(base: str, reference: str) -> str:
    # urljoin drops a base that isn't hierarchical, such as urn:uuid:….
    return base + reference if reference.startswith("#") else urljoin(base, reference)


def check_expansion(schema: Mapping[str, Any]) -> None:
    """Raise SchemaRefused where the schema is too large, as written or written out, or refers to itself."""
    index = _Index(schema)
    sizes: dict[int, int] = {}
    open_now: set[int] = set()

    def size(node: Any) -> int:
        if not isinstance(node, Mapping | list):
            return 1
        if id(node) in open_now:
            raise SchemaRefused("refers to itself; write the levels out, as far down as they are needed")
        if id(node) not in sizes:
            open_now.add(id(node))
            sizes[id(node)] = 1 + sum(map(size, _parts(node, index)))
            open_now.discard(id(node))
        if sizes[id(node)] > MAX_EXPANDED:
            raise SchemaRefused(f"too large: more than {MAX_EXPANDED} nodes with its references; simplify it")
        return sizes[id(node)]

    size(schema)


def _parts(node: Any, index: _Index) -> Iterator[Any]:
    if isinstance(node, list):
        yield from node
        return
    yield from (child for key, child in node.items() if key not in _BY_REFERENCE_ONLY | _VALUES)
    yield from index.referred(node)
