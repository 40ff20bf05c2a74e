"""A stdio MCP server, standard library only, whose tools do what a hostile or broken one may do."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

heard: list[dict[str, Any]] = []
asked: dict[str, Any] = {}  # a call of `ask` that waits for the client


def say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def give(call: dict[str, Any], value: Any) -> None:
    say({"id": call["id"], "result": {"content": [{"type": "text", "text": json.dumps(value)}]}})


def attempt(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except MemoryError:
        return "ENOMEM"
    return "done"


def never(call: dict[str, Any], **_: Any) -> None:
    """No answer."""


def echo(call: dict[str, Any], **arguments: Any) -> None:
    give(call, {"arguments": arguments, "argv": sys.argv[1:], "pid": os.getpid(), "keeper": os.getppid()})


def environment(call: dict[str, Any], others: list[int]) -> None:
    places = [Path(f"/proc/{pid}/environ") for pid in (os.getppid(), *others)]
    give(call, {"own": dict(os.environ), "stolen": {str(place): attempt(place.read_bytes) for place in places}})


def descriptors(call: dict[str, Any]) -> None:
    give(call, sorted(int(path.name) for path in Path("/proc/self/fd").iterdir() if path.exists()))


def family(call: dict[str, Any]) -> None:
    """A child, and a grandchild in a session of its own whose parent has ended; both ignore what can be ignored."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, b"%d " % os.getpid())
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.write(writing, b"%d " % os.getpid())
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        os.close(writing)
        while True:
            time.sleep(60)
    os.close(writing)
    found = b""
    while piece := os.read(reading, 100):
        found += piece
    os.close(reading)
    give(call, [int(number) for number in found.split()])


def stubborn(call: dict[str, Any]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    give(call, os.getpid())
    while True:
        time.sleep(60)


def flood(call: dict[str, Any]) -> None:
    line = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * 1000}}).encode()
    while True:
        os.write(1, line + b"\n")


def progress(call: dict[str, Any], count: int, size: int = 0) -> None:
    token = call["params"].get("_meta", {}).get("progressToken", call["id"])  # a good guess where none was given
    for number in range(count):
        params = {"progressToken": token, "progress": number, "message": "x" * size}
        say({"method": "notifications/progress", "params": params})
    give(call, {"token": token})


def number(call: dict[str, Any], number: str) -> None:
    token = call["params"]["_meta"]["progressToken"]
    say({"method": "notifications/progress", "params": {"progressToken": token, "progress": int(number)}})
    say({"id": call["id"], "result": {"content": [], "structuredContent": {"id": int(number)}}})


def begin(call: dict[str, Any]) -> None:
    """Progress, and no answer."""
    token = call["params"]["_meta"]["progressToken"]
    say({"method": "notifications/progress", "params": {"progressToken": token, "progress": 0}})


def log(call: dict[str, Any], data: str) -> None:
    say({"method": "notifications/message", "params": {"level": "info", "data": data}})
    give(call, "logged")


def raw(call: dict[str, Any], text: str, times: int = 1) -> None:
    """Lines as they are, then the answer."""
    with contextlib.suppress(BrokenPipeError):
        for _ in range(times):
            os.write(1, text.encode() + b"\n")
        give(call, "said")


def wide(call: dict[str, Any], size: int) -> None:
    out = sys.stdout.buffer
    out.write(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": {"x": "x" * size}}).encode() + b"\n")
    out.flush()


def murmur(call: dict[str, Any], text: str, times: int = 1) -> None:
    for _ in range(times):
        sys.stderr.write(text)
    sys.stderr.flush()
    give(call, "murmured")


def ask(call: dict[str, Any], method: str) -> None:
    asked["call"] = call
    say({"id": "of the server", "method": method, "params": {}})


def messages(call: dict[str, Any]) -> None:
    give(call, heard)


def leave(call: dict[str, Any], code: int) -> None:
    os._exit(code)


def change(call: dict[str, Any], directory: str) -> None:
    """Every way to change a file or its name."""
    old, new = Path(directory, "old"), Path(directory, "new")
    ways: dict[str, Callable[[], object]] = {
        "write": lambda: old.open("r+b").close(),
        "append": lambda: old.open("ab").close(),
        "truncate": lambda: os.truncate(old, 0),
        "create": lambda: new.open("xb").close(),
        "mkdir": new.mkdir,
        "symlink": lambda: new.symlink_to("x"),
        "hard link": lambda: os.link(old, new),
        "fifo": lambda: os.mkfifo(new),
        "chmod": lambda: old.chmod(0o777),
        "utime": lambda: os.utime(old, (1, 1)),
        "chown": lambda: os.chown(old, os.getuid(), os.getgid()),
        "attribute": lambda: os.setxattr(old, "user.x", b"1"),
        "rename": lambda: old.rename(Path(directory, "other")),
        "rename back": lambda: Path(directory, "other").rename(old),
        "rmdir": lambda: Path(directory, "folder").rmdir(),
        "remove": old.unlink,
        "null": lambda: Path("/dev/null").write_bytes(b"x"),
        "read": old.read_bytes,
    }
    give(call, {way: attempt(action) for way, action in ways.items()})


def many_files(call: dict[str, Any]) -> None:
    held: list[int] = []

    def hoard() -> None:
        for _ in range(10_000):
            held.append(os.open("/dev/null", os.O_RDONLY))  # noqa: PERF401 — what was opened before the refusal counts

    why = attempt(hoard)
    count = len(held)
    for descriptor in held:
        os.close(descriptor)
    give(call, [count, why])


def memory(call: dict[str, Any], mib: int) -> None:
    give(call, attempt(lambda: bytearray(mib << 20)))


def burn(call: dict[str, Any]) -> None:
    while True:
        pass


def shoot(call: dict[str, Any], targets: list[int]) -> None:
    give(call, [attempt(functools.partial(os.kill, pid, signal.SIGKILL)) for pid in targets])


def rights(call: dict[str, Any]) -> None:
    """Of a program that we execute in our turn."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.dup2(writing, 1)
        os.execv("/bin/cat", ["cat", "/proc/self/status"])
    os.close(writing)
    with os.fdopen(reading) as status:
        give(call, dict(line.rstrip("\n").split(":\t", 1) for line in status))


def answer(message: dict[str, Any]) -> None:
    method = message.get("method")
    if method == "initialize":
        heard.append(message)
        version = message["params"]["protocolVersion"]
        if version == "refuse":
            say({"id": message["id"], "error": {"code": -32602, "message": "not this version"}})
            return
        info = {"name": "opponent", "version": "1"}
        say(
            {
                "id": message["id"],
                "result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info},
            }
        )
    elif method == "tools/call":
        globals()[message["params"]["name"]](message, **message["params"].get("arguments", {}))
    elif method is None and asked:
        give(asked.pop("call"), message)
    else:
        heard.append(message)
        if "id" in message:
            say({"id": message["id"], "result": {}})


if __name__ == "__main__":
    for line in sys.stdin.buffer:
        answer(json.loads(line))
