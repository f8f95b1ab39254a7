import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, mock, test } from "node:test";
import { ConnectionError, createClient, type Embedding, ProblemError, TimeoutError } from "../src/index.js";
import { pauseMs } from "../src/retries.js";
import { type Answer, CLASSIFIED, faked, IMAGE, json, problem, unreachable } from "./fakes.js";

const BUSY = problem(503, "overloaded");
const EMBEDDING: Embedding = { model: "tiny", version: "1", dimension: 1, values: "AACAPw==" };

beforeEach(() => {
  mock.method(Math, "random", () => 0); // no pause but what Retry-After asks for
});
afterEach(() => mock.restoreAll());

/** An answer that comes when the request is given up, as that of a server that hangs. */
function never(signal: AbortSignal): Answer {
  return () => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
}

test("sends an image as the body, with the query and the key", async () => {
  const { client, sent } = faked([json(CLASSIFIED)], { apiKey: "a-key" });
  assert.deepEqual(await client.classify(IMAGE, { top_k: 1, model: "tiny & small" }), CLASSIFIED);
  const [request] = sent;
  assert.ok(request);
  assert.equal(request.url.href, "http://server.test/v1/classify?top_k=1&model=tiny%20%26%20small");
  assert.equal(request.method, "POST");
  assert.equal(request.headers.get("Authorization"), "Bearer a-key");
  assert.equal(request.headers.get("Content-Type"), "application/octet-stream");
  assert.deepEqual(request.bytes, IMAGE);
});

test("takes bytes of every kind, and says of a Blob what it says of itself if that is an image", async () => {
  const { client, sent } = faked([json(CLASSIFIED)]);
  const view = new Uint8Array([9, ...IMAGE, 9]).subarray(1, 4);
  const kinds = [
    Buffer.from(IMAGE),
    IMAGE.buffer,
    view,
    new Uint8Array(new SharedArrayBuffer(3)).fill(1),
    new Blob([IMAGE], { type: "image/png" }),
    new File([IMAGE], "photo.txt", { type: "text/plain" }),
    { data: IMAGE, filename: "photo.jpg" },
  ];
  for (const image of kinds) {
    await client.classify(image);
  }
  const octets = "application/octet-stream";
  const types = [octets, octets, octets, octets, "image/png", octets, octets];
  assert.deepEqual(sent.map((each) => each.headers.get("Content-Type")), types);
  const ones = new Uint8Array([1, 1, 1]);
  assert.deepEqual(sent.map((each) => each.bytes), [IMAGE, IMAGE, IMAGE, ones, IMAGE, IMAGE, IMAGE]);
});

test("refuses what isn't bytes before anything is sent", async () => {
  const { client, sent } = faked([json(CLASSIFIED)]);
  for (const wrong of ["photo.jpg", null, new Float32Array(3), { data: "photo.jpg", filename: "photo.jpg" }, [1, 2]]) {
    await assert.rejects(client.classify(wrong as never), { name: "TypeError", message: /Read the file/ });
    await assert.rejects(client.triageBatch([wrong as never]), TypeError);
    await assert.rejects(client.duplicates(IMAGE, wrong as never), TypeError);
  }
  assert.equal(sent.length, 0);
});

test("sends a batch as files in their order, by their names", async () => {
  const { client, sent } = faked([json({ results: [] })]);
  const file = new File([IMAGE], "a \"photo\".png", { type: "image/png" });
  await client.triageBatch([file, { data: IMAGE, filename: "b.jpg" }, IMAGE], { include: ["classify", "embed"] });
  const [request] = sent;
  assert.equal(request?.url.search, "?include=classify,embed");
  const parts = request?.form?.getAll("images") as File[];
  assert.deepEqual(parts.map((each) => each.name), ["a \"photo\".png", "b.jpg", "image_2"]);
  const octets = "application/octet-stream";
  assert.deepEqual(parts.map((each) => each.type), ["image/png", octets, octets]);
  assert.deepEqual(new Uint8Array(await (parts[1] as File).arrayBuffer()), IMAGE);
});

test("sends an embedding in place of an image as JSON", async () => {
  const { client, sent } = faked([json({})]);
  await client.duplicates(EMBEDDING, IMAGE, { threshold: 0.5, min_probability: 0.25, explain: true });
  const form = sent[0]?.form;
  assert.deepEqual([...(form?.keys() ?? [])], ["embedding_a", "image_b"]);
  const kept = form?.get("embedding_a") as File;
  assert.equal(kept.type, "application/json");
  assert.deepEqual(JSON.parse(await kept.text()), EMBEDDING);
  assert.equal(sent[0]?.url.search, "?threshold=0.5&min_probability=0.25&explain=true");
});

test("keeps an embedding's signature, and sends none for one that has none", async () => {
  const { client, sent } = faked([json({})]);
  const signed: Embedding = { ...EMBEDDING, signature: "AQID" };
  await client.duplicates(signed, EMBEDDING);
  const texts = ["embedding_a", "embedding_b"].map((name) => (sent[0]?.form?.get(name) as File).text());
  assert.deepEqual((await Promise.all(texts)).map((text) => JSON.parse(text) as unknown), [signed, EMBEDDING]);
});

test("asks for the picture of a pair by Accept", async () => {
  const { client, sent } = faked([() => new Response(IMAGE, { headers: { "Content-Type": "image/png" } })]);
  const picture = await client.duplicatesPng(EMBEDDING, IMAGE, { min_probability: 0.5 });
  assert.equal(sent[0]?.headers.get("Accept"), "image/png");
  assert.equal(sent[0]?.url.search, "?min_probability=0.5&explain=true");
  assert.deepEqual([...(sent[0]?.form?.keys() ?? [])], ["embedding_a", "image_b"]);
  assert.deepEqual(new Uint8Array(await picture.arrayBuffer()), IMAGE);
});

test("asks for the mask alone by Accept", async () => {
  const { client, sent } = faked([() => new Response(IMAGE, { headers: { "Content-Type": "image/png" } })]);
  const mask = await client.saliencyPng(IMAGE, { method: "featout" });
  assert.equal(sent[0]?.headers.get("Accept"), "image/png");
  assert.equal(mask.type, "image/png");
  assert.deepEqual(new Uint8Array(await mask.arrayBuffer()), IMAGE);
});

test("keeps the path of a server behind a proxy", async () => {
  const { client, sent } = faked([json({ status: "alive" })], { baseUrl: "https://server.test/photos/" });
  assert.deepEqual(await client.live(), { status: "alive" });
  assert.equal(sent[0]?.url.href, "https://server.test/photos/livez");
});

test("refuses a base URL that can't be one", () => {
  for (const baseUrl of ["", "/photos", "localhost:3000", "ftp://server.test"]) {
    assert.throws(() => createClient({ baseUrl }), { name: "TypeError", message: /http:\/\// });
  }
});

test("tells a problem as an error, without a second try", async () => {
  for (const status of [400, 401, 404, 408, 413, 415, 422, 500, 502, 504]) {
    const { client, sent } = faked([problem(status, "some_code", { "X-Request-Id": "an-id" })]);
    await assert.rejects(client.classify(IMAGE), (error) => {
      assert.ok(error instanceof ProblemError);
      assert.deepEqual([error.status, error.code, error.requestId], [status, "some_code", "an-id"]);
      assert.deepEqual([error.title, error.detail], ["A title", "A detail."]);
      assert.match(error.message, /A title: A detail\. \(\d+ some_code\)/);
      return true;
    });
    assert.equal(sent.length, 1);
  }
});

test("tells an answer that isn't the server's own as one", async () => {
  const page = "<html>Bad Gateway</html>";
  const empty = (): Response => new Response(null, { status: 204 });
  const answers = [() => new Response(page, { status: 502 }), () => new Response(page), empty];
  for (const answer of answers) {
    const { client } = faked([answer]);
    await assert.rejects(client.classify(IMAGE), { name: "ProblemError", code: "unexpected_answer" });
  }
});

test("sends the same again while the server is busy", async () => {
  const { client, sent } = faked([BUSY, problem(429, "too_many"), json(CLASSIFIED)]);
  assert.deepEqual(await client.classify(IMAGE), CLASSIFIED);
  assert.deepEqual(sent.map((each) => each.bytes), [IMAGE, IMAGE, IMAGE]);
});

test("sends a form again, too", async () => {
  const { client, sent } = faked([BUSY, json({ results: [] })]);
  assert.deepEqual(await client.triageBatch([IMAGE]), []);
  assert.deepEqual(sent.map((each) => each.form?.getAll("images").length), [1, 1]);
});

test("gives up after so many retries, with what the server said last", async () => {
  const { client, sent } = faked([BUSY], { retries: 2 });
  await assert.rejects(client.classify(IMAGE), { name: "ProblemError", code: "overloaded", status: 503 });
  assert.equal(sent.length, 3);
  await assert.rejects(client.classify(IMAGE, {}, { retries: 0 }), ProblemError);
  assert.equal(sent.length, 4);
});

test("waits as long as Retry-After says", async () => {
  const { client } = faked([problem(503, "overloaded", { "Retry-After": "1" }), json(CLASSIFIED)]);
  const start = performance.now();
  await client.classify(IMAGE);
  assert.ok(performance.now() - start >= 995);
});

test("gives up at once where the pause would end after the call", async () => {
  const { client, sent } = faked([problem(503, "overloaded", { "Retry-After": "60" })]);
  await assert.rejects(client.classify(IMAGE), { code: "overloaded" });
  assert.equal(sent.length, 1);
});

test("pauses double, are drawn, and are added to what Retry-After says", () => {
  mock.method(Math, "random", () => 0.5);
  assert.deepEqual([0, 1, 2, 3, 9].map((sent) => pauseMs(sent, null)), [125, 250, 500, 1000, 4000]);
  assert.equal(pauseMs(0, "2"), 2125);
  assert.equal(pauseMs(0, "soon"), 125);
  const soon = pauseMs(0, new Date(Date.now() + 10_000).toUTCString());
  assert.ok(soon > 8_000 && soon <= 10_125);
  assert.equal(pauseMs(0, new Date(Date.now() - 10_000).toUTCString()), 125);
});

test("asks for readiness once", async () => {
  const { client, sent } = faked([BUSY]);
  await assert.rejects(client.ready(), { status: 503 });
  assert.equal(sent.length, 1);
});

test("sends again what found no server, but no reload", async () => {
  const { client, sent } = faked([unreachable, json(CLASSIFIED)]);
  assert.deepEqual(await client.classify(IMAGE), CLASSIFIED);
  const other = faked([unreachable, json({})]);
  await assert.rejects(other.client.reload(), ConnectionError);
  assert.deepEqual([sent.length, other.sent.length], [2, 1]);
});

test("says what fetch said when there is no server", async () => {
  const { client, sent } = faked([unreachable]);
  await assert.rejects(client.classify(IMAGE), (error) => {
    assert.ok(error instanceof ConnectionError);
    assert.match(error.message, /fetch failed/);
    assert.ok(error.cause instanceof TypeError);
    return true;
  });
  assert.equal(sent.length, 5);
});

test("ends a call that takes too long", async () => {
  const fetch = (request: Request): Promise<Response> => Promise.resolve(never(request.signal)());
  const client = createClient({ baseUrl: "http://server.test", fetch, timeoutMs: 30 });
  await assert.rejects(client.classify(IMAGE), TimeoutError);
  await assert.rejects(client.classify(IMAGE, {}, { timeoutMs: 20 }), { name: "TimeoutError", message: /20 ms/ });
});

test("ends with the caller's signal, in a pause as well", async () => {
  const { client, sent } = faked([problem(503, "overloaded", { "Retry-After": "5" })]);
  const reason = new Error("no longer wanted");
  const control = new AbortController();
  const call = client.classify(IMAGE, {}, { signal: control.signal });
  setTimeout(() => control.abort(reason), 20);
  await assert.rejects(call, reason);
  await assert.rejects(client.classify(IMAGE, {}, { signal: control.signal }), reason);
  assert.ok(sent.length <= 2);
});

test("speaks HTTP with a length, again after a pause, and ends while an answer comes in", async () => {
  const lengths: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    lengths.push(request.headers["content-length"]);
    request.resume().on("end", () => {
      if (request.url === "/livez") {
        response.writeHead(200).write("{");
      } else if (lengths.length === 1) {
        response.writeHead(503, { "Retry-After": "0" }).end();
      } else {
        response.end(JSON.stringify(CLASSIFIED));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = createClient({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  try {
    assert.deepEqual(await client.classify(IMAGE), CLASSIFIED);
    assert.deepEqual(lengths, ["3", "3"]);
    await assert.rejects(client.live({ timeoutMs: 100 }), TimeoutError);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("types say what an answer holds", async () => {
  const results = [{ index: 0, filename: "a", classify: CLASSIFIED }];
  const { client } = faked([json({ classify: CLASSIFIED, results })]);
  const named = await client.triage(IMAGE, { include: ["classify"] });
  assert.equal(named.classify.label, "red");
  // @ts-expect-error: what wasn't asked for isn't there
  assert.equal(named.difficulty, undefined);
  const chosen = await client.triage(IMAGE);
  // @ts-expect-error: the server may have no model for it
  assert.equal(chosen.classify.label, "red");
  const [item] = await client.triageBatch([IMAGE], { include: ["classify"] });
  assert.ok(item);
  // @ts-expect-error: there may be an error in its place
  assert.equal(item.classify.label, "red");
  assert.equal(item.error === undefined ? item.classify.label : item.error.code, "red");
  // @ts-expect-error: there is no such parameter
  await client.classify(IMAGE, { topk: 1 });
  // @ts-expect-error: there is no such method
  await client.saliency(IMAGE, { method: "guess" });
  // @ts-expect-error: an address is no image
  await assert.rejects(client.classify("http://server.test/photo.jpg"), TypeError);
});
