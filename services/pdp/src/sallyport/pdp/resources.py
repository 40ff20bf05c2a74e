"""resources.yaml: the tenants, and what each resource is. Attributes never come from the caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import cedarpy
from pydantic import Field, StringConstraints

from sallyport.pdp.base_schema import BaseSchema
from sallyport.pdp.carry import NotCarriedError, carry
from sallyport.pdp.model import Denied, ErrorCode, Json
from sallyport.pdp.types import CedarType, EntityRef, Record, SetOf
from sallyport.runtime import canonical_json, settings, strict_yaml
from sallyport.runtime.problems import ConfigError, Problem

FILE = "resources.yaml"
_BENEATH = "/*"
_DOTS = frozenset({".", ".."})
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Attributes = Mapping[str, Any]
Found = tuple[dict[str, Any], set[str]]


class ResourcesFile(settings.Settings):
    orgs: tuple[Name, ...] = Field(min_length=1)
    resources: dict[Name, dict[Pattern, dict[str, Any]]] = Field(default_factory=dict)
    defaults: dict[Name, dict[str, Any]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resources:
    orgs: frozenset[str]
    types: Mapping[str, Record]
    exact: Mapping[str, Mapping[str, Attributes]]  # type -> id -> attributes
    beneath: Mapping[str, Mapping[str, Attributes]]  # type -> "prefix/" -> attributes
    defaults: Mapping[str, Attributes]

    def attributes(self, type_name: str, identity: str, resolved: Mapping[str, Json]) -> Found:
        """The resource's attributes as Cedar's JSON, all of them there and typed, with their orgs. Raises Denied."""
        stated = self._stated(type_name, identity)
        if any(name in stated and not _same(stated[name], value) for name, value in resolved.items()):
            raise Denied(ErrorCode.RESOURCE_CONFLICT)
        record, merged = self.types[type_name], {**stated, **resolved}
        # Nothing partial: an attribute too many is a resolver that means another schema.
        if not merged or merged.keys() - record.fields.keys():
            raise Denied(ErrorCode.UNKNOWN_RESOURCE)
        try:
            carried: dict[str, Any] = carry(record, merged)
        except NotCarriedError:
            raise Denied(ErrorCode.UNKNOWN_RESOURCE) from None
        orgs = orgs_in(record, merged)
        if orgs - self.orgs:
            raise Denied(ErrorCode.UNKNOWN_ORG)
        return carried, orgs

    def _stated(self, type_name: str, identity: str) -> Attributes:
        """The longest entry that names this id: the id itself, a prefix of whole segments, the type's default."""
        exact = self.exact.get(type_name, {}).get(identity)
        if exact is not None:
            return exact
        beneath = self.beneath.get(type_name, {})
        end = identity.rfind("/")
        # `alice/../bob/x` isn't beneath `alice/`: an id that isn't canonical is under no prefix at all.
        plain = _DOTS.isdisjoint(identity.split("/"))
        while plain and end > 0:
            found = beneath.get(identity[: end + 1])
            if found is not None:
                return found
            end = identity.rfind("/", 0, end)
        return self.defaults.get(type_name, {})


def load(data: bytes, base: BaseSchema) -> Resources:
    """Raises ConfigError with every entry that couldn't be judged."""
    file = settings.load_model(ResourcesFile, data, FILE)
    document = strict_yaml.parse(data, FILE)
    problems = [
        Problem(FILE, *document.key_position(path), message, path[-1]) for path, message in _complaints(file, base)
    ]
    if problems:
        raise ConfigError(problems)
    entries = file.resources.items()
    return Resources(
        frozenset(file.orgs),
        {name: kind.attributes for name, kind in base.resources.items()},
        {kind: {key: value for key, value in found.items() if not key.endswith(_BENEATH)} for kind, found in entries},
        {kind: {key[:-1]: value for key, value in found.items() if key.endswith(_BENEATH)} for kind, found in entries},
        file.defaults,
    )


def orgs_in(cedar_type: CedarType, value: Any) -> set[str]:
    """Every org that a carried value refers to."""
    match cedar_type:
        case EntityRef():
            return {value}
        case SetOf(element):
            return {org for item in value for org in orgs_in(element, item)}
        case Record(fields):
            return {org for name in fields.keys() & value.keys() for org in orgs_in(fields[name].type, value[name])}
        case _:
            return set()


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: true isn't 1."""
    try:
        return canonical_json.encode(one) == canonical_json.encode(other)
    except ValueError:
        return False


_Complaint = tuple[list[str], str]


def _complaints(file: ResourcesFile, base: BaseSchema) -> Iterator[_Complaint]:
    for type_name, entries in file.resources.items():
        if type_name not in base.resources:
            yield ["resources", type_name], f"no resource type {type_name!r} in base.cedarschema"
            continue
        for key, attributes in entries.items():
            path = ["resources", type_name, key]
            if message := _bad_pattern(key) or _bad_attributes(type_name, attributes, file, base):
                yield path, message
    for type_name, attributes in file.defaults.items():
        if type_name not in base.resources:
            yield ["defaults", type_name], f"no resource type {type_name!r} in base.cedarschema"
        elif message := _bad_attributes(type_name, attributes, file, base):
            yield ["defaults", type_name], message


def _bad_pattern(key: str) -> str:
    prefix = key.removesuffix(_BENEATH)
    if "*" in prefix:
        return "a `*` may only stand as the last segment, as in `alice/*`; for all ids of a type use `defaults`"
    if key != prefix and not (prefix and _DOTS.isdisjoint(prefix.split("/"))):
        return "a prefix must be canonical, without `.` and `..`; no resource would ever match it"
    return ""


def _bad_attributes(type_name: str, attributes: Attributes, file: ResourcesFile, base: BaseSchema) -> str:
    """Each entry must make an entity by itself, or leave only what a resolver adds; Cedar itself is asked."""
    record = base.resources[type_name].attributes
    unknown = sorted(attributes.keys() - record.fields.keys())
    if unknown:
        return f"{type_name} has no attribute {unknown[0]!r}; it has: {', '.join(sorted(record.fields))}"
    present = Record({name: field for name, field in record.fields.items() if name in attributes})
    try:
        carried = carry(present, attributes)
    except NotCarriedError as error:
        return f"an attribute doesn't fit its type in base.cedarschema: {error}"
    strangers = sorted(orgs_in(present, attributes) - set(file.orgs))
    if strangers:
        return f"no org {strangers[0]!r} under `orgs`"
    missing = {name for name, field in record.fields.items() if field.required} - attributes.keys()
    return "" if missing else _asked(base, type_name, carried)  # a resolver may add what is missing


def _asked(base: BaseSchema, type_name: str, carried: Attributes) -> str:
    entity: dict[str, Any] = {"uid": {"type": type_name, "id": "x"}, "attrs": carried, "parents": []}
    try:
        cedarpy.Entities.from_json_str(canonical_json.encode([entity]).decode(), base.text)
    except ValueError as error:
        return f"an attribute doesn't fit its type in base.cedarschema: {error}"
    return ""
