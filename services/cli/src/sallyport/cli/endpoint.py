"""`DIR/run/endpoint.json`: where a running Sallyport is, for `call`, tests and anybody else."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sallyport.cli import console
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.laptop import Laptop
from sallyport.runtime import atomic_file, strict_json


@dataclass(frozen=True, slots=True)
class Endpoint:
    mcp_url: str
    management_url: str
    pdp_address: str  # host:port
    ca_file: str  # absolute path of the CA that the MCP server's certificate is signed with
    pep: int  # process ids
    pdp: int


def write(laptop: Laptop, endpoint: Endpoint) -> None:
    document = {
        "mcp_url": endpoint.mcp_url,
        "management_url": endpoint.management_url,
        "pdp_address": endpoint.pdp_address,
        "ca_file": endpoint.ca_file,
        "pids": {"pep": endpoint.pep, "pdp": endpoint.pdp},
    }
    atomic_file.write(laptop.endpoint, json.dumps(document, indent=2).encode() + b"\n")


def read(laptop: Laptop) -> Endpoint:
    try:
        data = laptop.endpoint.read_bytes()
    except FileNotFoundError:
        raise Complaint(
            f"Sallyport isn't running on {laptop.root}: there is no run/endpoint.json",
            f"start it in another terminal: {console.command('up', laptop.root)}",
            Exit.UNAVAILABLE,
        ) from None
    match strict_json.parse(data):
        case {
            "mcp_url": str(mcp_url),
            "management_url": str(management_url),
            "pdp_address": str(pdp_address),
            "ca_file": str(ca_file),
            "pids": {"pep": int(pep), "pdp": int(pdp)},
        }:
            return Endpoint(mcp_url, management_url, pdp_address, ca_file, pep, pdp)
        case _:
            raise Complaint(
                f"{laptop.endpoint} is not what `up` writes", "stop `up`, remove that file, and start `up` again"
            )
