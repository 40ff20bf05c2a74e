"""A directory is taken whole or refused whole, with everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sallyport.contract import catalog
from sallyport.pdp.load import NEEDED, load
from sallyport.pdp.model import Effect
from sallyport.runtime import mounted_dir
from sallyport.runtime.problems import ConfigError, Problem
from tests.support import policy_dir as sample
from tests.support.policy_dir import complaint, contents, files, problems, snapshot


def with_policy(text: str) -> str:
    return complaint(policies={**sample.POLICIES, "x.cedar": text})


def test_a_directory_on_disk_becomes_a_snapshot_with_its_revision(tmp_path: Path) -> None:
    read = mounted_dir.read(sample.write(tmp_path, files()))
    held = load(read)
    assert held.revision == read.revision
    assert held.catalog_digest == catalog.digest(read.files["catalog.yaml"])
    assert "role:gate:read_file" in held.compiled


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("data", [None, b"", b" \n", b"# nothing\n", b"{}", b"\xff", b"[1", b"null"])
def test_n5_a_missing_empty_or_unparsable_file_refuses(name: str, data: bytes | None) -> None:
    given = files()
    if data is None:
        del given[name]
    else:
        given[name] = data
    assert any(problem.file == name for problem in problems(given))


@pytest.mark.parametrize(
    "changes",
    [
        {"policies": {}},
        {"policies": {"a.cedar": ""}},
        {"policies": {"a.cedar": "// permit (principal, action, resource);"}},
        {"roles": {}},
        {"agents": {}},
        {"tools": []},
        {"resources": {"orgs": []}},
        {"agents": {"a": {"trust_level": 1, "groups": [], "orgs": []}}},
        {"base": ""},
    ],
)
def test_n5_an_empty_set_refuses(changes: dict[str, Any]) -> None:
    assert problems(**changes)


@pytest.mark.parametrize(
    "name", ["more.ceder", "cedar", "roles.yml", "role.yaml", "x.cedarschema", "x.yaml", "x.cedar.bak"]
)
def test_a_file_that_would_be_passed_over_is_refused(name: str) -> None:
    assert f"{name}: isn't a file that the PDP reads" in complaint({**files(), name: b""})


def test_tests_and_notes_beside_the_policies_are_no_business_of_the_pdp() -> None:
    load(contents({**files(), "files.test.yaml": b"[", "README.md": b"", "case.json": b"{"}))


def test_everything_wrong_is_told_at_once_and_in_order() -> None:
    given = files(
        policies={
            "a.cedar": 'permit (principal, action, resource);\n\n@id("a.two")\npermit (principal, action, ressource);',
            "b.cedar": '@id("b")\nforbid (principal, action, resource)\nwhen { resource.nothing };',
        }
    )
    given["notes.txt"] = b""
    given["agents.yaml"] = b"agents: {a: {trust_level: high, orgs: all}}"
    told = problems(given)
    assert [problem.file for problem in told] == sorted(problem.file for problem in told)
    assert {problem.file for problem in told} == {"a.cedar", "agents.yaml", "b.cedar", "notes.txt"}
    assert [(p.line, p.column) for p in told if p.file == "a.cedar"] == [(1, 1), (4, 28)]


def test_one_broken_file_hides_no_problem_of_another() -> None:
    broken = dict.fromkeys(NEEDED, b"broken: [")
    assert {problem.file for problem in problems({**files(), **broken, "x.cedar": b"x"})} == {*NEEDED, "x.cedar"}
    wrong = {name: b"wrong: 1" for name in NEEDED if name != "catalog.yaml"}
    assert {problem.file for problem in problems({**files(), **wrong})} == {*wrong}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("permit (principal, action, resource);", "x.cedar:1:1", "@id"),
        ('@id("")\npermit (principal, action, resource);', "x.cedar:1:1", "@id"),
        ('@id("own_file")\npermit (principal, action, resource);', "x.cedar:1:2", "taken by files.cedar:1"),
        ('@id("role:x")\npermit (principal, action, resource);', "x.cedar:1:1", "compiled roles"),
        ('@id("x")\npermit (principal, action, resource)', "x.cedar:1:1", "not a Cedar policy"),
        ('@id("x")\npermit (principal, action, resource) when { "; };', "x.cedar:1:1", "not a Cedar policy"),
        ('@id("x")\npermit (principal == ?principal, action, resource);', "x.cedar:1:1", "template"),
        ('@id("x")\n@obligations("mask")\npermit (principal, action, resource);', "x.cedar:2:1", "@obligation?"),
        ('@id("x")\n@obligation\npermit (principal, action, resource);', "x.cedar:2:1", "needs a text"),
        ('@id("x")\n@obligation("mask")\nforbid (principal, action, resource);', "x.cedar:2:1", "only a permit"),
        ('@id("x")\nforbid (principal, action,\n resource) when { principal in Role::"amdin" };', "x.cedar:3:32", "roles.yaml"),
        ('@id("x")\nforbid (principal in Role::"amdin", action, resource);', "x.cedar:2:22", "roles.yaml"),
        ('@id("x")\nforbid (principal,\n action == Action::"nothing", resource);', "x.cedar:3:12", "catalog.yaml"),
        ('@id("x")\nforbid (principal, action, resource) when { action in Action::"group:none" };', "x.cedar:2:55", "catalog"),
        ('@id("x")\nforbid (principal, action, resource) when { principal.agent == Agent::"x" };', "x.cedar:2:64", "agents.yaml"),
        ('@id("x")\nforbid (principal in AgentGroup::"x", action, resource);', "x.cedar:2:22", "agents.yaml"),
        ('@id("x")\nforbid (principal, action, resource) when { principal.org == Org::"x" };', "x.cedar:2:62", "resources.yaml"),
        ('@id("x")\nforbid (principal, action, resource == Tool::"x");', "x.cedar:2:40", "catalog.yaml"),
        ('@id("x")\nforbid (principal, action, resource == Server::"x");', "x.cedar:2:40", "sallyport"),
        ('@id("x")\nforbid (principal in User::"alice", action, resource);', "x.cedar:2:22", "issuer"),
        ('@id("x")\nforbid (principal, action == Action::"read_file", resource)\nwhen { resource.nothing };', "x.cedar:3:17", "nothing"),
        ('@id("x")\nforbid (principal, action == Action::"query", resource)\nwhen { resource.owner == "a" };', "x.cedar:3:17", "optional"),
        ('@id("x")\nforbid (principal, action == Action::"read_file", resource is Table);', "x.cedar:1:1", "applicable"),
        ('@id("x")\nforbid (principal, action, resource)\nwhen { resource has enviroment };', "x.cedar:3:17", "did you mean 'environment'?"),
        ('@id("x")\nforbid (principal, action, resource)\nwhen { principal has rols };', "x.cedar:3:18", "no principal"),
        ('@id("x")\nforbid (principal, action, resource is File)\nwhen { resource has environment };', "x.cedar:3:17", "there are: org, owner"),
        ('@id("x")\nforbid (principal, action == Action::"status", resource)\nwhen { resource has owner };', "x.cedar:3:17", "no resource"),
    ],
)  # fmt: skip
def test_a_bad_policy_is_refused_with_its_place(text: str, place: str, words: str) -> None:
    told = with_policy(text)
    assert f"{place}: " in told
    assert words in told


@pytest.mark.parametrize("scope", ["resource", "resource is Table", 'resource == Table::"orders"'])
def test_an_attribute_that_some_type_in_scope_has_may_be_asked_for(scope: str) -> None:
    condition = 'resource has environment && resource.environment == "x" && principal has scopes'
    text = f'@id("x")\nforbid (principal, action, {scope}) when {{ {condition} }};'
    snapshot(policies={**sample.POLICIES, "x.cedar": text})


def test_a_policy_file_that_is_no_utf8_is_refused() -> None:
    assert "x.cedar: not UTF-8" in complaint({**files(), "x.cedar": b"\xff"})


def test_removing_a_tool_that_a_policy_names_is_refused() -> None:
    told = complaint(tools=sample.TOOLS[1:])
    assert "files.cedar:2:30" in told
    assert "Action::'read_file'" in told


def test_a_tool_on_an_unknown_type_or_org_is_refused_with_its_place() -> None:
    tools = [{**sample.TOOLS[0], "resources": [{"type": "Tool", "id": "/path"}], "orgs": ["initech"]}]
    told = problems(tools=[*sample.TOOLS[1:], *tools], policies={"isolation.cedar": sample.ISOLATION})
    assert [problem.subject for problem in told] == ["read_file", "read_file"]
    assert all(problem.line > 1 for problem in told)


@pytest.mark.parametrize("keyword", ["required", "properties", "$defs", "type", "items", "$ref", "enum", "minimum"])
@pytest.mark.parametrize("value", [5, None, True, "x", [], [None], [[1]], {"a": 5}, -1.5])
def test_a_malformed_input_schema_is_refused_with_its_place_or_left_out(keyword: str, value: Any) -> None:
    """Whatever stands in a schema, the answer is a place or a snapshot, never a bare TypeError."""
    part = {"type": "object", "properties": {"a": {"type": "number"}}, keyword: value}
    schema = {"type": "object", "properties": {"p": part, "q": {keyword: value}}}
    told: tuple[Problem, ...] = ()
    try:
        snapshot(tools=[*sample.TOOLS, sample.tool("odd", input=schema)])
    except ConfigError as error:
        told = error.problems
    assert all(problem.file == "catalog.yaml" and problem.line > 1 for problem in told)


def test_a_malformed_required_is_refused_with_its_place() -> None:
    wrong = sample.tool("odd", input={"type": "object", "properties": {"a": {"type": "string"}}, "required": 5})
    [told] = problems(tools=[*sample.TOOLS, wrong])
    assert (told.file, told.subject) == ("catalog.yaml", "odd")
    assert told.line > 1
    assert "`required` must be a list" in told.message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("entity Org;", "entity Org { tier: Long };", "entity Org"),
        ("entity User in [Role];", "entity User in [Role, Org];", "entity User"),
        ("org: Org, scopes", "org: Org, extra: Long, scopes", "entity Compound"),
        ("entity Agent in [AgentGroup];", "entity Agent in [AgentGroup, Role];", "entity Agent"),
        ("entity Tool { orgs: Set<Org> };", "entity Tool { orgs?: Set<Org> };", "entity Tool"),
        ("entity Tool { orgs: Set<Org> };", "", "entity Tool"),
        ("hour_utc: Long, ", "", "Session"),
        ("risk?: Long, ", "risk: Long, ", "Session"),
        ("mfa_age?: duration", "mfa_age?: duration, mood?: String", "Session"),
        ("File { org: Org, ", "File { ", "org: Org"),
        ("File { org: Org, ", "File { org?: Org, ", "org: Org"),
        ("File { org: Org, ", "File { org: String, ", "org: Org"),
        ("entity File {", "entity File in [Table] {", "parents"),
        ("owner: String };\nentity Table", "owner: String } tags String;\nentity Table", "tags"),
        ("owner: String };\nentity Table", "owner: String, boss: User };\nentity Table", "refer to User"),
        ("entity File", "action x appliesTo {principal: User, resource: File};\nentity File", "catalog.yaml"),
        ("entity File", "namespace N { entity A; }\nentity File", "namespaces"),
        ("entity File", 'entity Color enum ["red"];\nentity File', "list of ids"),
        ("entity File", "entity String;\nentity File", "taken"),
        ("entity File", "entity Flie {;\nentity File", "not a Cedar schema"),
    ],
)
def test_a_base_schema_that_the_engine_could_not_fill_is_refused(old: str, new: str, words: str) -> None:
    assert old in sample.BASE
    told = complaint(base=sample.BASE.replace(old, new))
    assert "base.cedarschema" in told
    assert words in told


def test_the_base_schema_may_be_written_in_other_ways() -> None:
    base = sample.BASE.replace(
        "entity File {",
        '@doc("a file") type Owned = { n: Set<decimal> };\nentity File { o?: Owned, "a b"?: __cedar::Bool, ',
    )
    held = snapshot(base=base)
    assert sample.read(held).effect is Effect.PERMIT
    assert sample.read(held, attributes={"a b": True, "o": {"n": [1.5]}}).effect is Effect.PERMIT


def test_a_slip_that_holds_for_many_actions_is_told_once_at_its_place() -> None:
    text = '@id("r")\nforbid (principal, action, resource)\nwhen { context.session.risk > 3 };'
    told = complaint(policies={**sample.POLICIES, "r.cedar": text})
    assert told.count("risk") == 1
    assert "r.cedar:3:24: policy r: " in told
    assert " actions" in told


def test_p1_each_slip_of_one_policy_is_told_at_once() -> None:
    text = '@id("r") forbid (principal in Role::"nobody", action, resource)\nwhen { resource.nosuch == 1 };'
    told = complaint(policies={**sample.POLICIES, "r.cedar": text})
    assert "nobody knows Role::'nobody'" in told
    assert "nosuch" in told


def test_p1_two_policies_of_one_id_hide_no_slip_of_each_other() -> None:
    text = "\n".join(
        f'@id("q") forbid (principal, action == Action::"status", resource) when {{ resource.{name} == 1 }};'
        for name in ("first", "second")
    )
    told = complaint(policies={**sample.POLICIES, "q.cedar": text})
    assert all(word in told for word in ("this id is taken", "first", "second"))


def test_p1_a_slip_in_a_role_hides_none_in_a_policy() -> None:
    text = '@id("r") forbid (principal, action == Action::"status", resource) when { resource.nosuch == 1 };'
    told = complaint(
        {**files(policies={**sample.POLICIES, "r.cedar": text}), "roles.yaml": b"roles: {x: {permission: []}}"}
    )
    assert "roles.yaml:1:" in told
    assert "nosuch" in told


def test_a_policy_without_an_id_is_told_of_whatever_else_is_wrong_with_it() -> None:
    told = complaint(policies={**sample.POLICIES, "r.cedar": 'forbid (principal in Role::"usr", action, resource);'})
    assert "needs a printable id" in told
    assert "nobody knows Role::'usr'; did you mean 'user'?" in told
