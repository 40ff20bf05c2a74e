"""`sallyport policy reload DIR` against a real PDP: what the operator reads, and the exit code."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import stat
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from sallyport.cli import endpoint
from sallyport.cli.complaint import Exit
from sallyport.cli.laptop import Laptop
from sallyport.pdp.load import load
from sallyport.runtime import mounted_dir
from tests.contract.pdp_service.process import started
from tests.support import laptop


async def reload(directory: Path) -> CompletedProcess[str]:
    return await asyncio.to_thread(laptop.cli, "policy", "reload", directory)


@pytest.mark.parametrize("link", ["", "..data"])
async def test_a_reload_speaks_of_the_set_that_pdp_yaml_names(tmp_path: Path, link: str) -> None:
    made = Laptop(laptop.init(tmp_path / "laptop"))
    live = made.root / "live"
    version = live / "v1" if link else live
    shutil.copytree(made.policies, version)
    (version / "extra.cedar").write_text('@id("extra.none")\nforbid (principal, action, resource);\n')
    if link:
        (live / link).symlink_to("v1")
    made.pdp_config.write_text(made.pdp_config.read_text().replace("policies: policies ", "policies: live "))
    async with started(made.pdp_config, "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0") as process:
        endpoint.write(made, endpoint.Endpoint("", "", process.listen, "", 0, process.child.pid))
        done = await reload(made.root)
        contents = mounted_dir.read(live)
        count = len(load(contents).policies)
        assert done.returncode == Exit.OK
        assert done.stdout.startswith(f"in force: {count} policies, ")
        assert contents.revision[:12] in done.stdout

        (version / "extra.cedar").write_text("permit (\n")
        done = await reload(made.root)
        assert done.returncode == Exit.USAGE
        assert f"{live}: 1 problem; the set was refused" in done.stderr
        hinted = await asyncio.to_thread(laptop.cli, "policy", "check", made.root)
        assert (hinted.returncode, "extra.cedar:" in hinted.stderr) == (Exit.USAGE, True)


async def test_an_operator_reloads_and_is_told_what_serves_or_what_to_mend(tmp_path: Path) -> None:
    made = Laptop(laptop.init(tmp_path / "laptop"))
    assert stat.S_IMODE((made.pki / "operator.key").stat().st_mode) == 0o600
    assert (await reload(made.root)).returncode == Exit.UNAVAILABLE
    config = made.pdp_config.read_text()
    made.pdp_config.write_text(config.replace("poll_ms: 500", "poll_ms: 60000"))
    async with started(made.pdp_config, "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0") as process:
        endpoint.write(made, endpoint.Endpoint("", "", process.listen, "", 0, process.child.pid))
        (made.policies / "extra.cedar").write_text('@id("extra.none")\nforbid (principal, action, resource);\n')
        done = await reload(made.root)
        assert (done.returncode, done.stdout.startswith("in force: ")) == (Exit.OK, True)
        revision = mounted_dir.read(made.policies).revision
        assert revision[:12] in done.stdout
        async with process.client() as client:
            assert (await client.revision()).revision == revision

        (made.policies / "extra.cedar").write_text("permit (\n")
        done = await reload(made.root)
        assert done.returncode == Exit.USAGE
        assert "extra.cedar:" in done.stderr
        assert f"revision {revision[:12]} goes on serving" in done.stderr
        assert "next: " in done.stderr

        (made.pki / "operator.key").write_text(secrets.token_hex(32))
        done = await reload(made.root)
        assert (done.returncode, "doesn't take this operator key" in done.stderr) == (Exit.REFUSED, True)
        made.pdp_config.write_text(config.replace("operator_key: pki/operator.key", "operator_key: run/hop.key"))
        assert "is the hop key" in (await reload(made.root)).stderr
    made.pdp_config.write_text(config)
    done = await reload(made.root)
    assert (done.returncode, "doesn't answer" in done.stderr) == (Exit.UNAVAILABLE, True)
    assert "Traceback" not in done.stderr


async def test_a_tool_that_the_gate_can_not_serve_is_said_when_the_set_is_in_force(tmp_path: Path) -> None:
    made = Laptop(laptop.init(tmp_path / "laptop"))
    catalog = made.policies / "catalog.yaml"
    catalog.write_text(catalog.read_text().replace("{hosted: delete_file}", "{hosted: delete_fil}"))
    async with started(made.pdp_config, "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0") as process:
        endpoint.write(made, endpoint.Endpoint("", "", process.listen, "", 0, process.child.pid))
        done = await reload(made.root)
    assert done.returncode == 0
    assert "in force" in done.stdout
    assert "the gate doesn't serve this tool: catalog.yaml:" in done.stderr
    assert "there is no hosted tool 'delete_fil'" in done.stderr
