"""`sallyport policy show`: what the roles compile to, and every policy, as Cedar with ids."""

from __future__ import annotations

from sallyport.cli import console
from sallyport.cli.policy_set import Where, load, locate


def show(directory: Where) -> None:
    """Print what is compiled from the roles, and every policy, as Cedar with ids."""
    snapshot = load(locate(directory))
    console.out.print(snapshot.compiled.rstrip())
    for policy in snapshot.policies:
        if policy.statement.text not in snapshot.compiled:
            console.out.print(f"\n// {policy.statement.file}\n{policy.statement.text.strip()}")
