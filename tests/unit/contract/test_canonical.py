"""A URI that falls under a prefix or a template stays there for every server that reads it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sallyport.contract.surfaces import Resource, canonical

PREFIX = "https://h/pub/"
PIECES = (
    *("a", "b.c", ".", "..", "/", "//", ";", ";x=1", "?", "#", ":", "@", "\\", "~", "%", "=", "&", "|", "*"),
    *("%2e", "%2E", "%2f", "%5c", "%3b", "%3F", "%23", "%00", "%09", "%0d%0a", "%1f", "%7f", "%20", "%25", "%252e"),
    *("%252f", "%25252e", "%u002e", "%u2215", "%c0%ae", "%c0%af", "%e0%80%ae", "%ff", "%c2%a0", "%e2%80%8b"),
    *(
        "%ef%bc%8e",
        "%ef%bc%8f",
        "%e2%80%a5",
        "%e2%80%ae",
        "%c3%a9",
        "%4",
        "%zz",
        "%40",
        "%3A",
        "%ef%bc%9b",
        "%ef%bc%85",
    ),
)


def _clean(path: str) -> str:
    """Go's path.Clean, Python's, and most others'."""
    return posixpath.normpath(path) + ("/" if path.endswith("/") else "")


def _whatwg(path: str) -> str:
    """Node's URL: backslashes are slashes, tabs and line ends aren't there, encoded dots are dots."""
    seen = re.sub(r"[\t\r\n]", "", path).replace("\\", "/")
    out: list[str] = []
    for segment in seen.split("/"):
        dots = re.sub("(?i)%2e", ".", segment)
        if dots == "..":
            out = out[:-1]
        elif dots != ".":
            out.append(segment)
    return "/".join(out)


def _java(path: str) -> str:
    return _clean(re.sub(r";[^/]*", "", path))


def _windows(path: str) -> str:
    return _clean("/".join(re.sub(r"^(\.+)[ .]*$", r"\1", part) for part in path.replace("\\", "/").split("/")))


def _in_c(path: str) -> str:
    return _clean(path.partition("\0")[0])


READERS: tuple[Callable[[str], str], ...] = (_clean, _whatwg, _java, _windows, _in_c)


@settings(max_examples=600)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join))
@example("..;/x")
@example("%2e%2e%3B/x")
@example("a%3F/../..")
def test_what_is_accepted_leaves_its_prefix_for_no_reader_however_often_it_decodes(rest: str) -> None:
    uri = PREFIX + rest
    if not Resource(prefix=PREFIX, upstream="u").matches(uri):
        return
    path = uri.removeprefix("https://h")
    for _ in range(3):
        for end in ("?", "#", ""):
            for read in READERS:
                told = read(path.partition(end)[0] if end else path)
                assert told.startswith("/pub/") or told == "/pub", (uri, path, read)
        path = unquote(path)
    assert re.fullmatch("[!-~]*", uri)


@pytest.mark.parametrize("odd", [piece for piece in PIECES if piece.startswith("%")])
def test_what_is_encoded_is_taken_where_every_reader_sees_the_same_in_it(odd: str) -> None:
    same = {"%2e", "%2E", "%3b", "%20", "%c3%a9", "%40", "%3A"}
    assert canonical(f"x://a/b{odd}z") is (odd in same)


@pytest.mark.parametrize("segment", ["", ".", "..", "...", "..;x", ".;", ";x", "%2e%2e%3b", "..%20", "%20.", "%2e"])
def test_a_segment_without_a_name_is_under_no_prefix(segment: str) -> None:
    for uri in (f"x://a/{segment}/b", f"x:a/{segment}/b"):
        assert not canonical(uri), uri


@pytest.mark.parametrize(
    "uri",
    [
        *("file:///srv/a", "x://a", "x:a:b", "x://a/b.c/.d/..e", "x://a/b?url=https://c//d", "x://a/b;v=1", "x://a/"),
        *("x://a/caf%C3%A9", "x://a/b%20c", "x://a/{id}", "x://a/{;x}/{/y}", "ssh://git@h/a"),
    ],
)
def test_what_means_one_thing_is_taken(uri: str) -> None:
    assert canonical(uri)


def test_no_user_in_front_of_the_host_makes_another_host_of_it() -> None:
    port = Resource(template="https://h:{port}/x", upstream="u")
    assert port.matches("https://h:80/x")
    assert not port.matches("https://h:80@elsewhere/x")
    assert not port.matches("https://h:80%40elsewhere/x")
    assert not Resource(prefix="https://h:", upstream="u").matches("https://h:x@elsewhere/")
    assert Resource(prefix="ssh://git@h/", upstream="u").matches("ssh://git@h/a@b")


def test_an_exact_entry_is_readable_as_it_is_written() -> None:
    for uri in ("x://a//b", "x://a/%3F", "x://a/../b", "x://a/%ff"):
        assert Resource(uri=uri, upstream="u").matches(uri)
