"""What every method of the contract has around it: no exception gets out, and a status tells nothing."""

from __future__ import annotations

import asyncio
import functools
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import grpc
import grpc.aio
import structlog

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
_S = TypeVar("_S")
_Q = TypeVar("_Q")
_A = TypeVar("_A")
_log: Final = structlog.get_logger()


def guarded(
    method: Callable[[_S, _Q, Context], Awaitable[_A]],
) -> Callable[[_S, _Q, Context], Awaitable[_A]]:
    """An exception that gets out is a status without detail: gRPC would put its text into the status."""

    @functools.wraps(method)
    async def answering(self: _S, request: _Q, context: Context) -> _A:
        try:
            return await method(self, request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 — any exception is no decision, and so a denial
            _log.error("question not answered", **without_values(error))
            await abort(context, grpc.StatusCode.INTERNAL)

    return answering


async def abort(context: Context, code: grpc.StatusCode) -> NoReturn:
    """No detail: what was wrong is for our log. Ends a call whose peer has gone as cancelled, which gRPC takes in silence."""
    try:
        await context.abort(code)
    except grpc.aio.AbortError:
        raise
    except Exception:  # noqa: BLE001 — nobody is left to tell, and a second try would log the first with its traceback
        raise asyncio.CancelledError from None
    raise RuntimeError("abort returned")


def without_values(error: Exception) -> dict[str, str]:
    """The kind and the place of an error; its text may hold an argument's value."""
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "where": f"{frames[-1].name}:{frames[-1].lineno}" if frames else ""}
