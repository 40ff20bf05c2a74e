"""Whether there is a record to read, and keys to verify it with, before the verifier is asked; and if not, what to do."""

from __future__ import annotations

import argparse
from pathlib import Path

from sallyport.audit import verify as verifier
from sallyport.cli import console
from sallyport.cli.complaint import Complaint, Exit


def require_record(words: list[str]) -> None:
    """What the verifier can't help with: no such directory, or no keys in it. All else is the verifier's to say."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("directories", type=Path, nargs="*")
    parser.add_argument("--keys", nargs="?", action="append")
    for option in ("--checkpoint", "--since", "--format"):
        parser.add_argument(option, nargs="?")
    given, _ = parser.parse_known_args(words)
    for directory in given.directories:
        require_directory(directory, Exit.FAILED)
        keys = verifier.locate(directory)[1] / "pki" / "audit"
        if not given.keys and not keys.is_dir():
            raise Complaint(
                f"there are no public keys to verify {directory} with: {keys} is not there",
                "name a directory made by `sallyport init`, or the keys: --keys PATH",
                Exit.FAILED,
            )


def require_directory(directory: Path, code: Exit) -> None:
    if not directory.is_dir():
        next_step = f"name one made by `{console.command('init', 'DIR')}`, or its audit directory"
        raise Complaint(f"{directory} is not a directory", next_step, code)
