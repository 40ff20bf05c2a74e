"""How this room says no, inside: the door makes a refusal of it."""

from __future__ import annotations


class Withheld(Exception):
    """The result may not leave. The text is for the record alone, and holds nothing of the result."""
