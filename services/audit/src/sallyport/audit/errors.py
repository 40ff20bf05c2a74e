"""What can go wrong with the record, as its callers need to tell it apart."""

from __future__ import annotations


class AuditUnavailable(Exception):
    """Nothing durable can be written now: refuse. The writer goes on trying by itself."""


class RecordRefused(ValueError):
    """The fields can't be a record (null, float, reserved name, too long, outcome without intent): a caller's mistake."""


class KeyRefused(ValueError):
    """A key file is missing, unreadable by us, readable by others, or not the right kind; str() says how to mend it."""
