"""Masks: what they name is gone from wherever it stood, what only looks like it stays, and no text holds them up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.pep.model import Json, ToolOutput
from sallyport.pep.release import addresses
from sallyport.pep.release.masks import PATTERNS, Masks
from sallyport.runtime import canonical_json
from tests.unit.pep.release.support import both, data, leaving, reply, shown, spelt, text, tool, withheld

CANARIES = 1000


def email(chance: random.Random) -> str:
    local = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789._+-'", k=12)).strip(".")
    return f"x{local}x@{chance.choice(['mail.', ''])}host{chance.randrange(10**6)}.example"


def phone(chance: random.Random) -> str:
    area, line = chance.randrange(200, 999), chance.randrange(10**7)
    forms = ("+1 {a} {b} {c}", "({a}) {b}-{c}", "{a}-{b}-{c}", "{a}.{b}.{c}", "+49{a}{b}{c}", "{a}{b}{c}")
    return chance.choice(forms).format(a=area, b=f"{line // 10**4:03}", c=f"{line % 10**4:04}")


def iban(chance: random.Random) -> str:
    account = f"{chance.randrange(10**18):018}"
    check = 98 - int(f"{account}131400") % 97  # D = 13, E = 14
    plain = f"DE{check:02}{account}"
    return chance.choice([plain, " ".join(plain[i : i + 4] for i in range(0, 22, 4)), plain.lower()])


def card(chance: random.Random) -> str:
    digits = [4, *(chance.randrange(10) for _ in range(14))]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[::2])
    plain = "".join(map(str, [*digits, -(doubled + sum(digits[1::2])) % 10]))
    joint = chance.choice(["", " ", "-"])
    return joint.join(plain[i : i + 4] for i in range(0, 16, 4))


def ssn(chance: random.Random) -> str:
    joint = chance.choice(["", "-", " "])
    return joint.join(
        (f"{chance.randrange(1, 666):03}", f"{chance.randrange(1, 100):02}", f"{chance.randrange(1, 10**4):04}")
    )


def ip(chance: random.Random) -> str:
    four = ".".join(str(chance.randrange(256)) for _ in range(4))
    six = "2001:db8:" + ":".join(f"{chance.randrange(65536):x}" for _ in range(6))
    return chance.choice([four, six, f"2001:db8::{chance.randrange(16, 65536):x}"])


def secret(chance: random.Random) -> str:
    tail = "".join(chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=36))
    return chance.choice(
        [f"AKIA{tail[:16]}", f"ghp_{tail}", f"sk-{tail}", f"eyJ{tail[:9]}.eyJ{tail[9:18]}.{tail[18:]}"]
    )


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "email": email, "phone": phone, "iban": iban, "card": card, "ssn": ssn, "ip": ip, "secret": secret,
}  # fmt: skip


def canaries(kind: str) -> list[str]:
    chance = random.Random(f"canaries of {kind}")
    found: dict[str, None] = {}
    while len(found) < CANARIES:
        found[MAKERS[kind](chance)] = None
    return list(found)


def outputs(canary: str) -> Iterator[ToolOutput]:
    """Where a canary may stand."""
    yield text(f"Call {canary}, or write.")
    yield text(canary)
    yield text(spelt({"who": canary}))
    yield both({"rows": [{"deep": {"a": [canary, 1]}}], "note": f"({canary})"})
    yield both({canary: 1})
    yield ToolOutput(({"type": "resource", "resource": {"uri": "crm://x", "text": f'{{"a":"{canary}"}}\n'}},))
    yield text(f"<{canary}>", is_error=True)


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_none_of_a_thousand_canaries_leaves(kind: str) -> None:
    for canary in canaries(kind):
        for output in outputs(canary):
            told = leaving(tool(output, f"mask:{kind}"))
            assert canary not in told, (canary, told)
            assert PATTERNS[kind].mark in told
        assert canary in leaving(tool(text(canary)))  # and without the obligation it does


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_canaries_side_by_side_go_all(kind: str) -> None:
    found = canaries(kind)
    for joint in (", ", "\n", "; ", " | "):
        for start in range(0, CANARIES, 50):
            told = Masks((kind,)).text(joint.join(found[start : start + 50]))
            assert not [canary for canary in found[start : start + 50] if canary in told]


@pytest.mark.parametrize(
    ("kind", "untouched"),
    [
        ("email", "react@18.2.0, @alice, alice at example, a @ b"),
        (
            "phone",
            "2026-11-21T10:00:00Z, 1700000000, 1700000000000, 123456, 550e8400-e29b-41d4-a716-446655440000, v1.2.3",
        ),
        ("card", "4111111111111112 and 12345 1234 5678"),
        ("iban", "DE89370400440532013001 and ABCD12345"),
        ("ssn", "000-12-3456 666-12-3456 123-00-4567 1234-56-7890 12345678"),
        ("ip", "12:34:56 std::vector 999.1.1.1 v1.2.3 C::d 1.2.3.4.5"),
        ("secret", "max_tokens=512 a task-list secretary tokenizer basic understanding"),
    ],
)
def test_what_only_looks_like_it_stays(kind: str, untouched: str) -> None:
    assert Masks((kind,)).text(untouched) == untouched


@pytest.mark.parametrize(
    ("kind", "hidden"),
    [
        ("email", "alice%40example.com"),
        ("email", '"alice smith"@example.com'),
        ("email", "al\u200bice@example.com"),
        ("email", "alice\uff20example.com"),
        ("email", "root@[10.0.0.1]"),
        ("email", "root@localhost"),
        ("card", "3782-822463-10005"),
        ("card", "4111\u00a01111\u00a01111\u00a01111"),
        ("card", "4111\u200b111111111111"),
        ("iban", "GB82WE\u017fT12345698765432"),
        ("ssn", "AB 12 34 56 C"),
        ("ip", "::ffff:10.0.0.1"),
        ("ip", "fe80::1"),
        ("secret", "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----"),
        ("phone", "+49 (0)30 / 1234-5678"),
    ],
)
def test_other_spellings_go_as_well(kind: str, hidden: str) -> None:
    assert Masks((kind,)).text(f"see {hidden}, please") == f"see {PATTERNS[kind].mark}, please"


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("password: hunter2", "password: [masked secret]"),
        ('"api_key": "a b c"', '"api_key": "[masked secret]"'),
        ("postgres://app:hunter2@db/x", "postgres://app:[masked secret]@db/x"),
        ("Authorization: Basic YWxpY2U6aHVudGVy", "Authorization: Basic [masked secret]"),
        ("peer:2001:db8::1.", "peer:2001:db8::1."),
    ],
)
def test_of_a_named_secret_the_name_stays(given: str, left: str) -> None:
    assert Masks(("secret",)).text(given) == left


def test_a_private_key_that_is_cut_off_goes_to_the_end() -> None:
    assert Masks(("secret",)).text("x -----BEGIN PRIVATE KEY-----\nMIIB\nMIIC") == "x [masked secret]"


def test_a_member_that_is_named_a_secret_goes_whatever_it_looks_like() -> None:
    value: Json = {
        "password": "tr0ub4dor",
        "apiKey": ["a", "b"],
        "clientSecret": {"old": "c"},
        "maxTokens": 5,
        "name": "n",
    }
    mark = PATTERNS["secret"].mark
    left: Json = {"password": mark, "apiKey": [mark, mark], "clientSecret": {"old": mark}, "maxTokens": 5, "name": "n"}
    assert Masks(("secret",)).data(value) == left


def test_numbers_are_looked_at_as_well() -> None:
    value: dict[str, Json] = {
        "card": 4111111111111111,
        "float": 4111111111111111.0,
        "n": 12,
        "x": 1.5,
        "yes": True,
        "none": None,
    }
    mark = PATTERNS["card"].mark
    assert Masks(("card",)).data(value) == {**value, "card": mark, "float": mark}


def test_escapes_of_json_within_prose_hide_nothing() -> None:
    told = tool(text('row 1: {"mail": "alice\\u0040example.com"}\nrow 2'), "mask:email")
    assert told.content[0]["text"] == 'row 1: {"mail": "masked@masked.invalid"}\nrow 2'
    told = tool(text('{"mail":"alice\\u0040example.com"}'), "mask:email")
    assert data(told) == {"mail": "masked@masked.invalid"}


def test_text_that_has_nothing_to_mask_stays_to_the_byte() -> None:
    given = '{ "b": 1,\n "a": "no address" }'
    assert tool(text(given), "mask:email").content[0]["text"] == given


def test_two_keys_that_a_mask_makes_one_are_withheld() -> None:
    assert "two keys" in withheld(shown(both({"a@x.org": 1, "b@x.org": 2}), "mask:email"))


def test_a_masked_address_still_fits_a_schema_that_wants_one() -> None:
    schema = {"type": "object", "properties": {"mail": {"type": "string", "format": "email"}}, "required": ["mail"]}
    told = tool(both({"mail": "alice@example.com"}), "mask:email", schema=schema)
    assert told.structured == {"mail": "masked@masked.invalid"} == data(told)


def test_a_mask_that_breaks_the_schema_withholds() -> None:
    schema = {"type": "object", "properties": {"card": {"type": "integer"}}}
    assert "schema" in withheld(shown(both({"card": 4111111111111111}), "mask:card", schema=schema))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JSON, st.sampled_from(sorted(MAKERS)), st.integers(0, CANARIES - 1))
def test_a_canary_in_any_json_is_gone(value: Json, kind: str, number: int) -> None:
    canary = MAKERS[kind](random.Random(number))
    found = shown(both({"a": value, "b": [value, {"c": f" {canary} "}]}), f"mask:{kind}")
    assert canary not in leaving(found)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=5), st.text('abc :{}[]"\\', max_size=30), max_size=5))
def test_masks_leave_json_json(value: dict[str, Json]) -> None:
    told = tool(both(value), "mask:email,phone,secret,ip,card,iban,ssn")
    assert data(told) == told.structured


def test_a_prompt_a_resource_and_a_completion_are_masked_as_well() -> None:
    secret_text = "write to alice@example.com"
    prompt = reply(
        {"description": secret_text, "messages": [{"role": "user", "content": {"type": "text", "text": secret_text}}]},
        "mask:email",
        method="prompts/get",
    )
    resource = reply(
        {"contents": [{"uri": "crm://a", "text": secret_text}]}, "mask:email", method="resources/read", name="crm://a"
    )
    completion = reply({"completion": {"values": [secret_text]}}, "mask:email", method="completion/complete")
    for told in (prompt, resource, completion):
        spelt_out = canonical_json.encode(dict(told.result))
        assert b"alice" not in spelt_out
        assert b"masked@masked.invalid" in spelt_out


@pytest.mark.parametrize("kind", sorted(PATTERNS))
def test_no_text_holds_a_mask_up(kind: str) -> None:
    """Quadratic would be minutes; what is linear takes at most a second or two, also beside other work."""
    seeds = 'a 1 1- 1111\u0020 AA11\u0020 a@ a. @ " a: 1. f: sk- password= eyJ eyJ. ://a: %40 (1 +1 {"a": DE89 2001:db8: \\u0040'
    for seed in [
        *seeds.split(),
        "1 ",
        "1111 ",
        "ab12 cd34 ",
        "bearer ",
        "-----BEGIN PRIVATE KEY-----",
        "(1) ",
        "1 (",
        "+1 (",
    ]:
        size = 128 << 10
        started = time.process_time()
        Masks((kind,)).text((seed * (size // len(seed) + 1))[:size])
        assert time.process_time() - started < 5.0, seed


@pytest.mark.parametrize(
    "sign", ["@", "%40", "&#64;", "&#064;", "&#x40;", "&#X0040;", "&commat;", "&COMMAT;", "\uff20", "\ufe6b"]
)
def test_an_address_is_one_however_its_sign_is_written(sign: str) -> None:
    mask = Masks(("email",))
    for written in (f"alice{sign}example.com", f'"a b"{sign}example.com', f"a&amp;b&#39;c alice{sign}example.com"):
        for said in (f"to {written} today", f"to {written} today" + " long" * 30):
            assert "example" not in mask.text(said), said
    assert mask.text("R&D &amp; &#65; &#39;x&#39; a&b") == "R&D &amp; &#65; &#39;x&#39; a&b"


@pytest.mark.parametrize("front", ["&", "&&", "%", "&amp", "a=1&"])
def test_an_address_is_one_also_behind_what_could_have_been_its_sign(front: str) -> None:
    for said in (f"to {front}alice@example.com", f"to {front}alice@example.com" + " long" * 30):
        assert "alice" not in Masks(("email",)).text(said)


@pytest.mark.parametrize("seed", ["1::" * 14 + "1 ", "1:f:" * 8 + "1:f::g "])
def test_what_only_looks_like_an_address_costs_no_ten_tries(seed: str) -> None:
    started = time.thread_time()
    Masks(("ip",)).text((seed * ((128 << 10) // len(seed)))[: 128 << 10])
    assert time.thread_time() - started < 0.3


@given(
    st.lists(
        st.sampled_from(["", "", "0", "1", "ab", "2001", "12345", "g", "1.2.3.4", "256.1.1.1"]), min_size=3, max_size=11
    )
)
def test_six_groups_are_an_address_where_the_standard_library_says_so(groups: list[str]) -> None:
    text = ":".join(groups)
    assert addresses._is_six(text) == (any(map(str.isdecimal, text)) and _is_address(text))


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def test_everything_beneath_a_secret_goes_keys_and_numbers_too() -> None:
    mark = PATTERNS["secret"].mark
    value: Json = {
        "password": {"alice@example.com": 4111111111111111},
        "token": 12345678,
        "apiKey": [1, {"a": 2.5, "b": None}],
        "passwords": {"hunter2": True},
        "tokens": 512,
        "secret": True,
    }
    left: Json = {
        "password": mark,
        "token": mark,
        "apiKey": [mark, {"a": mark, "b": None}],
        "passwords": mark,
        "tokens": 512,
        "secret": True,
    }
    assert Masks(("secret", "email", "card")).data(value) == left
    assert Masks(("secret", "card")).data({"tokens": 4111111111111111}) == {"tokens": PATTERNS["card"].mark}
