"""Which addresses a destination may have, and in which single way its URL is written."""

from __future__ import annotations

import ipaddress
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.pep.egress import Egress, EgressRefused
from sallyport.pep.egress.allowed import Allowed, destination_of
from sallyport.pep.settings import EgressEntry

LISTED = ("crm.test:443", "crm.test:8443", "127.0.0.1:80", "127.0.0.1:443", "[::1]:443", "localhost:80")
NOWHERE = [
    "127.0.0.1", "127.255.255.254", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "192.0.0.1", "198.18.0.1",
    "192.0.2.7", "198.51.100.7", "203.0.113.7", "192.88.99.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "::", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:db8::1",
    "3fff::1", "fc00::1", "fd12:3456::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::1", "fe80::1%lo",
    "fec0::1", "ff02::1", "100::1", "5f00::1", "4000::1", "2a00:1450::5efe:7f00:1", "2a00:1450::1%eth0",
]  # fmt: skip
WORLD = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "198.20.0.1", "2606:4700::1111", "2a00:1450:4001::8a"]


def allowed(destination: str = "crm.test:443", *networks: str) -> Allowed:
    return Allowed.of(EgressEntry(destination=destination, networks=networks))


@pytest.mark.parametrize("address", NOWHERE)
def test_n19_a_name_leads_to_no_inner_reserved_or_hidden_address(address: str) -> None:
    assert allowed().refuses(address)


@pytest.mark.parametrize("address", WORLD)
def test_a_name_leads_into_the_world(address: str) -> None:
    assert allowed().refuses(address) == ""


@given(st.ip_addresses())
def test_n19_whatever_is_not_globally_reachable_is_refused(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not address.is_global or address.is_multicast:
        assert allowed().refuses(str(address))


@pytest.mark.parametrize(
    "text", ["", "localhost", "0x7f000001", "2130706433", "127.1", "0177.0.0.1", "\u0661\u0662\u0667.0.0.1"]
)
def test_n19_what_is_no_address_is_refused(text: str) -> None:
    assert allowed().refuses(text) == "is no address"


def test_listed_networks_are_where_the_addresses_must_lie() -> None:
    inner = allowed("crm.test:443", "10.0.0.0/8", "fd12::/16")
    assert [inner.refuses(address) for address in ("10.1.2.3", "fd12::7")] == ["", ""]
    for address in ("8.8.8.8", "11.0.0.1", "192.168.0.1", "fd13::7", "127.0.0.1", "::ffff:10.0.0.1"):
        assert inner.refuses(address)


@pytest.mark.parametrize(
    ("network", "address", "beside"),
    [
        ("100.0.0.0/8", "100.100.100.200", "100.100.100.201"),
        ("168.0.0.0/8", "168.63.129.16", "168.63.129.17"),
        ("169.0.0.0/8", "169.254.169.254", "169.253.0.1"),
        ("fd00::/8", "fd00:ec2::254", "fd00:ec2::255"),
        ("fd00::/8", "fd00:ec2::23", "fd00:ec2::24"),
    ],
)
def test_n19_no_network_allows_a_metadata_service(network: str, address: str, beside: str) -> None:
    listed = allowed("crm.test:443", network)
    assert listed.refuses(address)
    assert listed.refuses(beside) == ""


def test_an_address_is_where_it_is_and_localhost_is_here() -> None:
    literal, here = allowed("10.0.0.7:443"), allowed("localhost:80")
    assert (literal.refuses("10.0.0.7"), here.refuses("127.0.0.1"), here.refuses("::1")) == ("", "", "")
    assert literal.refuses("10.0.0.8")
    assert literal.refuses("8.8.8.8")
    assert here.refuses("127.0.0.2")
    assert here.refuses("8.8.8.8")
    assert allowed("[2001:db8::7]:443").refuses("2001:db8::7") == ""


@pytest.mark.parametrize("destination", ["169.254.169.254:80", "[::ffff:7f00:1]:80", "0.0.0.0:80", "[fe80::1%lo]:80"])
def test_n19_a_literal_that_nothing_may_connect_to_cannot_be_listed(destination: str) -> None:
    class Entry:
        networks = ()

        def __init__(self) -> None:
            self.destination = destination

    with pytest.raises(ValueError, match=r"link-local|no address of one host|names an interface"):
        Egress([Entry()])


@pytest.mark.parametrize(
    ("url", "leads_to"),
    [
        ("https://crm.test/mcp", "crm.test:443"),
        ("https://crm.test:443/mcp", "crm.test:443"),
        ("https://crm.test:8443", "crm.test:8443"),
        ("http://127.0.0.1/", "127.0.0.1:80"),
        ("https://[::1]/@x:1/..", "[::1]:443"),
    ],
)
def test_a_url_leads_to_one_host_and_port(url: str, leads_to: str) -> None:
    assert destination_of(url) == leads_to


SPELLINGS = [
    "https://CRM.test/", "HTTPS://crm.test/", "https://crm.test./", "https://crm.test../", "https://.crm.test/",
    "https://user@crm.test/", "https://user:p@crm.test/", "https://@crm.test/", "https://crm.test@127.0.0.1/",
    "https://127.0.0.1@crm.test/", "https://crm.test%40127.0.0.1/", "https://crm%2etest/", "https://%63rm.test/",
    "https://crm.test%00/", "https://crm.test\\@127.0.0.1/", "https://crm.test\\/", "https://crm.test#@127.0.0.1/",
    "https://crm.test?@127.0.0.1/", "https://crm.test:/", "https://crm.test:0443/", "https://crm.test:+443/",
    "https://crm.test:443:443/", "https://crm.test:65979/", "https://crm.test:\uff14\uff14\uff13/", "https:crm.test", "https:/crm.test/",
    "https:///crm.test/", "//crm.test/", "crm.test", "crm.test:443", "", "https://", "https:///", "ftp://crm.test/",
    "file:///etc/passwd", "gopher://crm.test:443/", "ws://crm.test/", "unix:///run/x.sock", " https://crm.test/",
    "https://crm.test /", "https:// crm.test/", "ht\ttps://crm.test/", "https://crm\n.test/", "https://crm.test\r\n/",
    "https://crm\u3002test/", "https://\uff43rm.test/", "https://\u24d2rm.test/", "https://crm.te\u00adst/", "https://crm.te\u017ft/",
    "https://xn--crm.test\u200b/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://0x7f000001/", "http://2130706433/",
    "http://127.1/", "http://127.0.1/", "http://0/", "http://\u2460\u2461\u2466.0.0.1/", "http://127.0.0.1./", "http://127.0.0.01/",
    "http://[::ffff:127.0.0.1]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::1%25lo]/", "https://[::1%lo]/",
    "https://[::1]@crm.test/", "https://[::1/", "https://::1/", "https://[crm.test]/", "https://[v1.x]/",
    "http://LOCALHOST/", "http://localhost./", "jar:https://crm.test!/", "0://crm.test:443;https://crm.test/",
]  # fmt: skip


@pytest.mark.parametrize("url", SPELLINGS)
def test_n19_a_url_in_any_other_spelling_is_refused_before_any_lookup(url: str) -> None:
    """All that it could be taken for is listed, so that it is the spelling that is refused."""

    def never(host: str, _port: int) -> list[str]:
        pytest.fail(f"{host} was looked up")

    gate = Egress([EgressEntry(destination=each) for each in LISTED], lookup=never)
    for tls in (None, ssl.create_default_context()):
        with pytest.raises(EgressRefused):
            gate.connector(url, tls=tls, limit=1)
