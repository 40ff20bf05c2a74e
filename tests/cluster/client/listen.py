"""Accepts on each port given, and says hello: somebody to reach, or not."""

from __future__ import annotations

import asyncio
import sys


async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello\n")
    writer.close()


async def main() -> None:
    servers = [await asyncio.start_server(greet, None, int(port)) for port in sys.argv[1:]]
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
