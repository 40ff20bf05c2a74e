"""One record stays one line, and secrets stay out."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from sallyport.runtime import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level, quiet = list(root.handlers), root.level, logging.getLogger("uvicorn.access").disabled
    target = io.StringIO()
    with warnings.catch_warnings():
        logs.configure("test", stream=target)
        yield target
        logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = quiet


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_messages_and_the_libraries_have_one_form(stream: io.StringIO) -> None:
    structlog.get_logger().info("ours", number=1)
    logging.getLogger("uvicorn.error").info("theirs %s", "here", extra={"code": 7})
    logging.getLogger("grpc").warning("theirs")
    ours, uvicorn, grpc = _lines(stream)
    assert (ours["event"], ours["level"], ours["service"], ours["number"]) == ("ours", "info", "test", 1)
    assert (uvicorn["event"], uvicorn["level"], uvicorn["service"], uvicorn["code"]) == (
        "theirs here",
        "info",
        "test",
        7,
    )
    assert (grpc["event"], grpc["level"]) == ("theirs", "warning")
    assert all(line["time"].endswith("Z") for line in (ours, uvicorn, grpc))


def test_levels_below_the_one_asked_for_and_access_logs_are_silent(stream: io.StringIO) -> None:
    structlog.get_logger().debug("x")
    logging.getLogger("a.b").debug("x")
    logging.getLogger("uvicorn.access").info("GET /mcp?token=x")
    assert not stream.getvalue()


def test_what_a_library_keeps_to_itself_stays_with_it(stream: io.StringIO) -> None:
    library = logging.getLogger("a.library.that.tells.every.statement")
    library.setLevel(logging.WARNING)
    logs.configure("test", stream=stream)
    library.info("SELECT salary")
    assert not stream.getvalue()


def test_an_unknown_level_stops_the_start() -> None:
    with pytest.raises(ValueError, match="use one of debug, info"):
        logs.configure("test", level="verbose")


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", "\0", "\x1b[2J", "\x85", "\u2028", "\u2029", '"', "]", "|", "=", "\ud800"]
)
def test_n7_no_value_and_no_key_begins_a_line_of_its_own(
    stream: io.StringIO, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest's own handlers would carry a lone surrogate into its report, which can't be sent between workers.
    ours = [handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler]
    monkeypatch.setattr(logging.getLogger(), "handlers", ours)
    structlog.get_logger().info(text, **{text: text, "list": [text, {text: text}]})
    logging.getLogger("x").info("%s", text)
    raw = stream.getvalue()
    assert raw.count("\n") == 2
    assert len(raw.splitlines()) == 2
    assert raw.isascii()
    assert [line["event"] for line in _lines(stream)] == [text, text]


_SECRETS = {
    "authorization": "canary",
    "Authorization": ["canary"],
    "access_token": "canary",
    "PASSWORD": "canary",
    "client_secret": b"canary",
    "api_key": "canary",
    "key": "canary",
    "hop.key": "canary",
    "set-cookie": {"a": "canary"},
    "header": "Bearer canary-canary",
    "text": "sent eyJhbGciOiJub25lIn0.canary.canary on",
    "pem": "-----BEGIN EC PRIVATE KEY-----\ncanary\n-----END EC PRIVATE KEY-----",
    "raw": b"canary",
}


def test_n7_secrets_are_masked_by_key_and_by_form_at_any_depth(stream: io.StringIO) -> None:
    structlog.get_logger().info("x", **_SECRETS)
    structlog.get_logger().info("x", deep=[{"deeper": (_SECRETS,)}])
    logging.getLogger("x").warning("Authorization: Bearer canary-canary", extra={"password": "canary"})
    assert "canary" not in stream.getvalue()
    assert logs.MASK in stream.getvalue()


def test_n7_a_failures_text_is_masked_and_its_variables_are_not_shown(stream: io.StringIO) -> None:
    variable = "canary"
    try:
        raise RuntimeError("Bearer canary-canary" + variable[:0])  # noqa: TRY301 — the trace is what is tested
    except RuntimeError:
        structlog.get_logger().exception("broke")
    (line,) = _lines(stream)
    assert "RuntimeError" in line["exception"]
    assert 'canary-canary"' not in stream.getvalue()


def test_what_is_no_secret_is_shown(stream: io.StringIO) -> None:
    structlog.get_logger().info("x", keyboard="k", tool="read_file", number=1.5, none=None, flag=True, path=["a"])
    (line,) = _lines(stream)
    assert (line["keyboard"], line["tool"], line["number"], line["path"]) == ("k", "read_file", 1.5, ["a"])


def test_a_value_that_holds_itself_is_cut(stream: io.StringIO) -> None:
    loop: list[Any] = []
    loop.append(loop)
    structlog.get_logger().info("x", loop=loop)
    assert len(_lines(stream)) == 1
