"""`sallyport up` with the real services."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import ssl
import stat
import time
from pathlib import Path

import httpx2
import pytest

from sallyport.cli import ports
from tests.support.bridge import alive
from tests.support.laptop import PATIENCE, Up, cli, here, init, patient, sallyport, start, token, up  # noqa: F401 — a fixture

LOOPBACK = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")


def until_gone(*pids: int) -> None:
    """Wait, without polling, for processes that aren't our children."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            ended, _, _ = select.select([descriptor], [], [], PATIENCE)
        finally:
            os.close(descriptor)
        assert ended, f"{pid} outlived its parent"


def listening(pid: int) -> set[str]:
    """Local addresses, in the kernel's hexadecimal, on which this process listens (TCP) or receives (UDP)."""
    sockets: set[str] = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the process goes on with its work, and closes files
            sockets.add(str(entry.readlink()))
    found: set[str] = set()
    for table, states in (("tcp", {"0A"}), ("tcp6", {"0A"}), ("udp", {"07"}), ("udp6", {"07"})):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] in states and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1])
    return found


def test_endpoint_json_says_where_everything_is(sallyport: Up) -> None:  # noqa: F811
    path = sallyport.directory / "run" / "endpoint.json"
    document = json.loads(path.read_bytes())
    assert set(document) == {"mcp_url", "management_url", "pdp_address", "ca_file", "pids"}
    assert set(document["pids"]) == {"pep", "pdp"}
    assert document["mcp_url"].startswith("https://127.0.0.1:")
    assert document["mcp_url"].endswith("/mcp")
    assert Path(document["ca_file"]).is_absolute()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all(map(alive, document["pids"].values()))
    assert warnings(sallyport) == []


def warnings(running: Up) -> list[str]:
    """But for that of a start which takes long, as it may on a busy machine."""
    lines = "".join(running.said).splitlines()
    return [line for line in lines if "warning" in line and "not ready, every call is refused: " not in line]


def test_nothing_listens_beyond_loopback(sallyport: Up) -> None:  # noqa: F811
    endpoint = sallyport.endpoint
    addresses = {pid: listening(pid) for pid in (endpoint.pep, endpoint.pdp)}
    assert len(addresses[endpoint.pep]) == 2
    assert len(addresses[endpoint.pdp]) == 2
    beyond = {entry for found in addresses.values() for entry in found if entry.split(":")[0] not in LOOPBACK}
    assert not beyond


def secrets_of(directory: Path) -> list[bytes]:
    names = ("ca/ca.key", "server/tls.key", "issuer/signing.key", "audit/signing.key", "audit/masking.key")
    found = []
    for name in names:
        text = (directory / "pki" / name).read_bytes()
        found += [line for line in text.splitlines() if len(line) > 20 and not line.startswith(b"-----")]
    hop = (directory / "run" / "hop.key").read_bytes()
    return [*found, hop.strip(), hop.hex().encode()]


def test_n7_no_secret_in_arguments_environment_logs_or_audit(
    sallyport: Up,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = sallyport.directory
    bearer = token(directory)
    assert here("call", directory, "--as", "alice/coding-bot", "read_file", "path=alice/notes.txt").returncode == 0
    secrets = secrets_of(directory)
    assert len(secrets) >= 7
    endpoint = sallyport.endpoint
    places = {
        f"{pid}/{what}": Path(f"/proc/{pid}/{what}").read_bytes()
        for pid in (endpoint.pep, endpoint.pdp)
        for what in ("cmdline", "environ")
    }
    files = [directory / "run" / name for name in ("pep.log", "pdp.log", "endpoint.json")]
    places |= {path.name: path.read_bytes() for path in [*files, *directory.glob("audit/*/*.jsonl")]}
    leaks = {(place, secret[:6]) for place, data in places.items() for secret in secrets if secret in data}
    assert not leaks
    signature = bearer.rsplit(".", 1)[0].encode().split(b".")[0]  # the header is the same in every token of this key
    assert not [place for place, data in places.items() if signature in data]


def test_a_second_up_on_the_same_directory_is_refused(sallyport: Up) -> None:  # noqa: F811
    run = cli("up", sallyport.directory, "--port", "0")
    assert run.returncode == 2
    assert "another `sallyport up`" in run.stderr
    assert alive(sallyport.endpoint.pep)
    assert (sallyport.directory / "run" / "endpoint.json").exists()


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return patient(init(tmp_path / "laptop"))


def test_plain_http_is_served_on_loopback_and_sigterm_stops_it_cleanly(fresh: Path) -> None:
    with up(fresh, "--plain-http") as running:
        endpoint = running.endpoint
        assert endpoint.mcp_url.startswith("http://127.0.0.1:")
        running.ready()
        assert permitted(fresh)
        assert running.stop(signal.SIGTERM) == 0
    assert not alive(endpoint.pep)
    assert not alive(endpoint.pdp)
    assert not (fresh / "run" / "endpoint.json").exists()
    assert here("audit", "verify", fresh).returncode == 0


def test_a_dead_child_comes_back_and_endpoint_json_says_so(fresh: Path) -> None:
    with up(fresh) as running:
        before = running.endpoint
        os.kill(before.pdp, signal.SIGKILL)
        running.until("starting it again")
        running.until("Ctrl-C stops both")
        after = running.endpoint
        assert (after.pep, after.mcp_url, after.pdp_address) == (before.pep, before.mcp_url, before.pdp_address)
        assert after.pdp != before.pdp
        until_permitted(fresh)
        os.kill(after.pep, signal.SIGKILL)
        running.until("Ctrl-C stops both")
        assert running.endpoint.pep != after.pep
        assert running.endpoint.mcp_url == before.mcp_url
        until_permitted(fresh)


def until_permitted(directory: Path) -> None:
    """The PEP finds a PDP that is back when it dials it next."""
    deadline = time.monotonic() + PATIENCE
    while not permitted(directory):
        assert time.monotonic() < deadline, "no call is permitted again"


def permitted(directory: Path) -> bool:
    return here("call", directory, "--as", "alice/coding-bot", "read_file", "path=alice/notes.txt").returncode == 0


def test_without_restart_a_dead_pdp_stays_dead_and_every_call_is_refused(fresh: Path) -> None:
    with up(fresh, "--no-restart") as running:
        endpoint = running.endpoint
        os.kill(endpoint.pdp, signal.SIGKILL)
        running.until("stays so")
        run = here("call", fresh, "--as", "alice/coding-bot", "read_file", "path=alice/notes.txt")
        assert run.returncode == 4
        assert "authorization unavailable" in run.stderr
        assert running.endpoint == endpoint
        assert alive(endpoint.pep)


def test_children_die_with_a_parent_that_was_killed(fresh: Path) -> None:
    with up(fresh) as running:
        endpoint = running.endpoint
        running.process.kill()
        until_gone(endpoint.pep, endpoint.pdp)


def test_a_taken_default_port_is_replaced_and_said(fresh: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        config = fresh / "pep.yaml"
        config.write_text(config.read_text().replace("listen: 127.0.0.1:8443", f"listen: 127.0.0.1:{taken}"))
        run = cli("up", fresh, "--port", str(taken))
        assert (run.returncode, "is taken" in run.stderr) == (4, True)
        running = start(fresh, "--no-restart", port=None)
        try:
            running.until(f"port {taken} of pep.yaml is taken")
            running.until("Ctrl-C stops both")
            assert f":{taken}/" not in running.endpoint.mcp_url
        finally:
            running.stop()


def test_every_port_that_the_files_name_is_used_if_it_is_free(fresh: Path) -> None:
    taken: set[int] = set()
    mcp, management, pdp, health = (ports.free(taken) for _ in range(4))
    named = {"8443": mcp, "8444": management, "7351": pdp, "7352": health}
    for config in (fresh / "pep.yaml", fresh / "pdp.yaml"):
        text = config.read_text()
        for before, after in named.items():
            text = text.replace(f": 127.0.0.1:{before}", f": 127.0.0.1:{after}")
        config.write_text(text)
    with socket.create_server(("127.0.0.1", management)):
        running = start(fresh, "--no-restart", port=None)
        try:
            running.until(f"port {management} of pep.yaml (management) is taken, taking ")
            running.until("Ctrl-C stops both")
            found = running.endpoint
        finally:
            running.stop()
    assert (found.mcp_url, found.pdp_address) == (f"https://127.0.0.1:{mcp}/mcp", f"127.0.0.1:{pdp}")
    assert f":{management}" not in found.management_url
    assert len(warnings(running)) == 1


def test_up_says_what_tokens_must_be_for(sallyport: Up) -> None:  # noqa: F811
    (line,) = [line for line in sallyport.said if "audience" in line]
    assert "https://localhost:8443/mcp" in line
    assert "`resource` in pep.yaml" in line


def test_what_the_metadata_says_is_what_a_client_dials(sallyport: Up) -> None:  # noqa: F811
    found = sallyport.endpoint
    trust = ssl.create_default_context(cafile=found.ca_file)
    with httpx2.Client(verify=trust, trust_env=False, timeout=PATIENCE) as http:
        refused = http.post(found.mcp_url, json={})
        where = refused.headers["www-authenticate"].partition('resource_metadata="')[2].rstrip('"')
        assert http.get(where).json()["resource"] == found.mcp_url


def test_a_broken_configuration_ends_up_with_file_line_and_advice(fresh: Path) -> None:
    config = fresh / "pdp.yaml"
    config.write_text(config.read_text().replace("hop_key:", "hop_keys:"))
    run = cli("up", fresh, "--port", "0")
    assert run.returncode == 1
    assert "hop_key" in run.stderr
    assert "pdp.yaml:" in run.stderr
    assert "next:" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (fresh / "run" / "endpoint.json").exists()


def test_a_broken_policy_set_is_up_but_not_ready_and_says_why(fresh: Path) -> None:
    (fresh / "policies" / "files.cedar").write_text("permit (principal, action, ")
    with up(fresh) as running:
        said = "".join(running.said)
        assert "not ready" in said
        assert "policy check" in said
        run = here("call", fresh, "--as", "alice/coding-bot", "read_file", "path=alice/notes.txt")
        assert run.returncode == 4
    assert here("policy", "check", fresh).returncode == 2
