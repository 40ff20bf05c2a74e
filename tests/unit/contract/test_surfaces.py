"""Resources of the catalog: a URI is under an entry, or it isn't, in linear time and for every reader alike."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sallyport.contract.catalog import Catalog
from sallyport.contract.surfaces import Resource, Upstream, canonical

VARIABLE = re.compile(r"\{[A-Za-z0-9_]{1,64}\}")
PIECES = st.lists(st.sampled_from(["{a}", "{b}", "-", "/", "a", "-a"]), max_size=6).map("".join)


@given(PIECES.filter(VARIABLE.search), st.text("-/aab", max_size=8))
def test_a_template_matches_as_its_regular_expression_would(pattern: str, rest: str) -> None:
    entry, uri = Resource(template="x:" + pattern, upstream="u"), "x:" + rest
    expression = r"[^/?#]+".join(map(re.escape, VARIABLE.split("x:" + pattern)))
    assert entry.matches(uri) is (canonical(uri) and re.fullmatch(expression, uri) is not None)


def test_a_template_with_many_variables_takes_no_time_that_grows_with_their_number() -> None:
    entry = Resource(template="x:" + "-".join(f"{{v{n}}}" for n in range(60)), upstream="u")
    before = time.process_time()
    assert not entry.matches("x:" + "-" * 2000 + "/")
    assert time.process_time() - before < 0.5  # as a regular expression it would take longer than the universe has


@pytest.mark.parametrize(
    "uri",
    [
        "x://a/../b",
        "x://a/./b",
        "x://a/%2e%2e/b",
        "x://a/..%2fb",
        "x://a%00b",
        "x://a%252e",
        "x://a\\b",
        "x://a b",
        "x://ä",
        "x://a/%5c..",
    ],
)
def test_what_another_reader_could_take_for_another_place_is_under_no_prefix(uri: str) -> None:
    assert not Resource(prefix="x://", upstream="u").matches(uri)


@pytest.mark.parametrize("name", ["Authorization", "", "x y", "authorization\n"])
def test_a_credential_stands_in_a_header_written_in_lower_case(name: str) -> None:
    assert Upstream(url="https://crm.test/mcp", credential="authorization").credential == "authorization"
    with pytest.raises(ValidationError, match="in lower case, such as `authorization`"):
        Upstream(url="https://crm.test/mcp", credential=name)


def test_a_prefix_ends_where_a_segment_does() -> None:
    with pytest.raises(ValidationError, match="ends with"):
        Resource(prefix="https://intra", upstream="u")


def test_the_longest_entry_that_covers_a_uri_is_its_own() -> None:
    entries = [
        {"prefix": "x://", "upstream": "a"},
        {"template": "x://t/{id}", "upstream": "b"},
        {"uri": "x://t/one", "upstream": "c"},
    ]
    upstreams = {name: {"url": f"https://{name}"} for name in "abc"}
    catalog = Catalog.model_validate_json(json.dumps({"resources": entries, "upstreams": upstreams}))
    owners = {
        uri: (found := catalog.resource(uri)) and found.upstream for uri in ("x://t/one", "x://t/two", "x://u", "y://u")
    }
    assert owners == {"x://t/one": "c", "x://t/two": "b", "x://u": "a", "y://u": None}
