"""What the PDP records of its answers: each of them once, nothing of the arguments, and no text that can break a line."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sallyport.audit.masker import Masker
from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pdp import recorder as room
from sallyport.pdp.model import Effect, Json, Principal, Purpose, Query, Session, Verdict
from sallyport.pdp.observer import Decision, Reloaded
from sallyport.pdp.recorder import Recorder, open_stream
from sallyport.pdp.settings import Audit
from sallyport.runtime import canonical_json
from sallyport.runtime.problems import ConfigError, Problem
from tests.contract.pdp_audit.recording import MASKING, recording
from tests.contract.pdp_service.running import evaluation, question, visibility
from tests.support.laptop import init
from tests.unit.audit.made import Home, records, segment

WHO = {"issuer": "laptop", "user": "alice", "agent": "coding-bot", "org": "acme", "compound_id": "alice via coding-bot"}
HOSTILE = 'x\n\r\x00\x1b[2J\x7f\x85\u2028\u2029\u202e"]|=\\\ufeff'
CANARY = "canary-7c1f9e"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


async def test_each_answer_has_one_record_that_says_the_same(home: Home, tmp_path: Path) -> None:
    traceparent = f"00-{'1' * 32}-{'2' * 16}-01"
    asked = [question(traceparent=traceparent), question(evaluation(resource="File::bob/private.txt"))]
    async with recording(home, tmp_path) as made:
        answers = [await made.pdp.ask(one) for one in asked]
    permit, deny = made.lines()
    assert WHO.items() <= permit.items()
    assert (permit["decision_id"], permit["source"], permit["purpose"]) == (asked[0].decision_id, "grpc", "call")
    assert (permit["effect"], permit["reasons"]) == ("permit", list(answers[0].results[0].reasons))
    assert (permit["actions"], permit["resources"]) == (["read_file"], ["File::alice/notes.txt"])
    assert (permit["revision"], permit["traceparent"]) == (answers[0].revision, traceparent)
    assert (deny["decision_id"], deny["effect"]) == (asked[1].decision_id, "deny")
    assert "obligations" not in deny
    assert home.verify().exit_code == 0


async def test_n27_the_record_binds_the_question_and_the_very_arguments_by_keyed_hashes(
    home: Home, tmp_path: Path
) -> None:
    one = question()
    async with recording(home, tmp_path) as made:
        await made.pdp.ask(one)
    (line,) = made.lines()
    masker = Masker(MASKING)
    digest = hashlib.sha256(one.SerializeToString()).digest()
    assert line["question_hmac"] == masker.question(digest) != digest.hex()
    assert line["request_hmac"] == masker.request(b"read_file\0" + one.evaluations[0].input)


async def test_a_listing_is_one_record_with_two_counts(home: Home, tmp_path: Path) -> None:
    async with recording(home, tmp_path) as made:
        await made.pdp.ask_batch(visibility("read_file", "nope", "list_files"))
        await made.pdp.ask_batch(visibility("nope"))
    many, one = made.lines()
    assert (many["purpose"], many["shown"], many["hidden"]) == ("visibility", 2, 1)
    assert not {"actions", "reasons", "effect"} & many.keys()
    assert (one["shown"], one["hidden"], one["actions"]) == (0, 1, ["nope"])


async def test_all_resources_of_a_call_are_one_record_and_one_denial_denies(home: Home, tmp_path: Path) -> None:
    both = (evaluation(), evaluation(resource="File::bob/private.txt"))
    async with recording(home, tmp_path) as made:
        await made.pdp.ask_batch(question(*both))
    (line,) = made.lines()
    assert (line["effect"], line["evaluations"], len(line["resources"])) == ("deny", 2, 2)


async def test_a_question_that_could_not_be_read_is_recorded_as_the_denial_it_got(home: Home, tmp_path: Path) -> None:
    one = question(catalog_digest="nonsense")
    async with recording(home, tmp_path) as made:
        await made.pdp.ask(one)
    (line,) = made.lines()
    assert (line["decision_id"], line["effect"]) == (one.decision_id, "deny")
    assert line["errors"] == ["ERROR_CODE_INVALID_QUESTION"]
    assert not {"user", "purpose", "request_hmac"} & line.keys()


async def test_n7_no_argument_stands_in_the_record_whatever_its_name_or_depth(home: Home, tmp_path: Path) -> None:
    """But for what names the resource, as in the PEP's record."""
    value: Json = {"path": "alice/notes.txt", "content": CANARY, CANARY: 1, "deep": [{CANARY: CANARY}]}
    asked = pb.Evaluation(
        action="write_file",
        resource=pb.Resource(
            type="File", id="alice/notes.txt", attributes=canonical_json.encode({"owner": CANARY, "kind": CANARY})
        ),
        input=canonical_json.encode(value),
    )
    async with recording(home, tmp_path) as made:
        await made.pdp.ask(question(asked))
        await made.pdp.ask(question(pb.Evaluation(action="read_file", resource=asked.resource, input=CANARY.encode())))
    assert len(made.lines()) == 2
    assert CANARY not in segment(home.audit / made.writer.stream).read_text()


async def test_no_text_of_a_question_breaks_the_record(home: Home, tmp_path: Path) -> None:
    subject = pb.Subject(issuer=HOSTILE, user_id=HOSTILE, agent_id=HOSTILE, org=HOSTILE)
    named = pb.Evaluation(action=HOSTILE, resource=pb.Resource(type="File", id=HOSTILE * 50), input=b"{}")
    async with recording(home, tmp_path) as made:
        await made.pdp.ask(question(named, subject=subject))
        await made.pdp.ask_batch(
            question(pb.Evaluation(action=HOSTILE), subject=subject, purpose=pb.PURPOSE_VISIBILITY)
        )
        await made.pdp.ask(question())
    assert len(made.lines()) == 3
    data = segment(home.audit / made.writer.stream).read_text()
    assert len(data.splitlines()) == data.count("\n")
    assert home.verify().exit_code == 0


def decision(**changes: object) -> Decision:
    principal = Principal("\ud800", "\udfff", "a", "b")
    query = Query("read\ud800", "File", "x" * 10_000 + "\ud800", {}, {})
    verdict = Verdict(Effect.PERMIT, ("\ud800",) * 300, (), ("mask:\ud800",))
    told = Decision("f" * 32, "authzen", principal, Purpose.CALL, (query,) * 500, (verdict,) * 500, "", b"", 0.1)
    return Decision(**{**{name: getattr(told, name) for name in Decision.__slots__}, **changes})


async def test_what_another_gateway_asks_is_cut_and_cleaned_and_recorded(home: Home, tmp_path: Path) -> None:
    async with recording(home, tmp_path) as made:
        made.recorder.decided(decision())
        made.recorder.decided(decision(purpose=Purpose.VISIBILITY))
        made.recorder.decided(decision(principal=None, purpose=None, queries=(), verdicts=()))
    cut, shown, unread = made.lines()
    assert (cut["effect"], cut["evaluations"], len(cut["resources"])) == ("permit", 500, 64)
    assert (cut["user"], cut["source"], cut["obligations"]) == ("?", "authzen", ["mask:?"])
    assert "request_hmac" not in cut
    assert shown["shown"] == 500
    assert unread["effect"] == "deny", "no verdict is no permit"


def widest(fill: str) -> Decision:
    """As much as the contract lets anybody say, all of it `fill`."""

    def text(most: int) -> str:
        return fill * (most // len(fill.encode()))

    def numbered(count: int, most: int) -> tuple[str, ...]:
        return tuple(f"{number:04d}{text(most - 4)}" for number in range(count))

    who = {"user_id": text(256), "agent_id": text(256), "org": text(128)}
    principal = Principal(text(128), **who, roles=numbered(64, 128), scopes=numbered(64, 128))
    session = Session(ip=fill * 45, risk=2**63 - 1, mfa_age=2**63 - 1, call_count=2**63 - 1)
    actions, ids = numbered(64, 128), numbered(64, 4096)
    queries = tuple(Query(action, "File", name, {}, {}, session) for action, name in zip(actions, ids, strict=True))
    verdicts = tuple(Verdict(Effect.PERMIT, numbered(256, 256), (), numbered(16, 256)) for _ in queries)
    return decision(
        source="grpc", client=text(256), principal=principal, queries=queries, verdicts=verdicts, decision_id="a" * 32
    )


FILLS = ("\x00", "\x1b", "\x7f", "\x85", '"', "\\", "\u202e", "\u20ac", "\U0001f600", "\ud800", "x")


@pytest.mark.parametrize("fill", FILLS)
async def test_whatever_the_contract_lets_anybody_say_fits_into_one_record(
    home: Home, tmp_path: Path, fill: str
) -> None:
    """A decision that can't be recorded is denied and counted as lost; no stranger's text may bring that about."""
    async with recording(home, tmp_path) as made:
        told = (
            widest(fill)
            if fill != "\ud800"
            else decision(principal=Principal(fill, fill, fill, fill, (fill,), (fill,)))
        )
        made.recorder.decided(told)
        made.recorder.decided(decision(principal=told.principal, purpose=Purpose.VISIBILITY))
    line, shown = made.lines()
    assert home.verify().exit_code == 0
    assert not made.lines("gap")
    assert told.principal is not None
    assert (len(line["roles"]), len(line["scopes"])) == (len(told.principal.roles), len(told.principal.scopes))
    assert line["roles"] == shown["roles"]
    data = segment(home.audit / made.writer.stream).read_text()
    assert len(data.splitlines()) == data.count("\n")
    assert not {"\x1b", "\x00", "\x7f", "\x85", "\u202e"} & set(data)


async def test_what_the_policies_saw_of_the_caller_and_the_session_is_recorded(home: Home, tmp_path: Path) -> None:
    seen = Principal("laptop", "alice", "coding-bot", "acme", ("developer",), ("files:read",))
    asked = Query("read_file", "File", "a", {}, {}, Session(ip="10.1.2.3", mfa_age=0, call_count=2**60))
    async with recording(home, tmp_path) as made:
        made.recorder.decided(decision(principal=seen, queries=(asked,), verdicts=(Verdict(Effect.PERMIT),)))
    (line,) = made.lines()
    assert (line["roles"], line["scopes"]) == (["developer"], ["files:read"])
    assert line["session"] == {"ip": "10.1.2.3", "mfa_age": 0, "call_count": str(2**60)}


async def test_the_gateway_that_asked_stands_in_the_record_and_the_pep_needs_no_name(
    home: Home, tmp_path: Path
) -> None:
    async with recording(home, tmp_path) as made:
        made.recorder.decided(decision(client="spiffe://example.org/gateway"))
        made.recorder.decided(decision(client=HOSTILE * 100))
        made.recorder.decided(decision(source="grpc"))
    named, hostile, pep = made.lines()
    assert named["client"] == "spiffe://example.org/gateway"
    assert len(hostile["client"]) == 256
    assert "client" not in pep


async def test_a_reload_is_recorded_with_what_is_wrong_as_far_as_it_fits(home: Home, tmp_path: Path) -> None:
    problems = tuple(Problem(f"{n}.cedar", n, 1, HOSTILE * 100) for n in range(1000))
    async with recording(home, tmp_path) as made:
        made.recorder.reloaded(Reloaded(False, "a" * 64, "b" * 64, problems, 0.5, "change"))
    (line,) = made.lines("policy")
    assert (line["serves"], line["revision"], line["in_force"]) == (False, "a" * 64, "b" * 64)
    assert (line["problem_count"], len(line["problems"]), line["trigger"]) == (1000, 32, "change")
    assert max(map(len, line["problems"])) <= 512
    assert line["problems"][0].startswith("0.cedar")


async def test_the_last_answer_stands_before_the_signed_end(home: Home, tmp_path: Path) -> None:
    async with recording(home, tmp_path) as made:
        await made.pdp.ask(question())
    (end,) = made.lines("close")
    assert made.lines()[-1]["seq"] < end["seq"]


def audit(laptop: Path, **changes: Path) -> Audit:
    keys = laptop / "pki" / "audit"
    named = {"directory": laptop / "audit", "signing_key": keys / "signing.key", "masking_key": keys / "masking.key"}
    return Audit(**{**named, **changes})


@pytest.mark.parametrize("what", ["signing_key", "masking_key", "directory"])
async def test_n5_n7_without_a_usable_record_there_is_no_pdp(tmp_path: Path, what: str) -> None:
    made = init(tmp_path / "laptop")
    with pytest.raises(ConfigError, match="audit"):
        async with open_stream(audit(made, **{what: Path("/proc/nonexistent")})):
            raise AssertionError("it opened")
    async with open_stream(audit(made)) as recorder:
        recorder.decided(decision())
    (stream,) = (made / "audit").glob("pdp-*")
    assert [line["kind"] for line in records(stream)] == ["open", "decision", "close"]


def test_the_process_says_what_is_wrong_with_its_record_and_ends(tmp_path: Path) -> None:
    made = init(tmp_path / "laptop")
    (made / "pki" / "audit" / "masking.key").chmod(0o644)
    command = [sys.executable, "-m", "sallyport.pdp", "--config", str(made / "pdp.yaml")]
    done = subprocess.run(
        [*command, "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=dict(os.environ),
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "chmod 600" in done.stderr


def test_the_room_imports_no_answer_to_forge() -> None:
    """It reads decisions and makes none."""
    assert not {"decide", "evaluate"} & set(vars(room))
    assert {name for name in vars(Recorder) if not name.startswith("_")} == {"decided", "failure", "reloaded"}
