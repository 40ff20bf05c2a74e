"""Where the shipped policy set comes from: the checkout's `policies/`, or else the copy inside an installed package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sallyport.cli import console
from sallyport.cli.complaint import Complaint
from sallyport.contract.catalog import Catalog
from sallyport.runtime import mounted_dir, settings

_INIT: Final = console.command("init", "DIR", "--policies", "PATH")
_HERE: Final = Path(__file__).resolve().parent
_CHECKOUT: Final = _HERE.parents[4] / "policies"  # services/cli/src/sallyport/cli -> the repository's root
_PACKAGED: Final = _HERE / "policies"
_ACTION: Final = re.compile(r'Action::"((?:[^"\\]|\\.)*)"')
_COMMENT: Final = re.compile(r"//[^\n]*")


def find() -> Path:
    for place in (_CHECKOUT, _PACKAGED):
        if (place / "catalog.yaml").is_file():
            return place
    raise Complaint(
        f"the shipped policies are not there: neither {_CHECKOUT} nor {_PACKAGED}",
        f"name a policy directory yourself: {_INIT}",
    )


def read(place: Path) -> tuple[Mapping[str, bytes], tuple[str, ...]]:
    """The files to write, and the names of those left out because they name a tool that the catalog doesn't have.

    The PDP would refuse the whole set for such a file; a set that `init` writes must load.
    """
    files = mounted_dir.read(place).files
    if "catalog.yaml" not in files:
        raise Complaint(f"{place} has no catalog.yaml", f"name a whole policy set: {_INIT}")
    catalog = settings.load_model(Catalog, files["catalog.yaml"], "catalog.yaml")
    left_out = tuple(sorted(name for name, data in files.items() if _names_a_missing_tool(name, data, catalog)))
    return {name: data for name, data in files.items() if name not in left_out}, left_out


def _names_a_missing_tool(name: str, data: bytes, catalog: Catalog) -> bool:
    if not name.endswith(".cedar"):
        return False
    text = _COMMENT.sub("", data.decode("utf-8", "replace"))
    return any(_is_tool(action) and catalog.tool(action) is None for action in _ACTION.findall(text))


def _is_tool(action: str) -> bool:
    """Groups (`group:x`) and methods (`tools/list`, `method:ping`) are named outside the tool alphabet."""
    return ":" not in action and "/" not in action
