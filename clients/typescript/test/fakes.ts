import { type ClientOptions, createClient, type Client } from "../src/index.js";

/** What a fake server was sent. */
export interface Sent {
  url: URL;
  method: string;
  headers: Headers;
  bytes: Uint8Array;
  form?: FormData;
}

export type Answer = () => Response | Promise<Response>;

export const CLASSIFIED = {
  model: { name: "tiny", version: "1" },
  label: "red",
  confidence: 1,
  probabilities: [{ label: "red", probability: 1 }],
};

export const IMAGE = new Uint8Array([1, 2, 3]);

/** A client of a server that gives these answers one after the other, and the last one for ever. */
export function faked(answers: Answer[], options: Partial<ClientOptions> = {}): { client: Client; sent: Sent[] } {
  const sent: Sent[] = [];
  const fetch = async (request: Request): Promise<Response> => {
    const { url, method, headers } = request;
    const isForm = headers.get("Content-Type")?.startsWith("multipart/form-data") ?? false;
    const kept = request.clone();
    const bytes = new Uint8Array(await request.arrayBuffer());
    sent.push({ url: new URL(url), method, headers, bytes, ...(isForm && { form: await kept.formData() }) });
    const answer = answers[Math.min(sent.length, answers.length) - 1];
    if (answer === undefined) {
      throw new Error("no answers were given");
    }
    return answer();
  };
  return { client: createClient({ baseUrl: "http://server.test", fetch, ...options }), sent };
}

export function json(body: unknown): Answer {
  return () => Response.json(body);
}

export function problem(status: number, code: string, headers: Record<string, string> = {}): Answer {
  const body = { type: "about:blank", title: "A title", status, code, detail: "A detail." };
  const type = { "Content-Type": "application/problem+json" };
  return () => new Response(JSON.stringify(body), { status, headers: { ...type, ...headers } });
}

export function unreachable(): never {
  throw new TypeError("fetch failed");
}
