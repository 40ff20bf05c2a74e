"""URLs that lead inside: every spelling of an inner address, other schemes, and what two parsers read differently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.support.attacks.addresses import INNER, NAMES, everywhere

SCHEMES: Final = (
    *("ftp", "sftp", "tftp", "ldap", "ldaps", "dict", "gopher", "ws", "wss", "redis", "smb", "ssh", "telnet", "imap"),
    *("netdoc", "jar:http", "view-source:http", "feed:http", "unix", "HTTP", "hTTps", "http+unix", "blob:http"),
)
FILES: Final = (
    *("file:///etc/passwd", "file://localhost/etc/passwd", "file://127.0.0.1/etc/passwd", "file:/etc/passwd"),
    *("FILE:///etc/passwd", "file:////server/share", "file:///proc/self/environ", "jar:file:///tmp/a.zip!/b"),
    *("data:text/plain;base64,aGVsbG8=", "javascript:fetch('//127.0.0.1')", "about:blank", "php://filter/resource=/etc/passwd"),
    *("gopher://127.0.0.1:11211/_stats%0d%0aquit%0d%0a", "dict://127.0.0.1:11211/stats", "gopher://127.0.0.1:25/_HELO%20a%0d%0a"),
)  # fmt: skip
# {0} is where it leads; crm.test is what a reader is to believe.
CONFUSING: Final = (
    *("http://crm.test@{0}:80/", "https://crm.test:443@{0}:443/", "https://crm.test%40{0}:443/", "https://crm.test%2540{0}/"),
    *("http://{0}:80#@crm.test/", "http://{0}:80?@crm.test/", "http://{0}:80\\@crm.test/", "http://{0}:80;@crm.test/"),
    *("https://crm.test\\@{0}:443/", "https://crm.test&@{0}:443#@crm.test/", "http://{0}:80%23.crm.test/", "http:/{0}:80/"),
    *("http:{0}:80/", "http:///{0}:80/", "http:\\\\{0}:80\\", "//{0}:80/", "\\\\{0}\\share", "/\\{0}:80/", "///{0}:80//"),
    *("http://{0}:80/\r\nHost: crm.test", "http://{0}:80/%0d%0aHost:%20crm.test", "http://{0}\t:80/", "http://{0} :80/"),
    *(" http://{0}:80/", "http://{0}:80/ ", "ht\ntp://{0}:80/", "http://{0}\x00.crm.test:80/", "http://{0}%00.crm.test:80/"),
    *("http://{0}.:80/", "http://{0}:080/", "http://{0}:8\u0660/", "http://{0}:/", "http://{0}:65616/", "http://{0}:-1/"),
    *("http://{0}:80/..;/admin", "https://{0}:443/redirect?to=http://{0}:80/", "http://crm.test@@{0}:80/", "http://:@{0}:80/"),
    *("http://[{0}]:80/", "http://[::ffff:{0}]:80/", "http://[{0}:80/", "http://{0}]:80/", "https://crm.test.{0}:443/"),
)  # fmt: skip
_PATHS: Final = (
    "/latest/meta-data/iam/",
    "/computeMetadata/v1/",
    "/opc/v2/instance/",
    "/metadata/instance?api-version=1",
)


def urls() -> list[str]:
    return sorted({*_plain(), *_confusing(), *FILES})


def _plain() -> Iterator[str]:
    for index, host in enumerate((*everywhere(), *NAMES)):
        bracketed = f"[{host}]" if ":" in host else host
        yield f"http://{bracketed}:80/"
        yield f"https://{bracketed}{_PATHS[index % len(_PATHS)]}"
    for scheme in SCHEMES:
        yield f"{scheme}://{INNER[0]}:80/"


def _confusing() -> Iterator[str]:
    for shape in CONFUSING:
        for host in (INNER[0], INNER[2], "2130706433", "localhost"):
            yield shape.format(host)
