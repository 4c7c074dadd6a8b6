import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

// The endpoint's `secret` in guichet.toml: whsec_ and Base64.
const secret = Buffer.from(process.env.WEBHOOK_SECRET.replace("whsec_", ""), "base64");

function isGenuine(headers, body) {
  const [id, time] = [headers["webhook-id"], headers["webhook-timestamp"]];
  // Old messages may have been recorded: five minutes are enough.
  if (!(Math.abs(Date.now() / 1000 - Number(time)) < 300)) return false;
  const expected = createHmac("sha256", secret).update(`${id}.${time}.`).update(body).digest();
  // While a secret is being changed there are two signatures.
  return (headers["webhook-signature"] ?? "").split(" ").some((one) => {
    const [version, signature = ""] = one.split(",");
    const sent = Buffer.from(signature, "base64");
    return version === "v1" && sent.length === expected.length && timingSafeEqual(sent, expected);
  });
}

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks); // the bytes as they came: parse them afterwards
  if (!isGenuine(request.headers, body)) return response.writeHead(401).end();
  const event = JSON.parse(body);
  console.log(event.type ?? "MEMBER", event.action);
  response.writeHead(204).end();
}).listen(Number(process.env.PORT ?? 9000));
