"""What an image says of itself, and how large it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

from tests.images import engine
from tests.images.image import Image

_ROOT: Final = Path(__file__).resolve().parents[2]
_PORTS: Final = {"pep": {"8443/tcp", "8444/tcp"}, "pdp": {"7352/tcp", "7353/tcp"}}
# What was measured and a little more, so that nothing large comes in unseen; the base is 52 of it.
_MEGABYTES: Final = {"pep": 160, "pdp": 128}


def test_the_user_is_a_number_and_not_root(image: Image) -> None:
    assert image.about["Config"]["User"] == "65532:65532"


def test_it_starts_python_isolated_with_the_settings_of_the_chart(image: Image) -> None:
    config = image.about["Config"]
    assert config["Entrypoint"] == ["/app/bin/python3.13", "-I", "-m", f"sallyport.{image.service}"]
    assert config["Cmd"] == ["--config", f"/etc/sallyport/settings/{image.service}.yaml"]
    assert config["WorkingDir"] == "/"
    assert not config.get("Volumes")


def test_the_ports_are_those_that_others_may_reach(image: Image) -> None:
    assert set(image.about["Config"]["ExposedPorts"]) == _PORTS[image.service]


def test_the_environment_is_the_bases_and_holds_no_setting_of_ours(image: Image) -> None:
    names = {item.split("=")[0] for item in image.about["Config"]["Env"]}
    assert names <= {"PATH", "LANG", "SSL_CERT_FILE"}


def test_the_labels_say_what_it_is_and_from_which_commit(image: Image) -> None:
    prefix = "org.opencontainers.image."
    labels = {name.removeprefix(prefix): text for name, text in image.about["Config"]["Labels"].items()}
    project = tomllib.loads((_ROOT / "services" / image.service / "pyproject.toml").read_text())["project"]
    assert labels["title"] == f"sallyport-{image.service}"
    assert labels["description"]
    assert labels["source"]
    assert labels["version"] == project["version"]
    assert labels["licenses"] == project["license"]
    assert re.fullmatch(r"[0-9a-f]{40}(-modified)?", labels["revision"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels["created"])


def test_it_is_no_larger_than_was_measured(image: Image) -> None:
    assert image.about["Size"] <= _MEGABYTES[image.service] * 1_000_000


def test_without_settings_it_says_which_file_it_misses(image: Image) -> None:
    done = engine.run("run", "--rm", *engine.SEALED, image.name)
    assert done.returncode == 2
    assert f"/etc/sallyport/settings/{image.service}.yaml" in done.stderr


@pytest.mark.parametrize("program", ["sh", "/bin/sh", "bash", "pip"])
def test_no_shell_and_no_pip_can_be_started(image: Image, program: str) -> None:
    done = engine.run("run", "--rm", *engine.SEALED, "--entrypoint", program, image.name)
    assert done.returncode == 127
    assert program in done.stderr


def test_pip_is_no_module_either(image: Image) -> None:
    done = engine.run("run", "--rm", *engine.SEALED, "--entrypoint", engine.PYTHON, image.name, "-I", "-m", "pip")
    assert "No module named pip" in done.stderr
