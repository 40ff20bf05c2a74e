"""In the orchestrator's place: every pod of the gate serves it, and serves nobody without certificate and token."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable

import call
from plan import MANAGEMENT, PDP, PDP_HEALTH, PDP_METRICS, gate_addresses, gate_doors, gate_service, plan, seconds
from rounds import eventually, fail, must_close, row

_UNAUTHENTICATED = 401
_LOOK = f"kubectl get networkpolicy -n {plan['namespace']} -o yaml"
_SECRETS = "Give tests.orchestratorSecret (tls.crt, tls.key, ca.crt) and tests.tokenSecret (token): `sallyport k8s dev-certs` makes both."


def run() -> None:
    _secrets_are_there()
    eventually("a pod of the gate", lambda: "" if gate_addresses() else f"{plan['pods']} has no address yet.")
    places = [plan["service"], *gate_addresses()]
    for place in places:
        _is_served(place)
    for place in places:
        _is_refused(place)
    # One who may call may do nothing else: where Prometheus is let in from here, its ports are no matter of this test.
    ports = [PDP, PDP_HEALTH, *(() if plan["scrapedFromHere"] else (MANAGEMENT, PDP_METRICS))]
    advice = f"The orchestrator may reach port {gate_service().port} only. Look for who opens more: " + _LOOK
    must_close(gate_doors(ports), seconds, advice)


def _secrets_are_there() -> None:
    missing = [name for name in ("tls.crt", "tls.key", "ca.crt") if not (call.IDENTITY / name).exists()]
    if missing:
        fail(f"The orchestrator's Secret has no {', '.join(missing)}, or isn't in this namespace. {_SECRETS}")
    if not any((call.TOKEN / name).exists() for name in ("token", "headers")):
        fail(f"The token's Secret has no key token (or headers), or isn't in this namespace. {_SECRETS}")


def _is_served(place: str) -> None:
    said = _answer(place, plan["permitted"], call.credentials())
    if not said.permitted:
        fail(
            f"{place}: the call that must be permitted ({_shown('permitted')}) got {said}.",
            "Is the token in force and of a listed issuer, and do the policies permit this call? See tests.permitted.",
        )
    row("served", place, _shown("permitted"), "permitted, with a result")


def _is_refused(place: str) -> None:
    said = _answer(place, plan["denied"], call.credentials())
    if not said.denied:
        fail(
            f"{place}: the call that must be denied ({_shown('denied')}) got {said}.",
            "See the policies, and tests.denied.",
        )
    row("denied", place, _shown("denied"), "-32010")
    for what, headers in (("a forged token", {"Authorization": _forged()}), ("no token", {})):
        said = _answer(place, plan["permitted"], headers)
        if said.status != _UNAUTHENTICATED:
            fail(f"{place}: {what} must get HTTP 401 and got {said}.", "Are the issuers in the values those you mean?")
        row("refused", place, what, "HTTP 401")
    heard = call.bytes_said(place, call.trust(identified=False), call.credentials(), plan["permitted"])
    if heard:
        fail(
            f"{place}: without a client certificate {len(heard)} bytes came back, and none must: {heard[:80]!r}.",
            "pep.yaml must say client_certificate: required, as this chart writes it; who changed it?",
        )
    row("refused", place, "no client certificate", "0 bytes of an answer")


def _answer(place: str, asked: dict[str, object], headers: call.Headers) -> call.Said:
    """A pod that can't decide yet, or just now, is asked again; one that says yes or no isn't."""
    said: list[call.Said] = []

    def attempt() -> str:
        try:
            said[:] = [call.post(place, call.trust(), headers, asked)]
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}."
        return f"It says {said[0]}." if said[0].undecided else ""

    eventually(f"an answer of {place}", attempt)
    return said[0]


def _forged() -> str:
    """The token with another signature."""
    given = call.credentials().get("Authorization", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.AAAAAAAAAAAAAAAA")
    swapped: Callable[[re.Match[str]], str] = lambda last: "A" if last[0] != "A" else "B"  # noqa: E731
    return re.sub(r".(?=.{9}$)", swapped, given)


def _shown(kind: str) -> str:
    return (
        f"{plan[kind]['tool']} {' '.join(f'{name}={value}' for name, value in plan[kind]['arguments'].items())}".strip()
    )
