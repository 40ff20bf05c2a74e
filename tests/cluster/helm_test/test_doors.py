"""What the probe of `helm test` tells apart, by real sockets: it needs no cluster."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROBE = Path(__file__).resolve().parents[3] / "deploy/helm/sallyport/files/tests"
_KNOCK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from doors import Door, knock
answers = [knock(Door(host, port, "", bytes.fromhex(question)), 0.5) for host, port, question in json.loads(sys.argv[2])]
print(json.dumps([answer.state for answer in answers]))
"""
_REJECTING = """
ip link set lo up
iptables -A INPUT -p tcp --dport 81 -j REJECT
iptables -A INPUT -p tcp --dport 82 -j REJECT --reject-with icmp-admin-prohibited
iptables -A INPUT -p tcp --dport 83 -j DROP
exec "$@"
"""


def knocked(*doors: tuple[str, int, str], within: tuple[str, ...] = ()) -> list[str]:
    """In a Python of its own, as in the pods."""
    command = [*within, sys.executable, "-I", "-c", _KNOCK, str(PROBE), json.dumps(doors)]
    said: list[str] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return said


@contextmanager
def listening(kind: socket.SocketKind = socket.SOCK_STREAM, backlog: int = 8) -> Iterator[tuple[socket.socket, int]]:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            sock.listen(backlog)
        yield sock, sock.getsockname()[1]


def test_who_accepts_is_open() -> None:
    with listening() as (_, port):
        assert knocked(("127.0.0.1", port, "")) == ["open"]


def test_a_reset_shows_that_the_packet_got_there() -> None:
    with socket.socket() as sock:
        # Held, though nobody listens: a port that is free might be given to another's listener.
        sock.bind(("127.0.0.1", 0))
        assert knocked(("127.0.0.1", sock.getsockname()[1], "")) == ["refused"]


def test_silence_is_closed_by_tcp() -> None:
    with listening(backlog=0) as (_, port), socket.create_connection(("127.0.0.1", port)):
        assert knocked(("127.0.0.1", port, "")) == ["closed"]


def test_silence_is_closed_by_udp() -> None:
    with listening(socket.SOCK_DGRAM) as (_, port):
        assert knocked(("127.0.0.1", port, "00")) == ["closed"]


def test_a_name_that_is_not_known_is_neither_open_nor_closed() -> None:
    assert knocked(("too-long." * 40, 1, "")) == ["unknown"]


def test_an_address_without_a_way_is_closed() -> None:
    assert knocked(("255.255.255.255", 1, "")) == ["closed"]


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("iptables"), reason="needs root and iptables, for a network of its own"
)
def test_a_firewalls_refusal_is_closed_and_a_hosts_is_not() -> None:
    """Some networks enforce policies by REJECT, which connect() reports as it does a reset."""
    apart = ("unshare", "--net", "sh", "-euc", _REJECTING, "sh")
    doors: list[Any] = [("127.0.0.1", port, "") for port in (80, 81, 82, 83)]
    assert knocked(*doors, within=apart) == ["refused", "closed", "closed", "closed"]
