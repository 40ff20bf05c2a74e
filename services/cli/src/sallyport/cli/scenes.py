"""The demo's three scenes. Each plays, compares what happened with what is told, and says True only if they agree."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.text import Text

from sallyport.cli import auditing, console, issuer, mcp_call, samples
from sallyport.cli.endpoint import Endpoint
from sallyport.cli.laptop import Laptop

_DENIED: Final = -32010
_WHOLE: Final = 0
_TAMPERED: Final = 2
_WIDTH: Final = 56


def own_file(laptop: Laptop, here: Endpoint) -> bool:
    _title("1", "Alice asks her coding-bot for her own notes.")
    path = "alice/notes.txt"
    outcome, seen = _call(laptop, here, "read_file", {"path": path})
    if not isinstance(outcome, mcp_call.Result) or outcome.is_error or samples.FILES[path].strip() not in outcome.text:
        return _unexpected(f"a permit was told, but: {outcome}")
    _line("PERMITTED", "green", outcome.text.splitlines()[0])
    if seen is None or not seen.permitted or not seen.policies:
        return _unexpected(f"the audit should have a permit with a policy's id, but: {seen}")
    _line("audit", "cyan", f"permitted by policy {', '.join(seen.policies)}")
    return True


def tricked(laptop: Laptop, here: Endpoint, kept: Path | None = None) -> bool:
    """A file's owner and a table's class decide, not what the agent was talked into. `kept`: the directory, if it outlives us."""
    console.out.print()
    _title("2", "The same agent, tricked by a text it read, goes for what isn't Alice's.")
    first = _denied(laptop, here, "read_file", {"path": "bob/private.txt"})
    second = _denied(laptop, here, "database_query", {"table": "salaries"})
    if kept is None:
        _next("keep all of this, and ask why:", console.command("demo", "--keep", "DIR"))
    elif second:
        _next("ask why:", console.command("audit", "show", kept, "--decision", second))
    return bool(first and second)


def tampered(laptop: Laptop) -> bool:
    console.out.print()
    _title("3", "All of it is in a signed, chained record. Somebody changes one byte of it.")
    whole = auditing.verify(laptop.audit, laptop.audit_keys)
    if whole.code != _WHOLE:
        return _unexpected(f"a whole chain was told, but verify says {whole.code}: {whole.summary}")
    _line("VERIFIED", "green", whole.summary)
    with tempfile.TemporaryDirectory(prefix="sallyport-tampered-") as place:
        copy = Path(place) / "audit"
        shutil.copytree(laptop.audit, copy)
        change = _change_one_byte(copy)
        broken = auditing.verify(copy, laptop.audit_keys)
    _line("changed", "yellow", change)
    if broken.code != _TAMPERED:
        return _unexpected(f"the change should be caught, but verify says {broken.code}: {broken.summary}")
    _line("CAUGHT", "green", broken.summary)
    console.out.print()
    return True


def _denied(laptop: Laptop, here: Endpoint, tool: str, arguments: Mapping[str, str]) -> str:
    """The decision's id; empty if it didn't go as told."""
    outcome, seen = _call(laptop, here, tool, arguments)
    if not isinstance(outcome, mcp_call.Refused) or outcome.code != _DENIED or not outcome.decision_id:
        _unexpected(f"a denial was told, but: {outcome}")
        return ""
    _line("DENIED", "red", f"decision {outcome.decision_id}")
    if seen is None or seen.permitted or seen.id != outcome.decision_id:
        _unexpected(f"the audit should have a denial with this decision id, but: {seen}")
        return ""
    _line(
        "audit",
        "cyan",
        f"denied by policy {', '.join(seen.policies)}" if seen.policies else "no policy permits it, so it is denied",
    )
    return seen.id


def _call(
    laptop: Laptop, here: Endpoint, tool: str, arguments: Mapping[str, str]
) -> tuple[mcp_call.Outcome, auditing.Decision | None]:
    """Call as any client would, then look up in the audit, by the token's id, what was decided."""
    _line("alice via coding-bot", "bold", " ".join([tool, *(f"{key}={value}" for key, value in arguments.items())]))
    token_id = secrets.token_hex(16)
    token = issuer.mint(laptop, issuer.Identity("alice", "coding-bot", overrides={"jti": token_id}))
    era = mcp_call.Era.MODERN
    outcome = asyncio.run(mcp_call.call(here, token, tool, lambda _: dict(arguments), ask=False, era=era))
    return outcome, auditing.decision(laptop.audit, token_id=token_id)


def _change_one_byte(copy: Path) -> str:
    """An insider hides which table was asked for: one letter, in the record of the denial."""
    for path in sorted(copy.glob("*/*.jsonl")):
        data = path.read_bytes()
        if (at := data.find(b'salaries"')) >= 0:
            path.write_bytes(data[:at] + b"c" + data[at + 1 :])
            line = data.count(b"\n", 0, at) + 1
            return f'"salaries" to "calaries" in line {line} of a copy'
    return "nothing: no record names the table"


def _title(number: str, text: str) -> None:
    console.out.print(Text(f"{number}. {text}", style="bold"))


def _line(label: str, style: str, text: str) -> None:
    """A label and its text, within 80 columns."""
    first, *more = textwrap.wrap(text, _WIDTH, break_long_words=False) or [""]
    console.out.print(Text(f"   {label:<21}", style=style).append(first, style="not bold default"))
    for line in more:
        console.out.print(f"{'':<24}{line}")


def _next(text: str, command: str) -> None:
    """The command on a line of its own, never wrapped: it is there to be copied."""
    _line("next", "bold", text)
    console.out.print(f"   {command}")


def _unexpected(text: str) -> bool:
    _line("UNEXPECTED", "bold red", text)
    return False
