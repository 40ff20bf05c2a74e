"""The base schema's entity types. cedarpy can't be asked for them, so Cedar's own normal form of the text is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cedarpy import Schema

from sallyport.pdp.cedar_text import Token, blamed, tokens
from sallyport.pdp.nesting import expands_too_far, too_deep
from sallyport.pdp.types import (
    BOOL,
    DATETIME,
    DECIMAL,
    DURATION,
    IPADDR,
    LONG,
    STRING,
    CedarType,
    EntityRef,
    Field,
    Primitive,
    Record,
    SetOf,
)
from sallyport.runtime.problems import ConfigError, Problem

FILE = "base.cedarschema"
_PRIMITIVES = {kind.name: kind for kind in (STRING, LONG, BOOL, DECIMAL, IPADDR, DATETIME, DURATION)}


@dataclass(frozen=True, slots=True)
class EntityType:
    parents: frozenset[str]
    attributes: Record
    tagged: bool = False
    listed: bool = False  # `enum [...]`


@dataclass(frozen=True, slots=True)
class BaseSchema:
    text: str
    resources: Mapping[str, EntityType]  # every type that isn't part of the model: what tools touch
    session: Record
    model: frozenset[str]  # the types that are


def _entity(*parents: str, **attributes: CedarType) -> EntityType:
    return EntityType(frozenset(parents), Record({name: Field(kind, True) for name, kind in attributes.items()}))


_ORGS = SetOf(EntityRef("Org"))
# The engine fills exactly these; an attribute more would make every request invalid, a parent more never be given.
MODEL: Mapping[str, EntityType] = {
    "Org": _entity(),
    "Role": _entity("Role"),
    "AgentGroup": _entity(),
    "User": _entity("Role"),
    "Agent": _entity("AgentGroup"),
    "Compound": _entity(
        "User",
        "Agent",
        user=EntityRef("User"),
        agent=EntityRef("Agent"),
        user_id=STRING,
        agent_id=STRING,
        agent_trust_level=LONG,
        org=EntityRef("Org"),
        scopes=SetOf(STRING),
    ),
    "Tool": _entity(orgs=_ORGS),
    "Server": _entity(orgs=_ORGS),
    "Prompt": _entity(orgs=_ORGS, upstream=STRING),
    "McpResource": _entity(orgs=_ORGS, upstream=STRING),
}
# A set written before these came to be known stays good, as long as its catalog lists none of them.
LATER: Mapping[str, str] = {
    "Prompt": "entity Prompt { orgs: Set<Org>, upstream: String };",
    "McpResource": "entity McpResource { orgs: Set<Org>, upstream: String };",
}
SESSION = Record(
    {
        "now": Field(DATETIME, True),
        "hour_utc": Field(LONG, True),
        "ip": Field(IPADDR, False),
        "risk": Field(LONG, False),
        "mfa_age": Field(DURATION, False),
        "call_count": Field(LONG, False),
    }
)


def read(text: str) -> BaseSchema:
    """The checked base schema. Raises ConfigError with everything that the engine couldn't fill."""
    held = [token for token, _, _ in tokens(text)]
    deep = too_deep(held, angles=True)
    if deep is not None:
        message = "nests too deep; give the inner part a name of its own (`type X = …`), or make it flatter"
        raise ConfigError([Problem(FILE, deep.line, deep.column, message)])
    wide = expands_too_far(held)
    if wide is not None:
        message = f"type {wide.text} stands for too much, or there are too many types; use fewer and smaller ones"
        raise ConfigError([Problem(FILE, wide.line, wide.column, message)])
    try:
        normal = str(Schema.from_str(text))
    except ValueError as error:
        raise ConfigError(
            [
                Problem(
                    FILE, *blamed(str(error), [token for token, _, _ in tokens(text)]), f"not a Cedar schema: {error}"
                )
            ]
        ) from None
    reader = _Reader([token for token, _, _ in tokens(normal)])
    reader.read()
    complaints = list(reader.complaints)
    if not complaints:
        complaints = [*_model_complaints(reader), *_resource_complaints(reader)]
    if complaints:
        raise ConfigError(Problem(FILE, *_place(text, name), message, name) for name, message in complaints)
    session = reader.types["Session"]
    resources = {name: kind for name, kind in reader.entities.items() if name not in MODEL}
    model = frozenset(reader.entities.keys() & MODEL.keys())
    return BaseSchema(text, resources, session if isinstance(session, Record) else SESSION, model)


def _model_complaints(reader: _Reader) -> list[tuple[str, str]]:
    wrong = [
        (name, f"entity {name} must stand exactly as in the shipped base.cedarschema; put attributes on your own types")
        for name, kind in MODEL.items()
        if reader.entities.get(name, kind if name in LATER else None) != kind
    ]
    if not _is_session(reader.types.get("Session")):
        message = "type Session must stand as in the shipped base.cedarschema; what is optional there may be left out"
        wrong.append(("Session", message))
    return wrong


def _is_session(declared: CedarType | None) -> bool:
    """A set written before a fact came to be known stays good."""
    if not isinstance(declared, Record):
        return False
    left_out = SESSION.fields.keys() - declared.fields.keys()
    known = all(SESSION.fields.get(name) == field for name, field in declared.fields.items())
    return known and not any(SESSION.fields[name].required for name in left_out)


def _resource_complaints(reader: _Reader) -> list[tuple[str, str]]:
    wrong = []
    for name, kind in reader.entities.items():
        if name in MODEL:
            continue
        if kind.attributes.fields.get("org") != Field(EntityRef("Org"), True):
            wrong.append((name, f"entity {name} needs the attribute `org: Org`: every resource has exactly one org"))
        if kind.parents or kind.tagged or kind.listed:
            wrong.append((name, f"entity {name} can't have parents, tags or a list of ids: the PDP never fills them"))
        wrong += [
            (name, f"entity {name}: an attribute can't refer to {other}; refer to Org, or carry its id as a String")
            for other in sorted(_references(kind.attributes) - {"Org"})
        ]
    return wrong


def _references(kind: CedarType) -> set[str]:
    match kind:
        case EntityRef(name):
            return {name}
        case SetOf(element):
            return _references(element)
        case Record(fields):
            return {name for inner in fields.values() for name in _references(inner.type)}
        case Primitive():
            return set()


def _place(text: str, name: str) -> tuple[int, int]:
    return next(((token.line, token.column) for token, _, _ in tokens(text) if token.text == name), (1, 1))


@dataclass(slots=True)
class _Reader:
    """Reads Cedar's own rendering, so it may rely on its form; whatever it doesn't know is a complaint."""

    held: list[Token]
    at: int = 0
    entities: dict[str, EntityType] = field(default_factory=dict)
    types: dict[str, CedarType] = field(default_factory=dict)
    complaints: list[tuple[str, str]] = field(default_factory=list)

    def read(self) -> None:
        while self.at < len(self.held) and not self.complaints:
            self._annotations()
            word = self._next()
            if word == "type":
                self._common_type()
            elif word == "entity":
                self._entity_type()
            else:
                self.complaints.append(
                    (word, f"{word} can't stand here: actions come from catalog.yaml, namespaces aren't used")
                )

    def _common_type(self) -> None:
        name = self._name()
        self._next()  # =
        self.types[name] = self._type()
        self._next()  # ;

    def _entity_type(self) -> None:
        name, parents, attributes, tagged, listed = self._name(), set[str](), Record({}), False, False
        while (word := self._next()) != ";":
            if word == "in":
                parents = self._list()
            elif word == "enum":
                listed = bool(self._list())
            elif word == "=":
                attributes = self._record()
            elif word == "tags":
                tagged = self._type() is not None
        self.entities[name] = EntityType(frozenset(parents), attributes, tagged, listed)

    def _name(self) -> str:
        name = self._next()
        if name in _PRIMITIVES or name in self.types or name in self.entities:
            self.complaints.append((name, f"the name {name} is taken; choose another"))
        return name

    def _list(self) -> set[str]:
        self._next()  # [
        found = set()
        while (word := self._next()) != "]":
            found |= {word} - {","}
        return found

    def _type(self) -> CedarType:
        if self.held[self.at].text == "{":
            return self._record()
        name = self._next()
        if name == "__cedar":  # how Cedar spells a primitive out
            self._next()  # ::
            return _PRIMITIVES.get(self._next()) or EntityRef("")
        if name == "Set":
            self._next()  # <
            element = self._type()
            self._next()  # >
            return SetOf(element)
        return self.types.get(name) or _PRIMITIVES.get(name) or EntityRef(name)

    def _record(self) -> Record:
        fields: dict[str, Field] = {}
        self._next()  # {
        while self.held[self.at].text != "}":
            self._annotations()
            name = self.held[self.at].value
            self.at += 1
            optional = self.held[self.at].text == "?"
            self.at += 2 if optional else 1  # and the colon
            fields[name] = Field(self._type(), not optional)
            self.at += self.held[self.at].text == ","
        self._next()  # }
        return Record(fields)

    def _annotations(self) -> None:
        while self.at < len(self.held) and self.held[self.at].text == "@":
            self.at += 2
            self.at += 3 if self.held[self.at].text == "(" else 0

    def _next(self) -> str:
        self.at += 1
        return self.held[self.at - 1].text
