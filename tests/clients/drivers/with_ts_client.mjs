// @modelcontextprotocol/client 2.x: with_ts_client.mjs URL MODE
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const [url, mode] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
const client = new Client({ name: "ts", version: "2" }, mode === "auto" ? { versionNegotiation: { mode } } : {});
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const answers = [];
for (const [name, args] of JSON.parse(process.env.ASKED)) {
  try {
    answers.push((await client.callTool({ name, arguments: args })).content[0].text);
  } catch (refused) {
    answers.push({ error: refused.message, code: refused.code });
  }
}
console.log(JSON.stringify({ tools, answers, era: client.getNegotiatedProtocolVersion?.() ?? "" }));
await client.close();
