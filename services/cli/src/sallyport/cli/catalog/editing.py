"""Changes to a YAML file that somebody wrote by hand: what isn't changed stays as it stands, comments and order too.

The file is edited as text, at places that its own parse names; what comes out is read again and must say exactly what
was meant, or it isn't used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from sallyport.cli.catalog import yaml_text
from sallyport.runtime import exact_json, strict_yaml
from sallyport.runtime.problems import ConfigError

_STEP: Final = 2  # blanks of indentation where nothing says otherwise


class NotEditable(Exception):
    """The file is written in a way that can't be added to without touching what stands there."""


@dataclass(frozen=True, slots=True)
class Text:
    """A file's text, and what it says."""

    text: str
    value: Mapping[str, Any]

    @classmethod
    def of(cls, text: str, name: str) -> Text:
        """Raises ConfigError where our own reader doesn't take it."""
        value = strict_yaml.parse(text.encode(), name, exact=True).value
        return cls(text, value if isinstance(value, dict) else {})

    def append(self, key: str, items: Sequence[Any], *, apart: bool = False) -> Text:
        """Items at the end of the list under a key of the document; `apart` puts a blank line before each."""
        if not items:
            return self
        node = _under(self._root(), key)
        meant = {**self.value, key: [*(self.value.get(key) or []), *items]}
        gap = [""] if apart else []

        def block(indent: int) -> list[str]:
            return [line for item in items for line in (*gap, *yaml_text.lines([item], indent))]

        if isinstance(node, yaml.SequenceNode) and node.flow_style and node.value:
            inside = ", ".join(yaml_text.flow(item) for item in items)
            return self._made(_insert(self.text, _last_end(node), f", {inside}"), meant)
        return self._made(self._grown(key, node, block), meant)

    def put(self, key: str, name: str, value: Any) -> Text:
        """One more entry in the mapping under a key of the document."""
        node = _under(self._root(), key)
        meant = {**self.value, key: {**(self.value.get(key) or {}), name: value}}
        entry = f"{yaml_text.flow(name)}: {yaml_text.flow(value)}"
        if isinstance(node, yaml.MappingNode) and node.flow_style and node.value:
            return self._made(_insert(self.text, _last_end(node), f", {entry}"), meant)
        return self._made(self._grown(key, node, lambda indent: [f"{' ' * indent}{entry}"]), meant)

    def renew(self, key: str, index: int, new: Mapping[str, Any]) -> Text:
        """Make an item of the list under a key say something else, touching only the keys that differ."""
        held = self.value[key]
        meant = {**self.value, key: [new if at == index else item for at, item in enumerate(held)]}
        sequence = _under(self._root(), key)
        node = sequence.value[index] if isinstance(sequence, yaml.SequenceNode) else None
        if not isinstance(node, yaml.MappingNode):
            raise NotEditable
        if node.flow_style:
            start, end = node.start_mark.index, node.end_mark.index
            written = _indented(yaml_text.lines(dict(new)), node.start_mark.column)
            return self._made(self.text[:start] + written + self.text[end:], meant)
        return self._made(self._rewritten(node, held[index], new), meant)

    def _rewritten(self, node: yaml.MappingNode, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
        column, text = node.start_mark.column, self.text
        added = {key: value for key, value in new.items() if key not in old}
        if added:
            lines = yaml_text.lines(added, column)
            text = _insert_lines(text, _end(node, text), lines)
        for key_node, value_node in reversed(node.value):  # from the end: places before it stay where they are
            key, start, end = key_node.value, key_node.start_mark.index, _end(value_node, text)
            end = max(end, key_node.end_mark.index + 1)
            if key not in new:
                start, end = text.rindex("\n", 0, start) + 1, _line_end(text, end) + 1
                text = text[:start] + text[end:]
            elif not _same(old[key], new[key]):
                alone = not text[end : _line_end(text, end)].strip()
                text = text[:start] + _pair(key, new[key], column, alone=alone) + text[end:]
        return text

    def _grown(self, key: str, node: yaml.Node | None, block: Any) -> str:
        """With lines at the end of what stands under a key; `block` writes them at an indentation."""
        if node is None:
            text = self.text if self.text.endswith("\n") else f"{self.text}\n"
            return text + "\n".join([f"{key}:", *block(_STEP)]) + "\n"
        if not isinstance(node, yaml.SequenceNode | yaml.MappingNode) or (node.value and node.flow_style):
            raise NotEditable
        if node.value:
            return _insert_lines(self.text, _end(node, self.text), block(node.start_mark.column))
        start, end = node.start_mark.index, node.end_mark.index
        return _insert_lines(self.text[:start].rstrip(" ") + self.text[end:], start - 1, block(_STEP))

    def _root(self) -> yaml.MappingNode:
        root = yaml.compose(self.text, Loader=yaml.CSafeLoader)
        if not isinstance(root, yaml.MappingNode) or root.flow_style:
            raise NotEditable
        return root

    def _made(self, text: str, meant: Mapping[str, Any]) -> Text:
        try:
            made = Text.of(text, "")
        except ConfigError:
            raise NotEditable from None
        if not _same(made.value, meant):
            raise NotEditable
        return made


def _under(root: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in root.value if name.value == key), None)


def _end(node: yaml.Node, text: str) -> int:
    """Behind the last character of a node; a block's own mark lies behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        key, value = last if isinstance(last, tuple) else (last, last)
        return max(_end(key, text), _end(value, text))
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"} and "+" in text[start : start + 3]:
        return end - 1  # its last line breaks are part of it
    return start + len(text[start:end].rstrip())


def _last_end(node: yaml.CollectionNode) -> int:
    """Behind the last element of a flow collection, so that a comment or comma after it stays whole."""
    last = node.value[-1]
    return int((last[1] if isinstance(last, tuple) else last).end_mark.index)


def _insert(text: str, at: int, new: str) -> str:
    return text[:at] + new + text[at:]


def _insert_lines(text: str, after: int, lines: Sequence[str]) -> str:
    """Behind the line that `after` is in."""
    at = _line_end(text, after)
    return text[:at] + "\n" + "\n".join(lines) + (text[at:] or "\n")


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _pair(key: str, value: Any, column: int, *, alone: bool) -> str:
    """`alone`: nothing follows on its line, such as a comment, so it may take several lines."""
    if not alone:
        return f"{yaml_text.flow(key)}: {yaml_text.flow(value)}"
    return _indented(yaml_text.lines({key: value}), column)


def _indented(lines: Sequence[str], column: int) -> str:
    first, *rest = lines
    return "\n".join([first, *(f"{' ' * column}{line}" if line else "" for line in rest)])


def _same(one: Any, other: Any) -> bool:
    return exact_json.encode(one) == exact_json.encode(other)
