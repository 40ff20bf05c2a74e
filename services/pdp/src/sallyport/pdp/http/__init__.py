"""HTTP/1.1 for what isn't the contract: metrics and AuthZEN. aiohttp parses; the limits and the answers are ours."""

from sallyport.pdp.http.connection import Answered, unheard
from sallyport.pdp.http.exchange import Answer, Refused, Request, Routes
from sallyport.pdp.http.limits import Limits
from sallyport.pdp.http.listener import Listener

__all__ = ["Answer", "Answered", "Limits", "Listener", "Refused", "Request", "Routes", "unheard"]
