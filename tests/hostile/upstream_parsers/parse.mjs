// What Node reads in an MCP request. A line in: the bytes in base64. A line out: method, name and arguments, in a notation
// of its own that leaves nothing to a serialiser (the same as in parse.go and parsers.py), or "error".
import { createInterface } from "node:readline";

const text = (value) => `s${Buffer.from(value, "utf8").toString("hex")};`;

function number(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return `n${bytes.toString("hex")};`;
}

function notation(value) {
  if (value === undefined) return "absent;";
  if (value === null) return "null;";
  if (typeof value === "boolean") return `${value};`;
  if (typeof value === "number") return number(value);
  if (typeof value === "string") return text(value);
  if (Array.isArray(value)) return `[${value.map(notation).join("")}]`;
  const members = Object.entries(value).map(([key, item]) => [text(key), notation(item)]);
  members.sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${members.flat().join("")}}`;
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    const message = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(line, "base64")));
    const { method, params } = message;
    console.log([method, params?.name, params?.arguments].map(notation).join(" "));
  } catch {
    console.log("error");
  }
}
