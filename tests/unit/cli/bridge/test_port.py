"""A port that somebody else has."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.support.laptop import cli


def test_a_port_in_use_is_told_with_the_way_to_another(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        run = cli("stdio-bridge", "--token-file", tmp_path / "token", "--listen", listen, "--", "/bin/cat")
    assert (run.returncode, run.stdout) == (2, "")
    assert f"--listen {listen} can't be bound (Address already in use)" in run.stderr
    assert "name another port, such as --listen 127.0.0.1:0" in run.stderr
