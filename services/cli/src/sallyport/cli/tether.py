"""Runs a service's module so that it can't outlive `up`: `python -m sallyport.cli.tether MODULE ARGUMENT…`.

Standard input is a pipe whose other end only `up` holds. Its end of file means that `up` is gone, however it went
(SIGKILL too), on every platform. Then the service gets SIGTERM, and after a grace period is ended.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from typing import Final

GRACE_SECONDS: Final = 10.0  # the time a service has to close and sign its audit stream
_CUT_OFF: Final = 70  # EX_SOFTWARE


def main() -> None:
    lifeline = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    threading.Thread(target=_follow, args=(lifeline,), name="tether", daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _follow(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(_CUT_OFF)


if __name__ == "__main__":
    main()
