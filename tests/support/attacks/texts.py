"""Texts that mean something to a shell, to a file system or to a database, put together from their parts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

# Dots and slashes: plain, encoded once, twice and by 16 bits, overlong, wide, doubled against one that removes "../".
DOTS: Final = (
    "..",
    "%2e%2e",
    "%252e%252e",
    ".%2e",
    "%c0%ae%c0%ae",
    "%u002e%u002e",
    "\uff0e\uff0e",
    "\u2025",
    "..;",
    "....",
)
SLASHES: Final = ("/", "\\", "%2f", "%5c", "%252f", "%c0%af", "%c1%9c", "%u2215", "\u2215", "//", "/./")
DEEP: Final = (1, 2, 6, 12)
PLACES: Final = (
    *("/etc/passwd", "//etc/passwd", "/./etc/passwd", "file:///etc/passwd", "/proc/self/environ", "/proc/self/root/etc/passwd"),
    *("/proc/self/fd/0", "/dev/stdin", "~/.ssh/id_rsa", "~root/.profile", "$HOME/.profile", "C:\\Windows\\win.ini", "C:win.ini"),
    *("\\\\server\\share\\a", "//server/share/a", "\\\\?\\C:\\a", "\\\\.\\pipe\\a", "NUL", "CON", "a::$DATA", "a:stream"),
    *("../secret.txt\x00.txt", "../secret.txt%00.txt", "alice/../../secret.txt", "alice/./../bob/private.txt", "alice//../.."),
    *("..", ".", "", "/", "./../secret.txt", "..\n/secret.txt", "../secret.txt ", "../secret.txt.", " ../secret.txt", "alice/\x00"),
)  # fmt: skip
COMMANDS: Final = ("id", "cat /etc/passwd", "touch${IFS}/tmp/owned", "curl http://127.0.0.1:80/")
SHELL: Final = (
    *("; {}", "& {}", "&& {}", "| {}", "|| {}", "\n{}", "\r\n{} #", "a\n{}\n", "$({})", "`{}`", "${{x:-$({})}}", "<({})", ">({})"),
    *("'; {} #", '"; {} #', "'$({})'", '"$({})"', "%0a{}", "%3b{}", "{}|a", "(){{ :;}}; {}", "a;{};", "--exec={}", "-oProxyCommand={}"),
    *("{{{{ {} }}}}", "{{% {} %}}", "#{{{}}}", "<%= `{}` %>", "=cmd|'/C {}'!A0", "\x1b]0;{}\x07", "\u2028{}", "${{jndi:ldap://127.0.0.1/{}}}"),
)  # fmt: skip
_ENDS: Final = ("'", '"', "`", "')", '")', "'))", "", "\\'", "\u02bc", "%27", "\x00'", "1)")
_WHATS: Final = (
    *(" or 1=1", " OR 'a'='a", " and 1=0 union select 1,2,3,4", " union all select name, sql from sqlite_master"),
    *("; drop table orders", "; update orders set customer='x'", " or pg_sleep(9) is not null", "||(select 'x')||", " or 1 like 1"),
    *("/**/or/**/true", "\nor 1=1", "; attach database '/tmp/owned' as a", " and load_extension('a')", " limit 1 offset 1"),
)  # fmt: skip
_TAILS: Final = ("--", " -- -", "#", "/*", ";%00")
PERCENT: Final = (
    "%",
    "_",
    "%%",
    "\\%",
    "%s",
    "%(a)s",
    "{a}",
    ":a",
    "$1",
    "?",
    "@@version",
    "N'a'",
    "E'\\047'",
    "$$a$$",
    "x'00'",
)


def traversals() -> list[str]:
    """Short and deep, to a file that is there and to our tests' own beside the root."""
    made = _climbing("etc/passwd", "secret.txt")
    return sorted({*made, *PLACES} - {""})


def _climbing(*targets: str) -> Iterator[str]:
    for number, (dots, slash, target) in enumerate(product(DOTS, SLASHES, targets)):
        yield (dots + slash) * DEEP[number % len(DEEP)] + target.replace("/", slash)


def commands() -> list[str]:
    return sorted({shape.format(command) for shape, command in product(SHELL, COMMANDS)})


def statements() -> list[str]:
    """Each ending of what may stand before, with each continuation, and each way to lose what follows."""
    made = [
        f"{'a' * (number % 2)}{end}{what}{_TAILS[number % len(_TAILS)]}"
        for number, (end, what) in enumerate(product(_ENDS, _WHATS))
    ]
    return sorted({*made, *PERCENT})
