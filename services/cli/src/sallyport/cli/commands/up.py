"""`sallyport up DIR`: the PDP and the PEP as two processes, until Ctrl-C."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.text import Text

from sallyport.cli import console, endpoint, ports, readiness
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.laptop import Laptop
from sallyport.cli.service import Died, Service
from sallyport.cli.settings import listen_port, named_port, resource
from sallyport.cli.supervisor import Supervisor
from sallyport.runtime import atomic_file


@dataclass(frozen=True, slots=True)
class Plan:
    """The ports of one run; they stay the same over restarts."""

    laptop: Laptop
    mcp: int
    management: int
    pdp: int
    health: int
    resource: str
    plain_http: bool

    @property
    def mcp_url(self) -> str:
        # The address, not "localhost": nothing depends on name resolution, and the certificate covers both.
        return f"{self._scheme}://{_at(self.mcp)}/mcp"

    @property
    def management_url(self) -> str:
        return f"{self._scheme}://{_at(self.management)}"

    @property
    def _is_local(self) -> bool:
        return urlsplit(self.resource).hostname in {"localhost", "127.0.0.1", "::1"}

    @property
    def _scheme(self) -> str:
        return "http" if self.plain_http else "https"

    def pdp_service(self) -> Service:
        arguments = ("--config", "pdp.yaml", "--listen", _at(self.pdp), "--health", _at(self.health))
        return self._service("pdp", arguments, (self.pdp, self.health))

    def pep_service(self) -> Service:
        addresses = ("--listen", _at(self.mcp), "--management", _at(self.management), "--pdp", _at(self.pdp))
        # What our metadata says must be what a client dialled (RFC 9728 §3.3); a public name in pep.yaml stays.
        here = ("--resource", self.mcp_url) if self._is_local else ()
        arguments = ("--config", "pep.yaml", *addresses, *here, *(("--plain-http",) if self.plain_http else ()))
        return self._service("pep", arguments, (self.mcp, self.management))

    def _service(self, name: str, arguments: tuple[str, ...], listens: tuple[int, ...]) -> Service:
        return Service(name, f"sallyport.{name}", arguments, self.laptop.root, self.laptop.log(name), listens)


def up(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made by `sallyport init`.")],
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of the MCP server; 0 takes any free ones.", show_default="pep.yaml's"
        ),
    ] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="No TLS; the PEP allows it on loopback only.")
    ] = False,
    no_restart: Annotated[bool, typer.Option("--no-restart", help="Leave a dead service dead (for tests).")] = False,
) -> None:
    """Run the PDP and the PEP until Ctrl-C."""
    laptop = Laptop.at(directory)
    with _alone(laptop):
        plan = _plan(laptop, port, plain_http=plain_http)
        for name in ("pdp", "pep"):
            atomic_file.write(laptop.log(name), b"")  # the log of this run alone
        run(plan, restart=not no_restart)


def run(plan: Plan, *, restart: bool) -> None:
    pdp, pep = plan.pdp_service(), plan.pep_service()

    def announce() -> None:
        _announce(plan, pdp, pep)

    try:
        asyncio.run(Supervisor(pdp, pep, restart, announce).run())
    except Died as death:
        words = "\n".join(service.last_words() for service in (pdp, pep) if service.name in str(death))
        console.err.print(Text(words, style="dim"))
        next_step = f"mend what the log says, then start again (logs: {plan.laptop.run}/pdp.log and pep.log)"
        raise Complaint(str(death), next_step, Exit.FAILED) from None
    finally:
        plan.laptop.endpoint.unlink(missing_ok=True)
    console.step("stopped: the PEP first, then the PDP")


def _announce(plan: Plan, pdp: Service, pep: Service) -> None:
    ca_file = str(plan.laptop.ca_certificate)
    here = endpoint.Endpoint(plan.mcp_url, plan.management_url, _at(plan.pdp), ca_file, pep=pep.pid, pdp=pdp.pid)
    endpoint.write(plan.laptop, here)
    console.out.print(Text("up: ", style="bold green").append(plan.mcp_url, style="not bold default"))
    console.out.print(f"    endpoint {plan.laptop.endpoint}")
    console.out.print(f"    audience {plan.resource} (`resource` in pep.yaml: what tokens must be for)")
    console.out.print(f"    logs     {plan.laptop.run}/pdp.log, pep.log")
    _warn_if_not_ready(plan, ca_file)
    console.out.print("    Ctrl-C stops both")


def _warn_if_not_ready(plan: Plan, ca_file: str) -> None:
    reasons = readiness.reasons(plan.management_url, ca_file)
    for reason in reasons:
        console.warn(f"not ready, every call is refused: {reason}")
    if reasons:
        check = console.command("policy", "check", plan.laptop.root)
        console.err.print(f"  next: run `{check}`, mend what it says, and start again")


def _plan(laptop: Laptop, port: int | None, *, plain_http: bool) -> Plan:
    taken: set[int] = set()
    mcp = _mcp_port(laptop, port, taken)
    named = ((laptop.pep_config, "management"), (laptop.pdp_config, "listen"), (laptop.pdp_config, "health"))
    # --port 0 is for many at once: whatever the files name would be everybody's.
    management, pdp, health = (ports.free(taken) if port == 0 else _port(config, key, taken) for config, key in named)
    return Plan(laptop, mcp, management, pdp, health, resource(laptop), plain_http)


def _port(config: Path, key: str, taken: set[int]) -> int:
    """What the file names, if it is free."""
    wanted = named_port(config, key)
    if wanted and wanted not in taken and ports.is_free(wanted):
        taken.add(wanted)
        return wanted
    chosen = ports.free(taken)
    if wanted:
        console.warn(f"port {wanted} of {config.name} ({key}) is taken, taking {chosen}")
    return chosen


def _mcp_port(laptop: Laptop, port: int | None, taken: set[int]) -> int:
    wanted = listen_port(laptop) if port is None else port
    if wanted and ports.is_free(wanted):
        taken.add(wanted)
        return wanted
    if port:
        raise Complaint(
            f"port {port} is taken", "name another with --port, or any free one with --port 0", Exit.UNAVAILABLE
        )
    chosen = ports.free(taken)
    if port is None:
        console.warn(f"port {wanted} of pep.yaml is taken, taking {chosen}")
    return chosen


@contextmanager
def _alone(laptop: Laptop) -> Iterator[None]:
    """One `up` a directory: two would overwrite each other's hop key."""
    laptop.run.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(laptop.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Complaint(
            f"another `sallyport up` runs on {laptop.root}",
            "stop it with Ctrl-C, or use what it runs: see run/endpoint.json",
        ) from None
    finally:
        os.close(descriptor)


def _at(port: int) -> str:
    return f"{ports.LOOPBACK}:{port}"
