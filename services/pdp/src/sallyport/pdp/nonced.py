"""Small questions that carry a nonce: read strictly, so that no bytes have a second reading."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.limits import NONCE_BYTES

_Q = TypeVar("_Q", pb.CatalogQuestion, pb.ReloadQuestion)


def read(payload: bytes, question: _Q) -> _Q | None:
    """`question`, which is empty, filled; None unless the bytes are the one encoding of one with a whole nonce."""
    try:
        question.ParseFromString(payload)
    except DecodeError:
        return None
    canonical = not len(UnknownFieldSet(question)) and question.SerializeToString(deterministic=True) == payload
    return question if canonical and len(question.nonce) == NONCE_BYTES else None
