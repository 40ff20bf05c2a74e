"""Names become addresses in a thread of their own: a resolver that hangs holds up nobody else's, and no stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Final, TypeAlias

Lookup: TypeAlias = Callable[[str, int], Sequence[str]]  # host, port -> addresses; raises OSError
Found: TypeAlias = Future[Sequence[str]]

_FLAGS: Final = socket.AI_ADDRCONFIG | socket.AI_NUMERICSERV


def system(host: str, port: int) -> Sequence[str]:
    """What this machine's resolver says, in its order (RFC 6724)."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=_FLAGS)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class Lookups:
    """One at a time: whoever asks while a thread is still at it waits for what that one finds."""

    def __init__(self, lookup: Lookup, seconds: float) -> None:
        self._lookup, self._seconds = lookup, seconds
        self._under_way: Found | None = None

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Raises OSError."""
        under_way = self._begun(host, port)
        with _late(host, self._seconds):
            async with asyncio.timeout(self._seconds):
                await _done(under_way)
        return under_way.result()

    def wait(self, host: str, port: int) -> Sequence[str]:
        """The same for a thread."""
        with _late(host, self._seconds):
            return self._begun(host, port).result(self._seconds)

    def _begun(self, host: str, port: int) -> Found:
        if self._under_way is None or self._under_way.done():
            self._under_way = _begun(self._lookup, host, port)
        return self._under_way


def _begun(lookup: Lookup, host: str, port: int) -> Found:
    future: Found = Future()

    def work() -> None:
        try:
            future.set_result(lookup(host, port))
        except Exception as error:  # noqa: BLE001 — whatever it is, it belongs to who asked
            future.set_exception(error)

    threading.Thread(target=work, name="lookup", daemon=True).start()
    return future


async def _done(future: Found) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def tell(_: Found) -> None:
        with contextlib.suppress(RuntimeError):  # the loop ended before the resolver did
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(tell)
    await done.wait()


@contextlib.contextmanager
def _late(host: str, seconds: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise OSError(errno.ETIMEDOUT, f"{host} wasn't resolved in {seconds:g} s") from None
