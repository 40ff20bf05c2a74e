"""Destinations have one spelling, and a socket for both kinds of addresses takes both."""

from __future__ import annotations

import socket

import pytest

from sallyport.runtime import addresses


@pytest.mark.parametrize(
    "entry",
    ["db:5432", "db.prod.svc.cluster.local:5432", "_a.b-c:1", "10.0.0.7:65535", "[2001:db8::7]:443", "127.0.0.1:4317",
     "[::1]:4317", "[fd00:ec2::253]:5432", "168.63.129.17:1", "64.255.155.1:1", "[2001:4860::8]:443"],
)  # fmt: skip
def test_a_destination_is_one_host_and_one_port(entry: str) -> None:
    assert addresses.destination(entry) == entry


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("db", "no port"),
        ("db:", "no port"),
        ("db:0", "no port"),
        ("db:05432", "no port"),
        ("db:65536", "no port"),
        ("db:5432-5433", "no port"),
        ("db:*", "no port"),
        (":5432", "no host"),
        ("*:443", "no host"),
        ("*.example:443", "no host"),
        ("DB.example:443", "no host"),
        ("db.example.:443", "no host"),
        ("a,b:443", "no host"),
        ("10.0.0.0/8:443", "no host"),
        ("https://db:443", "no host"),
        ("user@db:443", "no host"),
        ("db :443", "no host"),
        ("-db:443", "no host"),
        ("127.1:443", "no host"),
        ("2130706433:443", "no host"),
        ("0x7f.1:443", "no host"),
        (f"{'a.' * 127}a:443", "no host"),
        ("0.0.0.0:443", "no address of one host"),
        ("[::]:443", "no address of one host"),
        ("[::ffff:10.0.0.1]:443", "write [::ffff:a00:1]"),
        ("[::ffff:a00:1]:443", "no address of one host"),
        ("224.0.0.1:443", "no address of one host"),
        ("169.254.169.254:80", "link-local"),
        ("[fe80::1]:80", "link-local"),
        ("[64:ff9b::a9fe:a9fe]:80", "NAT64"),
        ("[64:ff9b:1::a9fe:a9fe]:80", "NAT64"),
        ("[2002:a9fe:a9fe::1]:80", "6to4"),
        ("[2001:0:a9fe:a9fe:1:1:1:1]:80", "Teredo"),
        ("[::a9fe:a9fe]:80", "IPv4-compatible"),
        ("[::ffff:0:a9fe:a9fe]:80", "IPv4-translated"),
        ("[2001:db8::5efe:a9fe:a9fe]:80", "ISATAP"),
        ("[fd00:ec2::254]:80", "metadata service answers there"),
        ("[fd00:ec2::23]:80", "metadata service answers there"),
        ("[fd20:ce::254]:80", "metadata service answers there"),
        ("168.63.129.16:80", "metadata service answers there"),
        ("100.100.100.200:80", "metadata service answers there"),
        ("192.0.0.192:80", "metadata service answers there"),
        ("255.255.255.255:80", "no address of one host"),
        ("0.1.2.3:80", "no address of one host"),
        ("239.1.2.3:80", "no address of one host"),
        ("[ff02::1]:80", "no address of one host"),
        ("[::1%lo]:80", "names an interface"),
        ("[fe80::1%eth0]:80", "names an interface"),
        ("[2001:db8::7%0]:80", "names an interface"),
        ("2001:db8::7:443", "write [2001:db8::7]"),
        ("[2001:DB8::7]:443", "write [2001:db8::7]"),
        ("[2001:db8:0::7]:443", "write [2001:db8::7]"),
        ("[10.0.0.1]:443", "write 10.0.0.1"),
    ],
)
def test_what_is_no_single_destination_in_its_one_spelling_is_refused(entry: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        addresses.destination(entry)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("url", "leads_to"),
    [
        ("https://crm.example/mcp", "crm.example:443"),
        ("https://CRM.example:8443/mcp", "crm.example:8443"),
        ("https://[2001:DB8:0::7]/mcp", "[2001:db8::7]:443"),
        ("https://10.0.0.7/mcp", "10.0.0.7:443"),
    ],
)
def test_a_url_leads_to_one_destination(url: str, leads_to: str) -> None:
    assert addresses.destination_of(url, 443) == leads_to


@pytest.mark.parametrize("url", ["https://[::1%25lo]/", "https://[fe80::1%25eth0]/"])
def test_a_url_with_an_interface_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"interface"):
        addresses.destination_of(url, 443)


@pytest.mark.parametrize(
    "url", ["https://a:1,b:2/x", "https:///x", "https://a:x/", "https://[::1/", "https://127.1/", "https://a,b/x"]
)
def test_a_url_that_leads_to_no_single_destination_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"host"):
        addresses.destination_of(url, 443)


@pytest.mark.parametrize(
    ("host", "clients"), [("::", ("127.0.0.1", "::1")), ("0.0.0.0", ("127.0.0.1",)), ("::1", ("::1",))]
)
def test_a_socket_takes_the_clients_that_its_address_promises(host: str, clients: tuple[str, ...]) -> None:
    with addresses.listening(host, 0, 8) as listener:
        port = listener.getsockname()[1]
        for client in clients:
            with socket.create_connection((client, port), timeout=5) as connection:
                accepted, peer = listener.accept()
                accepted.close()
                assert addresses.unmapped(peer[0]) == client
                assert connection.getsockname()[0] == client


def test_an_ipv6_address_of_one_interface_takes_no_ipv4() -> None:
    with addresses.listening("::1", 0, 8) as listener, pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=5)


def test_without_ipv6_the_address_of_all_takes_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with addresses.listening("::", 0, 8) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"


@pytest.mark.parametrize("host", ["::1", "10.0.0.1", "2001:db8::7", "::ffff:a00:1", "fe80::1%eth0", ""])
def test_what_is_no_ipv4_client_stays_as_it_is(host: str) -> None:
    assert addresses.unmapped(host) == host
