"""SIGKILL at random moments under 8 writers: every acknowledged record is there, and the chain goes on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from sallyport.audit import record
from sallyport.audit.report import State
from tests.unit.audit.made import SCALE, Home, records

_CHILD: Final = """
import sys, threading
from pathlib import Path
from sallyport.audit.signer import Signer
from sallyport.audit.writer import Writer
root, tell = Path(sys.argv[1]), threading.Lock()
writer = Writer.open(root / "audit", "pep", Signer.from_file(root / "pki/audit/signing.key"), segment_bytes=20000)
def work(name):
    for number in range(10**6):
        decision_id = f"{writer.stream[-8:]}-{name}-{number}"
        intent = writer.append("intent", {"decision_id": decision_id, "user": "alice"}).result()
        with tell:
            sys.stdout.write(f"{intent.stream} {intent.seq} {intent.hash}\\n")
            sys.stdout.flush()
        writer.append("outcome", {"decision_id": decision_id, "outcome": "done"})
for name in range(8):
    threading.Thread(target=work, args=(name,), daemon=True).start()
threading.Event().wait()
"""
KILLS: Final = 8 * SCALE


def killed_run(root: Path, acknowledgements: int) -> list[tuple[str, int, str]]:
    """Start a writer, read that many acknowledgements, kill it, and give all that it acknowledged."""
    command = [sys.executable, "-c", _CHILD, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledgements)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    acknowledged = [line.split() for line in lines if line.endswith("\n")]
    return [(stream, int(seq), head) for stream, seq, head in acknowledged]


def test_n27_kill_9_loses_no_acknowledged_record_and_the_chain_goes_on(tmp_path: Path) -> None:
    home, chance = Home(tmp_path / "home"), random.Random()
    acknowledged = [one for _ in range(KILLS) for one in killed_run(home.root, chance.randint(1, 300))]
    last = home.stream(4)
    report = home.verify()
    assert report.exit_code == 0, "\n".join(report.lines())
    assert [one.state for one in report.streams] == [*[State.RECOVERED] * KILLS, State.CLOSED]
    found = {
        (line["stream"], line["seq"], record.digest(record.encode(line)))
        for stream in home.audit.iterdir()
        if stream.is_dir()
        for line in recorded(stream)
    }
    assert set(acknowledged) <= found
    assert not [text for text in report.warnings if "without outcome" in text]
    assert not (home.audit / report.streams[0].stream / "reserve").exists()
    assert records(last)[0]["previous"][0]["stream"] == report.streams[-2].stream


def recorded(stream: Path) -> list[dict[str, object]]:
    whole = [path.read_bytes().rpartition(b"\n")[0] for path in sorted(stream.glob("*.jsonl"))]
    return [record.decode(line) for data in whole for line in data.splitlines()]
