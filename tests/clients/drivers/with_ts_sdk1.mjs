// @modelcontextprotocol/sdk 1.x
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
const client = new Client({ name: "ts", version: "1" });
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
await client.connect(transport);
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const answers = [];
for (const [name, args] of JSON.parse(process.env.ASKED)) {
  try {
    answers.push((await client.callTool({ name, arguments: args })).content[0].text);
  } catch (refused) {
    answers.push({ error: refused.message, code: refused.code });
  }
}
console.log(JSON.stringify({ tools, answers, era: transport.protocolVersion ?? "" }));
await client.close();
