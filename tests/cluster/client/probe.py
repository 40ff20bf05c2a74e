"""Which of these addresses answer: `probe.py SECONDS HOST:PORT…` prints {"HOST:PORT": "open" | "closed: why"}.

A refused connection counts as open: the packet got there and came back.
"""

from __future__ import annotations

import concurrent.futures
import json
import socket
import sys


def probe(address: str, seconds: float) -> str:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds):
            return "open"
    except ConnectionRefusedError:
        return "open"
    except OSError as error:
        return f"closed: {error}"


def main() -> None:
    seconds, addresses = float(sys.argv[1]), sys.argv[2:]
    with concurrent.futures.ThreadPoolExecutor(max(1, len(addresses))) as threads:
        found = threads.map(lambda address: probe(address, seconds), addresses)
        sys.stdout.write(json.dumps(dict(zip(addresses, found, strict=True))) + "\n")


main()
