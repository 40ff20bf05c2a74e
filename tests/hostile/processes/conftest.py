"""One running Sallyport for the tests that only call it."""

from tests.support.laptop import sallyport

__all__ = ["sallyport"]
