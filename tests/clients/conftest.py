"""One running Sallyport for all clients."""

from tests.support.laptop import sallyport

__all__ = ["sallyport"]
