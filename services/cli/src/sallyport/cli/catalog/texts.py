"""What a text does that a description needn't: hides characters, or speaks to the model instead of about the tool.

Heuristics, so that a reviewer looks; a text that passes is not thereby harmless.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterator
from typing import Final

from sallyport.cli.catalog.lookalike import folded, mixed_words
from sallyport.contract.parts import HIDDEN

MAX_READ: Final = 64 << 10  # characters of one text
_EXCERPT: Final = 60  # characters
_NAME: Final = re.compile(r"[A-Za-z0-9_][\w.-]*")
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2028\u2029\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_FAR_AWAY: Final = re.compile(r"(?:\n[^\S\n]*){6}|[ \t\u00a0\u2000-\u200a\u3000]{40,}")
_BLOB: Final = re.compile(
    r"(?<![A-Za-z0-9+/_=-])(?=[A-Za-z0-9+/_-]*[A-Z])(?=[A-Za-z0-9+/_-]*[a-z])(?=[A-Za-z0-9+/_-]*[0-9])[A-Za-z0-9+/_-]{40,}={0,2}|(?:[0-9a-f]{2}){24,}"
)
_URL: Final = re.compile(
    r"\b(?:https?|wss?|ftp|file)://[^\s\"'<>)]+|\b(?:data|javascript):[a-z0-9;/,+-]+", re.IGNORECASE
)
_TELLING: Final = "tell|mention|inform|reveal|disclose|notify|show|warn|alert|ask|report"
_PATTERNS: Final = tuple(
    (what, re.compile(pattern))
    for what, pattern in (
        (
            "takes back other instructions",
            r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:previous|prior|above|earlier|other|system|all|any|your)\b.{0,30}\b(?:instruction|prompt|rule|message|direction|polic|guideline|guardrail|context|tool)",
        ),
        (
            "takes back other instructions",
            r"\b(?:ignore|disregard|forget) (?:all |any |the |your )*(?:previous|prior|above|earlier)\b",
        ),
        (
            "asks for secrecy",
            rf"\b(?:do not|don'?t|never|must not|without|avoid) (?:ever )?(?:{_TELLING})(?:ing|ning|ling)?\b(?!.{{0,5}}if)",
        ),
        (
            "asks for secrecy",
            r"\b(?:silently|secretly|covertly)\b|\bwithout (?:the )?users?'? (?:knowledge|knowing|consent|noticing)|\bhidden from (?:the )?user",
        ),
        ("speaks of the system prompt", r"\b(?:system|developer|initial|hidden) (?:prompt|message|instruction)s?\b"),
        (
            "gives the model a part to play",
            r"\b(?:you are now|from now on|act as an?|pretend (?:to|that)|new instructions?|jailbreak|developer mode)\b",
        ),
        (
            "markup that a model takes for orders",
            r"<\s*/?\s*(?:important|system|instructions?|secret|hidden|admin|assistant|user|tool_call|function_calls?|critical|note)\b[^>]{0,200}>|<\|[a-z_]+\|>|\[/?inst\]|<!--|#{2,} *(?:system|instruction)",
        ),
        (
            "says when to call what",
            r"\b(?:before|after|whenever|prior to|instead of) (?:using|calling|invoking|running|you (?:use|call|invoke)) (?:this|any|every|each|all|the|another|other)\b|\b(?:you )?must (?:first |always )?(?:call|invoke|use|run|read)\b|\balways (?:call|invoke|run|send|include|append|bcc|cc)\b",
        ),
        (
            "asks for what the model was told",
            r"\b(?:conversation|chat) (?:history|so far|log)|\b(?:entire|whole|full|complete) (?:conversation|chat|context|prompt)|\bprevious messages\b|\bcontents? of (?:the )?(?:context|conversation)",
        ),
        (
            "names where secrets lie",
            r"~/\.(?:ssh|aws|config|cursor|kube|gnupg|netrc|env)|\bid_(?:rsa|ed25519)\b|/etc/(?:passwd|shadow)|\.env\b|\bmcp\.json\b|claude_desktop_config|\.(?:aws|git-)/?credentials|\bprivate[ _]keys?\b",
        ),
        (
            "sends something somewhere",
            r"\b(?:send|forward|upload|post|exfiltrate|transmit|bcc|email|copy)\b.{0,60}(?:https?://|\b[\w.+-]+@[\w-]+\.\w)",
        ),
    )
)


def hidden(text: str) -> tuple[str, ...]:
    """Code points that no screen shows, or that turn the reading direction, each once."""
    found = (
        char for char in text if (unicodedata.category(char) in HIDDEN and char not in "\n\t") or _INVISIBLE.match(char)
    )
    return tuple(
        dict.fromkeys(f"U+{ord(char):04X} {unicodedata.name(char, 'control or unassigned')}" for char in found)
    )


def cleaned(text: str) -> str:
    """The text without them: as the reviewer saw it."""
    return _INVISIBLE.sub(
        "", "".join(char for char in text if unicodedata.category(char) not in HIDDEN or char in "\n\t")
    )


def suspicions(text: str, others: Container[str]) -> Iterator[str]:
    """What a text that reaches the model does besides describing. `others` are names of tools of other providers."""
    if len(text) > MAX_READ:
        yield f"is longer than {MAX_READ} characters; nobody read what follows"
        text = text[:MAX_READ]
    if _FAR_AWAY.search(text):
        yield "pushes text off the screen with white space"
    for word in mixed_words(text)[:3]:
        yield f"a word in letters of several scripts: {shown(word)}"
    if blob := _BLOB.search(text):
        yield f"holds a blob that nobody can read: {shown(blob[0])}"
    for url in list(dict.fromkeys(match[0] for match in _URL.finditer(text)))[:3]:
        yield f"holds a URL: {shown(url)}"
    read = " ".join(folded(text).split())
    for what, pattern in _PATTERNS:
        if match := pattern.search(read):
            yield f"{what}: {shown(match[0])}"
    for name in spoken_of(text, others)[:3]:
        yield f"speaks of another tool: {shown(name)}"


def spoken_of(text: str, names: Container[str]) -> tuple[str, ...]:
    """The names in it. One that is also a plain word counts only where it is set off as a name."""
    words = dict.fromkeys(match[0].rstrip(".-") for match in _NAME.finditer(text[:MAX_READ]))
    return tuple(word for word in words if word in names and (not _is_plain_word(word) or _set_off(word, text)))


def _is_plain_word(name: str) -> bool:
    return name.isalpha() and (name.islower() or name.istitle())


def _set_off(name: str, text: str) -> bool:
    return any(f"{quote}{name}{quote}" in text for quote in "`'\"")


def shown(text: str) -> str:
    """A piece of it that is safe on any screen and in any file."""
    return ascii(text[:_EXCERPT])
