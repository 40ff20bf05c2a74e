"""`helm test` runs this folder in pods: `python -I /probe ROLE`. Exit 0: all is as the values say."""

from __future__ import annotations

import sys
import time

import canary
import orchestrator
import others
from plan import here
from rounds import say

_ROLES = {
    "orchestrator": orchestrator.run,
    "witness": others.witness,
    "egress": others.egress,
    "neighbour": others.neighbour,
    "stranger": others.stranger,
    "bystander": others.bystander,
}

if sys.argv[1] == "canary":
    canary.serve()
else:
    role = _ROLES[sys.argv[1]]
    say(f"{sys.argv[1]}, in namespace {here}: {(role.__doc__ or orchestrator.__doc__ or '').strip()}")
    began = time.monotonic()
    role()
    say(f"PASSED in {time.monotonic() - began:.0f} s")
