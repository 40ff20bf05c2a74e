"""Configuration models: strict, and every fault told at once with its place and what to do."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from sallyport.runtime.problems import ConfigError
from sallyport.runtime.settings import ConfigPath, Settings, load_model


class _Colour(StrEnum):
    RED = "red"


class _Issuer(Settings):
    name: str
    jwks: ConfigPath | None = None
    kind: Literal["a", "b"] = "a"


class _Deep(Settings):
    map: dict[str, _Issuer] = Field(default_factory=dict)
    one: _Issuer | str = ""


class _Config(Settings):
    issuers: tuple[_Issuer, ...] = ()
    count: int = Field(default=1, ge=1)
    on: bool = False
    ratio: float = 0.5
    colour: _Colour = _Colour.RED
    root: ConfigPath = Path("files")
    deep: _Deep = _Deep()
    where: Annotated[str, Field(alias="in")] = ""

    @model_validator(mode="after")
    def _check(self) -> _Config:
        if self.count == 13:
            raise ValueError("count must not be 13; take 12")
        return self


def _load(text: str, base: Path | None = None) -> _Config:
    return load_model(_Config, text.encode(), "c.yaml", base=base)


def _faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        _load(text)
    return str(error.value).splitlines()


def test_enumerations_tuples_and_aliases_are_read_from_plain_yaml() -> None:
    config = _load("issuers: [{name: x}]\ncolour: red\nin: here\nratio: 1\n")
    assert config.issuers == (_Issuer(name="x"),)
    assert config.colour is _Colour.RED
    assert config.where == "here"


def test_paths_are_made_absolute_against_the_base_defaults_too(tmp_path: Path) -> None:
    config = _load("issuers: [{name: x, jwks: pki/jwks.json}, {name: y, jwks: /etc/j}]\n", tmp_path)
    assert config.root == tmp_path / "files"
    assert [issuer.jwks for issuer in config.issuers] == [tmp_path / "pki/jwks.json", Path("/etc/j")]


@pytest.mark.parametrize("value", ["true", '"5"', "1.5", "~", "0", "[1]"])
def test_n5_nothing_but_an_integer_in_range_is_one(value: str) -> None:
    assert _faults(f"count: {value}\n")[0].startswith("c.yaml:1:8: count: ")


@pytest.mark.parametrize("value", ["yes", "1", '"true"', "on"])
def test_n5_nothing_but_true_and_false_is_a_boolean(value: str) -> None:
    assert _faults(f"on: {value}\n")[0].startswith("c.yaml:1:5: on: ")


@pytest.mark.parametrize("value", [".nan", ".inf", '"0.5"'])
def test_n5_nothing_but_a_number_is_one(value: str) -> None:
    assert _faults(f"ratio: {value}\n")[0].startswith("c.yaml:1:8: ratio: ")


def test_n5_an_unknown_key_stops_the_start_and_names_the_nearest_valid_one() -> None:
    assert _faults("issuer: []\n") == ["c.yaml:1:1: unknown key 'issuer'; did you mean 'issuers'?"]
    assert _faults("issuers:\n  - name: x\n    jwsk: y\n") == ["c.yaml:3:5: unknown key 'jwsk'; did you mean 'jwks'?"]
    assert _faults("deep: {map: {k: {name: x, nmae: y}}}\n") == [
        "c.yaml:1:27: unknown key 'nmae'; did you mean 'name'?"
    ]
    assert "valid here: jwks, kind, name" in _faults("issuers: [{name: x, zzzzzzzz: 1}]\n")[0]


def test_a_key_in_a_union_is_placed_and_explained() -> None:
    faults = _faults("deep:\n  one: {name: x, knd: a}\n")
    assert "c.yaml:2:18: unknown key 'knd'; did you mean 'kind'?" in faults


def test_several_faults_are_told_at_once_in_order_of_the_lines() -> None:
    assert _faults("count: 0\nissuers:\n  - {kind: c}\nfoo: 1\n") == [
        "c.yaml:1:8: count: Input should be greater than or equal to 1",
        "c.yaml:3:5: issuers[0].name is missing",
        "c.yaml:3:12: issuers[0].kind: Input should be 'a' or 'b'",
        "c.yaml:4:1: unknown key 'foo'; did you mean 'root'?",
    ]


def test_a_validators_own_words_stand_without_decoration() -> None:
    assert _faults("count: 13\n") == ["c.yaml:1:1: count must not be 13; take 12"]


@pytest.mark.parametrize("text", ["- a\n", "5\n", "~\n"])
def test_n5_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    assert _faults(text) == ["c.yaml:1:1: must be a mapping of keys to values"]


def test_n7_a_fault_never_repeats_the_value() -> None:
    assert "canary" not in "".join(_faults("count: canary\nissuers: [{name: [canary]}]\ncolour: canary\n"))
