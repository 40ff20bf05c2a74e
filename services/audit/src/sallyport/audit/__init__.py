"""The audit record: canonical lines, a signed chain, a durable writer, and a verifier that trusts public keys only."""

from __future__ import annotations

from sallyport.audit.errors import AuditUnavailable, KeyRefused, RecordRefused
from sallyport.audit.flood import Budget
from sallyport.audit.masker import Masker
from sallyport.audit.signer import Signer
from sallyport.audit.writer import Receipt, Writer

__all__ = ["AuditUnavailable", "Budget", "KeyRefused", "Masker", "Receipt", "RecordRefused", "Signer", "Writer"]
