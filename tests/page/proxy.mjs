/** A small proxy before the service, which can be slow, busy or broken. It passes on everything unless told otherwise. */
import { createServer, request } from "node:http";

const PROBLEM = { "content-type": "application/problem+json" };
const PROBLEMS = {
  429: ["Overloaded", "too many rows wait; try again", { "retry-after": "1" }],
  500: ["Internal error", "the reason is in the service's log", {}],
  503: ["Not ready", "the service is shutting down", { "retry-after": "1" }],
  413: ["Too large", "the body has more than 33,554,432 bytes", {}],
};

/**
 * Start a proxy on a free port.
 *
 * @param {string} target address of the service
 */
export async function startProxy(target) {
  const rules = { delayMs: 0, mode: null, match: /.^/, times: Infinity };
  const server = createServer((asked, reply) => setTimeout(() => answer(asked, reply), rules.delayMs));

  function answer(asked, reply) {
    if (rules.mode !== null && rules.match.test(asked.url) && rules.times > 0) {
      rules.times -= 1;
      fail(asked, reply, rules.mode);
      return;
    }
    const passed = request(new URL(asked.url, target), { method: asked.method, headers: { ...asked.headers, host: new URL(target).host } });
    passed.on("response", (got) => {
      reply.writeHead(got.statusCode, got.headers);
      got.pipe(reply);
    });
    passed.on("error", () => reply.destroy());
    asked.pipe(passed);
  }

  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Fail requests whose address matches. @param {number | "garbage" | "broken" | null} mode @param {RegExp} [match] */
    fail: (mode, match = /./, times = Infinity) => Object.assign(rules, { mode, match, times }),
    /** Wait before each answer. @param {number} delayMs */
    slow: (delayMs) => Object.assign(rules, { delayMs }),
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function fail(asked, reply, mode) {
  asked.resume();
  if (mode === "broken") {
    reply.destroy();
  } else if (mode === "garbage") {
    reply.writeHead(200, { "content-type": "text/html" });
    reply.end("<html><p>It works!</p></html>");
  } else {
    const [title, detail, headers] = PROBLEMS[mode];
    reply.writeHead(mode, { ...PROBLEM, ...headers });
    reply.end(JSON.stringify({ type: "about:blank", title, status: mode, detail, instance: "abc" }));
  }
}
