"""A new stream accounts for those before it: where they ended, and what became of their intents."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sallyport.audit import recovery
from sallyport.audit.report import State
from sallyport.audit.signer import Signer, generate
from sallyport.audit.writer import Writer
from tests.unit.audit.made import Home, append, fill, kill, records, segment


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_an_intent_without_outcome_gets_unknown_in_the_new_stream_and_only_once(home: Home) -> None:
    dead = home.killed(4)  # open, intent, outcome, intent
    second, third = home.stream(2), home.stream(2)
    intent = records(dead)[3]
    outcome = records(second)[1]
    assert outcome["of"] == {"stream": dead.name, "seq": 3}
    assert (outcome["outcome"], outcome["decision_id"]) == ("unknown", intent["decision_id"])
    assert [line["kind"] for line in records(third)] == ["open", "close"]
    assert home.verify().exit_code == 0
    assert not [text for text in home.verify().warnings if "without outcome" in text]


def test_an_intent_left_open_by_a_clean_close_gets_unknown_too(home: Home) -> None:
    home.stream(3)
    assert records(home.stream(2))[1]["outcome"] == "unknown"
    assert home.verify().exit_code == 0


@pytest.mark.parametrize(("cut", "state"), [(0, "unclosed"), (5, "torn")])
def test_the_open_record_states_how_the_stream_before_ended(home: Home, cut: int, state: str) -> None:
    dead = home.killed(10)
    data = segment(dead).read_bytes()
    segment(dead).write_bytes(data[: len(data) - cut])
    stated = records(home.stream(2))[0]["previous"]
    whole = data[: len(data) - cut].rpartition(b"\n")[0]
    assert [(one["stream"], one["state"], one["bytes"]) for one in stated] == [(dead.name, state, len(whole) + 1)]
    assert segment(dead).read_bytes() == data[: len(data) - cut]
    report = home.verify()
    assert (report.exit_code, report.streams[0].state) == (0, State.RECOVERED)


def test_a_damaged_stream_is_stated_and_stays_tampered(home: Home) -> None:
    dead = home.killed(10)
    segment(dead).write_bytes(segment(dead).read_bytes().replace(b"alice", b"bobby", 1))
    assert records(home.stream(2))[0]["previous"][0]["state"] == "damaged"
    assert home.verify().exit_code == 2


def test_a_living_stream_is_left_alone_and_accounted_for_after_its_death(home: Home) -> None:
    living = home.open()
    fill(living, 3)
    stated = records(home.stream(2))[0]["previous"]
    assert [(one["stream"], one["state"]) for one in stated] == [(living.stream, "open")]
    append(living, 3).result(10)
    append(living, 4).result(10)
    assert home.verify().exit_code == 0
    kill(living)
    third = home.stream(2)
    assert {one["stream"]: one["state"] for one in records(third)[0]["previous"]}[living.stream] == "unclosed"
    assert home.verify().exit_code == 0


def test_services_account_each_for_their_own(home: Home) -> None:
    home.killed(4)
    with home.writing("pdp") as other:
        pass
    assert records(home.audit / other.stream)[0]["previous"] == []


def test_a_stream_that_ended_well_is_settled_without_reading_it_whole(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = home.stream(20)
    monkeypatch.setattr(recovery, "_walked", lambda _: pytest.fail("it was read whole"))
    assert records(home.stream(2))[0]["previous"][0]["stream"] == first.name
    assert home.verify().exit_code == 0


def test_a_new_key_accounts_for_streams_of_the_old_one_without_repeating_outcomes(home: Home) -> None:
    home.killed(4)
    home.stream(4)
    old = home.signer
    (home.root / "new").mkdir()
    home.signer = generate(home.root / "new")
    home.killed(4)
    home.stream(2)
    keys = [home.root / "pki" / "audit", home.root / "new"]
    assert home.verify(keys=keys).exit_code == 0
    assert home.verify().exit_code == 2
    assert old.key_id != home.signer.key_id


def test_two_that_start_at_once_dont_both_settle_a_stream(home: Home) -> None:
    home.killed(4)
    writers: list[Writer] = []
    threads = [threading.Thread(target=lambda: writers.append(home.open())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for writer in writers:
        writer.close()
    assert home.verify().exit_code == 0


def test_what_died_before_it_was_visible_is_cleared_away(home: Home) -> None:
    home.stream(3)
    unborn = home.audit / ".pep-20200101T000000.000000Z-00000000"
    unborn.mkdir()
    (unborn / "reserve").write_bytes(b"x")
    home.stream(3)
    assert not unborn.exists()


def test_a_forged_open_record_of_any_shape_stops_no_start(home: Home) -> None:
    other = Signer.of(home.signer.key)
    dead = home.killed(4)
    first = records(dead)[0]
    for number, forged in enumerate(({"x": 1}, [1, "x", {"stream": 5}], "x", [{"stream": "a"}])):
        name = f"pep-20200101T000000.000000Z-0000000{number}"
        (home.audit / name).mkdir()
        fields = {key: value for key, value in first.items() if key not in {"sig", "key_id"}}
        line = other.sign({**fields, "previous": forged, "stream": name})
        segment(home.audit / name).write_bytes(line + b"\n")
    home.stream(3)
