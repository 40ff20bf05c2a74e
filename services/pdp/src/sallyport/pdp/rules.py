"""The actions that may be asked for, each with what its policies need to know of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sallyport.pdp.reads import Reads
from sallyport.pdp.schema import Action
from sallyport.pdp.slices import ANY, Key
from sallyport.pdp.types import Record


@dataclass(frozen=True, slots=True)
class ActionRules:
    """One such action."""

    action: Action
    orgs: frozenset[str]  # the tenants it is for
    keys: tuple[Key, ...]  # what its policies' scopes know it by
    context: Record  # the part of its context that is read


def build(actions: Mapping[str, Action], orgs: frozenset[str], reads: Reads) -> dict[str, ActionRules]:
    return {action.name: _rules(action, orgs, reads) for action in actions.values() if action.askable}


def _rules(action: Action, orgs: frozenset[str], reads: Reads) -> ActionRules:
    mine = orgs if action.tool is None or action.tool.orgs == "all" else frozenset(action.tool.orgs)
    keys = (ANY, ("Action", action.name), *(("Action", name) for name in sorted(action.parents)))
    return ActionRules(action, mine, keys, reads.context(action))
