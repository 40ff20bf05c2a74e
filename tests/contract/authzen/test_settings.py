"""The settings as they stand in the documentation and in what `init` writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sallyport.cli.configs import GATEWAY, PDP
from sallyport.pdp.authzen.settings import Authzen
from sallyport.runtime.problems import ConfigError
from sallyport.runtime.settings import Settings, load_model

DOCUMENT = (Path(__file__).parents[3] / "docs" / "authzen.md").read_text()


class File(Settings):
    authzen: Authzen


def test_the_documents_example_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    found = load_model(File, example.encode(), "pdp.yaml", base=tmp_path).authzen
    assert found.tls.client_ca == tmp_path / "pki/authzen/clients.crt"
    assert found.clients[0].obligations == ("mask",)
    assert all(f"`{name}` ({getattr(found, name):g})" in DOCUMENT for name in ("evaluations", "connections"))


def test_the_commented_example_that_init_writes_is_valid(tmp_path: Path) -> None:
    commented = PDP[PDP.index("# authzen:") :]
    example = re.sub(r"^# ", "", commented, flags=re.MULTILINE)
    (client,) = load_model(File, example.encode(), "pdp.yaml", base=tmp_path).authzen.clients
    assert (client.agent, client.spiffe) == ("coding-bot", GATEWAY)


def test_a_misspelt_grant_stops_the_start_and_says_where(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    with pytest.raises(ConfigError, match=r"pdp\.yaml:\d+:\d+: unknown key 'obligation'; did you mean 'obligations'"):
        load_model(File, example.replace("obligations:", "obligation:").encode(), "pdp.yaml", base=tmp_path)
