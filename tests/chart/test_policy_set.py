"""What the chart installs as policies: the shipped files, of which those are left out whose tools aren't served, and it serves."""

from __future__ import annotations

import filecmp
from pathlib import Path
from typing import Any

import pytest

from sallyport.pdp import policy_tests
from sallyport.pdp.load import load
from sallyport.runtime import mounted_dir, strict_yaml
from tests.chart.rendering import CHART, MADE, NAME, PARTS, PROFILES, ROOT, Rendered, render
from tests.support.laptop import here

_SHIPPED = ROOT / "policies"
_COPY = CHART / "files" / "policies"
_NOT_SERVED = {"README.md", "cedar_cli.entities.json", "cedar_cli.test.json"}  # for people, and for Cedar's own command
_FILE_TOOLS = ["list_files", "read_file", "write_file", "delete_file"]
_TABLE_TOOLS = ["database_query", "describe_table"]
_DATABASE = {
    "url": "postgresql://sallyport@postgres.data.svc:5432/app",
    "caSecret": "postgres-ca",
    "network": {"namespace": "data", "podLabels": {"app": "postgres"}},
}


def _set(tools: list[Any], **more: Any) -> Rendered:
    return render("minimal", {"tools": tools, "database": _DATABASE, **more})


def _directory(rendered: Rendered, folder: Path) -> Path:
    for name, text in rendered.policy_set().items():
        (folder / name).write_text(text)
    return folder


def _catalog(text: str) -> dict[str, Any]:
    found: Any = strict_yaml.parse(text.encode(), "catalog.yaml").value
    return {tool["name"]: tool for tool in found["tools"]}


def test_the_charts_copy_of_the_policies_is_the_repositorys() -> None:
    names = {path.name for path in _SHIPPED.iterdir()} - _NOT_SERVED
    assert {path.name for path in _COPY.iterdir()} == names, "run `make chart`"
    _, other, unread = filecmp.cmpfiles(_SHIPPED, _COPY, sorted(names), shallow=False)
    assert (other, unread) == ([], []), "run `make chart`"


@pytest.mark.parametrize(
    "tools",
    [_FILE_TOOLS, _TABLE_TOOLS, _FILE_TOOLS + _TABLE_TOOLS, ["list_files", "read_file"], ["read_file"]],
    ids="-".join,
)
def test_the_set_for_any_tools_would_serve_and_passes_the_tests_that_come_with_it(
    tools: list[str], tmp_path: Path
) -> None:
    made = _directory(_set(tools), tmp_path)
    check = here("policy", "check", made)
    assert check.returncode == 0, check.stderr
    test = here("policy", "test", made)
    assert test.returncode == 0, test.stdout + test.stderr


@pytest.mark.parametrize("profile", PROFILES)
def test_the_pdp_would_serve_each_profiles_set_and_hold_its_tests_required(profile: str, tmp_path: Path) -> None:
    contents = mounted_dir.read(_directory(render(profile, MADE), tmp_path))
    snapshot = load(contents)
    assert policy_tests.problems(snapshot, contents) == ()


def test_a_shipped_file_comes_unchanged_or_not_at_all() -> None:
    everything = _set(_FILE_TOOLS + _TABLE_TOOLS).policy_set()
    assert set(everything) == {path.name for path in _COPY.iterdir()}
    for tools in (_FILE_TOOLS, _TABLE_TOOLS, ["list_files"], _FILE_TOOLS + _TABLE_TOOLS):
        found = _set(tools).policy_set()
        del found["catalog.yaml"]
        assert all(text == (_SHIPPED / name).read_text() for name, text in found.items())


def test_what_restrains_is_there_whatever_the_tools_are() -> None:
    restraints = {"org_isolation.cedar", "agent_ceiling.cedar", "business_hours.cedar", "base.cedarschema"}
    for tools in (
        ["list_files"],
        ["describe_table"],
        [{"name": "own", "provider": {"hosted": "x"}, "input": {"type": "object"}}],
    ):
        assert restraints <= set(_set(tools).policy_set())


def test_a_tool_named_alone_is_the_reviewed_entry_of_the_repository() -> None:
    shipped = _catalog((_SHIPPED / "catalog.yaml").read_text())
    assert _catalog(_set(_FILE_TOOLS + _TABLE_TOOLS).policy_set()["catalog.yaml"]) == shipped
    assert list(_catalog(_set(["read_file"]).policy_set()["catalog.yaml"]).values()) == [shipped["read_file"]]


def test_an_entry_of_ones_own_arrives_as_it_was_written() -> None:
    own = {
        "name": "own.tool-1",
        "title": "yes",
        "description": 'A "quoted" \\ text: {{ .Values }} & <more> # no comment\n\tUmlauts äöü, 工具, 🛠;  \nnull\n',
        "provider": {"hosted": "list_files"},
        "input": {
            "type": "object",
            "properties": {
                "on": {"type": "string", "pattern": "^[^\\x00-\\x1f\\\\'\"]+$", "default": "0x1f"},
                "n": {"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991, "default": 0},
                "f": {"type": "number", "multipleOf": 0.5, "enum": [0.5, 1.5, 1e3]},
                "d": {
                    "enum": [
                        "2026-01-01",
                        "1:30",
                        "~",
                        "null",
                        "1_000",
                        "true",
                        " lead",
                        "trail ",
                        "",
                        "- x",
                        "&a",
                        "*a",
                        "!t",
                    ]
                },
            },
        },
    }
    assert _catalog(_set([own]).policy_set()["catalog.yaml"])["own.tool-1"] == own


def test_the_operators_parts_are_made_at_install_only_and_kept() -> None:
    rendered = render("minimal")
    for part in PARTS[:4]:
        annotations = rendered.one("ConfigMap", f"{NAME}-{part}")["metadata"]["annotations"]
        assert annotations == {
            "helm.sh/hook": "pre-install",  # not part of the manifest, which a rollback would restore
            "helm.sh/hook-weight": "-10",
            "helm.sh/hook-delete-policy": "hook-failed",  # the default would delete them before each install
            "helm.sh/resource-policy": "keep",
        }
    assert "annotations" not in rendered.one("ConfigMap", f"{NAME}-catalog")["metadata"]


def test_a_second_install_leaves_alone_what_an_earlier_one_left() -> None:
    text = (CHART / "templates" / "policies" / "_kept.tpl").read_text()
    assert '(not (lookup "v1" "ConfigMap" .root.Release.Namespace $name))' in text  # the real proof needs a cluster


def test_configmaps_of_the_operators_own_are_used_by_name_and_not_made() -> None:
    rendered = render("everything")
    made = {each["metadata"]["name"] for each in rendered.all("ConfigMap")}
    assert {f"{NAME}-agents", f"{NAME}-resources", f"{NAME}-catalog"} <= made
    assert not {"company-policies", "company-roles", f"{NAME}-policies", f"{NAME}-roles"} & made
    volume = next(each for each in rendered.gate.spec["volumes"] if each["name"] == "policies")
    names = [source["configMap"]["name"] for source in volume["projected"]["sources"]]
    assert names == ["company-policies", "company-roles", f"{NAME}-agents", f"{NAME}-resources", f"{NAME}-catalog"]
    told: Any = strict_yaml.parse(
        rendered.gate.annotations["sallyport.io/policy-configmaps"].encode(), "annotation"
    ).value
    assert told == dict(zip(PARTS, names, strict=True))


@pytest.mark.parametrize("profile", PROFILES)
def test_no_configmap_comes_near_what_the_api_server_takes(profile: str) -> None:
    for each in render(profile, MADE).all("ConfigMap"):
        assert sum(len(key) + len(text.encode()) for key, text in each["data"].items()) < 1 << 19
