"""Spans go to an address that was checked: before each batch the collector's name is resolved again, by who may say no.

gRPC gets the address and resolves nothing; the certificate is still held against the name. Imported only where tracing
is on.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import structlog
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

Addresses: TypeAlias = Callable[[str], Sequence[str]]  # of a URL's host, each checked; raises where one is refused

_SECONDS: Final = 5
_NO_PROXY: Final = ("grpc.enable_http_proxy", "0")  # a proxy variable must not move the line
_log: Final = structlog.get_logger()


def exporter(endpoint: str, *, insecure: bool) -> SpanExporter:
    """To wherever gRPC finds the host of `endpoint`."""
    return _exporter(endpoint, insecure=insecure)


class PinnedExporter(SpanExporter):
    """Used by one thread, the batch processor's."""

    def __init__(self, endpoint: str, addresses: Addresses, *, insecure: bool) -> None:
        self._endpoint, self._addresses, self._insecure = endpoint, addresses, insecure
        self._address, self._failure = "", ""
        self._inner: SpanExporter | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            found = self._addresses(self._endpoint)
        except Exception as error:  # noqa: BLE001 — spans are lost then, and nothing else may be
            self._tell(str(error))
            return SpanExportResult.FAILURE
        self._tell("")
        result = self._to(self._address if self._address in found else found[0]).export(spans)
        if result is not SpanExportResult.SUCCESS:  # the next batch goes to another one, if there is any
            self._to(next((address for address in found if address != self._address), self._address))
        return result

    def shutdown(self) -> None:
        if self._inner is not None:
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner is None or self._inner.force_flush(timeout_millis)

    def _to(self, address: str) -> SpanExporter:
        if self._inner is None or address != self._address:
            self.shutdown()
            self._address, self._inner = address, self._made(address)
        return self._inner

    def _made(self, address: str) -> SpanExporter:
        parts = urlsplit(self._endpoint)
        host = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address  # noqa: PLR2004 — IPv6
        named = ("grpc.default_authority", parts.netloc)  # whose certificate it must be, too
        return _exporter(f"{parts.scheme}://{host}:{parts.port}", named, insecure=self._insecure)

    def _tell(self, failure: str) -> None:
        if failure and failure != self._failure:
            _log.error("spans are not sent", problem=failure)
        self._failure = failure


def _exporter(endpoint: str, *more: tuple[str, str], insecure: bool) -> SpanExporter:
    options: Any = (_NO_PROXY, *more)  # declared as one option by mistake
    return OTLPSpanExporter(endpoint=endpoint, insecure=insecure, timeout=_SECONDS, channel_options=options)
