"""Those who aren't the orchestrator: what each must find open, and shut."""

from __future__ import annotations

from doors import Door
from plan import (
    addresses,
    api_server,
    beyond,
    canary,
    canary_dns,
    destinations,
    dns,
    gate_addresses,
    gate_doors,
    gate_service,
    here,
    namespace,
    quiet,
    seconds,
)
from rounds import eventually, fail, must_close, must_open, say, tell

_LOOK = f"see what opens it: kubectl get networkpolicy -n {namespace} -o yaml. Does this cluster's network enforce NetworkPolicies?"
_FLOOR = f"Apply the floor: kubectl apply -n {namespace} -f deploy/networkpolicies/, and {_LOOK}"
_BEYOND_POLICIES = (
    "Without it nothing is shown by what is shut. What else than NetworkPolicies holds packets back here?"
)


def witness() -> None:
    """In the gate's namespace, let out everywhere: whoever doesn't answer here is shut on its own side, or isn't there."""
    must_open([canary(), *canary_dns(), api_server()], seconds, _BEYOND_POLICIES)
    tell(beyond(), seconds)
    must_close([*_gate(), *_quiet()], seconds, f"A pod of the gate's own namespace {here} gets in there. {_FLOOR}")


def egress() -> None:
    """In the PEP's network position: what is listed, and nothing else."""
    must_open(
        [*dns(), *destinations()], seconds, "A listed destination: is it up, and does its own side let the gate in?"
    )
    listed = {(to.host, to.port) for to in destinations()}
    shut = [door for door in _unlisted() if (door.host, door.port) not in listed]
    must_close([*shut, *_gate()], seconds, f"The gate could connect there, and the values don't list it: {_LOOK}")


def neighbour() -> None:
    """In the gate's namespace, with no label that any policy of ours selects: the floor alone holds it."""
    must_open(
        dns(), seconds, "The floor lets every pod ask the cluster's DNS: deploy/networkpolicies/README.md has others."
    )
    must_close([*_unlisted(), *_gate()], seconds, f"Any pod of namespace {here} gets out there. {_FLOOR}")


def stranger() -> None:
    """In another namespace, even under the orchestrator's labels."""
    if here == namespace:
        fail(f"tests.otherNamespace is {here}, the release's own: name another, from where nothing may come in.")
    _outsider(f"A pod of namespace {here} gets in there, and no orchestrator is listed in it.")


def bystander() -> None:
    """In the orchestrator's namespace, without its labels."""
    _outsider(f"A pod of namespace {here} without the orchestrator's labels gets in there.")


def _outsider(advice: str) -> None:
    must_open([canary()], seconds, _BEYOND_POLICIES)
    must_close([*_gate(), *_quiet()], seconds, f"{advice} {_FLOOR}")


def _unlisted() -> list[Door]:
    return [canary(), *canary_dns(), api_server(), *beyond()]


def _gate() -> list[Door]:
    eventually("a pod of the gate", lambda: "" if gate_addresses() else "its headless Service has no address yet.")
    say()
    return [gate_service(), *gate_doors()]


def _quiet() -> list[Door]:
    eventually(f"{quiet().host}", lambda: "" if addresses(quiet().host) else "it isn't ready yet.")
    return [quiet()]
