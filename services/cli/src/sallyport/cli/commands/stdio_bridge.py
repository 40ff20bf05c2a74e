"""`sallyport stdio-bridge -- COMMAND`: a stdio MCP server, confined, as streamable HTTP on loopback."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from sallyport.cli.bridge import token_file as tokens
from sallyport.cli.bridge.confinement import unavailable
from sallyport.cli.bridge.plan import Limits, Plan
from sallyport.cli.complaint import Complaint, Exit
from sallyport.runtime import addresses, logs

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MINIMAL_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_MAX_PLAN: Final = 100_000  # bytes; the kernel takes 128 KiB as one string


def stdio_bridge(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="The server, executed without a shell.")],
    token_file: Annotated[
        Path,
        typer.Option(help="What a client sends as Authorization; written with a new token if it isn't there."),
    ],
    listen: Annotated[str, typer.Option(help="Loopback only; port 0 takes a free one.")] = "127.0.0.1:0",
    env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VALUE]",
            help="The server's environment, else empty; NAME alone takes ours, PATH alone a minimal one.",
            show_default=False,
        ),
    ] = None,
    cwd: Annotated[Path, typer.Option(help="Where the server runs.")] = Path("/"),
    cpu_seconds: Annotated[int | None, typer.Option(min=1, help="Of each process.", show_default="no limit")] = None,
    memory_mib: Annotated[int, typer.Option(min=16, help="Data of each process.")] = 2048,
    files: Annotated[int, typer.Option(min=16, help="Open files of each process.")] = 1024,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Threads beside those its user has.", show_default="no limit")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="The server can change no file.")] = False,
    sessions: Annotated[int, typer.Option(min=1, max=1024, help="Servers that run at once.")] = 16,
    idle_seconds: Annotated[int, typer.Option(min=1, help="After which an unused session ends.")] = 600,
) -> None:
    """Serve a stdio MCP server over HTTP on loopback, one confined process a session, until Ctrl-C."""
    if sys.platform != "linux":
        raise Complaint("stdio-bridge needs Linux: it confines servers by what its kernel has", "run it in a container")
    plan = Plan(
        program=_program(command[0]),
        arguments=tuple(command[1:]),
        environment=dict(_variable(text) for text in env or ()),
        directory=str(_directory(cwd)),
        limits=Limits(cpu_seconds, memory_mib, files, processes),
        read_only=read_only,
    )
    if why := unavailable(plan):
        raise Complaint(why, "leave the option out, or run the bridge where it can be had (see docs/stdio-bridge.md)")
    if len(plan.encode().encode()) > _MAX_PLAN:
        raise Complaint("the command and its environment are too long", f"keep them under {_MAX_PLAN} bytes")
    from sallyport.cli.bridge.serving import Settings, serve  # noqa: PLC0415 — no other command needs a web server

    settings = Settings(_loopback(listen), tokens.kept(token_file.absolute()), sessions, idle_seconds)
    logs.configure("stdio-bridge")
    asyncio.run(serve(plan, settings, lambda url: print(url, flush=True)))


def _program(name: str) -> str:
    """Its absolute path, looked up once."""
    found = shutil.which(name)
    if found is None:
        raise Complaint(f"{name}: no such program, or it can't be executed", "install it, or name it by its path")
    if "/" not in name and not found.startswith("/"):
        raise Complaint(f"{name} was found by a relative entry of PATH", "name it by its absolute path")
    return str(Path(found).absolute())


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not _NAME.fullmatch(name):
        raise Complaint(f"--env {name}: not NAME or NAME=VALUE", "write it as in --env LANG or --env LANG=C.UTF-8")
    if equals:
        return name, value
    if name == "PATH":
        return name, _MINIMAL_PATH
    if name not in os.environ:
        raise Complaint(f"--env {name}: no such variable here", f"set it, or write --env {name}=VALUE")
    return name, os.environ[name]


def _directory(path: Path) -> Path:
    if not path.is_dir():
        raise Complaint(f"--cwd {path}: no such directory", "make it, or name another")
    return path.absolute()


def _loopback(listen: str) -> str:
    try:
        host, _ = addresses.split(listen)
    except ValueError as error:
        raise Complaint(f"--listen: {error}", "write it as in --listen 127.0.0.1:8931") from None
    if not addresses.is_loopback(host):
        raise Complaint(
            f"--listen {listen}: not on loopback", "use 127.0.0.1; the gate is what others may reach", Exit.USAGE
        )
    return addresses.network(listen)
