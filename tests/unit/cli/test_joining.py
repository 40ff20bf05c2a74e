"""`sallyport init --upstream`: entry and way are written at once, and nothing is served by that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from sallyport.cli import shipped
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
        ("https://crm.test:0/mcp", "no port from 1"),
        ("https://crm.test/mcp?key=secret", "nor fragment"),
        ("https://2130706433/mcp", "is no host"),
        ("https://0.0.0.0/mcp", "no address of one host"),
        ("a=https://169.254.169.254/mcp", "link-local"),
        ("a=https://[fd00:ec2::254]/mcp", "metadata"),
        ("a=https://[::ffff:10.0.0.1]/mcp", "IPv4-mapped"),
        ("a=", "not https"),
        ("a b=https://crm.test/mcp", "`a b` is no name"),
        (".a=https://crm.test/mcp", "`.a` is no name"),
        ("a/b=https://crm.test/mcp", "`a/b` is no name"),
        (f"{'a' * 65}=https://crm.test/mcp", "is no name"),
        ("=https://crm.test/mcp", "`` is no name"),
    ],
)
def test_a_url_that_no_gate_would_dial_is_refused_before_anything_is_made(word: str, told: str, tmp_path: Path) -> None:
    refused = laptop.here("init", tmp_path / "gate", "--upstream", word)
    assert refused.returncode == 2
    assert told in refused.stderr
    assert not (tmp_path / "gate").exists()


def test_one_refused_upstream_among_others_leaves_nothing(tmp_path: Path) -> None:
    refused = laptop.here(
        *(
            "init",
            tmp_path / "gate",
            "--upstream",
            "a=https://a.test/mcp",
            "--upstream",
            "b=https://169.254.169.254/mcp",
        )
    )
    assert refused.returncode == 2
    assert not (tmp_path / "gate").exists()


@pytest.mark.parametrize("more", [(), ("--upstream", "other=https://other.test/mcp")])
def test_a_name_that_the_given_set_has_for_another_url_is_refused_and_the_directory_can_be_made_anew(
    more: tuple[str, ...], tmp_path: Path
) -> None:
    policies = shutil.copytree(shipped.find(), tmp_path / "policies")
    with (policies / "catalog.yaml").open("a") as catalog:
        catalog.write('\nupstreams:\n  crm: {url: "https://old.test/mcp"}\n')
    words: tuple[str | Path, ...] = ("init", tmp_path / "gate", "--policies", policies, *more, "--upstream")
    refused = laptop.here(*words, "crm=https://new.test/mcp")
    assert refused.returncode == 2
    assert "has an upstream crm already, at https://old.test/mcp" in refused.stderr
    assert "made" not in refused.stdout
    assert list((tmp_path / "gate").iterdir()) == []
    made = laptop.here(*words, "crm=https://old.test/mcp")  # the same is no other
    assert made.returncode == 0, made.stderr
    assert "old.test:443" in yaml.safe_load((tmp_path / "gate/pep.yaml").read_text())["egress"]


def test_a_catalog_that_can_not_be_added_to_is_refused_and_left_alone(tmp_path: Path) -> None:
    policies = shutil.copytree(shipped.find(), tmp_path / "policies")
    catalog = yaml.safe_load((policies / "catalog.yaml").read_text())
    (policies / "catalog.yaml").write_text(json.dumps(catalog))
    refused = laptop.here("init", tmp_path / "gate", "--policies", policies, "--upstream", "a=https://a.test/mcp")
    assert refused.returncode == 2
    assert "can't be added to" in refused.stderr
    assert list((tmp_path / "gate").iterdir()) == []


def test_two_names_may_lead_to_one_url_and_no_name_is_looked_up(tmp_path: Path) -> None:
    words = ("--upstream", "a=https://nowhere.invalid/mcp", "--upstream", "b=https://nowhere.invalid/mcp")
    made = laptop.here("init", tmp_path / "gate", *words)
    assert made.returncode == 0, made.stderr
    settings = yaml.safe_load((tmp_path / "gate/pep.yaml").read_text())
    assert settings["egress"] == ["nowhere.invalid:443"]


def test_two_upstreams_of_one_name_need_names_of_their_own() -> None:
    with pytest.raises(Complaint, match="two upstreams are called crm"):
        named(["https://crm.a.test/mcp", "https://crm.b.test/mcp"])
