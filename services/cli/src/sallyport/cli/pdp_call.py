"""One question to the running PDP under the operator's key."""

from __future__ import annotations

import secrets
import time
from typing import Final, NoReturn

import grpc

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.authz.v1 import authz_pb2_grpc as rpc
from sallyport.cli import console
from sallyport.cli.complaint import Complaint, Exit
from sallyport.contract.limits import NONCE_BYTES
from sallyport.contract.seal import HopKey, Label

_PATIENCE_SECONDS: Final = 1260.0  # more than twice the longest check that pdp.yaml can allow
_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)  # a proxy variable must not move the line


def reload(address: str, key: HopKey) -> pb.ReloadAnswer:
    """Have it read its policies; answers once they serve, or are refused."""
    question = pb.ReloadQuestion(nonce=secrets.token_bytes(NONCE_BYTES), issued_at=int(time.time()))
    payload = question.SerializeToString(deterministic=True)
    request = pb.ReloadRequest(question=payload, mac=key.seal(Label.RELOAD_QUESTION, payload))
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        try:
            response = rpc.AuthorizationServiceStub(channel).Reload(request, timeout=_PATIENCE_SECONDS)
        except grpc.RpcError as error:
            _explain(address, error)
    if key.open(Label.RELOAD_ANSWER, response.answer, response.mac):
        answer = pb.ReloadAnswer.FromString(response.answer)
        if answer.nonce == question.nonce:
            return answer
    raise Complaint(
        f"what answers on {address} doesn't hold the operator's key", "see which process has that port", Exit.REFUSED
    )


def _explain(address: str, error: grpc.RpcError) -> NoReturn:
    up = console.command("up", "DIR")
    call: object = error  # grpc's errors of a call are calls, too
    match call.code() if isinstance(call, grpc.Call) else None:
        case grpc.StatusCode.UNAUTHENTICATED:
            wrong, code = "the PDP doesn't take this operator key", Exit.REFUSED
            next_step = f"if the key's file was changed, stop `{up}` and start it again: the PDP reads it at its start"
        case grpc.StatusCode.UNIMPLEMENTED:
            wrong, code = "the PDP was started without an operator key", Exit.REFUSED
            next_step = f"set reload.operator_key in pdp.yaml, stop `{up}` and start it again"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            wrong, code = "the PDP didn't get done in time; the set before serves", Exit.FAILED
            next_step = "see run/pdp.log, then ask again"
        case _:
            wrong, code = f"the PDP on {address} doesn't answer", Exit.UNAVAILABLE
            next_step = f"see run/pdp.log, and whether `{up}` still runs"
    raise Complaint(wrong, next_step, code) from None
