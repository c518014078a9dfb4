// A server that answers each request with the next of the given replies, and keeps what it was sent.
import { createServer } from "node:http";
import { once } from "node:events";
import { promisify } from "node:util";

/**
 * @param {import("node:test").TestContext} t stops the server
 * @param {((request: any) => any)[] | any[]} replies {status, headers, json, text, never, cut}; the last one repeats
 */
export async function serving(t, ...replies) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    requests.push({ method: request.method, url: request.url, headers: request.headers, body });
    const reply = replies[Math.min(requests.length, replies.length) - 1];
    if (reply.never) return;
    if (reply.cut) return void request.socket.destroy();
    const isProblem = (reply.status ?? 200) >= 400 && reply.json;
    response.statusCode = reply.status ?? 200;
    response.setHeader("content-type", isProblem ? "application/problem+json" : "application/json");
    for (const [name, value] of Object.entries(reply.headers ?? {})) response.setHeader(name, value);
    response.end(reply.text ?? JSON.stringify(reply.json ?? {}));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  /** The number of connections that are open once it no longer falls. */
  const open = async () => {
    const count = promisify(server.getConnections.bind(server));
    let [before, now] = [Infinity, await count()];
    while (now < before) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      [before, now] = [now, await count()];
    }
    return now;
  };
  return { url: `http://127.0.0.1:${server.address().port}`, requests, open };
}

/** A reply of /elbo for n rows. */
export function elboReply(n = 1) {
  const each = Array.from({ length: n }, () => 1);
  return { json: { model: "m", version: 1, elbo: each, log_likelihood: each, kl: each, score: each, num_samples: 4 } };
}

/** A problem document. */
export function problem(status, detail, headers = {}) {
  return { status, headers, json: { type: "about:blank", title: "Title", status, detail, instance: "id-1" } };
}
