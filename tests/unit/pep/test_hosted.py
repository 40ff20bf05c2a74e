"""Hosted tools are there as far as the settings name what they work on."""

from __future__ import annotations

from pathlib import Path

import pytest

from sallyport.pep import hosting, settings
from sallyport.pep.tools import NEEDS
from tests.support.laptop import init


@pytest.mark.parametrize("unset", [(), ("files",), ("database",), ("files", "database")])
async def test_a_tool_is_there_only_with_what_it_works_on(tmp_path: Path, unset: tuple[str, ...]) -> None:
    chosen = settings.load(init(tmp_path / "laptop") / "pep.yaml").model_copy(update=dict.fromkeys(unset))
    async with hosting.hosted(chosen) as registry:
        assert registry.names == {name for name, setting in NEEDS.items() if setting not in unset}
        reach = hosting.reach(chosen, registry.names)
    assert reach.unset == {name: setting for name, setting in NEEDS.items() if setting in unset}
    assert reach.egress == frozenset()
