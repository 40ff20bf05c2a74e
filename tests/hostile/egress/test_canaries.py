"""Canaries listen on every loopback address of both kinds; lists of server-side request forgery must reach none."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import aiohttp
import pytest

from sallyport.pep.egress import Egress, EgressRefused
from sallyport.pep.settings import EgressEntry
from tests.support.attacks import addresses
from tests.support.attacks import urls as own
from tests.support.attacks.lists import PAYLOADS, both

PAGES = ("server-side-request-forgery_readme.md", "open-redirect_intruder_open-redirect-payloads.txt")
TLS = ssl.create_default_context()
of_each_list = pytest.mark.parametrize("source", both(PAYLOADS))
# A connection that is tried must arrive at the canary, and not be stopped by the tests' own guard.
pytestmark = pytest.mark.allow_hosts(["127.0.0.0/8", "0.0.0.0/8", "::1", "::", "::ffff:0:0/96"])

HERE = [
    "127.0.0.1", "127.0.0.2", "127.1.1.1", "127.127.127.127", "127.255.255.254", "0.0.0.0", "0.0.0.1", "::1", "::",
    "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:0.0.0.0", "::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::",
]  # fmt: skip
ELSEWHERE = [
    "169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "10.0.0.1", "172.16.0.1", "192.168.0.1",
    "100.64.0.1", "fd00::1", "fe80::1", "64:ff9b::a9fe:a9fe", "::ffff:169.254.169.254", "198.18.0.1", "240.0.0.1",
]  # fmt: skip


class Canaries:
    """One port on all addresses of this machine. Whoever connects waits in the queue until he is counted."""

    def __init__(self, stack: ExitStack) -> None:
        for _ in range(8):  # the port must be free for both
            four = socket.create_server(("0.0.0.0", 0))
            self.port: int = four.getsockname()[1]
            try:
                six = socket.create_server(("::", self.port), family=socket.AF_INET6)
            except OSError:
                four.close()
                continue
            break
        self._listeners = [stack.enter_context(four), stack.enter_context(six)]
        for each in self._listeners:
            each.setblocking(False)

    def connects(self) -> int:
        count = 0
        for each in self._listeners:
            while True:
                try:
                    each.accept()[0].close()
                except BlockingIOError:
                    break
                count += 1
        return count


@pytest.fixture
def canaries() -> Iterator[Canaries]:
    with ExitStack() as stack:
        yield Canaries(stack)


def urls(source: str) -> list[str]:
    """Our own; or the public ones, as they stand in the pages, and whatever there looks like one."""
    if source == "own":
        return own.urls()
    found: set[str] = set()
    for page in PAGES:
        text = (PAYLOADS / page).read_text()
        found |= {line.strip() for line in text.splitlines()}
        found |= set(re.findall(r"[a-z0-9]+:/*[^\s`)\]]+", text))
    return sorted(found)


def hosts(source: str) -> list[str]:
    """Every spelling of an inner address; or whatever stands in public URLs where some parser sees a host."""
    if source == "own":
        return [*addresses.everywhere(), *addresses.NAMES]
    cut = re.compile(r"[/@\\#?&;= ]|:\d+(?![\d.:])|%40|%2f", re.IGNORECASE)
    bare = {part.strip("[]!") for url in urls(source) for part in cut.split(url)} - {""}
    return sorted(one for one in bare if not _in_the_world(one))


async def tried(gate: Egress, url: str, seconds: float = 30) -> None:
    tls = TLS if url.startswith("https") else None
    async with aiohttp.ClientSession(connector=gate.connector(url, tls=tls, limit=1, seconds=seconds)) as session:
        await session.get(url)


def entry(canaries: Canaries, *networks: str) -> EgressEntry:
    return EgressEntry(destination=f"crm.test:{canaries.port}", networks=networks)


async def test_the_canaries_sing(canaries: Canaries) -> None:
    """Otherwise the rest would show nothing."""
    for address in ("127.0.0.1", "127.127.127.127", "0.0.0.0", "::1", "::ffff:127.0.0.1"):
        with socket.create_connection((address, canaries.port)):
            pass
    assert canaries.connects() == 5


@of_each_list
async def test_n19_no_url_of_the_lists_leads_out(canaries: Canaries, source: str) -> None:
    """Neither as it stands nor led to the canaries' port; the resolver would say anything."""
    gate = Egress([entry(canaries, "127.0.0.0/8")], lookup=lambda _host, _port: ["127.0.0.1"])
    listed = urls(source)
    assert len(listed) > 400
    for url in listed:
        for variant in (url, re.sub(r":(80|443|22|11211|11111|25)\b", f":{canaries.port}", url)):
            with pytest.raises(EgressRefused):
                await tried(gate, variant)
    assert canaries.connects() == 0


@of_each_list
async def test_n19_no_name_of_the_lists_leads_home_even_if_it_is_listed(canaries: Canaries, source: str) -> None:
    names = {name for url in urls(source) for name in re.findall(r"https?://([a-z][a-z0-9.-]*[a-z])(?=[:/?#]|$)", url)}
    assert len(names - {"localhost"}) > 10
    for name in names - {"localhost"}:
        listed = EgressEntry(destination=f"{name}:{canaries.port}")
        gate = Egress([listed], lookup=lambda _host, _port: ["127.0.0.1"])
        with pytest.raises(EgressRefused, match="resolves to"):
            await tried(gate, f"https://{name}:{canaries.port}/")
    assert canaries.connects() == 0


@of_each_list
async def test_n19_no_host_of_the_lists_is_believed_as_an_answer(canaries: Canaries, source: str) -> None:
    """A resolver that lies may answer in any spelling that a system would still take for an address."""
    answers = hosts(source)
    assert {"127.0.0.1", "0177.0.0.1", "2130706433", "::ffff:127.0.0.1"} <= set(answers)
    for answer in answers:
        gate = Egress([entry(canaries)], lookup=lambda _host, _port, answer=answer: [answer])  # type: ignore[misc]
        with pytest.raises(EgressRefused):
            await tried(gate, f"https://crm.test:{canaries.port}/")
    assert canaries.connects() == 0


@pytest.mark.parametrize("address", HERE + ELSEWHERE)
async def test_n19_no_name_leads_to_an_inner_address_alone_or_among_others(canaries: Canaries, address: str) -> None:
    for answer in ([address], ["8.8.8.8", address], [address, "8.8.8.8"]):
        gate = Egress([entry(canaries)], lookup=lambda _host, _port, answer=answer: answer)  # type: ignore[misc]
        with pytest.raises(EgressRefused):
            await tried(gate, f"https://crm.test:{canaries.port}/")
    assert canaries.connects() == 0


@pytest.mark.parametrize("address", [*HERE[1:], *ELSEWHERE])
async def test_n19_a_listed_network_opens_itself_and_nothing_beside_it(canaries: Canaries, address: str) -> None:
    gate = Egress([entry(canaries, "127.0.0.1/32")], lookup=lambda _host, _port: ["127.0.0.1", address])
    with pytest.raises(EgressRefused):
        await tried(gate, f"https://crm.test:{canaries.port}/")
    assert canaries.connects() == 0


async def test_n19_a_name_that_turns_to_another_address_of_this_machine_reaches_nothing(canaries: Canaries) -> None:
    """Rebinding: what was fine at the first look leads home at the second."""
    answers = iter([["127.0.0.1"], *[["127.0.0.2"]] * 9])
    asked: list[str] = []

    def turning(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    gate = Egress([entry(canaries, "127.0.0.1/32")], lookup=turning)
    with pytest.raises((aiohttp.ClientError, TimeoutError)):  # a canary speaks no TLS
        await tried(gate, f"https://crm.test:{canaries.port}/", 2)
    assert (len(asked), canaries.connects()) == (1, 1)
    for _ in range(3):
        with pytest.raises(EgressRefused):
            await tried(gate, f"https://crm.test:{canaries.port}/")
    assert (len(asked), canaries.connects()) == (4, 0)


@pytest.mark.parametrize("literal", ["127.0.0.1", "[::1]"])
async def test_n19_a_listed_literal_opens_its_own_port_only(canaries: Canaries, literal: str) -> None:
    gate = Egress([EgressEntry(destination=f"{literal}:1")])
    with pytest.raises(EgressRefused):
        await tried(gate, f"http://{literal}:{canaries.port}/")
    with pytest.raises(aiohttp.ClientConnectorError):
        await tried(gate, f"http://{literal}:1/")
    assert canaries.connects() == 0


def _in_the_world(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False
