"""One policy set as five ConfigMaps: what goes where, what a push writes, and that no mixture of two sets serves."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from types import MappingProxyType

import pytest

from sallyport.cli import policy_set, shipped
from sallyport.cli.complaint import Complaint
from sallyport.cli.k8s import policy_maps
from sallyport.cli.k8s.objects import ConfigMap
from sallyport.cli.k8s.policy_maps import MARKER, MAX_BYTES, Stored
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError

NAMES = {part: f"gate-{part}" for part in ("policies", "roles", "agents", "resources", "catalog")}
SHIPPED = mounted_dir.read(shipped.find()).files


def stored(files: Mapping[str, bytes]) -> Stored:
    parts = policy_maps.split(files, NAMES)
    return Stored(NAMES, {name: ConfigMap(name, "1", data) for name, data in parts.items()})


def contents(files: Mapping[str, bytes]) -> Contents:
    return Contents(MappingProxyType(dict(files)), mounted_dir.revision(files))


def without(name: str) -> dict[str, bytes]:
    return {file: data for file, data in SHIPPED.items() if file != name}


def loads(files: Mapping[str, bytes]) -> bool:
    try:
        policy_set.parts(contents(files))
    except ConfigError:
        return False
    return True


def test_each_file_lies_with_its_owner() -> None:
    parts = policy_maps.split({**SHIPPED, "notes.md": b"x"}, NAMES)
    assert {name: set(files) for name, files in parts.items() if name != "gate-policies"} == {
        "gate-roles": {"roles.yaml"},
        "gate-agents": {"agents.yaml"},
        "gate-resources": {"resources.yaml"},
        "gate-catalog": {"catalog.yaml"},
    }
    assert {"files.cedar", "base.cedarschema", "files.test.yaml", "notes.md"} <= set(parts["gate-policies"])


def test_what_is_split_and_mounted_is_what_was_pushed() -> None:
    """Byte for byte, so that the revision is that of `policy check` on the directory."""
    assert stored(SHIPPED).files == SHIPPED
    assert (
        policy_maps.compose(contents(without("catalog.yaml")), stored(SHIPPED)).revision == contents(SHIPPED).revision
    )


def test_the_catalog_is_the_releases_own() -> None:
    release = stored({"catalog.yaml": b"tools: []\n"})
    with pytest.raises(Complaint, match="values") as raised:
        policy_maps.compose(contents(SHIPPED), release)
    assert "helm upgrade" in raised.value.next_step
    composed = policy_maps.compose(contents(without("catalog.yaml")), release)
    assert composed.files["catalog.yaml"] == b"tools: []\n"


def test_a_catalog_that_says_the_same_in_other_words_is_no_other_catalog() -> None:
    reworded = b"# by Helm\n" + SHIPPED["catalog.yaml"]
    composed = policy_maps.compose(contents(SHIPPED), stored({**SHIPPED, "catalog.yaml": reworded}))
    assert composed.files["catalog.yaml"] == reworded  # the bytes that pods mount make the revision
    assert composed.revision != contents(SHIPPED).revision


def test_what_kubernetes_would_not_take_is_told_before_anything_is_written() -> None:
    files = {"a.cedar": b"x" * (MAX_BYTES - 10), "b.cedar": b"y" * 11}
    with pytest.raises(Complaint, match=r"gate-policies would hold 1048577 bytes.*largest is a\.cedar"):
        policy_maps.split(files, NAMES)
    policy_maps.split({**files, "b.cedar": b"y" * 10}, NAMES)
    policy_maps.split({"a.cedar": b"x" * MAX_BYTES, "roles.yaml": b"y" * MAX_BYTES}, NAMES)


def test_one_changed_part_is_one_write_and_nothing_changed_is_none() -> None:
    before = stored(SHIPPED)
    assert policy_maps.writes(before, SHIPPED) == []
    (write,) = policy_maps.writes(before, {**SHIPPED, "roles.yaml": b"roles: {}\n"})
    assert (write.name, write.files) == ("gate-roles", {"roles.yaml": b"roles: {}\n"})
    (write,) = policy_maps.writes(before, without("files.cedar"))
    assert write.name == "gate-policies"
    assert "files.cedar" not in write.files


def test_what_changes_is_told_by_file() -> None:
    after = {**without("files.cedar"), "new.cedar": b"", "roles.yaml": b"x"}
    assert policy_maps.differences(SHIPPED, after) == [("-", "files.cedar"), ("+", "new.cedar"), ("~", "roles.yaml")]


OLD = SHIPPED
NEW = {
    **{name: data for name, data in SHIPPED.items() if not name.startswith("business_hours")},
    "roles.yaml": SHIPPED["roles.yaml"].replace(b"permissions: []", b'permissions: ["prompts:get"]'),
    "agents.yaml": SHIPPED["agents.yaml"].replace(b"trust_level: 8", b"trust_level: 3"),
}


def test_no_mixture_of_two_sets_ever_loads() -> None:
    """Whatever of the writes a pod has seen: the old set, the new one, or one that is refused (P1)."""
    assert loads(OLD)
    assert loads(NEW)
    writes = policy_maps.writes(stored(OLD), NEW)
    first, *between, last = [write.name for write in writes]
    assert (first, sorted(between), last) == ("gate-policies", ["gate-agents", "gate-roles"], "gate-policies")
    for begun in range(1, len(writes)):  # the writes happen in this order, and each is seen at once
        maps = {name: each.files for name, each in stored(OLD).maps.items()}
        maps |= {write.name: write.files for write in writes[:begun]}
        mounted = {file: data for files in maps.values() for file, data in files.items()}
        assert MARKER in mounted
        assert not loads(mounted)


def test_without_the_marker_a_mixture_would_have_served() -> None:
    """The test of the test above: these parts, old and new in any order, do load."""
    old, new = policy_maps.split(OLD, NAMES), policy_maps.split(NEW, NAMES)
    mixtures = [
        {
            file: data
            for name, one in zip(old, choice, strict=True)
            for file, data in (new if one else old)[name].items()
        }
        for choice in product((False, True), repeat=len(old))
    ]
    assert any(loads(mixture) and mixture not in (OLD, NEW) for mixture in mixtures)


def test_the_last_write_leaves_exactly_the_new_set() -> None:
    maps = {name: each.files for name, each in stored(OLD).maps.items()}
    for write in policy_maps.writes(stored(OLD), NEW):
        maps[write.name] = write.files
    assert {file: data for files in maps.values() for file, data in files.items()} == NEW


def test_a_file_that_was_left_by_a_broken_push_is_taken_out() -> None:
    before = stored({**SHIPPED, MARKER: b"x"})
    (write,) = policy_maps.writes(before, SHIPPED)
    assert MARKER not in write.files


def test_nobodys_policy_is_called_like_the_marker() -> None:
    assert MARKER not in SHIPPED
    assert MARKER.endswith(".cedar")  # else no PDP would read it
