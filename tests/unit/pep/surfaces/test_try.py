import json
from dataclasses import replace
def legacy(request, **params):
    message = json.loads(request.body)
    message["params"] = params
    dropped = {b"mcp-protocol-version", b"mcp-method", b"mcp-name"}
    headers = tuple(pair for pair in request.headers if pair[0] not in dropped)
    return replace(request, headers=headers, body=json.dumps(message).encode())
async def test_x(made):
    for n in ("ask","start"):
        t = await made.send(legacy(made.request("tools/call"), name=n, arguments={}))
        print(n, t.answer.status, t.body)
    for c in ({}, {"roots":{}}):
        t = await made.ask("tools/call", {"name":"ask","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":c}})
        print(c, t.answer.status, t.body)
    made.said.append(lambda got: {"resultType":"complete","resources":[{"uri":"test://plain","name":"x","size":True}]})
    print((await made.ask("resources/list")).body)
    assert 0
