"""The command line: exit 0 after a signal, 2 for a configuration that can't be used."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from sallyport.pdp import server, settings
from sallyport.runtime import addresses, logs
from sallyport.runtime.problems import ConfigError


def _argument(check: Callable[[str], str]) -> Callable[[str], str]:
    """argparse shows the text of no other exception."""

    def checked(text: str) -> str:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sallyport.pdp", description="The policy decision point.")
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="pdp.yaml")
    parser.add_argument(
        "--listen", type=_argument(addresses.same_machine), metavar="HOST:PORT", help="stands before the file's"
    )
    parser.add_argument(
        "--health", type=_argument(addresses.network), metavar="HOST:PORT", help="stands before the file's"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    try:
        chosen = settings.load(arguments.config, listen=arguments.listen, health=arguments.health)
        logs.configure("pdp")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.run(chosen))
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 — for a person at a terminal, before there is a log
        return 2
    except OSError as error:
        print(f"{error}; check {arguments.config}", file=sys.stderr)  # noqa: T201 — same
        return 2
    return 0
