"""The file tools against a neighbour who swaps links, and against lists of traversal payloads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sallyport.pep.model import Json, ResourceRef
from sallyport.pep.tools import Registry, ToolFailure, Tools, files
from sallyport.pep.tools.files import io
from sallyport.pep.tools.files.beneath import Opener, open_by_walking, open_in_kernel
from sallyport.pep.tools.files.root import Handle, Root
from sallyport.pep.tools.pool import Pool
from tests.support.attacks import texts
from tests.support.attacks.lists import PAYLOADS, both
from tests.unit.pep.tools.support import Catalogs, call_of, shown, through

CANARY = "canary-outside"
OPENERS = [pytest.param(open_in_kernel, 10_000, id="openat2"), pytest.param(open_by_walking, 4_000, id="walk")]


@contextmanager
def attacker(swap: Callable[[], None]) -> Iterator[None]:
    """Somebody with a shell in the shared folder, who does nothing else."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            swap()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def lay_out(folder: Path) -> tuple[Path, Path]:
    inside, outside = folder / "root", folder / "outside"
    for place, text in ((inside / "alice" / "deep", "inside"), (outside, CANARY)):
        (place / "sub").mkdir(parents=True)
        (place / "sub" / "target").write_text(text)
    return inside, outside


def swap_folder(inside: Path, outside: Path) -> Callable[[], None]:
    deep, aside, link = inside / "alice" / "deep", inside / "alice" / "aside", inside / "alice" / "link"
    link.symlink_to(outside)

    def swap() -> None:
        deep.rename(aside)
        link.rename(deep)
        deep.rename(link)
        aside.rename(deep)

    return swap


def swap_file(inside: Path, outside: Path) -> Callable[[], None]:
    target, aside, link = (inside / "alice" / "deep" / "sub" / name for name in ("target", "aside", "link"))
    link.symlink_to(outside / "sub" / "target")

    def swap() -> None:
        target.rename(aside)
        link.rename(target)
        target.rename(link)
        aside.rename(target)

    return swap


@pytest.mark.parametrize("swapped", [swap_folder, swap_file])
@pytest.mark.parametrize(("open_with", "rounds"), OPENERS)
def test_n22_a_swapped_link_is_never_read_through(
    tmp_path: Path, open_with: Opener, rounds: int, swapped: Callable[[Path, Path], Callable[[], None]]
) -> None:
    inside, outside = lay_out(tmp_path)
    root = Root(inside, open_with=open_with)
    seen: dict[str, int] = {}
    with attacker(swapped(inside, outside)):
        for _ in range(rounds):
            found = root.file("alice/deep/sub/target")
            if not isinstance(found, Handle):
                seen["refused"] = seen.get("refused", 0) + 1
                continue
            text = "absent" if found.descriptor is None else io.read(found, 100).decode()
            found.close()
            seen[text] = seen.get(text, 0) + 1
    root.close()
    assert CANARY not in seen
    assert seen.keys() >= {"inside"}
    assert len(seen) > 1, "the attacker never got between"


@pytest.mark.parametrize(("open_with", "rounds"), OPENERS)
def test_n22_a_swapped_folder_is_never_written_nor_deleted_through(
    tmp_path: Path, open_with: Opener, rounds: int
) -> None:
    inside, outside = lay_out(tmp_path)
    root = Root(inside, open_with=open_with)
    done = 0
    with attacker(swap_folder(inside, outside)):
        for number in range(rounds):
            if done == 100:
                break
            found = root.file("alice/deep/sub/target")
            if not isinstance(found, Handle):
                continue
            try:
                if number % 10 == 9:
                    io.delete(found)
                else:
                    io.write(found, b"mine", overwrite=True)
                done += 1
            except ToolFailure:
                pass
            finally:
                found.close()
    root.close()
    assert done > 0
    assert [path.name for path in (outside / "sub").iterdir()] == ["target"]
    assert (outside / "sub" / "target").read_text() == CANARY


def everything_but(inside: Path) -> list[Path]:
    return sorted(path for path in inside.parent.rglob("*") if inside not in path.parents)


def payloads(source: str) -> list[str]:
    if source == "own":
        return texts.traversals()
    names = ("deep_traversal", "directory_traversal")
    files = [PAYLOADS / f"directory-traversal_intruder_{name}.txt" for name in names]
    lines = [line for file in files for line in file.read_text("utf-8", "replace").splitlines()]
    return sorted({line for raw in lines for line in (raw, raw.replace("{FILE}", "secret.txt")) if line})


@pytest.mark.parametrize("source", both(PAYLOADS))
async def test_n20_no_traversal_payload_reaches_a_file_outside_the_root(tmp_path: Path, source: str) -> None:
    inside, outside = lay_out(tmp_path)
    (tmp_path / "secret.txt").write_text(CANARY)
    before = everything_but(inside)
    pool, root = Pool(2, "files"), Root(inside)
    tools = Tools(Registry(files.tools(root, pool)), Catalogs("list_files", "read_file", "write_file", "delete_file"))
    for payload in payloads(source):
        for spelling in (payload, f"alice/{payload}"):
            for name in ("read_file", "write_file", "delete_file", "list_files"):
                arguments: dict[str, Json] = {"path": spelling, "content": "overwritten"}
                ref = ResourceRef("Folder" if name == "list_files" else "File", spelling)
                try:
                    found = await through(tools, call_of(name, arguments, ref))
                except ToolFailure:
                    continue
                assert CANARY not in shown(found)
                assert "root:" not in shown(found)
    assert (outside / "sub" / "target").read_text() == CANARY
    assert (tmp_path / "secret.txt").read_text() == CANARY
    assert everything_but(inside) == before
    pool.close()
    root.close()
