import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { type Added, type Client, type Collection, ConnectionError, createClient } from "../src/index.js";
import type { Embedding } from "../src/index.js";
import { type Answer, faked, IMAGE, json, problem, unreachable } from "./fakes.js";

const MODEL = { name: "tiny", version: "1" };
const ADDED = { collection: "c", model: MODEL, id: "a", outcome: "added", added: true, group: "0", duplicates: [] };
const CHANGED = { changed: true };
const EMBEDDING: Embedding = { model: "tiny", version: "1", dimension: 1, values: "AACAPw==" };

beforeEach(() => {
  mock.method(Math, "random", () => 0); // no pause but what Retry-After asks for
});
afterEach(() => mock.restoreAll());

/** A collection of a server that calls each photo by its id, slower the earlier it comes, and refuses `bad`. */
function slow(): { collection: Collection; asked: string[]; most: () => number } {
  const asked: string[] = [];
  let [now, most] = [0, 0];
  const fetch = async (request: Request): Promise<Response> => {
    const id = new URL(request.url).searchParams.get("id") ?? "";
    asked.push(id);
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setTimeout(resolve, 2 * (3 - (asked.length % 4))));
    now -= 1;
    const refused = problem(415, "unsupported_image") as () => Response;
    return id === "bad" ? refused() : Response.json({ ...ADDED, id });
  };
  const client = createClient({ baseUrl: "http://server.test", fetch });
  return { collection: client.collection("c"), asked, most: () => most };
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) {
    found.push(item);
  }
  return found;
}

test("sends a photo as the body, an embedding as JSON, and ids and tags as they are", async () => {
  const { client, sent } = faked([json(ADDED)]);
  const collection = client.collection("c");
  const query = { tags: ["x y", "ö"], if_new: true, threshold: 0.5, min_probability: 0.25 };
  await collection.add(IMAGE, "a&b/c+d%20$&", query);
  await collection.add(EMBEDDING, "b");
  await collection.query(EMBEDDING, { top_k: 3, tags: [], id: "50%/" });
  const [first, second, third] = sent;
  assert.deepEqual([first?.method, first?.url.pathname], ["POST", "/v1/collections/c/photos"]);
  const params = [["tags", "x y,ö"], ["if_new", "true"], ["threshold", "0.5"], ["min_probability", "0.25"]];
  assert.deepEqual([...(first?.url.searchParams ?? [])], [...params, ["id", "a&b/c+d%20$&"]]);
  assert.equal(first?.headers.get("Content-Type"), "application/octet-stream");
  assert.deepEqual(first?.bytes, IMAGE);
  assert.equal(second?.headers.get("Content-Type"), "application/json");
  assert.deepEqual(JSON.parse(new TextDecoder().decode(second?.bytes)), EMBEDDING);
  assert.equal(third?.url.href, "http://server.test/v1/collections/c/query?top_k=3&id=50%25%2F");
});

test("puts ids into paths so that they stay one part", async () => {
  const { client, sent } = faked([json(CHANGED)]);
  for (const id of ["a/../b", "/", "100%", "%2F", "a?b#c", "Größe €", "...", "$&"]) {
    await client.collection("c.d").deletePhoto(id);
    const parts = sent.at(-1)?.url.pathname.split("/") ?? [];
    assert.deepEqual(parts.slice(0, 5), ["", "v1", "collections", "c.d", "photos"]);
    assert.deepEqual(parts.slice(5).map(decodeURIComponent), [id]);
  }
  assert.ok(sent.every((each) => each.method === "DELETE"));
});

test("asks every other route by its method", async () => {
  const { client, sent } = faked([json({ collections: [], changed: true })]);
  const collection = client.collection("c");
  await client.collections();
  await collection.create({ model: "tiny" });
  await collection.info();
  await collection.delete();
  await collection.photo("a", { embedding: true });
  await collection.markNotDuplicates("a/", "b");
  await collection.unmarkNotDuplicates("a", "b");
  assert.deepEqual(
    sent.map((each) => `${each.method} ${each.url.pathname.slice("/v1/collections".length)}${each.url.search}`),
    [
      "GET ",
      "PUT /c?model=tiny",
      "GET /c",
      "DELETE /c",
      "GET /c/photos/a?embedding=true",
      "PUT /c/not_duplicates?a=a%2F&b=b",
      "DELETE /c/not_duplicates?a=a&b=b",
    ],
  );
});

test("sends a batch by ids in place of names, of an object or of pairs", async () => {
  const { client, sent } = faked([json({ results: [] })]);
  const collection = client.collection("c");
  const file = new File([IMAGE], "own.png", { type: "image/png" });
  await collection.addBatch({ "house 1/front": IMAGE, "50%": file }, { tags: ["x"], if_new: true });
  await collection.addBatch(new Map([["ö", { data: IMAGE, filename: "other.jpg" }]]));
  const names = sent.map((each) => (each.form?.getAll("images") as File[]).map((part) => part.name));
  assert.deepEqual(names, [["house 1/front", "50%"], ["ö"]]);
  assert.equal(sent[0]?.url.search, "?tags=x&if_new=true");
});

test("sends a batch of embeddings as JSON, with ids and tags of their own", async () => {
  const { client, sent } = faked([json({ results: [] })]);
  const collection = client.collection("c");
  await collection.addBatch({ 'a"': EMBEDDING, b: { embedding: EMBEDDING, tags: ["x"] } }, { tags: ["y"] });
  await collection.queryBatch([EMBEDDING, ["b", EMBEDDING]], { top_k: 2 });
  await collection.queryBatch([IMAGE]);
  const bodies = sent.slice(0, 2).map((each) => JSON.parse(new TextDecoder().decode(each.bytes)) as unknown);
  assert.deepEqual(bodies, [
    { photos: [{ id: 'a"', embedding: EMBEDDING }, { id: "b", embedding: EMBEDDING, tags: ["x"] }] },
    { photos: [{ embedding: EMBEDDING }, { id: "b", embedding: EMBEDDING }] },
  ]);
  assert.deepEqual(
    sent.map((each) => each.url.pathname + each.url.search),
    ["batch?tags=y", "query/batch?top_k=2", "query/batch"].map((path) => `/v1/collections/c/${path}`),
  );
  assert.equal(sent[0]?.headers.get("Content-Type"), "application/json");
  assert.match(sent[2]?.headers.get("Content-Type") ?? "", /^multipart\/form-data/);
  await assert.rejects(collection.queryBatch([IMAGE, EMBEDDING] as never), TypeError);
  await assert.rejects(collection.addBatch({ a: { embedding: EMBEDDING, tags: ["x,y"] } }), TypeError);
  assert.equal(sent.length, 3);
});

test("asks a collection in a triage, and adds what has an id or a file's name", async () => {
  const { client, sent } = faked([json({ results: [] })]);
  await client.triage(IMAGE, { collection: "c", id: "a/b", tags: ["x", "y"], if_new: true });
  assert.equal(sent[0]?.url.search, "?collection=c&id=a%2Fb&tags=x,y&if_new=true");
  await client.triageBatch([{ data: IMAGE, filename: "a" }], { collection: "c", add: true });
  assert.equal(sent[1]?.url.search, "?collection=c&add=true");
  await assert.rejects(client.triage(IMAGE, { collection: "c", id: ".." }), TypeError);
  await assert.rejects(client.triage(IMAGE, { collection: "c", id: "a", tags: ["x,y"] }), TypeError);
  await assert.rejects(client.triageBatch([IMAGE], { collection: "c", add: true }), TypeError);
  assert.equal(sent.length, 2);
});

test("sends nothing that would arrive as another id, name or tag", async () => {
  const { client, sent } = faked([json(ADDED)]);
  const collection = client.collection("c");
  for (const name of ["", ".", "..", "a/photos/b", "\ud800"]) {
    assert.throws(() => client.collection(name), { name: "TypeError", message: /can't be called/ });
  }
  for (const id of ["", ".", "..", "\ud800", 7 as never]) {
    await assert.rejects(collection.add(IMAGE, id), TypeError);
    await assert.rejects(collection.query(IMAGE, { id }), TypeError);
    await assert.rejects(collection.photo(id), TypeError);
    await assert.rejects(collection.deletePhoto(id), TypeError);
    await assert.rejects(collection.markNotDuplicates("a", id), TypeError);
    await assert.rejects(collection.unmarkNotDuplicates(id, "a"), TypeError);
    await assert.rejects(collection.addBatch([[id, IMAGE]]), TypeError);
  }
  for (const id of ['a"b', "C:\\a.jpg", "a\nb", "\x7f", "a".repeat(256)]) {
    await assert.rejects(collection.addBatch([["a", IMAGE], [id, IMAGE]]), { message: /A batch can't hold/ });
  }
  for (const tag of ["", "a,b"]) {
    const wrong = { name: "TypeError", message: /A tag can't be/ };
    await assert.rejects(collection.add(IMAGE, "a", { tags: ["x", tag] }), wrong);
    await assert.rejects(collection.query(IMAGE, { tags: [tag] }), wrong);
    await assert.rejects(collection.addBatch({ a: IMAGE }, { tags: [tag] }), wrong);
    await assert.rejects(all(collection.addMany({ a: IMAGE }, { tags: [tag] })), wrong);
    await assert.rejects(all(collection.photos({ tags: [tag] })), wrong);
  }
  assert.equal(sent.length, 0);
});

test("goes through all pages, as far as they are wanted", async () => {
  const pages = [json({ ids: ["a", "b"], next: 7 }), json({ ids: [], next: 9 }), json({ ids: ["c"] })];
  const { client, sent } = faked(pages);
  assert.deepEqual(await all(client.collection("c").photos({ tags: ["x"], pageSize: 2 })), ["a", "b", "c"]);
  assert.deepEqual(
    sent.map((each) => Object.fromEntries(each.url.searchParams)),
    [
      { tags: "x", limit: "2" },
      { tags: "x", limit: "2", after: "7" },
      { tags: "x", limit: "2", after: "9" },
    ],
  );
  const groups = faked([json({ groups: [{ group: "0", ids: ["a", "b"] }], next: 1 })]);
  for await (const group of groups.client.collection("c").groups()) {
    assert.deepEqual(group.ids, ["a", "b"]);
    break;
  }
  assert.equal(groups.sent.length, 1);
  const pairs = faked([json({ pairs: [{ a: "a", b: "b" }] })]);
  assert.deepEqual(await all(pairs.client.collection("c").notDuplicates({ pageSize: 1 })), [{ a: "a", b: "b" }]);
});

const CHANGES: [string, string | undefined, (client: Client) => Promise<unknown>][] = [
  ["delete", "unknown_collection", (client) => client.collection("c").delete()],
  ["deletePhoto", "unknown_photo", (client) => client.collection("c").deletePhoto("a")],
  ["markNotDuplicates", undefined, (client) => client.collection("c").markNotDuplicates("a", "b")],
  ["unmarkNotDuplicates", undefined, (client) => client.collection("c").unmarkNotDuplicates("a", "b")],
];
const LOST: Answer[] = [unreachable, problem(503, "store_unavailable"), () => new Response("busy", { status: 503 })];

for (const [name, code, change] of CHANGES) {
  test(`${name} tells what a lost attempt has done`, async () => {
    const done = code === undefined ? json({ changed: false }) : problem(404, code);
    for (const lost of LOST) {
      const { client, sent } = faked([lost, problem(503, "overloaded"), done]);
      assert.deepEqual(await change(client), CHANGED);
      assert.equal(sent.length, 3);
    }
    for (const answers of [[done], [problem(503, "overloaded"), done]]) {
      const asked = change(faked(answers).client);
      await (code === undefined
        ? asked.then((answer) => assert.deepEqual(answer, { changed: false }))
        : assert.rejects(asked, { code }));
    }
    await assert.rejects(change(faked([unreachable, problem(404, "other")]).client), { code: "other" });
    await assert.rejects(change(faked([unreachable]).client), ConnectionError);
  });
}

test("adds and asks again after a failure", async () => {
  const unavailable = problem(503, "store_unavailable");
  const { client, sent } = faked([unreachable, unavailable, json({ ...ADDED, outcome: "unchanged", added: false })]);
  assert.equal((await client.collection("c").add(IMAGE, "a")).outcome, "unchanged");
  assert.deepEqual(sent.map((each) => each.bytes), [IMAGE, IMAGE, IMAGE]);
  const other = faked([unavailable]);
  await assert.rejects(other.client.collection("c").query(IMAGE), { code: "store_unavailable", status: 503 });
  assert.equal(other.sent.length, 5);
});

test("adds many in their order, so many at once, and one that fails stops none", async () => {
  const { collection, most } = slow();
  const ids = [...Array(12).keys()].map(String);
  const good = ids.map((id) => [id, IMAGE] as [string, Uint8Array]);
  const photos = [...good, ["bad", IMAGE], ["..", IMAGE], ["x", "path"]] as [string, Uint8Array][];
  const items = await all(collection.addMany(photos, { tags: ["x"] }, { concurrency: 3 }));
  assert.deepEqual(items.map((each) => each.index), [...Array(15).keys()]);
  assert.deepEqual(items.slice(0, 12).map((each) => each.result?.id), ids);
  assert.deepEqual(items.slice(12).map((each) => [each.id, each.error?.name]), [
    ["bad", "ProblemError"],
    ["..", "TypeError"],
    ["x", "TypeError"],
  ]);
  assert.equal(most(), 3);
  await assert.rejects(all(collection.addMany([], {}, { concurrency: 0 })), { message: /concurrency is 0/ });
});

test("takes photos that come by and by, no further ahead than it asks, and leaves early", async () => {
  const { collection } = slow();
  let [taken, closed] = [0, false];
  async function* coming(): AsyncGenerator<[string, Uint8Array]> {
    try {
      for (;;) {
        taken += 1;
        yield [String(taken), IMAGE];
      }
    } finally {
      closed = true;
    }
  }
  const items: Added[] = [];
  for await (const item of collection.addMany(coming(), {}, { concurrency: 2 })) {
    items.push(item);
    if (items.length === 5) {
      break;
    }
  }
  assert.deepEqual(items.map((each) => each.result?.id), ["1", "2", "3", "4", "5"]);
  assert.ok(taken <= 7);
  assert.ok(closed);
});

test("gives the items before an input that fails, and ends with the caller's signal", async () => {
  const { collection, asked } = slow();
  function* failing(): Generator<[string, Uint8Array]> {
    yield ["a", IMAGE];
    throw new RangeError("no more");
  }
  const items = collection.addMany(failing());
  assert.equal((await items.next()).value?.id, "a");
  await assert.rejects(items.next(), RangeError);
  const control = new AbortController();
  const reason = new Error("no longer wanted");
  const many = collection.addMany({ b: IMAGE, c: IMAGE, d: IMAGE }, {}, { signal: control.signal, concurrency: 1 });
  await many.next();
  control.abort(reason);
  await assert.rejects(many.next(), reason);
  assert.ok(!asked.includes("d"));
});

test("types say what of an item is there", async () => {
  const { client } = faked([json(ADDED)]);
  const [item] = await all(client.collection("c").addMany({ a: IMAGE }));
  assert.ok(item);
  // @ts-expect-error: there may be an error in its place
  assert.equal(item.result.outcome, "added");
  assert.equal(item.error === undefined ? item.result.outcome : item.error.message, "added");
  // @ts-expect-error: an id is needed
  await assert.rejects(client.collection("c").add(IMAGE), TypeError);
  // @ts-expect-error: there is no such parameter
  await client.collection("c").query(IMAGE, { topK: 3 });
});
