"""Load a YAML file into a pydantic model: every fault at once, each with its file, line, column and a hint."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Sequence
from json import JSONEncoder
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from sallyport.runtime import strict_yaml
from sallyport.runtime.problems import ConfigError, Problem

M = TypeVar("M", bound=BaseModel)
Location = Sequence[str | int]
_ENCODER: Final = JSONEncoder(allow_nan=False)


class Settings(BaseModel):
    """The base of every configuration model: unknown keys refused, no coercion, nothing changes afterwards."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False, hide_input_in_errors=True
    )


def _against_base(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, Path | str) or not str(value) or "\0" in str(value):
        raise ValueError("must be a path")
    base: Path | None = (info.context or {}).get("base")
    return Path(value) if base is None else base / value


RelativePath: Final = PlainValidator(_against_base)
ConfigPath = Annotated[Path, RelativePath]


def load_model(model: type[M], data: bytes, name: str, *, base: Path | None = None, exact: bool = False) -> M:
    """Validate the YAML in `data` as `model`; `name` stands in the problems, `base` is what ConfigPaths start from.

    Values are judged as JSON is: a list may be a tuple and a string an enumeration's member, but "5" and true are no
    integers. `exact` as in `strict_yaml.parse`. Raises ConfigError.
    """
    document = strict_yaml.parse(data, name, exact=exact)
    if not isinstance(document.value, dict):
        raise ConfigError([Problem(name, *document.position(()), "must be a mapping of keys to values")])
    context = {"base": base.absolute() if base is not None else None}
    try:
        return model.model_validate_json(_ENCODER.encode(document.value), context=context)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True, include_input=False)
        raise ConfigError(sorted((_problem(model, document, item) for item in details), key=_place)) from None


def _place(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


def _problem(model: type[BaseModel], document: strict_yaml.Document, error: ErrorDetails) -> Problem:
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        line, column = document.key_position(location)
        return Problem(document.name, line, column, _unknown_key(model, location))
    line, column = document.position(location)
    if error["type"] == "missing":
        return Problem(document.name, line, column, f"{_dotted(location)} is missing")
    message = error["msg"].removeprefix("Value error, ")
    return Problem(document.name, line, column, f"{_dotted(location)}: {message}" if location else message)


def _unknown_key(model: type[BaseModel], location: Location) -> str:
    key = str(location[-1])
    valid = sorted({name for found in _models_at(model, location[:-1]) for name in _keys(found)})
    near = difflib.get_close_matches(key[:128], valid, n=1, cutoff=0.5)
    if near:
        return f"unknown key {key[:128]!r}; did you mean {near[0]!r}?"
    return f"unknown key {key[:128]!r}; valid here: {', '.join(valid)}"


def _dotted(location: Location) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, info in model.model_fields.items():
        yield info.alias or name


def _models_at(annotation: Any, location: Location) -> Iterator[type[BaseModel]]:
    """The models that may stand at `location` beneath a type; parts that lead nowhere are union tags."""
    for kind in _alternatives(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if not location:
                yield kind
                continue
            inner = next((i.annotation for n, i in kind.model_fields.items() if (i.alias or n) == location[0]), kind)
            yield from _models_at(inner, location[1:])
        elif location and get_args(kind):
            items = get_args(kind)[1:] if get_origin(kind) is dict else get_args(kind)
            for item in items:
                yield from _models_at(item, location[1:])


def _alternatives(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin is Union or origin is types.UnionType:
        for item in get_args(annotation):
            yield from _alternatives(item)
    else:
        yield annotation
