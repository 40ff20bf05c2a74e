"""pep.yaml: what it must say, and what keeps the PEP from starting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sallyport.pep import settings
from sallyport.pep.model import Era
from sallyport.runtime.problems import ConfigError

ISSUER: dict[str, Any] = {
    "name": "laptop",
    "issuer": "https://issuer.sallyport.test",
    "jwks": "pki/issuer/jwks.json",
    "algorithms": ["ES256"],
    "orgs": ["acme"],
}
NAMED: dict[str, Any] = {"spiffe": "spiffe://test/a", "forward_identity": {"orgs": ["acme"], "issuer": "gateway"}}


def document() -> dict[str, Any]:
    return {
        "listen": "127.0.0.1:8443",
        "management": "127.0.0.1:8444",
        "resource": "https://localhost:8443/mcp",
        "tls": {"certificate": "tls.crt", "key": "tls.key", "client_ca": "ca.crt", "client_certificate": "optional"},
        "pdp": {"address": "127.0.0.1:7351", "hop_key": "run/hop.key"},
        "policies": "policies",
        "issuers": [json.loads(json.dumps(ISSUER))],
        "audit": {"directory": "audit", "signing_key": "signing.key", "masking_key": "masking.key"},
        "files": {"root": "files"},
        "database": {"url": "sqlite:///data/sample.db"},
    }


def load(tmp_path: Path, change: Callable[[dict[str, Any]], Any] = lambda _: None) -> settings.PepSettings:
    """JSON is YAML too."""
    told = document()
    change(told)
    path = tmp_path / "pep.yaml"
    path.write_text(json.dumps(told, indent=1))
    return settings.load(path)


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Set the member at `path` (dots between; numbers are places in a list); `...` takes it away."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]

    def change(told: Any) -> None:
        for parent in parents:
            told = told[parent]
        if value is ...:
            del told[last]
        else:
            told[last] = value

    return change


def database_of(found: settings.PepSettings) -> str:
    return found.database.url if found.database is not None else ""


def connecting(url: str = "sqlite:///x.db", otlp: str = "", egress: Any = ...) -> Callable[[dict[str, Any]], None]:
    """A file that names these destinations, and this allowlist."""

    def change(told: dict[str, Any]) -> None:
        told["database"]["url"] = url
        told["telemetry"] = {"otlp_endpoint": otlp}
        told |= {} if egress is ... else {"egress": egress}

    return change


def test_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.policies == tmp_path / "policies"
    assert found.tls.client_ca == tmp_path / "ca.crt"
    assert found.issuers[0].jwks == tmp_path / "pki/issuer/jwks.json"
    assert database_of(found) == f"sqlite:///{tmp_path}/data/sample.db"
    assert database_of(load(tmp_path, put("database.url", "sqlite:////srv/x.db"))) == "sqlite:////srv/x.db"


def test_n26_streams_leave_half_of_the_connections_to_calls_unless_told_otherwise(tmp_path: Path) -> None:
    assert load(tmp_path, put("limits", {"connections": 100})).limits.stream_places == 50
    assert load(tmp_path, put("limits", {"connections": 100, "streams": 99})).limits.stream_places == 99


def test_defaults_are_the_safe_ones(tmp_path: Path) -> None:
    found = load(tmp_path, put("tls.client_certificate", ...))
    assert found.tls.client_certificate == "none"
    assert not found.tls.orchestrators
    assert not found.tls.management_clients
    assert not found.origins
    assert found.eras == (Era.MODERN, Era.LEGACY)
    assert found.issuers[0].token_types == ("at+jwt",)
    assert found.issuers[0].roles.map == {}
    assert found.issuers[0].risk_claim is None
    assert found.limits == settings.Limits()
    assert not found.telemetry.otlp_endpoint
    assert found.egress == ()


def test_without_files_or_a_database_there_is_nothing_to_open(tmp_path: Path) -> None:
    found = load(tmp_path, lambda told: (told.pop("files"), told.pop("database")))
    assert (found.files, found.database) == (None, None)


@pytest.mark.parametrize(
    ("url", "otlp", "egress"),
    [
        ("sqlite:///x.db", "", ...),
        ("sqlite:///x.db", "", []),
        ("postgresql://db/x", "", ["db:5432"]),
        ("postgresql://me@DB.test:6432/x?sslmode=verify-full", "", ["other:1", "db.test:6432"]),
        ("postgresql://[2001:db8::7]/x", "", ["[2001:db8::7]:5432"]),
        ("sqlite:///x.db", "https://otel.test:4317", ["otel.test:4317"]),
        ("postgresql://127.0.0.1/x", "http://127.0.0.1:4317", ["127.0.0.1:4317", "127.0.0.1:5432"]),
    ],
)
def test_what_the_settings_name_may_be_reached_where_egress_lists_it(
    tmp_path: Path, url: str, otlp: str, egress: Any
) -> None:
    found = load(tmp_path, connecting(url, otlp, egress))
    assert found.destinations == frozenset([] if egress is ... else egress)


@pytest.mark.parametrize(
    ("url", "otlp", "egress", "line"),
    [
        ("postgresql://db/x", "", ..., '["db:5432"]'),
        ("postgresql://db/x", "", [], '["db:5432"]'),
        ("postgresql://db/x", "", ["db:5433", "xdb:5432", "db.test:5432"], '"db:5432"]'),
        ("postgresql://db/x?host=elsewhere&port=1", "", ["elsewhere:1"], '["elsewhere:1", "db:5432"]'),
        ("postgresql://db:6432/x", "", ["db:5432"], '["db:5432", "db:6432"]'),
        ("sqlite:///x.db", "https://otel.test:4317", ["otel.test:443"], '"otel.test:4317"]'),
        ("postgresql://db/x", "http://127.0.0.1:4317", ["a:1"], '["a:1", "db:5432", "127.0.0.1:4317"]'),
    ],
)
def test_a_destination_that_egress_lacks_is_told_with_the_line_to_write(
    tmp_path: Path, url: str, otlp: str, egress: Any, line: str
) -> None:
    with pytest.raises(ConfigError, match="egress: lacks") as caught:
        load(tmp_path, connecting(url, otlp, egress))
    assert f"{line}`" in str(caught.value)


def test_a_destination_may_say_in_which_networks_its_host_is_found(tmp_path: Path) -> None:
    inner = {"destination": "crm.tools.svc:8443", "networks": ["10.0.0.0/8", "fd12:3456::/32"]}
    found = load(tmp_path, put("egress", ["api.test:443", inner, "127.0.0.1:3000"]))
    assert [(entry.destination, entry.networks) for entry in found.egress] == [
        ("api.test:443", ()),
        ("crm.tools.svc:8443", ("10.0.0.0/8", "fd12:3456::/32")),
        ("127.0.0.1:3000", ()),
    ]
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, connecting("postgresql://db/x", "", [inner]))
    assert (
        '`egress: [{destination: "crm.tools.svc:8443", networks: ["10.0.0.0/8", "fd12:3456::/32"]}, "db:5432"]`'
        in str(caught.value)
    )


def test_the_assertions_keys_are_one_or_several_files(tmp_path: Path) -> None:
    for key, paths in (("own.key", ("own.key",)), (["new.key", "old.key"], ("new.key", "old.key"))):
        found = load(tmp_path, put("assertion", {"key": key, "issuer": "https://gate.test"}))
        assert found.assertion is not None
        assert found.assertion.key == tuple(tmp_path / path for path in paths)
        assert found.assertion.ttl_seconds == 60
    assert load(tmp_path).assertion is None


def test_the_folder_of_the_upstreams_counts_from_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, put("upstreams", "upstreams")).upstreams == tmp_path / "upstreams"
    assert load(tmp_path).upstreams is None


REFUSED: list[tuple[str, Any, str]] = [
    ("issuers", [], "no authenticator"),
    ("issuers", ..., "no authenticator"),
    ("issuers.0.algorithms", [], "algorithms"),
    ("issuers.0.algorithms", ..., "algorithms is missing"),
    ("issuers.0.algorithms", ["HS256"], "symmetric"),
    ("issuers.0.algorithms", ["ES256", "HS512"], "symmetric"),
    ("issuers.0.algorithms", ["none"], "no signature"),
    ("issuers.0.algorithms", ["None"], "no signature"),
    ("issuers.0.algorithms", ["ES256K"], "ES256K"),
    ("issuers.0.algorithms", ["es256"], "es256"),
    ("issuers.0.orgs", [], "orgs"),
    ("issuers.0.orgs", ..., "orgs is missing"),
    ("issuers.0.orgs", [""], "orgs"),
    ("issuers.0.orgs", "all", "orgs"),
    ("issuers.0.token_types", [], "token_types"),
    ("issuers.0.leeway_seconds", 61, "leeway_seconds"),
    ("issuers.0.leeway_seconds", -1, "leeway_seconds"),
    ("issuers.0.leeway_seconds", "30", "leeway_seconds"),
    ("issuers.0.name", "a b", "name"),
    ("issuers.0.issuer", "http://issuer.test", "not https"),
    ("issuers.0.issuer", "issuer", "URI"),
    ("issuers", [ISSUER, {**ISSUER, "issuer": "https://b.test"}], "issuer name 'laptop'"),
    ("issuers", [ISSUER, {**ISSUER, "name": "b"}], "stands there twice"),
    ("issuers.0.secret", "x", "unknown key"),
    ("resource", "http://gate.test/mcp", "not https"),
    ("resource", "https://gate.test/mcp#a", "fragment"),
    ("resource", "https://gate.test/mcp#", "fragment"),
    ("resource", "https://gate.test/mcp?a=b", "query"),
    ("resource", "https://me@gate.test/mcp", "user"),
    ("resource", "/mcp", "absolute"),
    ("resource", 'https://gate.test/"x', "absolute"),
    ("resource", "https://gate.test/\r\nx: y", "absolute"),
    ("resource", "https://gate.test:99999/mcp", "URI"),
    ("resource", "ftp://localhost/mcp", "not https"),
    ("listen", "localhost", "IP address and a port"),
    ("listen", "gate.test:1", "IP address and a port"),
    ("listen", "127.0.0.1:65536", "port"),
    ("pdp.address", "10.0.0.1:7351", "loopback"),
    ("pdp.address", "0.0.0.0:7351", "loopback"),
    ("pdp.address", "unix:relative", "unix"),
    ("pdp.deadline_ms", 0, "deadline_ms"),
    ("tls.client_certificate", "required", "lets nobody in"),
    ("tls.client_certificate", "sometimes", "client_certificate"),
    ("tls.client_ca", ..., "needs client_ca"),
    ("tls", {"certificate": "c", "key": "k", "management_clients": [{"dns": "a.test"}]}, "client_ca"),
    ("tls", {"certificate": "c", "key": "k", "orchestrators": [NAMED]}, "known by certificate"),
    ("tls.orchestrators", [{}], "exactly one of"),
    ("tls.orchestrators", [{"spiffe": "spiffe://a/b", "dns": "a.test"}], "exactly one of"),
    ("tls.orchestrators", [{"spiffe": "spiffe://a/*"}], "SPIFFE"),
    ("tls.orchestrators", [{"spiffe": "spiffe://a"}], "SPIFFE"),
    ("tls.orchestrators", [{"spiffe": "https://a/b"}], "SPIFFE"),
    ("tls.orchestrators", [{"dns": "*.test"}], "wildcards"),
    ("tls.orchestrators", [{"dns": "A.test"}], "lower case"),
    ("tls.orchestrators", [{"dns": "a.test"}, {"dns": "a.test"}], "twice"),
    ("tls.orchestrators", [{"dns": "a.test", "forward_identity": {"orgs": [], "issuer": "g"}}], "orgs"),
    ("tls.orchestrators", [{"dns": "a.test", "forward_identity": {"orgs": ["a"], "issuer": "laptop"}}], "'laptop'"),
    ("tls.management_clients", [{"dns": "a.test", "forward_identity": {"orgs": ["a"], "issuer": "g"}}], "unknown key"),
    ("database.url", "postgresql://me:hunter2@db/x", "password"),
    ("database.url", "postgresql://db/x?password=hunter2", "password"),
    ("database.url", "mysql://db/x", "sqlite"),
    ("database.url", "postgresql://a,b/x", "no host"),
    ("database.url", "postgresql://a:1,b:2/x", "no single host and port"),
    ("database.url", "postgresql:///x?host=db", "no host"),
    ("database.url", "postgresql://127.1/x", "no host"),
    ("egress", "db:5432", "egress"),
    ("egress", ["db"], "no port"),
    ("egress", ["*:443"], "no wildcard"),
    ("egress", ["*.example:443"], "no wildcard"),
    ("egress", ["0.0.0.0:443"], "no address of one host"),
    ("egress", ["0.0.0.0/0:443"], "no network"),
    ("egress", ["DB:5432"], "lower case"),
    ("egress", ["::1:5432"], "write [::1]"),
    ("egress", ["db:5432", "db:5432"], "stands there twice"),
    ("egress", ["db:5432", {"destination": "db:5432", "networks": ["10.0.0.0/8"]}], "stands there twice"),
    ("egress", [{"destination": "DB:5432"}], "lower case"),
    ("egress", [{"networks": ["10.0.0.0/8"]}], "destination is missing"),
    ("egress", [{"destination": "db:5432", "network": ["10.0.0.0/8"]}], "did you mean 'networks'"),
    ("egress", [{"destination": "db:5432", "networks": {"10.0.0.0/8": 1}}], "networks"),
    ("egress", [{"destination": "db:5432", "networks": ["10.0.0.1/8"]}], "no network"),
    ("egress", [{"destination": "db:5432", "networks": ["all"]}], "no network"),
    ("egress", [{"destination": "db:5432", "networks": ["10.0.0.0/255.0.0.0"]}], "write 10.0.0.0/8"),
    ("egress", [{"destination": "db:5432", "networks": ["FD12::/32"]}], "write fd12::/32"),
    ("egress", [{"destination": "db:5432", "networks": ["0.0.0.0/0"]}], "wider than /8"),
    ("egress", [{"destination": "db:5432", "networks": ["::/0"]}], "wider than /8"),
    ("egress", [{"destination": "db:5432", "networks": ["169.254.169.254/32"]}], "link-local"),
    ("egress", [{"destination": "db:5432", "networks": ["fe80::/64"]}], "link-local"),
    ("egress", [{"destination": "db:5432", "networks": ["100.100.100.200"]}], "write 100.100.100.200/32"),
    ("egress", [{"destination": "db:5432", "networks": ["100.100.100.200/32"]}], "metadata service"),
    ("egress", [{"destination": "10.0.0.7:5432", "networks": ["10.0.0.0/8"]}], "networks are for names"),
    ("egress", [{"destination": "[::1]:5432", "networks": ["::1/128"]}], "networks are for names"),
    ("egress", [{"destination": "localhost:5432", "networks": ["10.0.0.0/8"]}], "networks are for names"),
    ("assertion", {"issuer": "https://gate.test"}, "key is missing"),
    ("assertion", {"key": "own.key"}, "issuer is missing"),
    ("assertion", {"key": [], "issuer": "https://gate.test"}, "at least 1"),
    ("assertion", {"key": "own.key", "issuer": "http://gate.test"}, "not https"),
    ("assertion", {"key": "own.key", "issuer": "https://gate.test", "ttl_seconds": 61}, "less than or equal to 60"),
    ("assertion", {"key": "own.key", "issuer": "https://gate.test", "ttl_seconds": 0}, "greater than or equal to 1"),
    ("assertion", {"key": "own.key", "issuer": "https://issuer.sallyport.test"}, "stands there twice"),
    ("eras", [], "eras"),
    ("eras", ["2024-11-05"], "eras"),
    ("origins", ["*"], "origins"),
    ("origins", ["null"], "origins"),
    ("origins", ["https://a.test/"], "origin"),
    ("origins", ["https://A.test"], "lower case"),
    ("limits", {"body_bytes": 0}, "body_bytes"),
    ("limits", {"body_bytes": 1 << 40}, "body_bytes"),
    ("limits", {"receive_seconds": -1}, "receive_seconds"),
    ("limits", {"json_depth": 100000}, "json_depth"),
    ("limits", {"connections": True}, "connections"),
    ("limits", {"connections": 16, "streams": 16}, "leaves none for calls"),
    ("limits", {"streams_per_caller": 0}, "streams_per_caller"),
    ("telemetry", {"otlp_endpoint": "file:///x"}, "otlp"),
    ("telemetry", {"otlp_endpoint": "https://me:hunter2@otel.test"}, "otlp"),
    ("telemetry", {"otlp_endpoint": "https://otel.test"}, "no port"),
    ("issuer", [], "did you mean 'issuers'"),
]


@pytest.mark.parametrize(("path", "value", "why"), REFUSED, ids=range(len(REFUSED)))
def test_n5_a_file_that_would_leave_the_gate_open_is_refused(tmp_path: Path, path: str, value: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=r"pep\.yaml") as caught:
        load(tmp_path, put(path, value))
    assert why in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_orchestrator_that_forwards_identity_is_an_authenticator(tmp_path: Path) -> None:
    def change(told: dict[str, Any]) -> None:
        told["issuers"] = []
        told["tls"]["orchestrators"] = [NAMED, {"dns": "b.test"}]

    found = load(tmp_path, change)
    assert [peer.forward_identity is not None for peer in found.tls.orchestrators] == [True, False]


def test_plain_http_is_for_loopback_resources_only(tmp_path: Path) -> None:
    for resource in ("http://127.0.0.1:8443/mcp", "http://localhost/mcp", "http://[::1]:1/mcp"):
        assert load(tmp_path, put("resource", resource)).resource == resource


def test_n7_each_of_the_required_settings_must_be_there(tmp_path: Path) -> None:
    for name in ("listen", "management", "resource", "tls", "pdp", "policies", "audit"):
        with pytest.raises(ConfigError, match=f"{name} is missing"):
            load(tmp_path, put(name, ...))
    for path in ("tls.certificate", "tls.key", "pdp.hop_key", "audit.signing_key", "audit.masking_key"):
        with pytest.raises(ConfigError, match=f"{path} is missing"):
            load(tmp_path, put(path, ...))


def test_nothing_changes_after_the_start(tmp_path: Path) -> None:
    found = load(tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        found.resource = "https://other.test/mcp"  # type: ignore[misc]
