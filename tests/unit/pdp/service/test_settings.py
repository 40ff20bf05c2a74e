"""pdp.yaml: strict, and never off loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from sallyport.pdp import settings
from sallyport.runtime import addresses
from sallyport.runtime.problems import ConfigError

GOOD = """\
listen: 127.0.0.1:7351
health: 127.0.0.1:7352
policies: policies
hop_key: run/hop.key
audit: {directory: audit, signing_key: pki/audit/signing.key, masking_key: pki/audit/masking.key}
limits: {deadline_ms: 500, concurrency: 1024, message_bytes: 1310720}
telemetry: {otlp_endpoint: ""}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pdp.yaml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    chosen = settings.load(write(tmp_path, GOOD))
    assert (chosen.policies, chosen.hop_key) == (tmp_path / "policies", tmp_path / "run" / "hop.key")
    assert (chosen.listen, chosen.limits.concurrency) == ("127.0.0.1:7351", 1024)


def test_an_address_of_the_command_line_stands_before_the_files(tmp_path: Path) -> None:
    chosen = settings.load(write(tmp_path, GOOD), listen="[::1]:1", health="0.0.0.0:2")
    assert (chosen.listen, chosen.health) == ("[::1]:1", "0.0.0.0:2")
    with pytest.raises(ValueError, match="not on loopback"):
        settings.load(write(tmp_path, GOOD), listen="0.0.0.0:1")


@pytest.mark.parametrize("address", ["127.0.0.1:7351", "127.8.8.8:0", "[::1]:7351", "unix:/run/sallyport/pdp.sock"])
def test_loopback_and_unix_sockets_are_taken_as_they_are(address: str) -> None:
    assert addresses.same_machine(address) == address


def test_localhost_is_never_looked_up() -> None:
    assert addresses.same_machine("localhost:1") == "127.0.0.1:1"


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0:7351",
        "[::]:7351",
        "10.0.0.1:7351",
        "169.254.169.254:7351",
        "example.org:7351",
        "127.0.0.1.example.org:7351",
        "127.1:7351",
        "2130706433:7351",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:\uff11",
        ":7351",
        "*:7351",
        "",
        "dns:127.0.0.1:7351",
        "unix:relative.sock",
        "unix-abstract:pdp",
        "unix:",
        "unix:/" + "a" * 107,
        "unix:/a\0b",
        "vsock:1:1",
    ],
)
def test_the_pdp_listens_nowhere_but_on_loopback(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1|unix"):
        addresses.same_machine(address)


@pytest.mark.parametrize("address", ["0.0.0.0:7352", "[::]:7352", "10.1.2.3:7352"])
def test_health_may_answer_the_kubelet_on_the_pods_address(address: str) -> None:
    assert addresses.network(address) == address


def test_every_fault_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    text = GOOD.replace("127.0.0.1:7351", "0.0.0.0:7351").replace("hop_key", "hop_keys").replace("500", "0")
    with pytest.raises(ConfigError) as caught:
        settings.load(write(tmp_path, text))
    told = str(caught.value)
    assert "pdp.yaml:1:" in told
    assert "not on loopback" in told
    assert "did you mean 'hop_key'?" in told
    assert "deadline_ms" in told


@pytest.mark.parametrize("name", ["listen", "health", "policies", "hop_key"])
def test_nothing_that_matters_has_a_default(tmp_path: Path, name: str) -> None:
    lines = [line for line in GOOD.splitlines() if not line.startswith(name)]
    with pytest.raises(ConfigError, match=name):
        settings.load(write(tmp_path, "\n".join(lines)))


def test_a_missing_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sallyport init"):
        settings.load(tmp_path / "pdp.yaml")
