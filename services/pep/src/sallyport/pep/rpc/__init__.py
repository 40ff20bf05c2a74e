"""Room 2: bytes and headers → a message of the closed union of known methods. Pure."""

from sallyport.pep.rpc.methods import METHODS, Row
from sallyport.pep.rpc.parse import parse
from sallyport.pep.rpc.rejected import Rejected

__all__ = ["METHODS", "Rejected", "Row", "parse"]
