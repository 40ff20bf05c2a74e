"""What goes out: plain JSON, or from the first notification on a stream that shows signs of life and waits for nobody."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sallyport.pep.model import Answer, Emit, Request
from sallyport.pep.refusal import Reason
from sallyport.pep.transport import Endpoint, reply
from sallyport.pep.transport.reply import ClientStalled, Reply

ANSWER = Answer(200, ((b"content-type", b"application/json"),), b'{"jsonrpc":"2.0","id":1,"result":{}}')
PROGRESS = ("notifications/progress", {"progressToken": 1, "progress": 0.5})
BOUND = 10.0


class Client:
    """Takes what it is sent, or nothing any more."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self.leaves = asyncio.Event()
        self.more = asyncio.Event()

    async def send(self, event: Any) -> None:
        self.sent.append(dict(event))
        self.more.set()
        await self.takes.wait()

    async def heard(self, part: bytes) -> None:
        async with asyncio.timeout(BOUND):
            while not any(part in event.get("body", b"") for event in self.sent):
                self.more.clear()
                await self.more.wait()

    @property
    def head(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def frames(self) -> list[Any]:
        """The messages of a stream."""
        text = b"".join(event.get("body", b"") for event in self.sent).decode()
        return [json.loads(one.removeprefix("data: ")) for one in text.split("\n\n") if one.startswith("data: ")]


@pytest.fixture
def client() -> Client:
    return Client()


async def test_an_answer_that_nothing_came_before_is_plain_json(client: Client) -> None:
    await Reply(client.send, streams=True).finish(ANSWER)
    assert client.head[b"content-type"] == b"application/json"
    assert client.head[b"content-length"] == b"%d" % len(ANSWER.body)
    assert [event.get("body") for event in client.sent] == [None, ANSWER.body]


async def test_from_the_first_notification_on_it_is_a_stream_whose_last_message_is_the_answer(client: Client) -> None:
    said = Reply(client.send, streams=True)
    await said.emit(*PROGRESS)
    await said.emit("notifications/message", {"level": "info", "data": "a\n\ndata: {}\u2028\r"})
    await said.finish(ANSWER)
    assert [event["type"] for event in client.sent].count("http.response.start") == 1
    assert (client.sent[0]["status"], client.head[b"content-type"]) == (200, b"text/event-stream")
    assert b"content-length" not in client.head
    assert client.head[b"cache-control"].startswith(b"no-store")
    assert client.head[b"x-content-type-options"] == b"nosniff"
    assert [frame.get("method", "answer") for frame in client.frames] == [
        PROGRESS[0],
        "notifications/message",
        "answer",
    ]
    assert client.frames[1]["params"]["data"] == "a\n\ndata: {}\u2028\r", "a line break is no end of a frame"
    assert [event["more_body"] for event in client.sent[1:]] == [True, True, False]


async def test_a_refusal_after_a_notification_is_the_streams_last_message(client: Client) -> None:
    said = Reply(client.send, streams=True)
    await said.emit(*PROGRESS)
    await said.finish(Answer(403, ((b"www-authenticate", b"Bearer"),), b'{"jsonrpc":"2.0","id":1,"error":{}}'))
    assert client.sent[0]["status"] == 200
    assert client.frames[-1] == {"jsonrpc": "2.0", "id": 1, "error": {}}


async def test_a_client_that_reads_no_streams_gets_the_answer_alone(client: Client) -> None:
    said = Reply(client.send, streams=False)
    await said.emit(*PROGRESS)
    assert client.sent == []
    await said.finish(ANSWER)
    assert client.head[b"content-type"] == b"application/json"
    assert client.sent[1]["body"] == ANSWER.body


async def test_a_stream_on_which_nothing_happens_shows_signs_of_life(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply, "_KEEP_ALIVE", 0.01)
    said = Reply(client.send, streams=True)
    await said.emit(*PROGRESS)
    async with asyncio.timeout(BOUND):
        while sum(event.get("body") == b":\n\n" for event in client.sent) < 3:
            client.more.clear()
            await client.more.wait()
    await said.finish(ANSWER)
    told = len(client.sent)
    assert client.sent[-1]["more_body"] is False
    await asyncio.sleep(0.05)  # five of them would have come by now
    assert len(client.sent) == told, "something was sent after the end"
    assert len(client.frames) == 2, "a sign of life is no message"


async def test_without_a_stream_there_are_no_signs_of_life(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "_KEEP_ALIVE", 0.01)
    said = Reply(client.send, streams=True)
    await asyncio.sleep(0.05)
    await said.finish(ANSWER)
    assert len(client.sent) == 2


async def test_frames_that_are_sent_at_once_never_stand_in_each_other(client: Client) -> None:
    said = Reply(client.send, streams=True)
    client.takes.clear()
    sending = [asyncio.create_task(said.emit("notifications/message", {"data": number})) for number in range(20)]
    await asyncio.sleep(0)
    assert len(client.sent) == 1, "the second went out before the client had taken the first"
    client.takes.set()
    await asyncio.gather(*sending)
    await said.finish(ANSWER)
    assert [frame["params"]["data"] for frame in client.frames[:-1]] == list(range(20))


async def test_a_client_that_takes_nothing_any_more_is_told_of_once_and_cut(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply, "_STALLED", 0.02)
    said, stalled = Reply(client.send, streams=True), list[bool]()
    said.on_stalled = lambda: stalled.append(True)
    await said.emit(*PROGRESS)
    client.takes.clear()
    with pytest.raises(ClientStalled):
        await said.emit(*PROGRESS)
    assert stalled == [True]
    said.close()


async def run(client: Client, handle: Any, accept: bytes = b"application/json, text/event-stream") -> None:
    scope = {"type": "http", "method": "POST", "scheme": "https", "headers": [(b"accept", accept)]}
    events = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if events:
            return events.pop()
        await client.leaves.wait()
        return {"type": "http.disconnect"}

    async def refuse(reason: Reason, detail: str, request: Request) -> Answer:
        return ANSWER

    await Endpoint(handle, refuse, body_bytes=10)(scope, receive, client.send)


@pytest.mark.parametrize("stalls", ["a frame", "a sign of life"])
async def test_n23_the_work_for_a_client_that_takes_nothing_any_more_is_cancelled(
    client: Client, stalls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply, "_STALLED", 0.02)
    monkeypatch.setattr(reply, "_KEEP_ALIVE", 0.01 if stalls == "a sign of life" else 60)
    cancelled = asyncio.Event()

    async def handle(request: Request, emit: Emit) -> Answer:
        try:
            await emit(*PROGRESS)
            client.takes.clear()
            while stalls == "a frame":
                await emit(*PROGRESS)
            await asyncio.Event().wait()
        except (ClientStalled, asyncio.CancelledError):
            cancelled.set()
            raise
        return ANSWER

    await asyncio.wait_for(run(client, handle), BOUND)
    assert cancelled.is_set()
    assert client.sent[-1]["more_body"] is True, "an answer went to whom nothing can be told"


async def test_a_client_that_goes_in_the_middle_of_a_stream_ends_the_work(client: Client) -> None:
    ended = asyncio.Event()

    async def handle(request: Request, emit: Emit) -> Answer:
        await emit(*PROGRESS)
        client.leaves.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ANSWER

    await asyncio.wait_for(run(client, handle), BOUND)
    assert ended.is_set()
    assert len(client.frames) == 1


async def test_n6_what_breaks_after_a_notification_is_told_on_the_stream(client: Client) -> None:
    async def handle(request: Request, emit: Emit) -> Answer:
        await emit(*PROGRESS)
        raise ValueError("s3cret")

    await asyncio.wait_for(run(client, handle), BOUND)
    assert client.frames[-1]["error"]["code"] == -32603
    assert "s3cret" not in str(client.sent)
    assert client.sent[-1]["more_body"] is False


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        (b"application/json, text/event-stream", True),
        (b"text/event-stream", True),
        (b"Text/Event-Stream;q=0.5", True),
        (b"application/json", False),
        (b"*/*", False),
        (b"", False),
    ],
)
async def test_what_a_client_accepts_is_what_it_gets(client: Client, accept: bytes, streams: bool) -> None:
    async def handle(request: Request, emit: Emit) -> Answer:
        assert request.streams is streams
        await emit(*PROGRESS)
        return ANSWER

    await asyncio.wait_for(run(client, handle, accept), BOUND)
    assert client.head[b"content-type"] == (b"text/event-stream" if streams else b"application/json")
