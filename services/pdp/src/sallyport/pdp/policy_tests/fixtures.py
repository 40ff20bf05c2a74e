"""Named principals and resources: `like` taken over, and every name that isn't there told with the nearest that is."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from sallyport.pdp.policy_tests.form import PrincipalForm, ResourceForm
from sallyport.pdp.policy_tests.limits import MAX_LIKE, plain

Form = TypeVar("Form", PrincipalForm, ResourceForm)
Complain = Callable[[str], None]


class Fixtures(Generic[Form]):
    """All fixtures of one kind in one file."""

    def __init__(self, kind: str, said: Mapping[str, Form]) -> None:
        self._kind = kind
        self._said: Mapping[str, Form] = said

    def find(self, name: str, complain: Complain) -> Form | None:
        """The fixture with everything that it takes over; None if that can't be told."""
        if name not in self._said:
            complain(unknown(self._kind, name, self._said))
            return None
        return self.whole(self._said[name], complain)

    def whole(self, form: Form, complain: Complain) -> Form | None:
        """The form with what its `like`s give, the nearest first."""
        taken: dict[str, object] = {}
        for _ in range(MAX_LIKE):
            taken = {**{name: getattr(form, name) for name in form.model_fields_set}, **taken}
            if form.like is None:
                return form.model_copy(update=taken)
            if form.like not in self._said:
                complain(unknown(self._kind, form.like, self._said))
                return None
            form = self._said[form.like]
        complain(f"`like` goes in a circle, or over more than {MAX_LIKE} steps")
        return None


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that nothing has."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:128], names, n=1, cutoff=0.5)
    if near:
        return f"no {kind} {plain(name)!r}; did you mean {near[0]!r}?"
    some = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")  # noqa: PLR2004 — as many as one reads
    return f"no {kind} {plain(name)!r}; there are: {some or 'none'}"
