"""A deadline for receiving a question: gRPC counts a call from its headers on, and would wait for its message for ever.

The methods are registered as taking a stream, which on the wire is the same as taking one message; the first is read
within the deadline, and whoever sends none gives the place back (N26).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from sallyport.pdp.guard import Context, abort

Method: TypeAlias = Callable[[Any, Context], Awaitable[Any]]


class _Message(Protocol):
    @classmethod
    def FromString(cls, data: bytes) -> Any: ...  # noqa: N802 — protobuf's name


Answering: TypeAlias = tuple[Method, type[_Message]]  # what answers, and its request's type
Methods: TypeAlias = Mapping[str, Answering]


def handlers(service: str, methods: Methods, seconds: float) -> Any:
    """A generic handler for `service`: method name -> (what answers it, its request's type)."""
    return grpc.method_handlers_generic_handler(
        service,
        {
            name: grpc.stream_unary_rpc_method_handler(
                # No deserializer: gRPC would log what can't be parsed, and tell its sender why.
                _within(method, request, seconds),
                response_serializer=_serialize,
            )
            for name, (method, request) in methods.items()
        },
    )


def _within(
    method: Method, request: type[_Message], seconds: float
) -> Callable[[AsyncIterator[bytes], Context], Awaitable[Any]]:
    async def answer(messages: AsyncIterator[bytes], context: Context) -> Any:
        try:
            async with asyncio.timeout(seconds):
                message = request.FromString(await anext(messages))
        except (TimeoutError, StopAsyncIteration):
            await abort(context, grpc.StatusCode.DEADLINE_EXCEEDED)
        except DecodeError:
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT)
        return await method(message, context)

    return answer


def _serialize(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data
