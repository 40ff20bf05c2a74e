"""An obligation is known to the letter, or it is none that this gate fulfils."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.pep import release
from sallyport.pep.release.grammar import MASKS, DropRows, Mask, MaxRows, Redact, parse
from sallyport.pep.release.masks import PATTERNS


@pytest.mark.parametrize(
    ("obligation", "demands"),
    [
        ("mask:email", (Mask(("email",)),)),
        ("mask:email,phone", (Mask(("email", "phone")),)),
        ("redact:/ssn", (Redact(("ssn",)),)),
        ("redact:/rows/*/a~1b~0c", (Redact(("rows", "*", "a/b~c")),)),
        ("redact:/tags/*", (Redact(("tags", "*")),)),
        ("drop_rows:/rows where /org = 'globex'", (DropRows(("rows",), ("org",), True, "globex"),)),
        ("drop_rows:/rows where /owner/id != -7", (DropRows(("rows",), ("owner", "id"), False, -7),)),
        ("drop_rows: where /hidden = true", (DropRows((), ("hidden",), True, True),)),
        ("drop_rows:/a/*/b where /x = ''", (DropRows(("a", "*", "b"), ("x",), True, ""),)),
        ("max_rows:50", (MaxRows(50),)),
        ("max_rows:1000000", (MaxRows(1_000_000),)),
        ("mask:ip; redact:/ssn; max_rows:1", (Mask(("ip",)), Redact(("ssn",)), MaxRows(1))),
    ],
)
def test_what_is_written_in_the_grammar_is_known(obligation: str, demands: tuple[object, ...]) -> None:
    assert parse(obligation) == demands
    assert release.fulfils(obligation)


@pytest.mark.parametrize(
    "obligation",
    [
        "",
        "notify:security",
        "approve",
        "mask",
        "mask:",
        "mask:email,",
        "mask:email,email",
        "mask:email, phone",
        "mask:Email",
        "mask:names",
        "mask: email",
        " mask:email",
        "mask:email ",
        "mask:email;redact:/a",
        "mask:email; ",
        "mask:email; notify:security",
        "MASK:email",
        "redact:",
        "redact:/",
        "redact:ssn",
        "redact:/a//b",
        "redact:/a/",
        "redact:/a~2",
        "redact:/a b",
        "redact:/a,/b",
        "redact:/a\n",
        "drop_rows:/rows",
        "drop_rows:/rows where",
        "drop_rows:/rows where org = 'x'",
        "drop_rows:/rows where /org = x",
        'drop_rows:/rows where /org = "x"',
        "drop_rows:/rows where /org == 'x'",
        "drop_rows:/rows where /org = 'x' or /a = 'y'",
        "drop_rows:/rows where /org='x'",
        "drop_rows:/rows where /org = 1.5",
        "drop_rows:/rows where /org = null",
        "drop_rows:/rows where /orgs/* = 'x'",
        "drop_rows:/rows where /n = 12345678901234567",
        "max_rows:0",
        "max_rows:-1",
        "max_rows:01",
        "max_rows:1.0",
        "max_rows:1000001",
        "max_rows:٣",
        "max_rows:",
    ],
)
def test_anything_else_is_unknown(obligation: str) -> None:
    assert parse(obligation) == ()
    assert not release.fulfils(obligation)


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(obligation: str) -> None:
    for family in ("", "mask:", "redact:/", "drop_rows:/rows where ", "max_rows:"):
        assert isinstance(release.fulfils(family + obligation), bool)


def test_every_mask_that_is_known_is_applied() -> None:
    assert set(PATTERNS) == MASKS
