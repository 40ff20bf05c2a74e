"""Our own lists are always there; public ones lie beside the repository, and a test that misses them says so."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

CORPORA: Final = Path(__file__).resolve().parents[4] / "shared" / "corpora"
PAYLOADS: Final = CORPORA / "payloads"
DOCUMENTS: Final = CORPORA / "json" / "parsing"


def both(public: Path) -> list[object]:
    """Parameters of a test that runs once with each."""
    missing = pytest.mark.skipif(
        not public.is_dir(), reason=f"no ../shared/corpora/{public.relative_to(CORPORA)}: our own list only"
    )
    return ["own", pytest.param("public", marks=missing)]
