"""Room 0: socket → a complete `model.Request` within limits, with the peer's verified certificate."""

from sallyport.pep.transport.endpoint import Endpoint
from sallyport.pep.transport.limits import Limits
from sallyport.pep.transport.protocol import OnRefused
from sallyport.pep.transport.server import Running, run, serve

__all__ = ["Endpoint", "Limits", "OnRefused", "Running", "run", "serve"]
