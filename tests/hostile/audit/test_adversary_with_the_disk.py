"""Somebody who can write the disk but hasn't the key: each change is detected with public keys and outside checkpoints."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sallyport.audit import record
from sallyport.audit.report import State
from sallyport.audit.signer import Signer
from sallyport.audit.verify import CheckpointRefused, export, main
from tests.unit.audit.made import Home, append, fill, kill, segment

Lines = list[bytes]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def rewrite(stream: Path, change: Callable[[Lines], Lines]) -> None:
    path = segment(stream)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def rehash(lines: Lines, change: Callable[[dict[str, Any]], None], sign: Signer | None = None) -> Lines:
    """All that can be made again without the key: seq and prev; with `sign`, also signatures of another key."""
    prev, made = record.FIRST, []
    for seq, data in enumerate(lines):
        one = json.loads(data)
        one.update(seq=seq, prev=prev)
        change(one)
        if sign is not None and "sig" in one:
            line = sign.sign({key: value for key, value in one.items() if key != "sig"})
        else:
            line = record.encode(one)
        prev = record.digest(line)
        made.append(line + b"\n")
    return made


def edit(lines: Lines) -> Lines:
    return [*lines[:7], lines[7].replace(b"alice", b"mallo"), *lines[8:]]


def unlink_second(lines: Lines) -> Lines:
    """The second line points elsewhere and all after it is hashed again: the signed first line isn't the one changed."""
    second = json.loads(lines[1])
    second["prev"] = "f" * 64
    made = [lines[0], record.encode(second) + b"\n"]
    for data in lines[2:]:
        made.append(record.encode({**json.loads(data), "prev": record.digest(made[-1][:-1])}) + b"\n")
    return made


def forge_after_close(lines: Lines) -> Lines:
    """Any unsigned record can be linked to the last line without the key."""
    last = json.loads(lines[-1])
    forged = {key: last[key] for key in ("stream", "time", "mono")}
    forged |= {"seq": last["seq"] + 1, "prev": record.digest(lines[-1][:-1]), "kind": "refusal", "reason": "denied"}
    return [*lines, record.encode(forged) + b"\n"]


def swap(lines: Lines) -> Lines:
    return [*lines[:5], lines[6], lines[5], *lines[7:]]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        pytest.param(lambda lines: [*lines[:7], *lines[8:]], 8, id="delete"),
        pytest.param(lambda lines: [*lines[:7], lines[3], *lines[7:]], 8, id="insert"),
        pytest.param(lambda lines: [*lines[:7], lines[6], *lines[7:]], 8, id="duplicate"),
        pytest.param(swap, 6, id="reorder"),
        pytest.param(edit, 8, id="edit"),
        pytest.param(unlink_second, 2, id="unlink"),
        pytest.param(forge_after_close, 21, id="forge after the close"),
        pytest.param(lambda lines: lines[1:], 1, id="delete the open"),
        pytest.param(lambda lines: [*lines, lines[-1]], 21, id="close twice"),
        pytest.param(lambda lines: [*lines, b'{"half'], 21, id="torn after the close"),
        pytest.param(lambda lines: [*lines[:7], b"\n", *lines[7:]], 8, id="an empty line"),
        pytest.param(lambda lines: [*lines[:7], lines[7].replace(b"\n", b" \n"), *lines[8:]], 8, id="a space"),
        pytest.param(lambda lines: [*lines[:7], lines[7].replace(b"\n", b"\r\n"), *lines[8:]], 8, id="CRLF"),
        pytest.param(lambda lines: [*lines[:7], b"{" + b'"a":' * 9 + b"\n", *lines[8:]], 8, id="no JSON"),
        pytest.param(lambda lines: [*lines[:7], b"[" * 500_000 + b"\n", *lines[8:]], 8, id="deep"),
        pytest.param(lambda lines: [*lines[:7], b'"' + b"x" * 10_000_000 + b'"\n', *lines[8:]], 8, id="10 MB line"),
        pytest.param(lambda lines: [*lines[:7], b"9" * 900_000 + b"\n", *lines[8:]], 8, id="huge integer"),
    ],
)
def test_n27_a_changed_file_is_tampered_at_its_line(home: Home, change: Callable[[Lines], Lines], line: int) -> None:
    stream = home.stream(20)
    rewrite(stream, change)
    report = home.verify()
    assert report.exit_code == 2
    assert report.streams[0].records == line - 1
    assert f"tampered at line {line} " in report.streams[0].detail


@pytest.mark.parametrize(
    "spelling",
    [
        lambda line: line.replace(b'"tool":', b'"tool" :'),
        lambda line: line.replace(b'"read_file"', b'"\\u0072ead_file"'),
        lambda line: line.replace(b'"tool":"read_file"', b'"tool":"other","tool":"read_file"'),
        lambda line: line.replace(b'"agent":"coding-bot",', b"").replace(b"}\n", b',"agent":"coding-bot"}\n'),
        lambda line: line.replace(b'"seq":3', b'"seq":3.0'),
        lambda line: line.replace(b'"seq":3', b'"seq":03'),
        lambda line: line.replace(b'"method":', b'"m":null,"method":'),
    ],
)
def test_the_same_json_in_another_spelling_is_tampered(home: Home, spelling: Callable[[bytes], bytes]) -> None:
    stream = home.stream(20)
    rewrite(stream, lambda lines: [*lines[:3], spelling(lines[3]), *lines[4:]])
    assert home.verify().streams[0].detail.startswith("tampered at line 4 ")


def test_n27_hashing_all_again_without_the_key_is_tampered(home: Home) -> None:
    stream = home.stream(20)
    rewrite(stream, lambda lines: rehash(lines, lambda one: one.update(user="mallory") if "user" in one else None))
    report = home.verify()
    assert report.exit_code == 2
    assert "signature" in report.streams[0].detail


def test_n27_signing_all_again_with_another_key_is_tampered_from_line_one(home: Home) -> None:
    stream = home.stream(20)
    other = Signer.of(Ed25519PrivateKey.generate())
    rewrite(stream, lambda lines: rehash(lines, lambda one: one.pop("key_id", None) and None, other))
    assert home.verify().streams[0].records == 0
    assert home.verify().exit_code == 2


def test_a_forged_key_id_doesnt_make_a_strangers_signature_ours(home: Home) -> None:
    stream = home.stream(20)
    impostor = Signer(Ed25519PrivateKey.generate(), home.signer.key_id)
    rewrite(stream, lambda lines: rehash(lines, lambda one: None, impostor))
    assert home.verify().exit_code == 2


def test_n27_a_valid_record_of_another_stream_is_refused(home: Home) -> None:
    one, two = home.stream(20), home.stream(20)
    foreign = segment(one).read_bytes().splitlines(keepends=True)
    rewrite(two, lambda lines: [*lines[:8], foreign[8], *lines[9:]])
    report = home.verify()
    assert report.exit_code == 2
    assert "it belongs to stream" in report.streams[1].detail


def test_whole_streams_swapped_or_renamed_are_tampered(home: Home) -> None:
    one, two = home.stream(20), home.stream(20)
    one.rename(home.audit / "x")
    two.rename(one)
    (home.audit / "x").rename(two)
    assert [report.state for report in home.verify().streams] == [State.TAMPERED, State.TAMPERED]


def test_a_tail_cut_off_or_a_deleted_close_contradicts_the_successor(home: Home) -> None:
    first = home.stream(20)
    home.stream(5)
    for kept in (19, 10):
        rewrite(first, lambda lines, kept=kept: lines[:kept])  # type: ignore[misc]
        assert home.verify().exit_code == 2


def test_a_deleted_close_without_successor_is_unclosed(home: Home) -> None:
    stream = home.stream(20)
    rewrite(stream, lambda lines: lines[:-1])
    report = home.verify()
    assert (report.exit_code, report.streams[0].detail) == (3, "unclosed after record 19")


def test_a_deleted_segment_in_the_middle_is_tampered(home: Home) -> None:
    stream = home.audit / make_segments(home)
    segment(stream, 2).unlink()
    assert home.verify().exit_code == 2


def make_segments(home: Home) -> str:
    with home.writing(segment_bytes=1000) as writer:
        for number in range(12):
            append(writer, number).result(10)
    assert segment(home.audit / writer.stream, 4).exists()
    assert home.verify().exit_code == 0
    return writer.stream


def test_a_deleted_stream_is_missing_and_none_at_all_too(home: Home) -> None:
    first, second = home.stream(5), home.stream(5)
    shutil.rmtree(first)
    report = home.verify()
    assert report.exit_code == 4
    assert report.missing[0].startswith(first.name)
    shutil.rmtree(second)
    assert home.verify().exit_code == 4


def test_a_missing_stream_weighs_more_than_a_torn_one_and_less_than_a_tampered_one(home: Home) -> None:
    first, _, third = home.stream(5), home.stream(5), home.stream(5)
    shutil.rmtree(first)
    rewrite(third, lambda lines: lines[:-1])
    assert home.verify().exit_code == 4
    rewrite(third, lambda lines: [lines[0], *lines[2:]])
    assert home.verify().exit_code == 2


@pytest.mark.parametrize("kept", [2, 10, 19])
def test_n27_rolling_back_is_seen_by_an_outside_checkpoint(home: Home, tmp_path: Path, kept: int) -> None:
    stream = home.stream(20)
    outside = checkpoint(home, tmp_path)
    rewrite(stream, lambda lines: lines[:kept])
    assert home.verify().exit_code == 3
    report = home.verify(checkpoint=outside)
    assert report.exit_code == 2
    assert "rolled back" in report.streams[0].detail


def test_n27_a_fork_signed_by_the_stolen_key_is_seen_by_an_outside_checkpoint(home: Home, tmp_path: Path) -> None:
    stream = home.stream(20)
    outside = checkpoint(home, tmp_path)
    rewrite(stream, lambda lines: rehash(lines, lambda one: one.pop("user", None) and None, home.signer))
    assert home.verify().exit_code == 0
    assert home.verify(checkpoint=outside).exit_code == 2


def test_the_newest_stream_deleted_is_seen_by_an_outside_checkpoint(home: Home, tmp_path: Path) -> None:
    home.stream(5)
    newest = home.stream(5)
    outside = checkpoint(home, tmp_path)
    assert home.verify(checkpoint=outside).exit_code == 0
    shutil.rmtree(newest)
    assert home.verify().exit_code == 0
    assert home.verify(checkpoint=outside).exit_code == 4


def test_an_outside_checkpoint_must_itself_be_signed(home: Home, tmp_path: Path) -> None:
    stream = home.stream(20)
    forged = tmp_path / "forged"
    for data in (b"", b"{}\n", segment(stream).read_bytes().splitlines(keepends=True)[3]):
        forged.write_bytes(data)
        with pytest.raises(CheckpointRefused):
            home.verify(checkpoint=forged)
        assert main([str(home.root), "--checkpoint", str(forged)]) == 1


def checkpoint(home: Home, folder: Path) -> Path:
    path = folder / "outside.jsonl"
    path.write_text("".join(f"{line}\n" for line in export(home.verify())))
    return path


def test_a_forged_account_of_a_torn_stream_is_tampered(home: Home) -> None:
    """Cutting more off a torn stream than its successor signed, or adding to it."""
    torn = home.killed(11)
    data = segment(torn).read_bytes()
    home.stream(5)
    assert home.verify().streams[0].state is State.RECOVERED
    for forged in (data[: data.rindex(b"\n", 0, -1) + 1], data[:-3], data + b'{"x', data[:30]):
        segment(torn).write_bytes(forged)
        assert home.verify().exit_code == 2
    segment(torn).write_bytes(data)
    assert home.verify().exit_code == 0


def test_the_unsigned_tail_of_a_dead_stream_cant_be_hashed_again(home: Home) -> None:
    torn = home.killed(11)
    home.stream(5)
    data = segment(torn).read_bytes().splitlines(keepends=True)
    changed = rehash(data, lambda one: one.update(tool="delete_file") if one["seq"] == 9 else None)
    assert changed[:9] == data[:9]
    segment(torn).write_bytes(b"".join(changed))
    assert home.verify().exit_code == 2


def test_an_outcome_for_no_intent_of_the_named_stream_is_tampered(home: Home) -> None:
    """Even by the key's holder: an unknown outcome answers an intent that was really left open, once."""
    home.killed(12)
    second = home.stream(5)
    assert home.verify().exit_code == 0
    rewrite(second, lambda lines: rehash(lines, wrong_intent, home.signer))
    assert home.verify().exit_code == 2


def wrong_intent(one: dict[str, Any]) -> None:
    if "of" in one:
        one["of"]["seq"] -= 2


@pytest.mark.parametrize("forged", ["outcome", "second outcome", "second intent"])
def test_what_an_honest_writer_never_writes_is_tampered(home: Home, forged: str) -> None:
    stream = home.stream(20)
    lines = segment(stream).read_bytes().splitlines(keepends=True)
    extra = {"outcome": [1], "second outcome": [1, 2, 2], "second intent": [1, 1]}[forged]
    chosen = [lines[0], *(lines[2 if forged == "outcome" else at] for at in extra), *lines[3:]]
    segment(stream).write_bytes(b"".join(rehash(chosen, lambda one: None, home.signer)))
    assert home.verify().exit_code == 2


def test_a_link_or_pipe_in_place_of_a_segment_is_tampered_and_blocks_nothing(home: Home) -> None:
    stream = home.stream(5)
    segment(stream).rename(home.root / "elsewhere")
    segment(stream).symlink_to(home.root / "elsewhere")
    assert home.verify().exit_code == 2
    segment(stream).unlink()
    os.mkfifo(segment(stream))
    assert home.verify().exit_code == 2


@pytest.mark.parametrize("unsigned", [0, 20])
def test_a_cut_stream_whose_lock_an_opponent_holds_is_not_taken_for_a_living_one(home: Home, unsigned: int) -> None:
    writer = home.open()
    fill(writer, unsigned)
    assert home.verify().exit_code == 0
    later = record.MAX_INTEGER
    assert home.verify(now=float(later)).exit_code == 3
    kill(writer)
    assert home.verify().exit_code == 3


def test_a_head_that_stays_unsigned_for_seconds_is_no_living_ones(home: Home) -> None:
    """Within the heartbeat of the last signature, but what came after it should have been signed long ago."""
    with home.writing(checkpoint_every=60) as writer:
        assert home.verify(now=time.time() + 8).exit_code == 0
        fill(writer, 2)
        assert home.verify(now=time.time() + 8).exit_code == 3


def test_no_key_refuses_to_begin(home: Home) -> None:
    home.stream(5)
    (home.root / "pki/audit/signing.pub").unlink()
    assert main([str(home.root)]) == 1


def test_the_report_of_a_hostile_name_stays_one_line(home: Home) -> None:
    home.stream(5)
    (home.audit / "pep\nwhole: 9 streams\x1b[2J\u2028").mkdir()
    shown = list(home.verify().lines())
    assert not [line for line in shown if not line.isprintable()]


@pytest.mark.parametrize(
    "line", [b'{"kind":[],"stream":"x"}', b'{"kind":{},"stream":"x"}', b'{"stream":[],"kind":"open"}']
)
def test_a_line_of_the_wrong_types_is_tampering_and_stops_no_start(line: bytes, home: Home) -> None:
    stream = home.killed(5)
    with segment(stream).open("ab") as file:
        file.write(line + b"\n")
    assert home.verify().exit_code == 2
    with home.writing() as writer:
        append(writer, 98).result(10)


def test_a_tail_that_nobody_signed_may_not_run_backwards_or_for_ever(home: Home) -> None:
    for shift in (-3600, 3600):
        stream = home.killed(5)
        raw = segment(stream).read_bytes().splitlines(keepends=True)
        last = json.loads(raw[-1])
        forged = {**last, "seq": last["seq"] + 1, "prev": record.digest(raw[-1][:-1]), "kind": "refusal", "reason": "x"}
        forged = {key: value for key, value in forged.items() if key not in {"sig", "key_id", "decision_id", "outcome"}}
        forged["mono"] = max(0, last["mono"] + shift * 1_000_000_000)
        with segment(stream).open("ab") as file:
            file.write(record.encode(forged) + b"\n")
        home.open().close()  # the next start signs the end that it found
        report = home.verify()
        assert report.exit_code == 2, shift
        shutil.rmtree(home.audit)


def test_what_nobody_signed_before_a_crash_is_counted_in_the_warning(home: Home) -> None:
    home.killed(5)
    home.open().close()
    report = home.verify()
    assert report.exit_code == 0
    assert any("nobody signed its last" in warning for warning in report.warnings)


@pytest.mark.parametrize("name", ["forged.jsonl", "0000002.jsonl", "000001.jsonl.jsonl"])
def test_a_file_of_records_that_is_no_segment_is_tampering(name: str, home: Home) -> None:
    stream = home.stream(6)
    shutil.copy(segment(stream), stream / name)
    assert home.verify().exit_code == 2


def test_a_stream_that_is_a_link_to_another_folder_is_tampering(home: Home, tmp_path: Path) -> None:
    stream = home.stream(6)
    stream.rename(tmp_path / "elsewhere")
    stream.symlink_to(tmp_path / "elsewhere")
    assert home.verify().exit_code == 2
