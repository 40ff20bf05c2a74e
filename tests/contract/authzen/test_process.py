"""`python -m sallyport.pdp` with both HTTP ports: wired, recorded, counted, and silent about what was said."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import ssl
from pathlib import Path

import aiohttp

from tests.contract.authzen.running import CLIENT, RECORDS, evaluation, gateway, records, settings
from tests.contract.pdp_service.process import Process, config, spawn, started
from tests.contract.pdp_service.running import SECONDS
from tests.support.laptop import init


def configured(directory: Path) -> Path:
    path = config(directory, RECORDS)
    chosen = settings(directory, CLIENT)
    tls = {name: str(getattr(chosen.tls, name)) for name in ("certificate", "key", "client_ca")}
    part = {"listen": "127.0.0.1:0", "url": chosen.url, "tls": tls, "clients": [dict(CLIENT)]}
    path.write_text(f"{path.read_text()}metrics: 127.0.0.1:0\nauthzen: {json.dumps(part)}\n")
    return path


def port(process: Process, setting: str) -> str:
    (told,) = (line for line in process.logged if line.get("setting") == setting)
    return str(told["address"]).rpartition(":")[2]


async def test_a_gateway_is_answered_recorded_and_counted_and_nothing_it_says_is_logged(tmp_path: Path) -> None:
    asked = [evaluation(), evaluation("bob", "write"), evaluation("canary-1", "canary-2", "canary-3"), {}]
    asked[0]["context"] = {"input": {"record": "canary-4"}}
    async with started(configured(tmp_path)) as process, aiohttp.ClientSession() as session:
        where = f"https://localhost:{port(process, 'authzen.listen')}/access/v1/evaluations"
        async with session.post(where, json={"evaluations": asked}, ssl=gateway()) as answer:
            found = (await answer.json())["evaluations"]
        async with session.post(where, data=b'{"canary-5":', ssl=gateway()) as answer:
            assert answer.status == 400
        async with session.get(f"http://127.0.0.1:{port(process, 'metrics')}/metrics") as answer:
            metrics = await answer.text()
        process.child.send_signal(signal.SIGTERM)
        _, rest = await asyncio.wait_for(process.child.communicate(), SECONDS)
        assert process.child.returncode == 0
    assert [item["decision"] for item in found] == [True, False, False, False]
    counted = 'sallyport_pdp_decisions_total{effect="permit",group="read_only",purpose="call",source="authzen"} 1.0'
    assert counted in metrics
    assert f"sallyport_pdp_policies {float(len(records().policies))}" in metrics
    assert "sallyport_pdp_audit_writable 1.0" in metrics
    assert all(f'sallyport_pdp_authzen_answers_total{{status="{status}"}} 1.0' in metrics for status in (200, 400))
    assert f'sallyport_pdp_revision_info{{revision="{found[0]["context"]["revision"]}"}} 1.0' in metrics
    assert 'sallyport_pdp_reloads_total{result="served",trigger="start"} 1.0' in metrics
    assert "canary" not in str(process.logged) + rest.decode() + metrics
    recorded = "".join(file.read_text() for file in (tmp_path / "audit").rglob("*.jsonl"))
    assert all(item["context"]["decision_id"] in recorded for item in found)
    assert "canary-4" not in recorded


async def test_the_example_that_init_writes_starts_once_it_is_uncommented(tmp_path: Path) -> None:
    home = init(tmp_path / "laptop")
    path = home / "pdp.yaml"
    text = re.sub(r"(127\.0\.0\.1):\d+", r"\1:0", path.read_text())
    above, example = text.split("# authzen:")
    path.write_text(f"{above}authzen:" + re.sub("^# ", "", example, flags=re.MULTILINE))
    pair = home / "pki/gateway/tls.crt", home / "pki/gateway/tls.key"
    trusting = ssl.create_default_context(cafile=str(home / "pki/ca/ca.crt"))
    trusting.load_cert_chain(*pair)
    asked = {
        "subject": {"type": "user", "id": "alice"},
        "action": {"name": "read_file"},
        "resource": {"type": "File", "id": "alice/notes.txt"},
        "context": {"input": {"path": "alice/notes.txt"}},
    }
    async with started(path) as process, aiohttp.ClientSession() as session:
        where = f"https://localhost:{port(process, 'authzen.listen')}/access/v1/evaluation"
        async with session.post(where, json=asked, ssl=trusting) as answer:
            assert (await answer.json())["decision"] is True


async def test_n5_without_the_client_ca_the_process_does_not_start(tmp_path: Path) -> None:
    path = configured(tmp_path)
    (tmp_path / "ca.crt").write_bytes(b"")
    child = await spawn("--config", str(path))
    _, errors = await asyncio.wait_for(child.communicate(), SECONDS)
    assert child.returncode == 2
    assert "ca.crt" in errors.decode()
    assert not (tmp_path / "run").exists()
