"""One built image as the engine would hand it to a registry: its configuration, its layers, and every file in them."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from tests.images.engine import docker

SERVICES: Final = ("pep", "pdp")
SITE: Final = "app/lib/python3.13/site-packages"


@dataclass(frozen=True)
class Layer:
    archive: tarfile.TarFile
    entries: Mapping[str, tarfile.TarInfo]

    def read(self, name: str) -> bytes:
        stream = self.archive.extractfile(self.entries[name])
        assert stream is not None, f"{name} is no file"
        return stream.read()


@dataclass(frozen=True)
class Image:
    service: str
    name: str
    about: Mapping[str, Any]  # what `docker image inspect` says
    base: tuple[Layer, ...]
    own: tuple[Layer, ...]  # those that the Dockerfile adds

    @property
    def files(self) -> dict[str, tarfile.TarInfo]:
        """Every entry of the root, those of later layers over those of earlier ones; nothing is ever taken away."""
        merged: dict[str, tarfile.TarInfo] = {}
        for layer in (*self.base, *self.own):
            merged |= layer.entries
        return merged

    @property
    def added(self) -> dict[str, tarfile.TarInfo]:
        merged: dict[str, tarfile.TarInfo] = {}
        for layer in self.own:
            merged |= layer.entries
        return merged

    def read(self, name: str) -> bytes:
        return next(layer for layer in reversed(self.own) if name in layer.entries).read(name)

    def distributions(self) -> dict[str, str]:
        """What is installed, by normal name: its dist-info folder."""
        folders = {str(PurePosixPath(name).parent) for name in self.added if name.endswith(".dist-info/METADATA")}
        return {normal(PurePosixPath(folder).name.split("-")[0]): folder for folder in folders}

    def version(self, folder: str) -> str:
        found = re.search(r"^Version: (\S+)$", self.read(f"{folder}/METADATA").decode(), re.MULTILINE)
        assert found is not None, folder
        return found[1]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@contextmanager
def opened(service: str, name: str, place: Path) -> Iterator[Image]:
    docker("save", name, "--output", str(place / "image.tar"))
    with tarfile.open(place / "image.tar") as archive:
        archive.extractall(place, filter="data")
    paths = json.loads((place / "manifest.json").read_bytes())[0]["Layers"]
    about = json.loads(docker("image", "inspect", name))[0]
    with ExitStack() as stack:
        layers = tuple(_layer(stack.enter_context(tarfile.open(place / path))) for path in paths)
        first = next(index for index, layer in enumerate(layers) if "app" in layer.entries)
        yield Image(service, name, about, layers[:first], layers[first:])


def _layer(archive: tarfile.TarFile) -> Layer:
    return Layer(archive, {entry.name.removeprefix("./").rstrip("/"): entry for entry in archive})
