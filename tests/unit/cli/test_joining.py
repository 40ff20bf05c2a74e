"""`sallyport init --upstream`: entry and way are written at once, and nothing is served by that."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sallyport.cli.complaint import Complaint
from sallyport.cli.joining import named
from tests.support import laptop


def test_each_upstream_stands_in_the_catalog_and_in_egress_and_none_of_it_is_served(tmp_path: Path) -> None:
    directory = tmp_path / "gate"
    made = laptop.here(
        "init", directory, "--upstream", "a=http://127.0.0.1:3001/mcp", "--upstream", "https://crm.test/x"
    )
    assert made.returncode == 0, made.stderr
    assert "catalog pull" in made.stdout
    catalog = yaml.safe_load((directory / "catalog.yaml").read_text())
    assert catalog["upstreams"] == {"a": {"url": "http://127.0.0.1:3001/mcp"}, "crm": {"url": "https://crm.test/x"}}
    assert not [tool for tool in catalog["tools"] if "upstream" in tool["provider"]]
    assert yaml.safe_load((directory / "pep.yaml").read_text())["egress"] == ["127.0.0.1:3001", "crm.test:443"]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("http://crm.test/mcp", "not https"),
        ("https://me:secret@crm.test/mcp", "neither user"),
        ("crm=ftp://crm.test", "not https"),
        ("nonsense", "not https"),
        ("https://crm.test:99999/mcp", "leads nowhere"),
        ("https://CRM.test/mcp", "no capitals"),
    ],
)
def test_a_url_that_no_gate_would_dial_is_refused_before_anything_is_made(word: str, told: str, tmp_path: Path) -> None:
    refused = laptop.here("init", tmp_path / "gate", "--upstream", word)
    assert refused.returncode == 2
    assert told in refused.stderr
    assert not (tmp_path / "gate").exists()


def test_two_upstreams_of_one_name_need_names_of_their_own() -> None:
    with pytest.raises(Complaint, match="two upstreams are called crm"):
        named(["https://crm.a.test/mcp", "https://crm.b.test/mcp"])
