"""`python -m sallyport.audit verify|reconcile|show DIR`: the whole auditor's tool, from this distribution alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sallyport.audit import reconcile, show, verify


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["verify"]:
        return verify.main(arguments[1:])
    if arguments[:1] == ["reconcile"]:
        return reconcile.main(arguments[1:])
    if arguments[:1] == ["show"]:
        return _show(arguments[1:])
    sys.stderr.write("usage: python -m sallyport.audit verify DIR … | reconcile DIR … | show DIR …\n")
    return 1


def _show(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="audit show")
    parser.add_argument("directory", type=Path, help="DIR or DIR/audit")
    parser.add_argument("--format", choices=("line", "json"), default="line")
    parser.add_argument("--decision", default="", help="a decision id")
    parser.add_argument("--kind", action="append", default=[], help="intent, refusal, decision, …")
    parser.add_argument("--since", default="", help="an RFC 3339 UTC time, or its beginning")
    parser.add_argument("--user", default="")
    options = parser.parse_args(arguments)
    kinds = frozenset(options.kind) or (show.DECISIONS if options.format == "line" else show.ONCE)
    chosen = show.Filter(options.decision, kinds, options.since, options.user)
    write = show.line if options.format == "line" else show.as_json
    try:
        for record in show.records(options.directory, chosen):
            sys.stdout.write(write(record) + "\n")
    except OSError as error:
        sys.stderr.write(f"audit show: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
