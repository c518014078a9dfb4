// Uses the package as a TypeScript program does; `npm run check` compiles it, and nothing runs it.
import { Client, ModelNotFound, RequestRefused, type ElboReply } from "vaekit";
import { Bundle, IntegrityError, type Scored } from "vaekit/local";

export async function overHttp(): Promise<ElboReply> {
  const client = new Client("http://127.0.0.1:8000", { key: "secret", timeoutMs: 5000, retries: 2 });
  const rows = [{ load: 1.5, site: "a" }];
  await client.elbo([[1, null, "a"]], { model: "mixed", alpha: 0.05, signal: AbortSignal.timeout(1000) });
  await client.elbo([new Uint8Array(8)], { model: "digits" });
  await client.elbo({ data: new Float64Array(4), shape: [2, 2] });
  // @ts-expect-error: a misspelled option
  await client.elbo(rows, { alhpa: 0.05 });
  try {
    return await client.elbo(rows, { explain: 2 });
  } catch (error) {
    if (error instanceof RequestRefused) console.log(error.row, error.feature, error.problem?.title);
    if (error instanceof ModelNotFound) console.log((await client.models()).models[0].name);
    throw error;
  }
}

export async function locally(): Promise<Scored> {
  const bundle = await Bundle.open("models/breast-cancer/1");
  const scored = await bundle.score([{ load: 1.5, site: "a" }], { alpha: 0.05 });
  const verdicts: (boolean | null)[] | null = scored.is_anomaly;
  console.log(verdicts, IntegrityError.name);
  return scored;
}
