"""The variables of resource templates (RFC 6570): what may be completed of one."""

from __future__ import annotations

import re
from typing import Final

from sallyport.contract.catalog import Resource

_EXPRESSION: Final = re.compile(r"\{[+#./;?&]?([^{}]*)\}")  # an operator may stand before the names
_VARIABLE: Final = re.compile(r"(?:^|,)([A-Za-z0-9_.%]+)(?=[,*:]|$)")  # and a modifier behind each


def variables(entry: Resource, template: str) -> frozenset[str]:
    """Of the template that is asked about, which under a prefix may be any; of another than the entry's, what both have."""
    found = _named_in(template)
    return found if entry.template is None else found & _named_in(entry.template)


def _named_in(template: str) -> frozenset[str]:
    return frozenset(name for names in _EXPRESSION.findall(template) for name in _VARIABLE.findall(names))
