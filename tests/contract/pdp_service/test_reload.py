"""How a changed policy directory comes into force, by itself and when asked to, and who may ask."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.seal import HopKey, Label
from sallyport.pdp import hop
from sallyport.pdp.load import load
from sallyport.pdp.server import SERVICE
from sallyport.pdp.watch import Look
from sallyport.runtime.problems import ConfigError
from tests.contract.pdp_service.process import config, started
from tests.contract.pdp_service.reloading import Following, following, publish
from tests.contract.pdp_service.running import NOT_SERVING, OWN_CONNECTION, SECONDS, SERVING, health, running
from tests.hostile.pdp.test_held_places import hold
from tests.support import policy_dir

BEFORE = policy_dir.files()
STRICT = {**policy_dir.POLICIES, "no.cedar": '@id("no")\nforbid (principal, action, resource);\n'}
AFTER = policy_dir.files(policies=STRICT)
FEWER_TOOLS = policy_dir.files(tools=policy_dir.TOOLS[:3])
BROKEN = {**BEFORE, "x.cedar": b'@id("x")\npermit (principal, action, resource) when { principal.nothing };'}


def revision(files: Mapping[str, bytes]) -> str:
    return policy_dir.contents(files).revision


async def until(pdp: Following, wanted: str) -> None:
    while pdp.revision != wanted:
        await pdp.heard.next()


async def test_a_swung_link_is_followed_at_once(tmp_path: Path) -> None:
    place = tmp_path / "policies"
    publish(place, BEFORE)
    async with following(tmp_path, place) as pdp:
        assert pdp.revision == revision(BEFORE)
        publish(place, AFTER)
        await until(pdp, revision(AFTER))
        assert [event.trigger for event in pdp.heard.reloads] == ["start", "change"]


async def test_a_plain_directory_is_followed_once_nobody_writes_it(tmp_path: Path) -> None:
    place = policy_dir.write(tmp_path / "policies", BEFORE)
    async with following(tmp_path, place) as pdp:
        policy_dir.write(place, AFTER)
        await until(pdp, revision(AFTER))


def test_a_directory_that_is_being_written_waits_and_a_swung_link_does_not() -> None:
    half = Look("", (("a", 1, 1, 1, 1),))
    whole = Look("", (("a", 1, 1, 1, 1), ("forbid", 2, 1, 1, 1)))
    assert not half.is_due(None, None)
    assert not whole.is_due(half, None)
    assert whole.is_due(whole, None)
    assert not whole.is_due(whole, whole)
    assert Look("..1", whole.entries).is_due(whole, whole)
    assert Look("..2", whole.entries).is_due(None, Look("..1", whole.entries))
    assert not Look("..1", half.entries).is_due(None, Look("..1", whole.entries))
    assert not Look("", missing="gone").is_due(whole, whole)


async def test_a_file_renamed_into_a_plain_directory_is_followed(tmp_path: Path) -> None:
    place = policy_dir.write(tmp_path / "policies", BEFORE)
    async with following(tmp_path, place) as pdp:
        (tmp_path / "new").write_text(STRICT["no.cedar"])
        (tmp_path / "new").replace(place / "no.cedar")
        await until(pdp, revision(AFTER))


async def test_a_directory_renamed_onto_its_link_is_followed(tmp_path: Path) -> None:
    first, second = policy_dir.write(tmp_path / "1", BEFORE), policy_dir.write(tmp_path / "2", AFTER)
    (tmp_path / "policies").symlink_to(first)
    async with following(tmp_path, tmp_path / "policies") as pdp:
        (tmp_path / "next").symlink_to(second)
        (tmp_path / "next").replace(tmp_path / "policies")
        await until(pdp, revision(AFTER))


async def test_a_change_that_keeps_length_and_time_of_a_file_is_seen(tmp_path: Path) -> None:
    place = policy_dir.write(tmp_path / "policies", BEFORE)
    async with following(tmp_path, place) as pdp:
        file = place / "files.cedar"
        before = file.stat()
        file.write_bytes(file.read_bytes().replace(b">= 5", b">= 9"))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        await pdp.heard.next()
        assert pdp.revision != revision(BEFORE)


@pytest.mark.parametrize("first", ["catalog.yaml", "no.cedar"])
async def test_catalog_and_policies_may_change_in_either_order(tmp_path: Path, first: str) -> None:
    """What names a tool that isn't there yet is refused, and serves once it is."""
    tools = [*policy_dir.TOOLS, policy_dir.tool("later")]
    later = {**policy_dir.POLICIES, "no.cedar": '@id("no")\nforbid (principal, action == Action::"later", resource);\n'}
    wanted = policy_dir.files(tools=tools, policies=later)
    place = policy_dir.write(tmp_path / "policies", BEFORE)
    async with following(tmp_path, place) as pdp:
        (second,) = {"catalog.yaml", "no.cedar"} - {first}
        (place / first).write_bytes(wanted[first])
        event = await pdp.heard.next()
        assert event.serves == (first == "catalog.yaml")
        (place / second).write_bytes(wanted[second])
        await until(pdp, revision(wanted))


async def test_a_set_that_was_judged_is_not_judged_again_until_somebody_asks(tmp_path: Path) -> None:
    place = tmp_path / "policies"
    publish(place, BEFORE)
    async with following(tmp_path, place) as pdp:
        publish(place, BROKEN)
        await pdp.heard.next()
        publish(tmp_path / "elsewhere", BROKEN)
        for _ in range(3):
            await asyncio.sleep(0.05)  # several looks
        assert [event.trigger for event in pdp.heard.reloads] == ["start", "change"]
        assert not (await pdp.reload()).loaded
        assert pdp.heard.reloads[-1].trigger == "operator"


async def test_p1_a_refused_set_is_told_everywhere_and_the_last_good_one_serves(tmp_path: Path) -> None:
    place = tmp_path / "policies"
    publish(place, BEFORE)
    async with following(tmp_path, place) as pdp:
        publish(place, {**BROKEN, "files.cedar": b"permit ("})
        event = await pdp.heard.next()
        state = await pdp.pdp.revision()
        assert (state.ready, state.revision) == (True, revision(BEFORE))
        assert {problem.file for problem in event.problems} == {"x.cedar", "files.cedar"}
        assert [line.split(":")[:2] for line in state.problems] == [["files.cedar", "1"], ["x.cedar", "2"]]
        assert (event.serves, event.in_force, event.revision != event.in_force) == (False, revision(BEFORE), True)
        publish(place, BEFORE)  # what serves is what stands there again
        assert (await pdp.heard.next()).serves
        assert list((await pdp.pdp.revision()).problems) == []


@pytest.mark.parametrize("bad", ["broken", "missing", "empty"])
async def test_p1_a_cold_start_with_a_bad_set_recovers_by_itself(tmp_path: Path, bad: str) -> None:
    place = tmp_path / "policies"
    if bad != "missing":
        publish(place, BROKEN if bad == "broken" else {})
    async with following(tmp_path, place) as pdp:
        assert await health(pdp.pdp.server.health) == SERVING
        assert await health(pdp.pdp.server.health, SERVICE) == NOT_SERVING
        assert not (await pdp.pdp.revision()).ready
        publish(place, BEFORE)
        await until(pdp, revision(BEFORE))
        assert await health(pdp.pdp.server.health, SERVICE) == SERVING


async def test_tests_beside_the_policies_hold_back_a_set_where_they_are_required(tmp_path: Path) -> None:
    case = (
        b"principals: {alice: {user: alice, agent: coding-bot, org: acme, roles: [developer]}}\n"
        b"tests:\n- {name: own, principal: alice, action: read_file, "
        b"resource: 'File::alice/a.txt', at: 2026-03-04T12:00:00Z, expect: permit}\n"
    )
    place = tmp_path / "policies"
    publish(place, {**BEFORE, "files.test.yaml": case})
    async with following(tmp_path, place, tests="require") as pdp:
        assert pdp.revision
        publish(place, {**AFTER, "files.test.yaml": case})
        event = await pdp.heard.next()
        assert not event.serves
        assert any("files.test.yaml" in problem.file for problem in event.problems)


async def test_the_catalog_in_force_is_handed_out_and_no_other(tmp_path: Path) -> None:
    place = tmp_path / "policies"
    publish(place, BEFORE)
    async with following(tmp_path, place) as pdp:
        first = (await pdp.pdp.revision()).catalog_digest
        assert await pdp.pdp.catalog(first) == BEFORE["catalog.yaml"]
        publish(place, FEWER_TOOLS)
        await until(pdp, revision(FEWER_TOOLS))
        second = (await pdp.pdp.revision()).catalog_digest
        assert await pdp.pdp.catalog(first) == b""
        assert await pdp.pdp.catalog(second) == FEWER_TOOLS["catalog.yaml"]


async def test_nobody_without_the_hop_key_gets_the_catalog(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        asked = pb.CatalogQuestion(nonce=secrets.token_bytes(16), catalog_digest="0" * 64).SerializeToString()
        for question, mac, code in (
            (asked, HopKey.generate().seal(Label.CATALOG_QUESTION, asked), grpc.StatusCode.UNAUTHENTICATED),
            (asked, pdp.key.seal(Label.REVISION_QUESTION, asked), grpc.StatusCode.UNAUTHENTICATED),
            (asked[:-1], pdp.key.seal(Label.CATALOG_QUESTION, asked[:-1]), grpc.StatusCode.INVALID_ARGUMENT),
            (b"", pdp.key.seal(Label.CATALOG_QUESTION, b""), grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pdp.stub.GetCatalog(pb.GetCatalogRequest(question=question, mac=mac), timeout=SECONDS)
            assert (caught.value.code(), caught.value.details()) == (code, "")


async def test_reload_says_success_only_once_the_new_set_serves(tmp_path: Path) -> None:
    place = tmp_path / "policies"
    publish(place, BEFORE)
    async with following(tmp_path, place, watch=False) as pdp:
        for files in (AFTER, FEWER_TOOLS, BEFORE) * 3:
            publish(place, files)
            answer = await pdp.reload()
            assert (answer.loaded, answer.revision, list(answer.problems)) == (True, revision(files), [])
            state = await pdp.pdp.revision()
            assert (state.revision, state.catalog_digest) == (revision(files), answer.catalog_digest)
        publish(place, BROKEN)
        answer = await pdp.reload()
        assert (answer.loaded, answer.revision) == (False, revision(BEFORE))
        assert [line.split(":")[0] for line in answer.problems] == ["x.cedar"]


async def test_a_reload_that_comes_during_another_sees_what_was_written_before_it(tmp_path: Path) -> None:
    place = tmp_path / "policies"
    publish(place, BEFORE)
    async with following(tmp_path, place, watch=False) as pdp:
        asked = []
        for files in (AFTER, FEWER_TOOLS, BEFORE, AFTER):
            publish(place, files)
            asked.append(asyncio.create_task(pdp.reload()))
            await asyncio.sleep(0)
        answers = await asyncio.gather(*asked)
        assert all(answer.loaded for answer in answers)
        assert answers[-1].revision == revision(AFTER) == pdp.revision


FORGED: tuple[Callable[[Following], Mapping[str, Any]], ...] = (
    lambda pdp: {"mac": b""},
    lambda pdp: {"key": HopKey.generate()},
    lambda pdp: {"key": pdp.pdp.key},
    lambda pdp: {"label": Label.RELOAD_ANSWER},
    lambda pdp: {"question": pdp.question(age=61)},
    lambda pdp: {"question": pdp.question(age=-61)},
    lambda pdp: {"question": pdp.question(age=30)},  # from before this process began
    lambda pdp: {"question": pdp.question(nonce=b"short")},
    lambda pdp: {"question": b""},
    lambda pdp: {"question": pdp.question() + pdp.question()},
    lambda pdp: {"question": pdp.question() + b"\x18\x01"},
)


async def test_who_has_not_the_operators_key_or_an_old_question_changes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "policies"
    publish(place, BEFORE)
    async with following(tmp_path, place, watch=False) as pdp:
        publish(place, AFTER)
        for forged in FORGED:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pdp.reload(**forged(pdp))
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAUTHENTICATED, "")
            assert pdp.revision == revision(BEFORE)
        assert len(pdp.heard.reloads) == 1


async def test_a_reload_is_taken_once(tmp_path: Path) -> None:
    place = tmp_path / "policies"
    publish(place, BEFORE)
    async with following(tmp_path, place, watch=False) as pdp:
        question = pdp.question()
        assert (await pdp.reload(question=question)).loaded
        publish(place, AFTER)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pdp.reload(question=question)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert pdp.revision == revision(BEFORE)


async def test_without_an_operators_key_there_is_no_reload(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        payload = Following.question()
        for key in (pdp.key, HopKey.generate()):
            request = pb.ReloadRequest(question=payload, mac=key.seal(Label.RELOAD_QUESTION, payload))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pdp.stub.Reload(request, timeout=SECONDS)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_n26_whoever_begins_reloads_without_asking_gives_the_places_back(tmp_path: Path) -> None:
    place = tmp_path / "policies"
    publish(place, BEFORE)
    async with following(tmp_path, place, deadline_ms=200, concurrency=4) as pdp:
        async with grpc.aio.insecure_channel(pdp.pdp.server.listen, options=OWN_CONNECTION) as stranger:
            begun = await hold(stranger, "/sallyport.authz.v1.AuthorizationService/Reload", 4)
            await asyncio.gather(*(call.code() for call in begun))
        assert (await pdp.reload()).loaded


def test_an_operators_key_that_others_can_read_or_that_is_the_hop_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "operator.key"
    path.write_text(secrets.token_hex(32))
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read this secret"):
        hop.read_operator(path, tmp_path / "hop.key")
    path.chmod(0o600)
    assert hop.read_operator(path, tmp_path / "hop.key") == HopKey(bytes.fromhex(path.read_text()))
    with pytest.raises(ConfigError, match="is the hop key"):
        hop.read_operator(path, tmp_path / "x" / ".." / "operator.key")
    path.write_text("00" * 31)
    with pytest.raises(ConfigError, match="openssl rand"):
        hop.read_operator(path, tmp_path / "hop.key")
    path.unlink()
    with pytest.raises(ConfigError, match="doesn't exist"):
        hop.read_operator(path, tmp_path / "hop.key")


def test_a_replaced_set_is_freed_without_a_collection_of_garbage() -> None:
    """Sets in force are frozen out of collections (quiet.building), so a cycle in one would never be freed."""
    held = load(policy_dir.contents(BEFORE), vetted=True)
    policy_dir.read(held)
    while gc.collect():
        pass  # what others left may leave more when it goes
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        del held
        gc.collect()
        left = {type(thing).__name__ for thing in gc.garbage if type(thing).__module__.startswith("sallyport.pdp")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not left


async def test_a_hangup_makes_the_process_read_and_a_broken_set_says_so(tmp_path: Path) -> None:
    place = tmp_path / "policies"
    publish(place, BEFORE)
    async with started(config(tmp_path, place, poll_ms=60_000)) as process, process.client() as client:
        publish(place, AFTER)
        process.child.send_signal(signal.SIGHUP)
        told = await process.until("policy set in force")
        assert (told["revision"], told["trigger"]) == (revision(AFTER), "signal")
        assert (await client.revision()).revision == revision(AFTER)
        shutil.rmtree(place)
        process.child.send_signal(signal.SIGHUP)
        assert "create it or correct the path" in (await process.until("policy set refused"))["problem"]
        assert await health(process.health, SERVICE) == SERVING
        process.child.send_signal(signal.SIGTERM)
        assert await process.ends() == 0
