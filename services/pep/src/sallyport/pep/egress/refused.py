"""The one way in which egress says no."""

from __future__ import annotations


class EgressRefused(Exception):
    """Nothing was sent. The text is for the record and for operators, never for a client."""
