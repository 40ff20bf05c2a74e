"""What goes to an upstream: the judged bytes themselves, in one canonical object."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.pep.forwarding import params
from sallyport.pep.model import CheckedCall, Json
from sallyport.runtime import canonical_json, strict_json

TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
OBJECT: Final = st.dictionaries(TEXT, TEXT | st.integers(-99, 99) | st.floats(-9, 9) | st.lists(TEXT, max_size=3))
RETRY: Final = st.fixed_dictionaries(
    {}, optional={"inputResponses": st.dictionaries(TEXT, OBJECT), "requestState": TEXT}
)


@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
@given(name=TEXT, arguments=OBJECT, retry=RETRY)
def test_n11_the_judged_bytes_stand_in_what_is_sent_and_the_whole_is_canonical(
    method: str, name: str, arguments: dict[str, Any], retry: dict[str, Any]
) -> None:
    canonical = canonical_json.encode(arguments)
    call = CheckedCall("here", {"not": "looked at"}, canonical, "", (), "", method, retry)
    sent = params(call, name)
    whole: dict[str, Json] = {"name": name, "arguments": strict_json.parse(canonical), **retry}
    assert sent == canonical_json.encode(whole)
    assert canonical in sent
