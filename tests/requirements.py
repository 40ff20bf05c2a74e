"""Every security claim: its id, its source, its sentence. A test that shows one carries the id in its name.

`deferred` names the part of the product that a claim waits for; such a claim may have tests, but needn't.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    id: str
    source: str
    sentence: str
    deferred: str = ""


def _n(number: int, source: str, sentence: str, deferred: str = "") -> Requirement:
    return Requirement(f"N{number}", source, sentence, deferred)


def _p(number: int, source: str, sentence: str) -> Requirement:
    """Of the policy decision point."""
    return Requirement(f"P{number}", source, sentence)


def _k(number: int, source: str, sentence: str) -> Requirement:
    """Of the pair in a cluster."""
    return Requirement(f"K{number}", source, sentence)


REQUIREMENTS = (
    _n(1, "CVE-2026-25536", "Two clients with equal JSON-RPC ids never receive each other's bytes."),
    _n(2, "CVE-2026-33946", "A handle presented by another principal or tenant is refused."),
    _n(3, "CVE-2026-33032", "A route without authentication that isn't on the published list fails the build."),
    _n(4, "CVE-2026-48710", "The decision uses the routed path and the parsed body only."),
    _n(
        5, "CVE-2026-33032", "A missing, empty or unparsable allowlist, policy set, JWKS or key list denies everything."
    ),
    _n(6, "CVE-2026-12773", "No exception before the effect yields anything but a refusal; after it, the truth."),
    _n(7, "GHSA-g53w-w6mj-hrpp", "No secret has a default; none in argv, logs, traces, metrics, errors, audit."),
    _n(8, "CVE-2026-26308", "Repeated, joined, aliased or hop-by-hop security headers are rejected or stripped."),
    _n(9, "Obot v0.21.0", "The set listed is the set callable: what is hidden can't be called."),
    _n(10, "CVE-2026-42271", "A preview of a configuration starts no process and opens no socket."),
    _n(11, "CVE-2026-27896", "What the PDP judged is byte for byte what the tool receives."),
    _n(12, "CVE-2026-27896", "Unknown, duplicate or folded variants of protocol keys are rejected."),
    _n(13, "MCP 2026-07-28 transports", "Headers and body disagree: 400 and -32020, before any PDP call."),
    _n(14, "JSONTestSuite", "What isn't one well-formed message is a 4xx with a record, never a 5xx."),
    _n(
        15, "CVE-2026-33186", "gRPC: unknown method, unknown or zero enum value, empty message, trailing bytes: denied."
    ),
    _n(16, "CVE-2025-59420", "Only the issuer's algorithms; jwk, jku, x5u, x5c never used; unknown crit rejected."),
    _n(17, "MCP token passthrough", "The token's audience is ours; the client's token never goes on."),
    _n(18, "JWKS flood", "A flood of unknown kids causes no fetch and changes nothing for valid users."),
    _n(
        19,
        "ContextForge redirect SSRF",
        "No redirect leaves the allowlist; the checked address is connected.",
    ),
    _n(20, "CVE-2026-29791", "A tool argument changes no SQL text and no path outside the root."),
    _n(21, "CVE-2025-54136", "A definition that changed since approval isn't listed nor callable."),
    _n(22, "CVE-2025-53109", "A symlink swap race never reads outside the root."),
    _n(23, "CVE-2025-53365", "One bad request, early close or half-open stream affects no other client."),
    _n(24, "python-sdk#3336", "Body, header, depth and time limits hold on every endpoint."),
    _n(25, "CVE-2025-66471", "Response bombs are cut at the cap."),
    _n(26, "CVE-2026-5807", "No unauthenticated request can occupy a scarce slot."),
    _n(27, "Vault", "No effect without a durable record made before it, bound to request and revision."),
    _n(
        28,
        "CVE-2026-8922",
        "A key, policy, role, agent or token that ends, ends its calls and streams within the stated bound, and no other's.",
    ),
    _n(29, "CVE-2026-33634", "Dependencies are pinned by hash; the build holds no secret."),
    _n(
        30,
        "mounted Secrets, key rotation",
        "A replaced certificate, client CA or token key is in force without a restart, and a broken one never is.",
    ),
    _n(31, "CVE-2026-8922", "A single token, revoked by its id before it expires, is refused.", "trust broker"),
    _p(1, "properties: bad policy", "A broken policy set of any kind never serves, and never stops service."),
    _p(2, "properties: hot reload", "Each answer is that of the revision it names, before, during and after a reload."),
    _p(3, "cedar#2428, GHSA-hm46-7j72-rpv9", "A policy that fails, or reads what isn't there, denies."),
    _p(4, "properties: audit, two-sided", "A record removed on either side of the gate is reported."),
    _p(5, "Cedar's integration tests", "The engine room decides as Cedar does, and denies where Cedar skips."),
    _p(6, "notes on slicing", "A sliced, trimmed question gets the whole set's decision, reasons and errors."),
    _k(
        1,
        "zero-trust.md 5.2",
        "Without a certificate of the client CA not a byte comes back; with one that isn't listed nothing is called.",
    ),
    _k(2, "zero-trust.md 5.2", "Of all sources, destinations and ports exactly the listed edges exist."),
    _k(3, "peers.md 5", "helm test is red when any closed door is open, and proves first that its probes can connect."),
    _k(4, "design 4", "No upgrade, rollback or reinstall changes the policies that operators have set."),
    _k(
        5,
        "design 4",
        "A change is in force in every replica without a restart or a failed call; a broken one never is.",
    ),
    _k(
        6,
        "NSA/CISA Kubernetes Hardening",
        "What the pod doesn't need is refused: writing, privileges, a shell, a token.",
    ),
)
