"""Where the catalog is that a command is about, and where what isn't approved waits beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sallyport.cli import console, policy_set
from sallyport.cli.complaint import Complaint
from sallyport.contract.catalog import Catalog
from sallyport.runtime import atomic_file, settings, strict_yaml

FILE = "catalog.yaml"


@dataclass(frozen=True, slots=True)
class Place:
    catalog: Path  # the file itself, behind whatever links
    pending: Path  # a folder
    approved: Path  # a folder
    pep_config: Path | None  # of a directory that `init` made, or of a gate's own

    @classmethod
    def at(cls, directory: Path) -> Place:
        """A directory that `init` made, or a policy directory: there a hidden folder, which no service reads."""
        catalog = (policy_set.locate(directory) / FILE).resolve()
        if not catalog.is_file():
            raise Complaint(
                f"{directory} has no {FILE}",
                f"name a directory made by `{console.command('init', 'DIR')}`, or --catalog FILE",
            )
        config = directory / "pep.yaml"
        if config.is_file():
            return cls(catalog, directory / "pending", directory / "approved", config)
        return cls.beside(catalog)

    @classmethod
    def beside(cls, catalog: Path) -> Place:
        found = catalog.resolve()
        if not found.is_file():
            raise Complaint(f"{catalog} is not a file", "name a catalog.yaml")
        return cls(found, found.parent / ".pending", found.parent / ".approved", None)


@dataclass(frozen=True, slots=True)
class Written:
    """catalog.yaml as it is written, and as the services read it."""

    data: bytes
    values: Mapping[str, Any]
    catalog: Catalog


def read(place: Place) -> Written:
    """Raises ConfigError."""
    return parse(atomic_file.read_public(place.catalog, strict_yaml.MAX_BYTES), str(place.catalog))


def parse(data: bytes, name: str) -> Written:
    catalog = settings.load_model(Catalog, data, name, exact=True)
    values = strict_yaml.parse(data, name, exact=True).value
    return Written(data, values if isinstance(values, dict) else {}, catalog)
