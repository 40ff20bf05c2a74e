"""Tracing: off, and nearly free, unless an OTLP endpoint is named; the trace context is carried either way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from sallyport.runtime.addresses import is_loopback
from sallyport.runtime.problems import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan

    from sallyport.runtime.pinned_export import Addresses

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def valid_traceparent(value: str) -> str:
    """A W3C traceparent (Trace Context §3.2) as it is, or the empty string."""
    return value if _TRACEPARENT.fullmatch(value) else ""


@dataclass(frozen=True, slots=True)
class Span:
    """What a step hands on to the next one."""

    traceparent: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        """Nothing to end: tracing is off."""


_NOWHERE: Final = Span()


class Tracing:
    """Spans named by the steps. They hold names and times only: no arguments, no ids, no exception texts."""

    def __init__(self, service: str, otlp_endpoint: str = "", addresses: Addresses | None = None) -> None:
        """`otlp_endpoint` is https://host:port, or http:// on loopback; empty means off. Raises ConfigError.

        `addresses` says before each batch where that may lead; without it gRPC resolves the name, unchecked.
        """
        self._service = service
        self._addresses = addresses
        self._endpoint = otlp_endpoint
        self._insecure = bool(otlp_endpoint) and _insecure(otlp_endpoint)
        self._provider: TracerProvider | None = None

    @property
    def on(self) -> bool:
        return self._provider is not None

    def start(self) -> None:
        """Begin to export, if an endpoint is named. The SDK is imported here, so that `off` doesn't pay for it."""
        if self._endpoint and self._provider is None:
            self._provider = _provider(self._service, self._endpoint, self._addresses, insecure=self._insecure)

    def stop(self) -> None:
        """Send what is left, within seconds, and end."""
        if self._provider is not None:
            self._provider.shutdown()
            self._provider = None

    def span(self, name: str, parent_traceparent: str = "") -> AbstractContextManager[Span]:
        """Time a step beneath its parent; an invalid parent is dropped."""
        parent = valid_traceparent(parent_traceparent)
        if self._provider is None:
            return Span(parent) if parent else _NOWHERE
        return _recorded(self._provider, name, parent)


@contextmanager
def _recorded(provider: TracerProvider, name: str, parent: str) -> Iterator[Span]:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 — only where tracing is on

    span = _begin(provider, name, parent)
    try:
        yield Span(_traceparent(span))
    except BaseException as error:
        span.set_status(StatusCode.ERROR, type(error).__name__)  # never its text, which may hold arguments
        raise
    finally:
        span.end()


def _begin(provider: TracerProvider, name: str, parent: str) -> OtelSpan:
    from opentelemetry.context import Context  # noqa: PLC0415 — only where tracing is on
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 — same

    context = TraceContextTextMapPropagator().extract({"traceparent": parent}, context=Context())
    tracer = provider.get_tracer("sallyport")
    return tracer.start_span(name, context=context, record_exception=False, set_status_on_exception=False)


def _traceparent(span: OtelSpan) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _provider(service: str, endpoint: str, addresses: Addresses | None, *, insecure: bool) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 — slow, big
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 — same
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 — same

    from sallyport.runtime import pinned_export  # noqa: PLC0415 — same

    provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
    exporter = (
        pinned_export.exporter(endpoint, insecure=insecure)
        if addresses is None
        else pinned_export.PinnedExporter(endpoint, addresses, insecure=insecure)
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _insecure(endpoint: str) -> bool:
    """True for plain text, which stays on this machine: spans tell an outsider who does what, and when."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or port is None or parts.scheme not in {"http", "https"}:
        raise ConfigError.about("telemetry.otlp_endpoint", "must be https://HOST:PORT, or http:// on loopback")
    if parts.scheme == "http" and not (host == "localhost" or is_loopback(host)):
        raise ConfigError.about("telemetry.otlp_endpoint", "plain http only goes to loopback; use https://")
    return parts.scheme == "http"
