"""What opens something: keys, tokens, passwords. By their known forms, and by the name that stands in front."""

from __future__ import annotations

import re
from collections.abc import Iterator
from heapq import merge
from typing import Final

from sallyport.pep.release.pattern import Pattern, begins, finds, folded
from sallyport.pep.release.together import Found

_PRIVATE_KEY: Final = r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:(?!-----END)[\s\S])*+(?:-----END[A-Z ]{0,40}-----)?"
_ISSUED: Final = (  # by their prefix: AWS, GitHub, GitLab, Slack, Google, Stripe, model vendors, package registries
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA|AGPA|AROA|AIDA)[A-Z0-9]{16}"
    r"|gh[opsur]_[A-Za-z0-9]{20,}+|github_pat_\w{20,}+|glpat-[\w-]{16,}+"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}+|AIza[\w-]{30,}+|ya29\.[\w-]{20,}+"
    r"|[rs]k_(?:live|test)_[A-Za-z0-9]{10,}+|sk-[\w-]{16,}+|hf_[A-Za-z0-9]{20,}+"
    r"|npm_[A-Za-z0-9]{30,}+|pypi-[\w-]{30,}+)"
)
_JWT: Final = r"(?<![\w-])eyJ[\w-]++\.[\w-]++(?:\.[\w-]*+){0,3}"
_NAME: Final = r"pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?"
_IS: Final = r"[\"']?\s{0,4}[:=]\s{0,4}"
_BEARER: Final = rf"(?i:\bbearer {{1,4}}|\bauthorization{_IS}[\"']?\w{{1,16}} {{1,4}})(?P<value>[\w.~+/=-]{{8,}}+)"
_USERINFO: Final = r"://[^\s/@:]{0,128}:(?P<password>[^\s/@]{1,128})@"
_NAMED: Final = rf"(?i:(?:{_NAME}){_IS})(?:\"(?P<quoted>[^\"\n]++)|'(?P<single>[^'\n]++)|(?P<plain>[^\s\"',;&]++))"
_PARTS: Final = ("value", "password", "quoted", "single", "plain")  # what goes; the name in front may stay
# Of a member of a JSON object: its value goes, whatever it looks like.
SECRET_KEY: Final = re.compile(rf"(?i:(?:.*[^a-z])?(?:{_NAME})(?:[_-]?hash)?|authorization)")

# What every match begins with: a word in this very case, one in any, or a word around a sign that is rarer than letters.
_BEGINNINGS: Final = ("eyJ", "://", "ya29.", "-----BEGIN ", "github_pat_")
_WORDS: Final = ("pass", "pwd", "secret", "token", "api", "access", "private", "credential", "bearer ", "authorization")
_TRACES: Final = (  # with the sign that each begins at
    ("A", begins(r"A(?:[KS]IA|GPA|ROA|IDA|Iza)")),
    ("_", begins(r"_(?:(?<=[rs]k_)(?=live_|test_)|(?<=hf_))", back=2)),
    ("_", begins(r"_(?:(?<=gh[opsur]_)|(?<=npm_))", back=3)),
    ("-", begins(r"-(?<=sk-)", back=2)),
    ("-", begins(r"-(?:(?<=xox[abeoprs]-)|(?<=pypi-))", back=4)),
    ("-", begins(r"-(?<=glpat-)", back=5)),
)


def _secrets(text: str) -> Iterator[int]:
    words = finds((text, _BEGINNINGS), (folded(text), _WORDS))
    return merge(words, *(trace(text) for sign, trace in _TRACES if sign in text))


def _secret(match: re.Match[str]) -> Found:
    group = next((name for name in _PARTS if match[name]), 0)
    return match.span(group)


SECRET: Final = Pattern(
    re.compile(f"{_PRIVATE_KEY}|{_ISSUED}|{_JWT}|{_BEARER}|{_USERINFO}|{_NAMED}"), "[masked secret]", _secret, _secrets
)
