"""One upstream's circuit: after enough failures in a row nothing is sent but, now and then, a question of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sallyport.pep.upstream.failures import UpstreamUnavailable

FAILURES: Final = 5
_FIRST: Final = 0.5  # seconds
_LONGEST: Final = 30.0


class Circuit:
    """Closed, or open until a moment; after it one probe may be sent, which isn't a caller's request.

    If it were, somebody with a slow tool could keep everybody else out.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._doubts = 0
        self._pause = 0.0  # 0: closed
        self._until = 0.0
        self._answered = -1.0  # when an answer came last
        self.trouble = ""  # what went wrong last; empty: nothing since an answer

    @property
    def is_open(self) -> bool:
        return self._pause > 0

    def check(self) -> None:
        """Raises UpstreamUnavailable while it is open and the next try isn't due."""
        if self.is_open and self._clock() < self._until:
            raise UpstreamUnavailable("its server can't be reached", f"not tried: {self.trouble}")

    def answered(self) -> bool:
        """Say whether this closes it."""
        was_open = self.is_open
        self._failures, self._doubts, self._pause, self.trouble = 0, 0, 0.0, ""
        self._answered = self._clock()
        return was_open

    def doubted(self, trouble: str, since: float) -> bool:
        """A caller's request begun at `since` came to nothing, which alone opens nothing: that may be the caller's doing.

        Say whether to ask if anything answers.
        """
        if self._answered > since:
            return False
        self._doubts += 1
        self.trouble = trouble
        return self._doubts >= FAILURES and not self.is_open

    def confirmed(self, trouble: str, since: float) -> None:
        """Our own question, begun at `since`, failed, too: what callers' requests met wasn't their doing."""
        if self._answered <= since:
            self._failures, self._doubts = self._failures + self._doubts, 0
        self.failed(trouble, since)

    def failed(self, trouble: str, since: float) -> None:
        """A request begun at `since` failed; where others were answered meanwhile, that one alone was too slow."""
        if self._answered > since:
            return
        self._failures += 1
        self.trouble = trouble
        if self._failures >= FAILURES and self._clock() >= self._until:  # not once more for all that were under way
            self._pause = min(self._pause * 2 or _FIRST, _LONGEST)
            self._until = self._clock() + self._pause
