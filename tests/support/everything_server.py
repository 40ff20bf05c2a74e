"""`python -m tests.support.everything_server --port N [--stateless] [--json]`: the server, and the means to run it."""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from mcp.shared.exceptions import MCPDeprecationWarning

from tests.support.everything.events import Events
from tests.support.everything.server import make

HERE = "127.0.0.1"
ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; it is said on standard output")
    parser.add_argument("--stateless", action="store_true", help="no sessions in the older era")
    parser.add_argument("--json", action="store_true", help="answers are JSON, never a stream")
    given = parser.parse_args()
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    app = make().streamable_http_app(
        stateless_http=given.stateless, json_response=given.json, event_store=Events(), retry_interval=100, host=HERE
    )
    serving = uvicorn.Config(app, host=HERE, port=given.port, log_level="warning", timeout_graceful_shutdown=1)
    socket = serving.bind_socket()
    socket.listen()  # before its address is told: who hears of it may dial at once
    print(f"http://{HERE}:{socket.getsockname()[1]}/mcp", flush=True)  # noqa: T201 — for whoever started it
    uvicorn.Server(serving).run(sockets=[socket])


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """The server as a process of its own, on a free port; its URL."""
    command = [sys.executable, "-m", __name__, *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().decode().strip()
        assert url, "the server died before it listened"
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=30)


if __name__ == "__main__":
    main()
