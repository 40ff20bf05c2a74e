"""How a request to an upstream ends without an answer: before anything was sent, or after."""

from __future__ import annotations


class UpstreamUnavailable(Exception):
    """Nothing was sent, so nothing ran. `public` may be shown, `detail` is for the record; `fault`: the network's.

    `met`: somebody was there, whom a caller's name may have made fail.
    """

    def __init__(self, public: str, detail: str = "", *, fault: bool = False, met: bool = False) -> None:
        super().__init__(detail or public)
        self.public = public
        self.fault = fault
        self.met = met


class UpstreamBroke(Exception):
    """The request has gone out and no answer can be believed: what it did is unknown."""

    def __init__(self, public: str, detail: str = "", *, fault: bool = False) -> None:
        super().__init__(detail or public)
        self.public = public
        self.fault = fault


class Disconnected(UpstreamBroke):
    """The connection went before the first byte of an answer, as a kept-alive one may: safe to repeat without effect."""


class SessionLost(Exception):
    """A legacy upstream doesn't know the session any more (404): nothing ran."""
