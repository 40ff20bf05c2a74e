"""Room 1: a complete request → who asks, from verified facts only, or a refusal."""

from sallyport.pep.authn.authenticators import Authenticators, build

__all__ = ["Authenticators", "build"]
