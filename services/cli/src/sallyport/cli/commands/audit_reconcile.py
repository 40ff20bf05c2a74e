"""`sallyport audit reconcile`: the PEP's record held against the PDP's, decision by decision."""

from __future__ import annotations

import typer

from sallyport.audit import reconcile as reconciler
from sallyport.cli.audit_place import require_record


def reconcile(context: typer.Context) -> None:
    """Hold what the PEP recorded against what the PDP recorded, one to one.

    DIR is one made by `sallyport init`, or an audit directory; several, if the two streams lie apart.
    Options: --since TIME, --format table|json, --keys PATH, --checkpoint FILE.
    Exit code: 0 reconciled, 1 wrong usage, 2 tampered, 3 torn or unclosed though what is there agrees,
    4 a stream missing, 5 not reconciled, 6 nothing to compare.
    """
    require_record(context.args)
    raise typer.Exit(reconciler.main(context.args))
