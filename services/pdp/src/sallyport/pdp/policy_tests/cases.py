"""The cases of one YAML file: fixtures written out, defaults put in, every name checked against the policy set."""

from __future__ import annotations

from collections.abc import Iterator
from json import JSONEncoder
from typing import Any, Final

from pydantic import ValidationError

from sallyport.pdp.model import Principal, Query, Session
from sallyport.pdp.policy_tests import filling
from sallyport.pdp.policy_tests.fixtures import Fixtures, unknown
from sallyport.pdp.policy_tests.form import (
    INSTANT,
    ISSUER,
    CaseForm,
    PrincipalForm,
    ResourceForm,
    SessionForm,
    TestFile,
)
from sallyport.pdp.policy_tests.limits import Budget
from sallyport.pdp.policy_tests.model import Case, Expected, Question
from sallyport.pdp.policy_tests.names import Names
from sallyport.pdp.policy_tests.tables import Row, rows
from sallyport.pdp.schema import Action
from sallyport.runtime import settings, strict_yaml
from sallyport.runtime.problems import Problem

_ENCODER: Final = JSONEncoder(allow_nan=False)
_SAID_ONCE: Final = ("principal", "action", "resource", "at")


def read(data: bytes, file: str, names: Names, budget: Budget, problems: list[Problem]) -> Iterator[Case]:
    """Each case as soon as it is known to be in order; ConfigError if the file as a whole isn't."""
    form = settings.load_model(TestFile, data, file)
    document = strict_yaml.parse(data, file)
    reader = _Reader(form, names, budget, problems)
    reader.check_fixtures(document)
    for number, entry in enumerate(form.tests):
        for row in rows(entry, number, document, problems):
            case = reader.case(row)
            if case is not None:
                yield case


class _Reader:
    """What all cases of one file share."""

    def __init__(self, form: TestFile, names: Names, budget: Budget, problems: list[Problem]) -> None:
        self._form = form
        self._names = names
        self._budget = budget
        self._problems = problems
        self._principals = Fixtures("principal", form.principals)
        self._resources = Fixtures("resource", form.resources)

    def check_fixtures(self, document: strict_yaml.Document) -> None:
        """One that nobody uses is checked too: a slip in its name is why nobody does."""
        for kind, said, fixtures in (
            ("principals", self._form.principals, self._principals),
            ("resources", self._form.resources, self._resources),
        ):
            for name, form in said.items():
                place = document.position([kind, name, "like"])

                def complain(message: str, place: tuple[int, int] = place, name: str = name) -> None:
                    self._problems.append(Problem(document.name, *place, f"{name}: {message}", name))

                fixtures.whole(form, complain)  # type: ignore[arg-type]

    def case(self, row: Row) -> Case | None:
        """None where something is wrong with it, which is then among the problems."""
        before = len(self._problems)
        form, size = self._form_of(row)
        if form is None:
            return None
        expected = self._expected(row, form)
        question = self._question(row, form)
        if question is None or expected is None or len(self._problems) > before:
            return None
        self._budget.spend(size + _size(question), self._names.looks(question.query.action))
        return Case(row.name, *row.place(), expected, question)

    def _form_of(self, row: Row) -> tuple[CaseForm | None, int]:
        text = _ENCODER.encode(row.said)
        try:
            return CaseForm.model_validate_json(text), len(text)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=False, include_input=False):
                path = [step for step in item["loc"] if step not in {"by name", "in place"}]
                message = f"{'.'.join(map(str, path))}: {item['msg'].removeprefix('Value error, ')}"
                self._problems.append(row.problem(message, item["loc"]))
            return None, 0

    def _expected(self, row: Row, form: CaseForm) -> Expected | None:
        for number, reason in enumerate(form.reasons):
            if reason not in self._names.policies:
                self._problems.append(row.problem(unknown("policy", reason, self._names.policies), ["reasons", number]))
        if form.expect is None:
            self._problems.append(row.problem("says not what to expect; add `expect: permit` or `expect: deny`"))
            return None
        return Expected(
            form.expect == "permit",
            form.reasons,
            form.errors,
            obligations=form.obligations,
            advice=form.advice,
            scopes=form.scopes,
        )

    def _question(self, row: Row, form: CaseForm) -> Question | None:
        defaults = self._form.defaults
        said = {name: getattr(form, name) if name in row.said else getattr(defaults, name) for name in _SAID_ONCE}
        principal = self._principal(row, said["principal"])
        query = self._query(row, form, said["action"], said["resource"])
        if principal is None or query is None:
            return None
        return Question(principal, query, said["at"] or INSTANT)

    def _principal(self, row: Row, said: str | PrincipalForm | None) -> Principal | None:
        def complain(message: str) -> None:
            self._problems.append(row.problem(message, ["principal"]))

        if said is None:
            complain("says not who asks; add `principal`")
            return None
        known = self._principals
        form = known.find(said, complain) if isinstance(said, str) else known.whole(said, complain)
        if form is None:
            return None
        if form.user is None or form.agent is None or form.org is None:
            missing = next(name for name in ("user", "agent", "org") if getattr(form, name) is None)
            complain(f"the principal has no `{missing}`")
            return None
        return Principal(form.issuer or ISSUER, form.user, form.agent, form.org, form.roles or (), form.scopes or ())

    def _query(
        self, row: Row, form: CaseForm, action_name: str | None, said: str | ResourceForm | None
    ) -> Query | None:
        if action_name is None:
            self._problems.append(row.problem("says not what is asked; add `action`"))
            return None
        action = self._names.actions.get(action_name)
        if action is None and "UNKNOWN_ACTION" not in form.errors:
            self._problems.append(row.problem(unknown("action", action_name, self._names.actions), ["action"]))
            return None
        resource = self._resource(row, said)
        if resource is None:
            return None
        arguments = {**(resource.input or {}), **(form.input or {})}
        touched = self._touched(row, action, resource, arguments)
        if touched is None:
            return None
        arguments = filling.filled(action, touched, arguments)
        return Query(action_name, *touched, resource.attributes or {}, arguments, self._session(form.session))

    def _resource(self, row: Row, said: str | ResourceForm | None) -> ResourceForm | None:
        def complain(message: str) -> None:
            self._problems.append(row.problem(message, ["resource"]))

        if said is None:
            return ResourceForm()
        if not isinstance(said, str):
            return self._resources.whole(said, complain)
        return ResourceForm(resource=said) if "::" in said else self._resources.find(said, complain)

    def _touched(
        self, row: Row, action: Action | None, form: ResourceForm, arguments: dict[str, Any]
    ) -> tuple[str, str] | None:
        if form.resource is not None:
            if "::" in form.resource:
                return filling.uid(action, form.resource)
            self._problems.append(row.problem('a resource is written as "File::alice/notes.txt"', ["resource"]))
            return None
        found = filling.resource_of(action, arguments)
        if found is None:
            self._problems.append(row.problem("says not what is touched; add `resource`"))
        return found

    def _session(self, said: SessionForm | None) -> Session:
        facts: dict[str, Any] = {}
        for form in (self._form.defaults.session, said):
            if form is not None:
                facts |= {name: getattr(form, name) for name in form.model_fields_set}
        return Session(**facts)


def _size(question: Question) -> int:
    """What the fixtures bring along: a case of ten characters may name a principal of a thousand roles."""
    who, query = question.principal, question.query
    written = [who.roles, who.scopes, query.resource_attributes, query.input]
    return sum(len(_ENCODER.encode(part)) for part in written if part)
