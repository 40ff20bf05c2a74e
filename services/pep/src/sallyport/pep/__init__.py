"""The policy enforcement point: every MCP message passes here, and nothing decides here."""

from typing import Final

VERSION: Final = "0.1.0"
