"""A directory as `sallyport init` makes it, the everything server in its catalog, and somebody who may use all of that."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from sallyport.pep.upstream.pin import pin
from tests.support import laptop
from tests.support.surfaces import PERMISSIONS

UPSTREAM: Final = "everything"
USER: Final = "suite"
BLIND: Final = "blind"  # may do the same, but for one tool
_POLICY: Final = f"""\
// Whoever may ask at all may use what the upstream has; the conformance suite does.
@id("{UPSTREAM}.use")
permit (principal, action in Action::"group:read_only", resource)
when {{
  ["{USER}", "{BLIND}"].contains(principal.user_id) &&
  (resource is Tool || resource is Prompt || resource is McpResource)
}};

@id("{UPSTREAM}.blind")
forbid (principal, action == Action::"test_image_content", resource)
when {{ principal.user_id == "{BLIND}" }};

// A tool that is listed, and yet denied for what it is asked.
@id("{UPSTREAM}.south")
forbid (principal, action == Action::"test_x_mcp_header", resource)
when {{ context.input.region == "south" }};
"""
_META: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def role(*missing: str) -> str:
    """The name of the role that has every permission but these."""
    return "-".join(["everything", *(name.replace(":", "-") for name in missing)])


def make(directory: Path, url: str, *, origins: Iterable[str] = (), roles: Iterable[tuple[str, ...]] = ()) -> Path:
    """`roles` are sets of permissions that a role shall lack; the one that lacks none is always there."""
    behind(directory, url, _POLICY, everything(url))
    lacking = {role(*missing): missing for missing in [(), *roles]}
    _merge(directory / "policies/roles.yaml", {"roles": {name: _without(*gone) for name, gone in lacking.items()}})
    pep = yaml.safe_load((directory / "pep.yaml").read_text())
    pep["issuers"][0]["roles"]["map"] |= {name: name for name in lacking}
    pep["origins"] = list(origins)
    (directory / "pep.yaml").write_text(yaml.safe_dump(pep))
    return directory


def behind(directory: Path, url: str, policy: str, entries: dict[str, Any]) -> None:
    """A fresh directory in which the upstream may be dialled, and these entries of it stand in the catalog."""
    laptop.init(directory)
    (directory / "policies" / f"{UPSTREAM}.cedar").write_text(policy)
    _merge(directory / "policies/catalog.yaml", {"upstreams": {UPSTREAM: {"url": url}}, **entries})
    pep = yaml.safe_load((directory / "pep.yaml").read_text())
    pep["egress"] = [urlsplit(url).netloc]
    (directory / "pep.yaml").write_text(yaml.safe_dump(pep))


def everything(url: str) -> dict[str, Any]:
    """All that the upstream has, approved as it stands."""
    return {
        "tools": [tool(found) for found in listed(url, "tools/list", "tools")],
        "prompts": [_prompt(found) for found in listed(url, "prompts/list", "prompts")],
        "resources": [
            {"prefix": "test://", "upstream": UPSTREAM},  # what isn't there is for the upstream to say
            *({"uri": found["uri"], "upstream": UPSTREAM} for found in listed(url, "resources/list", "resources")),
            *(
                {"template": found["uriTemplate"], "upstream": UPSTREAM}
                for found in listed(url, "resources/templates/list", "resourceTemplates")
            ),
        ],
    }


def listed(url: str, method: str, key: str) -> list[dict[str, Any]]:
    """The definitions, as the upstream sent them."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": _META}}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": method,
    }
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["result"][key]
    return found


def tool(found: Mapping[str, Any]) -> dict[str, Any]:
    """A tool of the upstream, as its entry."""
    return {
        "name": found["name"],
        "description": found["description"],
        "effect": "read_only",
        "provider": {"upstream": UPSTREAM},
        "input": found["inputSchema"],
        "pin": pin(found),
    }


def _prompt(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": found["name"],
        "description": found["description"],
        "upstream": UPSTREAM,
        "arguments": found.get("arguments", []),
        "pin": pin(found),
    }


def _without(*missing: str) -> dict[str, list[str]]:
    assert set(missing) <= set(PERMISSIONS)
    return {"permissions": [name for name in PERMISSIONS if name not in missing]}


def _merge(file: Path, more: dict[str, Any]) -> None:
    """Add to a YAML file's lists and maps."""
    document = yaml.safe_load(file.read_text())
    for key, value in more.items():
        if isinstance(value, list):
            document[key] = [*document.get(key, []), *value]
        else:
            document[key] = {**document.get(key, {}), **value}
    file.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
