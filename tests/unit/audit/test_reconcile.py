"""Two witnesses that must agree: each line taken away, changed or added on either side is said, and no honest one is."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sallyport.audit import reconcile as reconciler
from sallyport.audit.errors import AuditUnavailable
from sallyport.audit.pairing import NOT_RUN
from sallyport.audit.reconcile import Reconciliation, reconcile
from sallyport.audit.record import SIGNED
from sallyport.audit.signer import generate
from sallyport.audit.witnesses import Side
from sallyport.audit.writer import Writer
from tests.unit.audit.made import Home, segment, until
from tests.unit.audit.witnessed import KEY, REVISION, START, Lines, Pair, Time, lines, rewrite, stream, witnessed

OTHER = "d" * 64


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def pair(home: Home) -> Iterator[Pair]:
    with witnessed(home) as made:
        yield made


def written(home: Home) -> list[str]:
    """One of each kind of decision, in two streams that ended well; their ids."""
    with witnessed(home) as pair:
        return pair.all()


def judged(home: Home, **options: Any) -> Reconciliation:
    return reconcile([home.root], **options)


def alarms(home: Home, **options: Any) -> list[tuple[str, Side]]:
    return [(one.decision_id, one.side) for one in judged(home, **options).alarms]


def test_what_both_sides_say_alike_reconciles(home: Home) -> None:
    ids = written(home)
    result = judged(home)
    assert (result.exit_code, result.alarms) == (0, [])
    assert {one.decision_id: one.why for one in result.findings} == dict.fromkeys([ids[4], ids[5]], NOT_RUN)
    counts = {"agree": 8, "mismatched": 0, "unsettled": 0, "lost": 0, "permitted_not_run": 2, "undecided": 1}
    assert result.counts == counts


def removable(told: Lines) -> list[int]:
    """What the other side knows of. A question that was asked once more, and a refusal before any question, it doesn't."""
    return [
        number
        for number, one in enumerate(told)
        if one["kind"] not in SIGNED
        and one.get("reason") != "malformed"
        and one.get("errors") != ["ERROR_CODE_CATALOG_MISMATCH"]
    ]


def without(told: Lines, gone: dict[str, Any]) -> Lines:
    """An outcome without its intent is tampering by itself: who takes the intent takes both."""
    both = gone["kind"] == "intent"
    alike = [one for one in told if both and one["kind"] == "outcome" and one["decision_id"] == gone["decision_id"]]
    return [one for one in told if one is not gone and one not in alike]


@pytest.mark.parametrize("service", ["pep", "pdp"])
def test_each_single_record_that_is_taken_away_is_said_with_its_id_and_its_side(home: Home, service: str) -> None:
    written(home)
    told = lines(home, service)
    asked_for_nothing = {one["decision_id"] for one in lines(home, "pep") if one.get("reason") == "no_decision"}
    for number in removable(told):
        gone = told[number]
        if service == "pdp" and gone.get("decision_id") in asked_for_nothing:
            continue  # the PEP says itself that it got no answer
        rewrite(home, service, without(told, gone))
        result = judged(home)
        assert result.exit_code == 5, gone
        (finding, *_) = result.alarms
        assert gone["kind"] == "policy" or finding.decision_id == gone["decision_id"], gone
        assert finding.side is Side(service), gone
    rewrite(home, service, told)
    assert judged(home).exit_code == 0


@pytest.mark.parametrize("service", ["pep", "pdp"])
def test_without_the_key_a_line_taken_away_is_tampering_and_nothing_is_compared(
    home: Home, service: str, tmp_path: Path
) -> None:
    written(home)
    told = lines(home, service)
    other = tmp_path / "other"
    other.mkdir()
    rewrite(home, service, told[:3] + told[4:], generate(other))
    result = judged(home)
    assert (result.exit_code, result.findings, result.counts) == (2, [], {})
    path = segment(stream(home, service))
    rewrite(home, service, told)
    data = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(data[:3] + data[4:]))
    assert judged(home).exit_code == 2


CHANGES: dict[str, Any] = {
    "user": "bob",
    "agent": "chat-bot",
    "org": "globex",
    "issuer": "other",
    "revision": OTHER,
    "request_hmac": f"{KEY}:{'e' * 64}",
    "resources": ["File::bob/private.txt"],
    "reasons": ["another"],
}


@pytest.mark.parametrize("field", CHANGES)
@pytest.mark.parametrize("service", ["pep", "pdp"])
def test_a_call_that_both_tell_differently_is_said(home: Home, service: str, field: str) -> None:
    ids = written(home)
    told = lines(home, service)
    for one in told:
        if one.get("decision_id") == ids[0] and one["kind"] in {"intent", "decision"} and field in one:
            one[field] = CHANGES[field]
    rewrite(home, service, told)
    assert {decision for decision, _ in alarms(home)} == {ids[0]}


@pytest.mark.parametrize(
    ("service", "kind", "change"),
    [
        ("pep", "intent", {"tool": "write_file"}),
        ("pdp", "decision", {"actions": ["write_file"]}),
        ("pdp", "decision", {"effect": "deny"}),
        ("pdp", "decision", {"shown": 0, "hidden": 1}),
        ("pdp", "decision", {"source": "authzen"}),
        ("pdp", "decision", {"errors": ["ERROR_CODE_POLICY_ERROR"]}),
    ],
)
def test_another_tool_another_effect_or_another_source_is_said(
    home: Home, service: str, kind: str, change: dict[str, Any]
) -> None:
    ids = written(home)
    told = lines(home, service)
    for one in told:
        if one.get("decision_id") == ids[0] and one["kind"] == kind and change.keys() <= one.keys():
            one.update(change)
    rewrite(home, service, told)
    assert {decision for decision, _ in alarms(home)} == {ids[0]}


def test_a_permit_that_is_told_as_a_denial_and_a_denial_as_a_permit_are_said(home: Home) -> None:
    ids = written(home)
    told = lines(home, "pep")
    for one in told:
        if one["kind"] == "intent" and one["decision_id"] == ids[0]:
            one |= {"kind": "refusal", "reason": "denied", "detail": "denied by the PDP"}
    rewrite(home, "pep", [one for one in told if one["kind"] != "outcome" or one["decision_id"] != ids[0]])
    assert {decision for decision, _ in alarms(home)} == {ids[0]}


@pytest.mark.parametrize("field", ["request_hmac", "tool", "method", "resources", "issuer", "compound_id"])
def test_silence_of_the_pep_about_a_call_is_no_agreement(home: Home, field: str) -> None:
    ids = written(home)
    told = lines(home, "pep")
    for one in told:
        if one["kind"] == "intent" and one["decision_id"] == ids[0]:
            del one[field]
    rewrite(home, "pep", told)
    assert {decision for decision, _ in alarms(home)} == {ids[0]}


@pytest.mark.parametrize("field", ["request_hmac", "resources", "issuer", "compound_id", "actions", "purpose"])
def test_silence_of_the_pdp_about_a_call_is_no_agreement(home: Home, field: str) -> None:
    ids = written(home)
    told = lines(home, "pdp")
    for one in told:
        if one.get("purpose") == "call" and one["decision_id"] == ids[0]:
            del one[field]
    rewrite(home, "pdp", told)
    assert {decision for decision, _ in alarms(home)} == {ids[0]}


@pytest.mark.parametrize("method", ["tools/list", "resources/read", "read_file", ""])
@pytest.mark.parametrize("keep_tool", [True, False])
def test_a_call_is_a_call_whatever_its_record_names_as_the_method(home: Home, method: str, *, keep_tool: bool) -> None:
    """By another name its resources and its visibility were compared with nothing."""
    ids = written(home)
    told = lines(home, "pep")
    for one in told:
        if one["kind"] == "intent" and one["decision_id"] == ids[0]:
            renamed = {"method": method} if keep_tool else {"method": method, "tool": ""}
            one.update(renamed, resources=["File::bob/private.txt"])
    rewrite(home, "pep", told)
    found = judged(home).alarms
    assert {one.decision_id for one in found} == {ids[0]}
    compared = keep_tool or method == "resources/read"  # which is held to its resources, as a call is
    assert ("the resources aren't the same" in {one.what for one in found}) is compared


@pytest.mark.parametrize("service", ["pep", "pdp"])
def test_a_compound_id_that_is_not_its_user_via_its_agent_is_said(home: Home, service: str) -> None:
    ids = written(home)
    told = lines(home, service)
    for one in told:
        if one.get("decision_id") == ids[1] and "compound_id" in one:
            one["compound_id"] = "mallory via coding-bot"
    rewrite(home, service, told)
    assert alarms(home) == [(ids[1], Side(service))]


def refused_instead(home: Home, one: str, **refusal: Any) -> None:
    """An executed call, told by whoever holds the PEP's key as one that never ran."""
    told = [line for line in lines(home, "pep") if line["kind"] != "outcome" or line["decision_id"] != one]
    for line in told:
        if line["kind"] == "intent" and line["decision_id"] == one:
            for name in ("request_hmac", "resources"):
                del line[name]
            line |= {"kind": "refusal", "effect": "deny", "detail": "", "revision": "", "reasons": [], **refusal}
    rewrite(home, "pep", told)


UNRUN: list[dict[str, Any]] = [
    {"reason": "cancelled"},
    {"reason": "internal"},
    {"reason": "no_decision"},
    {"reason": "denied", "errors": ["ERROR_CODE_INTERNAL"]},
    {"reason": "denied", "detail": "unresolved: gone", "revision": REVISION},
]


@pytest.mark.parametrize("refusal", UNRUN)
def test_a_permit_that_the_pep_says_did_not_run_is_counted_apart_and_shown(
    home: Home, refusal: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with witnessed(home) as pair:
        ids = [pair.permitted(), pair.permitted()]
    refused_instead(home, ids[0], **refusal)
    assert reconciler.main([str(home.root)]) == 0
    *rows, summary = capsys.readouterr().out.splitlines()
    assert summary == "reconciled: 1 agree, 1 permitted not run"
    (row,) = rows[1:]
    assert row.startswith(f"permitted not run  {ids[0]}")
    assert refusal["reason"] in row
    assert judged(home).alarms == []


@pytest.mark.parametrize(
    "refusal",
    [
        {"reason": "audit_unavailable"},
        {"reason": "cancelled", "tool": "list_files"},
        {"reason": "cancelled", "tool": "", "method": "tools/list"},
        {"reason": "cancelled", "method": "tools/list"},
        {"reason": "internal", "revision": OTHER},
        {"reason": "internal", "user": "bob", "compound_id": "bob via coding-bot"},
        {"reason": "no_decision", "compound_id": "bob via coding-bot"},
        {"reason": "denied", "errors": ["ERROR_CODE_INTERNAL"], "tool": "list_files"},
        {"reason": "invalid_arguments"},
        {"reason": "overloaded"},
    ],
)
def test_a_permit_that_did_not_run_for_a_reason_that_cannot_be_is_said(home: Home, refusal: dict[str, Any]) -> None:
    with witnessed(home) as pair:
        one = pair.permitted()
    refused_instead(home, one, **refusal)
    result = judged(home)
    assert (result.exit_code, {each.decision_id for each in result.alarms}) == (5, {one})


def test_a_refusal_for_want_of_a_record_is_believed_where_a_gap_says_so(home: Home) -> None:
    disk = Broken()
    with home.writing("pep", fsync=disk.flush) as pep, home.writing("pdp") as pdp:
        pair = Pair(pep, pdp, iter(range(1, 100)))
        pair.in_force()
        one = pair.new()
        pair.visible(one)
        pair.decided(one, effect="permit", reasons=["owner"])
        disk.broken = True
        with suppress(AuditUnavailable):
            pep.append("intent", {"decision_id": "x"}).result(10)
        disk.broken = False
        until(lambda: pep.healthy)
        pair.refused(one, "audit_unavailable")
    result = judged(home)
    assert (result.exit_code, result.counts[NOT_RUN]) == (0, 1)


def test_a_refusal_that_comes_before_any_question_hides_no_permit(home: Home) -> None:
    ids = written(home)
    told = [one for one in lines(home, "pep") if one["kind"] != "outcome" or one["decision_id"] != ids[0]]
    for one in told:
        if one["kind"] == "intent" and one["decision_id"] == ids[0]:
            one |= {"kind": "refusal", "reason": "malformed", "revision": ""}
    rewrite(home, "pep", told)
    assert {decision for decision, _ in alarms(home)} == {ids[0]}


def test_two_decisions_that_changed_places_are_both_said(home: Home) -> None:
    ids = written(home)
    told = lines(home, "pdp")
    swap = {ids[0]: ids[1], ids[1]: ids[0]}
    for one in told:
        one.update({"decision_id": swap[one["decision_id"]]} if one.get("decision_id") in swap else {})
    rewrite(home, "pdp", told)
    assert {decision for decision, _ in alarms(home)} == {ids[0], ids[1]}


@pytest.mark.parametrize("service", ["pep", "pdp"])
def test_a_record_told_twice_is_said(home: Home, service: str) -> None:
    ids = written(home)
    told = lines(home, service)
    (number,) = [
        number
        for number, one in enumerate(told)
        if one.get("decision_id") == ids[1] and one.get("purpose", "call") == "call"
    ]
    rewrite(home, service, [*told[:number], told[number], *told[number:]])
    assert {decision for decision, _ in alarms(home)} == {ids[1]}


def test_a_listing_that_showed_more_than_the_pdp_did_is_said(home: Home) -> None:
    ids = written(home)
    told = lines(home, "pep")
    for one in told:
        one.update({"detail": "4 tools shown"} if one.get("detail") == "3 tools shown" else {})
    rewrite(home, "pep", told)
    assert {decision for decision, _ in alarms(home)} == {ids[6]}


def test_an_intent_without_outcome_is_said_unless_the_stream_says_so_itself(home: Home) -> None:
    with witnessed(home) as pair:
        one = pair.new()
        pair.visible(one)
        pair.decided(one, effect="permit", reasons=["owner"])
        pair.intent(one, outcome=False)
    assert judged(home).exit_code == 0
    told = lines(home, "pep")
    told[-1]["pending"] = 0
    rewrite(home, "pep", told)
    assert alarms(home) == [(one, Side.PEP)]


def test_a_whole_stream_that_is_gone_is_said_by_the_other_side(home: Home) -> None:
    ids = written(home)
    with home.writing("pdp"):
        pass
    told = lines(home, "pdp")
    told[0]["previous"] = []  # as if it had never been
    rewrite(home, "pdp", told)
    first = min(home.audit.glob("pdp-*"))
    for path in first.iterdir():
        path.unlink()
    first.rmdir()
    result = judged(home)
    assert result.exit_code == 5
    assert {one.decision_id for one in result.alarms} >= {ids[0], ids[1], ids[6]}


@pytest.mark.parametrize("service", ["pep", "pdp"])
def test_one_side_alone_is_nothing_to_vouch_for(home: Home, service: str) -> None:
    with home.writing(service):
        pass
    result = judged(home)
    assert (result.exit_code, len(result.missing)) == (4, 1)


def test_sides_that_lie_apart_are_read_together(home: Home, tmp_path: Path) -> None:
    written(home)
    apart = tmp_path / "apart"
    apart.mkdir()
    stream(home, "pdp").rename(apart / stream(home, "pdp").name)
    keys = [home.root / "pki" / "audit"]
    assert reconcile([home.root, apart], keys).exit_code == 0
    assert reconcile([home.root], keys).exit_code == 4


def test_one_directory_named_twice_is_read_once(home: Home, tmp_path: Path) -> None:
    written(home)
    linked = tmp_path / "linked"
    linked.symlink_to(home.root)
    alone = judged(home)
    twice = reconcile([home.root, home.audit, linked, home.root / "pki" / ".."])
    assert (twice.exit_code, twice.counts, len(twice.reports)) == (alone.exit_code, alone.counts, 1)


def test_a_copy_of_a_stream_is_heard_once_and_one_that_differs_is_not_guessed_at(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(home)
    copy = tmp_path / "copy"
    shutil.copytree(home.root, copy)
    assert reconcile([home.root, copy]).counts == judged(home).counts
    path = segment(max((copy / "audit").glob("pep-*")))
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert reconciler.main([str(home.root), str(copy)]) == 1
    assert "there twice, and not alike" in capsys.readouterr().err


@pytest.mark.parametrize("since", [[], ["--since", "2099"]])
def test_where_there_is_nothing_to_compare_nothing_is_called_reconciled(
    home: Home, since: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with witnessed(home) as pair:
        if since:
            pair.all()
        pair.decided("f" * 32, source="authzen", effect="permit")
    assert reconciler.main([str(home.root), *since]) == 6
    assert capsys.readouterr().out.startswith("nothing to compare")
    assert reconciler.main([str(home.root), *since, "--format", "json"]) == 6
    assert json.loads(capsys.readouterr().out)["exit_code"] == 6


def test_a_torn_stream_without_a_decision_does_not_read_as_reconciled(home: Home) -> None:
    with witnessed(home, killed=["pdp"]):
        pass
    result = judged(home)
    assert (result.exit_code, "reconcile" in result.verdict) == (3, False)


def test_with_other_masking_keys_the_arguments_are_not_compared_and_that_is_said(home: Home) -> None:
    written(home)
    told = lines(home, "pdp")
    for one in told:
        one.update({"request_hmac": one["request_hmac"].replace(KEY, "other")} if "request_hmac" in one else {})
    rewrite(home, "pdp", told)
    result = judged(home)
    assert (result.exit_code, len(result.notes)) == (0, 1)


def test_one_call_is_enough_to_see_that_other_arguments_ran(home: Home) -> None:
    with witnessed(home) as pair:
        one = pair.new()
        pair.visible(one)
        pair.decided(one, effect="permit", reasons=["owner"])
        pair.intent(one, request_hmac=f"{KEY}:{'e' * 64}")
    assert alarms(home) == [(one, Side.PDP)]


def test_other_gateways_decisions_are_counted_apart(home: Home) -> None:
    with witnessed(home) as pair:
        pair.permitted()
        pair.decided("f" * 32, source="authzen", effect="permit")
    result = judged(home)
    assert (result.exit_code, result.counts["source_authzen"], result.counts["agree"]) == (0, 1, 1)


def test_since_leaves_out_what_both_sides_recorded_before(home: Home) -> None:
    time = Time()
    with witnessed(home, clock=time.clock) as pair:
        pair.intent(pair.new())  # a permit that nobody gave
        time.now += 100
        pair.permitted()
    assert len(alarms(home)) == 1
    late = judged(home, since=START + 50)
    assert (late.exit_code, late.counts["agree"]) == (0, 1)
    assert len(alarms(home, since=START - 50)) == 1


def test_a_killed_pdp_raises_no_alarm_and_what_it_took_along_is_unsettled(home: Home) -> None:
    time = Time()
    with witnessed(home, clock=time.clock, killed=["pdp"]) as pair:
        pair.permitted()
        time.now += 7  # nothing but heartbeats for a while
        late = [pair.new() for _ in range(3)]
        for one in late:
            time.now += 0.3
            pair.intent(one)  # answered, but not yet on disk when it died
    result = judged(home, now=time.now)
    assert (result.exit_code, {one.why for one in result.findings}) == (3, {"unsettled"})
    with home.writing("pdp", clock=time.clock):
        pass
    result = judged(home, now=time.now)
    assert (result.exit_code, result.counts["unsettled"], result.counts["agree"]) == (0, 3, 1)


def test_a_killed_pep_raises_no_alarm_and_what_it_took_along_is_unsettled(home: Home) -> None:
    time = Time()
    with witnessed(home, clock=time.clock, killed=["pep"]) as pair:
        pair.permitted()
        for _ in range(3):
            time.now += 0.2
            one = pair.new()
            pair.visible(one)
            pair.decided(one, effect="permit", reasons=["owner"])
    with home.writing("pep", clock=time.clock):
        pass
    result = judged(home, now=time.now)
    assert (result.exit_code, result.counts["unsettled"]) == (0, 3)


def test_more_than_a_second_of_a_killed_stream_is_no_accident(home: Home) -> None:
    time = Time()
    with witnessed(home, clock=time.clock, killed=["pdp"]) as pair:
        pair.permitted()
        for _ in range(8):
            time.now += 0.3
            pair.intent(pair.new())
    with home.writing("pdp", clock=time.clock):
        pass
    result = judged(home, now=time.now)
    assert (result.exit_code, result.counts["unsettled"], result.counts["mismatched"]) == (5, 4, 4)


def test_long_after_a_stream_broke_off_nothing_is_unsettled(home: Home) -> None:
    time = Time()
    with witnessed(home, clock=time.clock, killed=["pdp"]) as pair:
        pair.permitted()
        time.now += 60
        pair.intent(pair.new())
    with home.writing("pdp", clock=time.clock):
        pass
    assert judged(home, now=time.now).exit_code == 5


def test_a_stream_that_ended_well_took_nothing_along(home: Home) -> None:
    with witnessed(home) as pair:
        pair.intent(pair.new())
    assert judged(home).exit_code == 5


def test_while_both_are_written_only_the_newest_is_unsettled(home: Home) -> None:
    time = Time()
    with witnessed(home, clock=time.clock) as pair:
        old = pair.new()
        pair.intent(old)
        time.now += 5
        new = pair.new()
        pair.intent(new)
        for writer in (pair.pep, pair.pdp):
            writer._ledger.commit([], checkpoint=True)  # a head that is fresh on the hand-made clock
        result = judged(home, now=time.now + 0.5)
        assert {one.decision_id: one.why for one in result.findings} == {old: "", new: "unsettled"}


class Broken:
    """A disk that takes nothing while it is broken."""

    def __init__(self) -> None:
        self.broken = False

    def flush(self, _: int) -> None:
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("lost", [1, 3])
def test_as_many_as_a_gap_counts_are_lost_and_no_more(home: Home, lost: int) -> None:
    disk = Broken()
    with home.writing("pep") as pep, home.writing("pdp", fsync=disk.flush) as pdp:
        pair = Pair(pep, pdp, iter(range(1, 100)))
        pair.in_force()
        disk.broken = True
        for _ in range(lost):
            with suppress(AuditUnavailable):
                pdp.append("decision", {"decision_id": "x", "source": "grpc"}).result(10)
        for _ in range(3):
            pair.intent(pair.new())
        disk.broken = False
        until(lambda: pdp.healthy)
    result = judged(home)
    assert result.counts["lost"] == lost
    assert result.exit_code == (0 if lost == 3 else 5)


def test_the_report_is_one_line_a_finding_whatever_it_holds(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with witnessed(home) as pair:
        pair.intent("a\nb\x1b[2J\u2028", user="eve\r\nMISMATCH", tool="x\x85y")
    assert reconciler.main([str(home.root)]) == 5
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == len(shown.split("\n")) - 1
    assert reconciler.main([str(home.root), "--format", "json"]) == 5
    told = json.loads(capsys.readouterr().out)
    assert (told["exit_code"], told["verdict"]) == (5, "NOT RECONCILED")
    assert {one["decision_id"] for one in told["findings"]} == {"a\nb\x1b[2J\u2028"}


@pytest.mark.parametrize(
    "words", [["--since", "yesterday"], ["--since", ""], ["--format", "xml"], ["--keys", "/nonexistent"], ["--bogus"]]
)
def test_wrong_usage_is_never_the_code_of_a_finding(home: Home, words: list[str]) -> None:
    written(home)
    assert reconciler.main([str(home.root), *words]) == 1


def test_a_kill_of_one_service_leaves_the_others_streams_alone(home: Home) -> None:
    with witnessed(home, killed=["pdp"]) as pair:
        pair.permitted()
    assert home.verify().exit_code == 3
    before = {path: path.read_bytes() for path in home.audit.glob("pdp-*/*.jsonl")}
    with home.writing("pep") as pep:
        opened = lines(home, "pep")[0]
    assert [one["stream"] for one in opened["previous"]] == [min(home.audit.glob("pep-*")).name]
    assert {path: path.read_bytes() for path in home.audit.glob("pdp-*/*.jsonl")} == before
    assert home.verify().exit_code == 3, "the PEP accounts for none of the PDP's"
    with home.writing("pdp"):
        opened = lines(home, "pdp")[0]
    assert [one["state"] for one in opened["previous"]] == ["unclosed"]
    assert home.verify().exit_code == 0
    assert pep.stream.startswith("pep-")


def test_a_decision_needs_a_source_and_an_id_and_no_outcome(pair: Pair) -> None:
    for fields in ({"decision_id": "x"}, {"source": "grpc"}, {"decision_id": "", "source": "grpc"}):
        with pytest.raises(ValueError, match="decision without"):
            pair.pdp.append("decision", fields)
    assert isinstance(pair.pdp, Writer)
    pair.pdp.append("decision", {"decision_id": "x", "source": "grpc"}).result(10)
    with pytest.raises(ValueError, match="no durable intent"):
        pair.pdp.append("outcome", {"decision_id": "x", "outcome": "done"}).result(10)


def test_the_revision_that_judged_came_into_force_by_a_record(home: Home) -> None:
    with witnessed(home) as pair:
        one = pair.new()
        pair.visible(one, revision=OTHER)
        pair.decided(one, effect="permit", reasons=["owner"], revision=OTHER)
        pair.intent(one, revision=OTHER)
    assert alarms(home) == [(one, Side.PDP)]
    with home.writing("pdp") as pdp:
        pdp.append("policy", {"serves": True, "in_force": REVISION}).result(10)
    assert alarms(home) == [(one, Side.PDP)], "another stream's word isn't this one's"
