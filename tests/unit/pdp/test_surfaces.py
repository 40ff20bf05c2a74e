"""Prompts, resources of upstreams and tasks: what the catalog lists is judged, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import cedarpy
import pytest

from sallyport.pdp import listed
from sallyport.pdp.decider import decide
from sallyport.pdp.explain.explanation import explain
from sallyport.pdp.explain.refusals import why
from sallyport.pdp.model import Effect, ErrorCode, Principal, Purpose, Query, Session, Verdict
from sallyport.pdp.schema import METHODS
from sallyport.pdp.snapshot import Snapshot
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice, ask, complaint, problems, sees, snapshot

CRM: Final = {"upstream": "crm"}
SURFACES: Final[dict[str, Any]] = {
    "upstreams": {"crm": {"url": "https://crm.example/mcp"}, "wiki": {"url": "https://wiki.example/mcp"}},
    "prompts": [
        {"name": "greet", **CRM},
        {"name": "secret", "orgs": ["globex"], **CRM},
        {"name": "draft", "upstream": "wiki", "orgs": ["acme"]},
    ],
    "resources": [
        {"uri": "crm://customers", **CRM},
        {"uri": "crm://margins", "orgs": ["globex"], **CRM},
        {"template": "crm://customers/{id}", **CRM},
        {"prefix": "wiki://pages/", "upstream": "wiki"},
        {"prefix": "wiki://pages/board/", "upstream": "wiki", "orgs": ["globex"]},
    ],
    "servers": {"sales": {"prompts": ["greet"]}},
}
ASKING: Final = {"type": "object", "additionalProperties": False}
FAR: Final = [
    sample.tool("look", provider=CRM, input=ASKING),
    sample.tool("theirs", provider=CRM, input=ASKING, orgs=["globex"]),
    sample.tool("change", "write", provider=CRM, resources=[{"type": "File", "id": "/path"}], input=sample.PATH),
]
ROLES: Final[dict[str, Any]] = {
    "all": {"permissions": ["tools:*", "resources:*", "prompts:*", "completion:*", "system:*"]},
    "guest": {"permissions": ["tools:list"]},
}
GREET, CUSTOMERS, LOOK = ("Prompt", "greet"), ("McpResource", "crm://customers"), ("Tool", "look")
SERVER: Final = ("Server", "sallyport")
ON: Final = {"Server": SERVER, "Prompt": GREET, "McpResource": CUSTOMERS, "Tool": LOOK}
CALLS: Final = [(method, kind) for method, row in METHODS.items() for kind in row.on]
ALL: Final = alice(roles=("all",))


def held_with(**changes: Any) -> Snapshot:
    changed = {"tools": [*sample.TOOLS, *FAR], "surfaces": SURFACES, "roles": ROLES, **changes}
    return _held(json.dumps(changed))


@cache
def _held(changes: str) -> Snapshot:
    """Loaded once for all tests that say the same."""
    return snapshot(**json.loads(changes))


def denied(verdict: Verdict) -> tuple[ErrorCode, ...]:
    assert verdict.effect is Effect.DENY
    return verdict.errors


@pytest.mark.parametrize(("method", "kind"), CALLS)
def test_a_role_permission_is_itself_a_permit_and_without_it_the_gate_denies(method: str, kind: str) -> None:
    held = held_with(policies={"isolation.cedar": sample.ISOLATION})
    suffix = f":{kind}" if len(METHODS[method].on) > 1 else ""
    permitted = ask(held, method, ON[kind], who=ALL)
    assert (permitted.effect, permitted.reasons) == (Effect.PERMIT, (f"role:permit:{method}{suffix}",))
    assert ask(held, method, ON[kind], who=alice(roles=())).reasons == (f"role:gate:{method}{suffix}",)


@pytest.mark.parametrize(("method", "kind"), CALLS)
def test_an_open_permit_opens_no_gate(method: str, kind: str) -> None:
    held = held_with(policies={"all.cedar": '@id("all") permit (principal, action, resource);'})
    assert ask(held, method, ON[kind], who=ALL).effect is Effect.PERMIT
    assert ask(held, method, ON[kind], who=alice(roles=())).effect is Effect.DENY


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        (["resources:list"], {"resources/list", "resources/templates/list"}),
        (["resources:read"], {"resources/read", "resources/subscribe"}),
        (["resources:write"], set()),
        (["resources:*"], {"resources/list", "resources/templates/list", "resources/read", "resources/subscribe"}),
        (["prompts:list"], {"prompts/list"}),
        (["prompts:get"], {"prompts/get"}),
        (["prompts:*"], {"prompts/list", "prompts/get"}),
        (["completion:complete"], set()),
        (["completion:complete", "prompts:get"], {"prompts/get", "completion/complete Prompt"}),
        (["completion:*", "resources:*"], {"resources/list", "resources/templates/list", "resources/read", "resources/subscribe", "completion/complete McpResource"}),
        (["tools:call"], {"tasks/get", "tasks/update", "tasks/cancel"}),
        (["tools:*"], {"tools/list", "tasks/get", "tasks/update", "tasks/cancel"}),
        (["tools:call:look"], {"tasks/get", "tasks/update", "tasks/cancel"}),
        (["system:manage"], {"logging/setLevel"}),
    ],
)  # fmt: skip
def test_each_permission_opens_its_methods_and_no_other(permissions: list[str], expected: set[str]) -> None:
    held = held_with(roles={"r": {"permissions": permissions}})
    anybody = {method for method, row in METHODS.items() if not any(row.on.values())}
    found = {
        f"{method} {kind}" if len(METHODS[method].on) > 1 else method
        for method, kind in CALLS
        if ask(held, method, ON[kind], who=alice(roles=("r",))).effect is Effect.PERMIT
    }
    assert found == expected | anybody


@pytest.mark.parametrize(
    ("action", "resource", "code"),
    [
        ("prompts/get", ("Prompt", "nobody"), ErrorCode.UNKNOWN_RESOURCE),
        ("prompts/get", ("Prompt", "Greet"), ErrorCode.UNKNOWN_RESOURCE),
        ("prompts/get", ("Prompt", ""), ErrorCode.UNKNOWN_RESOURCE),
        ("prompts/get", ("Prompt", "look"), ErrorCode.UNKNOWN_RESOURCE),
        ("prompts/get", ("Tool", "look"), ErrorCode.UNKNOWN_RESOURCE),
        ("prompts/get", SERVER, ErrorCode.UNKNOWN_RESOURCE),
        ("prompts/get", ("McpResource", "crm://customers"), ErrorCode.UNKNOWN_RESOURCE),
        ("prompts/get", ("Prompt", "secret"), ErrorCode.ORG_ISOLATION),
        ("completion/complete", ("Prompt", "secret"), ErrorCode.ORG_ISOLATION),
        ("completion/complete", ("Tool", "look"), ErrorCode.UNKNOWN_RESOURCE),
        ("resources/read", ("McpResource", "crm://"), ErrorCode.UNKNOWN_RESOURCE),
        ("resources/read", ("McpResource", "crm://margins"), ErrorCode.ORG_ISOLATION),
        ("resources/read", ("McpResource", "wiki://pages/"), ErrorCode.UNKNOWN_RESOURCE),
        ("resources/read", ("McpResource", "wiki://pages/a/../board/x"), ErrorCode.UNKNOWN_RESOURCE),
        ("resources/read", ("McpResource", "wiki://pages/a%2f..%2fboard"), ErrorCode.UNKNOWN_RESOURCE),
        ("resources/read", ("McpResource", "wiki://pages/board/x"), ErrorCode.ORG_ISOLATION),
        ("resources/subscribe", ("McpResource", "crm://margins"), ErrorCode.ORG_ISOLATION),
        ("resources/read", ("Prompt", "greet"), ErrorCode.UNKNOWN_RESOURCE),
        ("resources/read", ("File", "alice/a"), ErrorCode.UNKNOWN_RESOURCE),
        ("tools/list", ("Server", "wiki"), ErrorCode.UNKNOWN_RESOURCE),
        ("tools/list", ("Tool", "look"), ErrorCode.UNKNOWN_RESOURCE),
        ("tasks/get", ("Tool", "nothing"), ErrorCode.UNKNOWN_RESOURCE),
        ("tasks/get", ("Tool", "tasks/get"), ErrorCode.UNKNOWN_RESOURCE),
        ("tasks/cancel", ("Tool", "theirs"), ErrorCode.ORG_ISOLATION),
        ("tasks/get", ("Prompt", "greet"), ErrorCode.UNKNOWN_RESOURCE),
        ("look", ("Tool", "theirs"), ErrorCode.UNKNOWN_RESOURCE),
        ("look", GREET, ErrorCode.UNKNOWN_RESOURCE),
    ],
)
def test_what_the_catalog_does_not_list_for_this_org_is_denied_whatever_is_permitted(
    action: str, resource: tuple[str, str], code: ErrorCode
) -> None:
    held = held_with(policies={"all.cedar": '@id("all") permit (principal, action, resource);'})
    assert denied(ask(held, action, resource, who=ALL)) == (code,)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"agent_id": "stranger"}, ErrorCode.UNKNOWN_AGENT),
        ({"org": "initech"}, ErrorCode.UNKNOWN_ORG),
        ({"roles": ("emperor",)}, ErrorCode.UNKNOWN_ROLE),
        ({"agent_id": "chat-bot", "org": "globex"}, ErrorCode.ORG_ISOLATION),
    ],
)
def test_whom_nobody_knows_learns_nothing_of_the_catalog(changes: dict[str, Any], code: ErrorCode) -> None:
    for action, resource in (
        ("prompts/get", GREET),
        ("prompts/get", ("Prompt", "nobody")),
        ("prompts/get", ("Prompt", "secret")),
        ("tasks/get", ("Tool", "nothing")),
    ):
        assert denied(ask(held_with(), action, resource, who=alice(**changes))) == (code,)


@pytest.mark.parametrize(
    "uri",
    ["crm://customers", "crm://customers/7", "crm://customers/{id}", "wiki://pages/a", "wiki://pages/a/b?c#d"],
)
def test_a_uri_is_judged_as_the_entry_that_takes_it_in_and_a_template_as_it_stands(uri: str) -> None:
    assert ask(held_with(), "resources/read", ("McpResource", uri), who=ALL).effect is Effect.PERMIT


def test_the_upstream_is_a_fact_for_policies() -> None:
    wall = '@id("wiki") forbid (principal, action, resource is McpResource) when { resource.upstream == "wiki" };'
    prompts = '@id("crm") forbid (principal, action, resource is Prompt) when { resource.upstream == "crm" };'
    held = held_with(policies={"x.cedar": wall + prompts})
    assert ask(held, "resources/read", ("McpResource", "wiki://pages/a"), who=ALL).reasons == ("wiki",)
    assert ask(held, "resources/read", CUSTOMERS, who=ALL).effect is Effect.PERMIT
    assert ask(held, "prompts/get", GREET, who=ALL).reasons == ("crm",)
    assert ask(held, "prompts/get", ("Prompt", "draft"), who=ALL).effect is Effect.PERMIT


@pytest.mark.parametrize(("method", "kind"), CALLS)
def test_what_the_catalog_says_nobody_adds_to(method: str, kind: str) -> None:
    verdict = ask(held_with(), method, ON[kind], who=ALL, attributes={"orgs": ["acme"]})
    assert denied(verdict) == (ErrorCode.RESOURCE_CONFLICT,)


@pytest.mark.parametrize("arguments", [{"name": "x"}, {"deep": {"list": [1, 2.5, None, {"a": "b"}]}, "n": 10**15}])
def test_arguments_of_a_method_are_no_fact_and_no_reason_to_deny(arguments: dict[str, Any]) -> None:
    for method, kind in CALLS:
        assert ask(held_with(), method, ON[kind], arguments, who=ALL).effect is Effect.PERMIT


def test_a_policy_cannot_ask_for_the_arguments_of_a_method() -> None:
    asks = '@id("x") forbid (principal, action == Action::"prompts/get", resource) when { context.input.name == "a" };'
    assert "x.cedar" in complaint(tools=FAR, surfaces=SURFACES, policies={"x.cedar": asks})


def test_whoever_may_not_call_a_tool_may_not_go_on_with_its_tasks() -> None:
    roles = {
        "caller": {"permissions": ["tools:call", "resources:read"]},
        "writer": {"permissions": ["tools:call", "resources:write"]},
        "one": {"permissions": ["tools:call:look"]},
    }
    held = held_with(roles=roles, policies={"all.cedar": '@id("all") permit (principal, action, resource);'})
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        for role, expected in (("caller", {"look"}), ("writer", {"look", "change"}), ("one", {"look"})):
            who = alice(roles=(role,))
            may = {name for name in ("look", "change") if ask(held, method, ("Tool", name), who=who).effect == 1}
            assert may == expected, (method, role)
        assert ask(held, method, ("Tool", "change"), who=alice(roles=("one",))).reasons == ("role:gate:tasks:change",)


@pytest.mark.parametrize("group", ["group:read_only", "group:call_tool", "group:mcp"])
@pytest.mark.parametrize("method", ["resources/read", "resources/subscribe", "prompts/get", "completion/complete"])
def test_what_is_forbidden_of_reading_tools_is_forbidden_of_what_upstreams_read_out(method: str, group: str) -> None:
    held = held_with(policies={"x.cedar": f'@id("x") forbid (principal, action in Action::"{group}", resource);'})
    for kind in METHODS[method].on:
        assert ask(held, method, ON[kind], who=ALL).reasons == ("x",)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_a_task_is_a_call_and_has_no_effect_group(method: str) -> None:
    for group, reasons in (("call_tool", ("x",)), ("read_only", ()), ("write", ()), ("destructive", ())):
        text = f'@id("x") forbid (principal, action in Action::"group:{group}", resource);'
        verdict = ask(held_with(policies={"x.cedar": text}), method, LOOK, who=ALL)
        assert (verdict.effect is Effect.DENY, verdict.reasons if reasons else ()) == (bool(reasons), reasons)


def test_a_catalog_without_any_tool_loads_and_an_unknown_name_is_hidden() -> None:
    policies = {"isolation.cedar": sample.ISOLATION}
    for key in ("prompts", "resources"):
        only = {name: value for name, value in SURFACES.items() if name in {"upstreams", key}}
        held = snapshot(tools=[], surfaces=only, roles=ROLES, policies=policies)
        assert ask(held, *(("prompts/get", GREET) if key == "prompts" else ("resources/read", CUSTOMERS)), who=ALL).effect is Effect.PERMIT  # fmt: skip
        asked = decide(held, ALL, [Query("nothing")], Purpose.VISIBILITY, catalog_digest=held.catalog_digest)
        assert asked[0].errors == (ErrorCode.UNKNOWN_ACTION,)


def without(*types: str) -> str:
    return "\n".join(line for line in sample.BASE.splitlines() if not any(f"entity {one} " in line for one in types))


def test_a_base_schema_from_before_the_types_were_known_still_loads_and_knows_no_such_method() -> None:
    held = snapshot(base=without("Prompt", "McpResource"), roles=ROLES)
    assert sample.read(held, who=ALL).effect is Effect.PERMIT
    assert denied(ask(held, "prompts/get", GREET, who=ALL)) == (ErrorCode.UNKNOWN_ACTION,)
    assert denied(ask(held, "resources/read", CUSTOMERS, who=ALL)) == (ErrorCode.UNKNOWN_ACTION,)
    assert ask(held, "prompts/list", SERVER, who=ALL).effect is Effect.PERMIT
    half = held_with(base=without("Prompt"), surfaces={**SURFACES, "prompts": [], "servers": {}})
    assert ask(half, "completion/complete", CUSTOMERS, who=ALL).effect is Effect.PERMIT
    assert denied(ask(half, "completion/complete", GREET, who=ALL)) == (ErrorCode.UNKNOWN_RESOURCE,)


@pytest.mark.parametrize(("kind", "key"), [("Prompt", "prompts"), ("McpResource", "resources")])
def test_a_catalog_that_lists_what_the_base_schema_has_no_type_for_is_refused(kind: str, key: str) -> None:
    (told,) = problems(base=without(kind), tools=FAR, surfaces=SURFACES, roles=ROLES, policies={"i.cedar": sample.ISOLATION})  # fmt: skip
    assert (told.file, told.line > 1) == ("catalog.yaml", True)
    assert told.message.startswith(f"{key} are judged as {kind}")
    assert f"add `entity {kind} {{" in told.message


@pytest.mark.parametrize(
    ("old", "new"),
    [("Prompt { orgs: Set<Org>, upstream: String }", "Prompt { orgs: Set<Org> }"), ("McpResource {", "McpResource in [Org] {")],
)  # fmt: skip
def test_the_types_stand_as_shipped_or_not_at_all(old: str, new: str) -> None:
    assert "must stand exactly as in the shipped base.cedarschema" in complaint(base=sample.BASE.replace(old, new))


@pytest.mark.parametrize(
    ("literal", "known"),
    [
        ('Prompt::"greet"', True),
        ('Prompt::"gret"', False),
        ('McpResource::"crm://customers"', True),
        ('McpResource::"crm://customers/7"', True),
        ('McpResource::"crm://customers/{id}"', True),
        ('McpResource::"wiki://pages/a"', True),
        ('McpResource::"wiki://pages/"', False),
        ('McpResource::"crm://costumers"', False),
        ('Server::"sallyport"', True),
        ('Server::"sales"', True),
        ('Server::"sale"', False),
        ('Tool::"look"', True),
        ('Tool::"lok"', False),
    ],
)
def test_a_policy_names_only_what_the_catalog_lists(literal: str, known: bool) -> None:
    kind = literal.partition("::")[0]
    for text in (
        f"forbid (principal, action, resource == {literal});",
        f"forbid (principal, action, resource is {kind}) when {{ resource == {literal} }};",
    ):
        found: dict[str, Any] = {"tools": FAR, "surfaces": SURFACES, "policies": {"x.cedar": f'@id("x") {text}'}}
        if known:
            snapshot(**found)
        else:
            assert "nobody knows" in complaint(**found)


def test_a_named_set_is_a_server_of_its_own_and_none_takes_the_name_of_the_whole() -> None:
    wall = '@id("sales") forbid (principal, action, resource == Server::"sales");'
    held = held_with(policies={"x.cedar": wall})
    assert ask(held, "tools/list", ("Server", "sales"), who=ALL).reasons == ("sales",)
    assert ask(held, "tools/list", SERVER, who=ALL).effect is Effect.PERMIT
    assert sees(held, "tools/list", ALL)
    told = complaint(tools=FAR, surfaces={**SURFACES, "servers": {"sallyport": {}}}, policies={"x.cedar": sample.ISOLATION})  # fmt: skip
    assert "'sallyport' is what policies call the whole of it" in told


@pytest.mark.parametrize("key", ["prompts", "resources"])
def test_an_org_that_nobody_knows_is_refused_with_its_place(key: str) -> None:
    entries = [{**entry, "orgs": ["acme", "initech"]} for entry in SURFACES[key][:1]]
    told = problems(tools=FAR, surfaces={**SURFACES, "servers": {}, key: entries}, policies={"x.cedar": sample.ISOLATION})  # fmt: skip
    assert [(one.file, one.message) for one in told] == [("catalog.yaml", "no org 'initech' in resources.yaml")]
    assert told[0].line > 1


def test_n9_a_permit_on_one_tool_makes_the_method_visible() -> None:
    text = '@id("p") permit (principal, action == Action::"tasks/get", resource == Tool::"look");'
    held = held_with(roles={"r": {"permissions": ["tools:list"]}, "c": {"permissions": ["tools:call"]}}, policies={"x.cedar": text})  # fmt: skip
    assert ask(held, "tasks/get", LOOK, who=alice(roles=("c",))).effect is Effect.PERMIT
    assert sees(held, "tasks/get", alice(roles=("c",)))
    assert not sees(held, "tasks/get", alice(roles=("r",)))
    hiding = '@id("f") forbid (principal, action == Action::"tasks/get", resource == Tool::"look");'
    assert sees(held_with(policies={"x.cedar": hiding}), "tasks/get", ALL)


def read_all(held: Snapshot, uris: list[str], who: Principal = ALL, purpose: Purpose = Purpose.CALL) -> list[Verdict]:
    queries = [Query("resources/read", "McpResource", uri) for uri in uris]
    return list(decide(held, who, queries, purpose, catalog_digest=held.catalog_digest, now=sample.NOON))


URIS: Final = ["crm://customers", "crm://margins", "crm://customers/{id}", "wiki://pages/a", "wiki://pages/board/a", "wiki://pages/../x", "nothing:here", "crm://customers/1", "crm://customers/2", "crm://customers/3"]  # fmt: skip
SCOPES: Final = (
    "resource",
    "resource is McpResource",
    'resource == McpResource::"crm://customers/2"',
    'resource == McpResource::"crm://customers/{id}"',
    'resource == McpResource::"wiki://pages/a"',
)
CONDITIONS: Final = (
    "",
    'when { resource == McpResource::"crm://customers/1" }',
    'when { [McpResource::"crm://customers/3", McpResource::"wiki://pages/a"].contains(resource) }',
    'unless { resource in [McpResource::"crm://customers/2"] }',
    'when { resource.upstream == "wiki" }',
    'when { resource.orgs.contains(Org::"globex") }',
    'when { McpResource::"crm://customers/2".upstream == "crm" }',
    'when { McpResource::"crm://customers/3" has upstream }',
    "when { context.session has risk }",
    'unless { principal.user_id == "alice" }',
)


def policy_sets() -> Iterator[str]:
    choose = random.Random(6)
    for _ in range(40):
        yield "\n".join(
            f'@id("p{number}") {choose.choice(("permit", "forbid"))} (principal, action == Action::"resources/read", '
            f"{scope}) {condition};"
            for number in range(choose.randint(1, 4))
            for scope, condition in [(choose.choice(SCOPES[1:]), choose.choice(CONDITIONS))]
        )


@pytest.mark.parametrize("purpose", [Purpose.CALL, Purpose.FILTER])
def test_n9_each_of_a_batch_is_judged_as_it_is_alone(purpose: Purpose) -> None:
    seen = set()
    for text in policy_sets():
        held = held_with(policies={"x.cedar": text})
        for who in (ALL, alice(roles=("all",), org="globex"), alice(roles=("guest",)), alice(agent_id="stranger")):
            alone = [read_all(held, [uri], who, purpose)[0] for uri in URIS]
            assert read_all(held, URIS, who, purpose) == alone, text
            assert read_all(held, URIS[::-1], who, purpose) == alone[::-1], text
            seen |= {(one.effect, one.errors) for one in alone}
    assert {(Effect.PERMIT, ()), (Effect.DENY, ()), (Effect.DENY, (ErrorCode.POLICY_ERROR,))} < seen


def test_a_listing_of_a_thousand_asks_cedar_once_for_what_no_policy_can_tell_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = [0]
    evaluate = cedarpy.is_authorized

    def counting(*arguments: Any) -> Any:
        asked[0] += 1
        return evaluate(*arguments)

    named = '@id("seven") forbid (principal, action, resource == McpResource::"crm://customers/7");'
    held = held_with(policies={"isolation.cedar": sample.ISOLATION, "x.cedar": named})
    uris = [f"crm://customers/{number}" for number in range(1024)]
    monkeypatch.setattr(cedarpy, "is_authorized", counting)
    verdicts = read_all(held, uris)
    assert [uri for uri, one in zip(uris, verdicts, strict=True) if one.effect is not Effect.PERMIT] == [uris[7]]
    assert verdicts[7].reasons == ("seven",)
    assert asked[0] <= 6  # two kinds, each met by its slices


@pytest.mark.parametrize(
    ("method", "kind", "there", "not_there"),
    [
        ("prompts/get", "Prompt", "greet", ("nobody", "secret")),  # the other tenant's, too
        ("completion/complete", "Prompt", "greet", ("nobody", "secret")),
        ("resources/read", "McpResource", "crm://customers", ("crm://nowhere", "crm://margins", "no uri")),
    ],
)
def test_n9_what_is_not_there_takes_as_many_judgements_as_what_is_denied(
    monkeypatch: pytest.MonkeyPatch, method: str, kind: str, there: str, not_there: tuple[str, ...]
) -> None:
    """The time that an answer takes must not tell which of them it was."""
    held, truly = held_with(policies={"isolation.cedar": sample.ISOLATION}), cedarpy.is_authorized
    judged: list[object] = []

    def counted(*request: Any, **options: Any) -> Any:
        judged.append(request)
        return truly(*request, **options)

    monkeypatch.setattr(cedarpy, "is_authorized", counted)
    assert ask(held, method, (kind, there), who=alice(roles=())).effect is Effect.DENY
    denied_in, judged[:] = len(judged), []
    for name in not_there:
        verdict = ask(held, method, (kind, name), who=alice(roles=()))
        assert denied(verdict) in {(ErrorCode.UNKNOWN_RESOURCE,), (ErrorCode.ORG_ISOLATION,)}
        assert verdict.reasons == ()
        assert len(judged) == denied_in > 0
        judged.clear()


def test_a_list_of_what_is_not_there_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    held, truly = held_with(policies={"isolation.cedar": sample.ISOLATION}), cedarpy.is_authorized
    judged: list[object] = []

    def counted(*request: Any, **options: Any) -> Any:
        judged.append(request)
        return truly(*request, **options)

    monkeypatch.setattr(cedarpy, "is_authorized", counted)
    queries = [Query("resources/read", "McpResource", f"crm://{number}") for number in range(100)]
    verdicts = decide(held, ALL, queries, Purpose.FILTER, catalog_digest=held.catalog_digest)
    assert {verdict.errors for verdict in verdicts} == {(ErrorCode.UNKNOWN_RESOURCE,)}
    assert 0 < len(judged) <= 3  # one, met by its slices


def test_evaluations_of_one_question_in_other_sessions_are_judged_apart() -> None:
    risk = '@id("risk") forbid (principal, action, resource) unless { context.session has risk && context.session.risk < 5 };'
    held = held_with(policies={"x.cedar": risk})
    queries = [Query("resources/read", *CUSTOMERS, session=Session(risk=risk)) for risk in (None, 1, 9, 1)]
    verdicts = decide(held, ALL, queries, Purpose.CALL, catalog_digest=held.catalog_digest)
    assert [one.effect is Effect.PERMIT for one in verdicts] == [False, True, False, True]


def test_a_method_is_explained_like_a_call() -> None:
    held = held_with(policies={"x.cedar": '@id("x") forbid (principal, action in Action::"group:read_only", resource is Prompt) unless { resource.upstream == "crm" };'})  # fmt: skip
    explained = explain(held, ALL, Query("prompts/get", "Prompt", "draft"), sample.NOON)
    assert explained.verdict.reasons == ("x",)
    (trace,) = [one for one in explained.traces if one.policy.id == "x"]
    assert [leaf.values for leaf in trace.blame if leaf.word != "scope"] == ['"wiki" == "crm"']


def test_a_refusal_says_which_file_lacks_what() -> None:
    held = held_with()
    query = Query("prompts/get", "Prompt", "nobody")
    assert why(ErrorCode.UNKNOWN_RESOURCE, held, ALL, query).startswith('catalog.yaml lists no Prompt::"nobody"')


def test_what_the_catalog_itself_lists_are_all_types_of_the_model_that_are_touched() -> None:
    assert {kind for row in METHODS.values() for kind in row.on} == listed.TYPES
