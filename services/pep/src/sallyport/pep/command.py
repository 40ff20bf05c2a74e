"""The command line: exit 0 after a signal, 2 where the start is refused."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sallyport.audit.errors import AuditUnavailable, KeyRefused
from sallyport.pep import app, settings
from sallyport.pep.settings import PepSettings
from sallyport.pep.transport import run
from sallyport.runtime import addresses, logs
from sallyport.runtime.problems import ConfigError

_REFUSED: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Every problem is told on stderr."""
    given = _parser().parse_args(arguments)
    logs.configure("pep")
    try:
        chosen = _overridden(settings.load(given.config), given)
        run(app.run(chosen, plain_http=given.plain_http))
    except (ConfigError, KeyRefused, AuditUnavailable, ValueError, OSError) as error:
        sys.stderr.write(f"the PEP doesn't start:\n{error}\n")
        return _REFUSED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m sallyport.pep", description="The policy enforcement point.")
    parser.add_argument("--config", type=Path, required=True, help="pep.yaml")
    parser.add_argument("--listen", type=addresses.network, help="instead of the file's, such as 127.0.0.1:8443")
    parser.add_argument("--management", type=addresses.network, help="instead of the file's")
    parser.add_argument("--pdp", type=addresses.same_machine, help="instead of the file's pdp.address")
    parser.add_argument(
        "--resource",
        type=settings.resource_url,
        help="where clients find us; the file's resource stays a name that tokens may be for",
    )
    parser.add_argument("--plain-http", action="store_true", help="no TLS; on loopback only")
    return parser


def _overridden(chosen: PepSettings, given: argparse.Namespace) -> PepSettings:
    update = {key: value for key in ("listen", "management", "resource") if (value := getattr(given, key))}
    if given.resource:
        update["also_known_as"] = (chosen.resource, *chosen.also_known_as)
    if given.pdp:
        update["pdp"] = chosen.pdp.model_copy(update={"address": given.pdp})
    chosen = chosen.model_copy(update=update)
    if given.plain_http:
        for address in (chosen.listen, chosen.management):
            if not addresses.is_loopback(addresses.split(address)[0]):
                raise ValueError(f"--plain-http is for loopback only, and {address} isn't: leave it out")
    return chosen
