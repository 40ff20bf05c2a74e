"""The file tools: what was judged is what is opened, written and deleted."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.contract.catalog import Limits
from sallyport.pep.model import Json, ResourceRef, ToolOutput, Unresolved
from sallyport.pep.tools import Registry, ToolFailure, Tools, files
from sallyport.pep.tools.files import io
from sallyport.pep.tools.files.beneath import Opener, open_by_walking, open_in_kernel, opener
from sallyport.pep.tools.files.paths import components
from sallyport.pep.tools.files.root import Handle, Root
from sallyport.pep.tools.pool import Pool
from sallyport.runtime.problems import ConfigError
from tests.unit.pep.tools.support import ALICE, Catalogs, Permit, call_of, shown, through

NAMES = ("list_files", "read_file", "write_file", "delete_file")
OPENERS = [
    pytest.param(open_in_kernel, id="openat2", marks=pytest.mark.skipif(os.uname().sysname != "Linux", reason="Linux")),
    pytest.param(open_by_walking, id="walk"),
]


@dataclass(slots=True)
class World:
    """A root with alice's and bob's folders, and a secret beside it."""

    folder: Path
    root: Root
    tools: Tools

    @property
    def inside(self) -> Path:
        return self.folder / "root"

    @property
    def secret(self) -> Path:
        return self.folder / "secret.txt"

    async def use(self, name: str, path: str, **arguments: Json) -> ToolOutput | Unresolved:
        kind = "Folder" if name == "list_files" else "File"
        return await through(self.tools, call_of(name, {"path": path, **arguments}, ResourceRef(kind, path)))

    async def between(
        self, name: str, path: str, meanwhile: Callable[[], object], **arguments: Json
    ) -> ToolOutput | Unresolved:
        """Resolve and judge, then let somebody else act, then run."""
        call = call_of(name, {"path": path, **arguments}, ResourceRef("File", path))
        resolved = await self.tools.resolve(ALICE, call)
        assert isinstance(resolved, tuple)
        meanwhile()
        return await self.tools.run(Permit(call.name, call.digest, resolved), call)


@contextmanager
def world(folder: Path, open_with: Opener | None = None, limits: Limits | None = None) -> Iterator[World]:
    for owner in ("alice", "bob"):
        (folder / "root" / owner).mkdir(parents=True)
        (folder / "root" / owner / "notes.txt").write_text(f"notes of {owner}")
    (folder / "secret.txt").write_text("canary")
    pool, root = Pool(4, "files"), Root(folder / "root", open_with=open_with)
    yield World(folder, root, Tools(Registry(files.tools(root, pool)), Catalogs(*NAMES, limits=limits)))
    pool.close()
    root.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=OPENERS)
async def here(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    before = len(names(Path("/dev/fd")))
    with world(tmp_path, request.param) as made:
        yield made
    assert len(names(Path("/dev/fd"))) <= before, "a descriptor was left open"


def test_linux_uses_the_kernels_own_check(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    assert opener(descriptor) is open_in_kernel
    os.close(descriptor)


def test_a_root_that_is_no_folder_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(ConfigError, match=r"files\.root"):
            Root(path)


async def test_a_file_is_read_as_text_or_as_a_marked_blob(here: World) -> None:
    (here.inside / "alice" / "blob").write_bytes(b"\xff\x00\xfe")
    assert await here.use("read_file", "alice/notes.txt") == ToolOutput(({"type": "text", "text": "notes of alice"},))
    blob = await here.use("read_file", "alice/blob")
    assert isinstance(blob, ToolOutput)
    assert blob.content[0]["resource"] == {
        "uri": "file:///alice/blob",
        "mimeType": "application/octet-stream",
        "blob": "/wD+",
    }


async def test_a_folder_is_listed_sorted_with_types_and_sizes_and_links_are_not_followed(here: World) -> None:
    (here.inside / "alice" / "b").mkdir()
    (here.inside / "alice" / "a").symlink_to(here.secret)
    os.mkfifo(here.inside / "alice" / "c")
    (here.inside / "alice" / "line\nbreak").touch()
    (here.inside / "alice" / os.fsdecode(b"\xff")).touch()
    (here.inside / "alice" / ".sallyport-0123").touch()
    found = await here.use("list_files", "alice")
    assert isinstance(found, ToolOutput)
    assert found.structured == {
        "entries": [
            {"name": "a", "type": "symlink"},
            {"name": "b", "type": "folder"},
            {"name": "c", "type": "other"},
            {"name": "notes.txt", "type": "file", "size": 14},
        ],
        "truncated": False,
    }


async def test_the_root_is_a_dot(here: World) -> None:
    assert '"alice\\"' in shown(await here.use("list_files", "."))
    for name in ("read_file", "write_file", "delete_file"):
        assert isinstance(await here.use(name, ".", content="x"), Unresolved)


async def test_a_long_folder_is_cut_and_says_so(here: World) -> None:
    for number in range(io.MAX_ENTRIES + 5):
        (here.inside / "bob" / f"{number:05}").touch()
    found = await here.use("list_files", "bob")
    assert isinstance(found, ToolOutput)
    assert found.structured is not None
    entries = found.structured["entries"]
    assert isinstance(entries, list)
    assert (len(entries), found.structured["truncated"]) == (io.MAX_ENTRIES, True)
    assert entries[0] == {"name": "00000", "type": "file", "size": 0}


async def test_a_permitted_caller_learns_that_a_file_is_not_there(here: World) -> None:
    for name in ("read_file", "delete_file"):
        with pytest.raises(ToolFailure, match="file not found"):
            await here.use(name, "alice/none")
    assert isinstance(await here.use("read_file", "alice/none/deeper"), Unresolved)
    assert isinstance(await here.use("list_files", "alice/none"), Unresolved)


async def test_a_file_larger_than_the_cap_is_not_read(tmp_path: Path) -> None:
    with world(tmp_path, limits=Limits(result_bytes=4096)) as here:
        (here.inside / "alice" / "big").write_bytes(b"x" * 4097)
        (here.inside / "alice" / "escaped").write_bytes(b"\x01" * 1000)
        for name, word in (("big", "larger than 4096"), ("escaped", "too large for one answer")):
            with pytest.raises(ToolFailure, match=word):
                await here.use("read_file", f"alice/{name}")


async def test_a_file_is_written_whole_and_private_and_leaves_nothing_else(here: World) -> None:
    await here.use("write_file", "alice/new.txt", content="é", overwrite=True)
    await here.use("write_file", "alice/notes.txt", content="new", overwrite=True)
    await here.use("write_file", "top.txt", content="top")
    assert (here.inside / "alice" / "new.txt").read_bytes() == "é".encode()
    assert (here.inside / "alice" / "notes.txt").read_text() == "new"
    assert (here.inside / "top.txt").read_text() == "top"
    assert stat.S_IMODE((here.inside / "alice" / "new.txt").stat().st_mode) == 0o600
    assert names(here.inside / "alice") == ["new.txt", "notes.txt"]


async def test_overwrite_false_keeps_what_is_there(here: World) -> None:
    with pytest.raises(ToolFailure, match="set overwrite"):
        await here.use("write_file", "alice/notes.txt", content="new", overwrite=False)
    with pytest.raises(ToolFailure, match="changed"):
        await here.between(
            "write_file",
            "alice/new.txt",
            lambda: (here.inside / "alice" / "new.txt").write_text("theirs"),
            content="mine",
            overwrite=False,
        )
    assert (here.inside / "alice" / "new.txt").read_text() == "theirs"
    assert (here.inside / "alice" / "notes.txt").read_text() == "notes of alice"
    assert names(here.inside / "alice") == ["new.txt", "notes.txt"]


def test_without_renameat2_a_link_never_replaces(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("mine")
    parent = os.open(tmp_path, os.O_RDONLY)
    io.link_new(parent, "source", "target")
    assert (tmp_path / "target").read_text() == "mine"
    (tmp_path / "source").write_text("other")
    with pytest.raises(FileExistsError):
        io.link_new(parent, "source", "target")
    assert (tmp_path / "target").read_text() == "mine"
    os.close(parent)


async def test_content_over_the_cap_is_not_written(here: World) -> None:
    with pytest.raises(ToolFailure, match="write less"):
        await here.use("write_file", "alice/big", content="x" * (io.MAX_FILE + 1))
    assert names(here.inside / "alice") == ["notes.txt"]


async def test_n11_a_file_swapped_after_the_decision_is_neither_read_nor_replaced_nor_deleted(here: World) -> None:
    notes, bobs = here.inside / "alice" / "notes.txt", here.inside / "bob" / "notes.txt"

    def swap() -> None:
        notes.rename(notes.with_name("aside"))
        bobs.rename(notes)

    read = await here.between("read_file", "alice/notes.txt", swap)
    assert "notes of alice" in shown(read)
    notes.rename(bobs)
    notes.with_name("aside").rename(notes)
    for name in ("delete_file", "write_file"):
        with pytest.raises(ToolFailure, match="changed"):
            await here.between(name, "alice/notes.txt", swap, content="x")
        assert notes.read_text() == "notes of bob"
        notes.rename(bobs)
        notes.with_name("aside").rename(notes)


async def test_n11_a_folder_swapped_for_a_link_after_the_decision_is_not_written_through(here: World) -> None:
    alice = here.inside / "alice"

    def swap() -> None:
        alice.rename(alice.with_name("moved"))
        alice.symlink_to(here.folder)

    await here.between("write_file", "alice/secret.txt", swap, content="overwritten")
    assert here.secret.read_text() == "canary"
    assert (here.inside / "moved" / "secret.txt").read_text() == "overwritten"


async def test_links_in_any_place_lead_nowhere(here: World) -> None:
    alice = here.inside / "alice"
    (alice / "link").symlink_to(here.secret)
    (alice / "within").symlink_to("notes.txt")
    (alice / "up").symlink_to("../..")
    (alice / "proc").symlink_to("/proc/self/cwd")
    for path in ("alice/link", "alice/within", "alice/up/secret.txt", "alice/proc/x", "alice/up/root/alice/notes.txt"):
        for name in ("read_file", "write_file", "delete_file"):
            assert isinstance(await here.use(name, path, content="x"), Unresolved), (name, path)
    for path in ("alice/up", "alice/proc", "alice/link"):
        assert isinstance(await here.use("list_files", path), Unresolved)
    assert here.secret.read_text() == "canary"


async def test_only_regular_files_with_one_name_are_touched(here: World) -> None:
    alice = here.inside / "alice"
    os.mkfifo(alice / "fifo")
    os.link(here.inside / "bob" / "notes.txt", alice / "hard")
    (alice / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        descriptor = os.open(alice, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{descriptor}/socket")
        os.close(descriptor)
        for path in ("fifo", "hard", "folder", "socket"):
            for name in ("read_file", "write_file", "delete_file"):
                async with asyncio.timeout(60):
                    assert isinstance(await here.use(name, f"alice/{path}", content="x"), Unresolved), (name, path)
    assert isinstance(await here.use("list_files", "alice/notes.txt"), Unresolved)
    assert (here.inside / "bob" / "notes.txt").read_text() == "notes of bob"


async def test_n11_the_judged_id_is_opened_whatever_the_arguments_say(here: World) -> None:
    call = call_of("read_file", {"path": "bob/notes.txt"}, ResourceRef("File", "alice/notes.txt"))
    assert "notes of alice" in shown(await through(here.tools, call))
    for refs in ((), (ResourceRef("Tool", "read_file"),), (ResourceRef("File", "alice/notes.txt"),) * 2):
        assert isinstance(
            await through(here.tools, call_of("read_file", {"path": "alice/notes.txt"}, *refs)), Unresolved
        )


async def test_a_deleted_file_is_gone_and_its_neighbours_stay(here: World) -> None:
    (here.inside / "alice" / "other").touch()
    await here.use("delete_file", "alice/notes.txt")
    assert names(here.inside / "alice") == ["other"]


@pytest.mark.parametrize(
    "path",
    ["", "/", "/etc/passwd", "..", "../secret.txt", "alice/../../secret.txt", "alice/..", "alice//notes.txt",
     "alice/", "./alice", "alice/./notes.txt", "./", "alice\\notes.txt", "alice/notes.txt\0", "alice/\n", "\ud800",
     "a/" * 32 + "a", "x" * 256, "é" * 128, "e\u0301", "\u202e", "\u200b", "alice/.sallyport-1", "/".join(["x" * 200] * 25)],
)  # fmt: skip
def test_n20_any_other_spelling_of_a_path_is_refused(path: str) -> None:
    assert components(path) is None


@given(st.text(alphabet=st.sampled_from("./\\ab~ \0\n\u0301é%2e"), max_size=24))
def test_n11_a_path_that_is_taken_has_one_spelling(path: str) -> None:
    found = components(path)
    if found is not None:
        assert ("/".join(found) or ".") == path
        assert os.path.normpath(path) == path
        assert ".." not in found


def test_a_handle_closes_once() -> None:
    read, write = os.pipe()
    handle = Handle(read, "x", write)
    handle.close()
    handle.close()
    for number in (read, write):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
