// Against a real server: PHOTOTRIAGE_URL says where it is, PHOTOTRIAGE_KEY what it takes. Its models are `tiny`, which
// knows red, green and blue, and `tiny_embedder`, to which red and green are unlike.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, ProblemError } from "../src/index.js";

const { PHOTOTRIAGE_URL: baseUrl, PHOTOTRIAGE_KEY: apiKey } = process.env;
if (baseUrl === undefined || apiKey === undefined) {
  throw new Error("PHOTOTRIAGE_URL and PHOTOTRIAGE_KEY have to say where the server is, and its key.");
}
const client = createClient({ baseUrl, apiKey });
const [RED, GREEN] = [solid(255, 0, 0), solid(0, 255, 0)];

/** A BMP file of one colour. */
function solid(red: number, green: number, blue: number, width = 16, height = 12): Uint8Array {
  const [header, pixels] = [54, width * height * 3];
  const view = new DataView(new ArrayBuffer(header + pixels));
  view.setUint16(0, 0x424d);
  view.setUint32(2, header + pixels, true);
  view.setUint32(10, header, true);
  view.setUint32(14, 40, true); // bytes of what follows, up to the pixels
  view.setInt32(18, width, true);
  view.setInt32(22, height, true);
  view.setUint16(26, 1, true); // planes
  view.setUint16(28, 24, true); // bits a pixel
  const bytes = new Uint8Array(view.buffer);
  for (let at = header; at < bytes.length; at += 3) {
    bytes.set([blue, green, red], at);
  }
  return bytes;
}

/** The problem that a call ends with. */
async function refused(call: Promise<unknown>): Promise<ProblemError> {
  const error: unknown = await call.then(
    () => assert.fail("the call succeeded"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ProblemError, String(error));
  return error;
}

test("classifies a raw body of every kind", async () => {
  for (const image of [RED, RED.buffer as ArrayBuffer, new Blob([RED as Uint8Array<ArrayBuffer>]), Buffer.from(RED)]) {
    const answer = await client.classify(image, { top_k: 1 });
    assert.equal(answer.model.name, "tiny");
    assert.deepEqual([answer.label, answer.probabilities.length], ["red", 1]);
  }
});

test("triages a batch with one image that can't be read", async () => {
  const file = new File([RED as Uint8Array<ArrayBuffer>], "röt \"1\".bmp", { type: "image/bmp" });
  const images = [file, { data: RED.subarray(0, 100), filename: "half.bmp" }, GREEN];
  const results = await client.triageBatch(images, { include: ["classify", "embed"] });
  assert.deepEqual(results.map((each) => each.index), [0, 1, 2]);
  assert.deepEqual(results.map((each) => each.classify?.label), ["red", undefined, "green"]);
  assert.deepEqual(results.map((each) => each.error?.code), [undefined, "undecodable_image", undefined]);
  assert.deepEqual(results.slice(1).map((each) => each.filename), ["half.bmp", "image_2"]);
  assert.match(results[0]?.filename ?? "", /^röt .*1.*\.bmp$/);
});

test("tells what was refused, and why", async () => {
  const unknown = await refused(client.classify(RED, { model: "none" }));
  assert.deepEqual([unknown.status, unknown.code], [404, "unknown_model"]);
  assert.match(unknown.detail, /none/);
  assert.match(unknown.requestId ?? "", /^[0-9a-f]{32}$/);
  assert.equal((await refused(client.classify(new TextEncoder().encode("no image")))).code, "unsupported_image");
  assert.equal((await refused(client.classify(RED, { top_k: 99 }))).code, "malformed_request");
  assert.equal((await refused(client.saliency(RED, { target: "mauve" }))).code, "unknown_label");
  assert.equal((await refused(client.difficulty(RED))).status, 404); // no model that tells it
  const stranger = createClient({ baseUrl, apiKey: "some other key" });
  assert.deepEqual((await refused(stranger.classify(RED))).code, "unauthorized");
});

test("shows what the model looked at, as JSON and as a picture", async () => {
  const { width, height, target, mask_png } = await client.saliency(RED, { method: "featout", target: "green" });
  assert.deepEqual([width, height, target], [16, 12, "green"]);
  const mask = await client.saliencyPng(RED, { method: "featout", target: "green" });
  assert.equal(mask.type, "image/png");
  assert.equal(Buffer.from(await mask.arrayBuffer()).toString("base64"), mask_png);
});

test("compares photos and kept embeddings", async () => {
  const { embedding } = await client.embed(RED);
  const same = await client.duplicates(JSON.parse(JSON.stringify(embedding)), RED, { explain: true });
  assert.deepEqual([same.is_duplicate, same.threshold_source], [true, "tuned"]);
  assert.deepEqual([same.decision, same.verified, same.evidence], ["duplicate", false, undefined]); // it can't verify
  assert.match(same.reason, /^The similarity of the embeddings is 1\.000, at least/);
  assert.equal(same.explanation?.picture_png, null); // nor does it give signatures
  assert.equal(same.explanation?.a, null);
  assert.equal(same.explanation?.b?.width, 16);
  const other = await client.duplicates(RED, GREEN, { threshold: 0.5 });
  assert.deepEqual([other.is_duplicate, other.threshold_source], [false, "request"]);
  assert.equal((await refused(client.duplicates({ ...embedding, version: "0" }, RED))).code, "foreign_embedding");
});

test("draws two photos side by side, as JSON and as a picture", async () => {
  const { explanation } = await client.duplicates(RED, GREEN, { explain: true });
  const picture = await client.duplicatesPng(RED, GREEN);
  assert.equal(picture.type, "image/png");
  assert.equal(Buffer.from(await picture.arrayBuffer()).toString("base64"), explanation?.picture_png);
});

test("triages one photo", async () => {
  const all = await client.triage(RED);
  assert.equal(all.classify?.label, "red");
  assert.equal(all.saliency, undefined);
  const { saliency } = await client.triage(RED, { include: ["saliency"], method: "gradient" });
  assert.equal(saliency.method, "gradient");
});

test("keeps photos in a collection, and knows them again", async () => {
  const collection = client.collection("listings");
  const made = await collection.create({ model: "tiny_embedder" });
  assert.deepEqual([made.name, made.photos, made.served, made.verifies], ["listings", 0, true, false]);
  assert.deepEqual((await client.collections()).collections, [await collection.info()]);
  const first = await collection.add(RED, "house 1/front.bmp", { tags: ["berlin", "ö x"] });
  assert.deepEqual([first.outcome, first.added, first.duplicates], ["added", true, []]);
  const again = await collection.add(RED, "again", { if_new: true });
  assert.deepEqual([again.outcome, again.duplicates.map((each) => each.id)], ["duplicate", ["house 1/front.bmp"]]);
  const { embedding } = await client.embed(RED);
  const found = await collection.query(embedding, { top_k: 1, tags: ["ö x"] });
  assert.deepEqual([found.is_duplicate, found.matches[0]?.id], [true, "house 1/front.bmp"]);
  assert.deepEqual((await collection.query(RED, { id: "house 1/front.bmp" })).matches, []);
  assert.deepEqual((await collection.photo("house 1/front.bmp", { embedding: true })).embedding, embedding);
  assert.deepEqual(await collection.delete(), { changed: true });
  assert.equal((await refused(collection.query(RED))).code, "unknown_collection");
  assert.equal((await refused(client.collection("Not this").create())).code, "malformed_request");
});

test("asks a collection in a triage, and about several at once, and adds embeddings in batches", async () => {
  const collection = client.collection("asked");
  await collection.create();
  const added = await client.triage(RED, { include: ["classify"], collection: "asked", id: "a", tags: ["x"] });
  assert.deepEqual([added.classify.label, added.collection?.outcome], ["red", "added"]);
  const [asked] = await client.triageBatch([RED], { include: ["embed"], collection: "asked" });
  assert.deepEqual(asked?.collection?.duplicates.map((each) => each.id), ["a"]);
  const { embedding } = await client.embed(GREEN);
  const results = await collection.addBatch({ 'b"': { embedding, tags: ["y"] }, c: { ...embedding, version: "0" } });
  assert.deepEqual(results.map((each) => each.error?.code ?? each.result?.outcome), ["added", "foreign_embedding"]);
  const [own, image] = [await collection.queryBatch([['b"', embedding]]), await collection.queryBatch([RED, GREEN])];
  assert.equal(own[0]?.result?.is_duplicate, false);
  assert.deepEqual(image.map((each) => each.result?.matches[0]?.id), ["a", 'b"']);
  await collection.delete();
});

test("adds several, one of which can't be read, and lists them by their ids", async () => {
  const collection = client.collection("several");
  await collection.create();
  const half = RED.subarray(0, 100);
  const results = await collection.addBatch({ "50%25": RED, "half/1": half, "ö": GREEN }, { tags: ["batch"] });
  assert.deepEqual(results.map((each) => each.id), ["50%25", "half/1", "ö"]);
  assert.deepEqual(results.map((each) => each.result?.outcome), ["added", undefined, "added"]);
  assert.equal(results[1]?.error?.code, "undecodable_image");
  const { embedding } = await client.embed(RED);
  const ids = ["a/../b", "/", "100%", "%2F", "a?b#c", "a&b=c+d", ": \\ \"'"];
  const photos = ids.map((id) => [id, embedding] as const);
  for await (const item of collection.addMany(photos, { tags: ["many"] }, { concurrency: 1 })) {
    assert.equal(item.result?.id, ids[item.index]);
  }
  const listed: string[] = [];
  for await (const id of collection.photos({ tags: ["many"], pageSize: 3 })) {
    listed.push(id);
  }
  assert.deepEqual(listed, ids);
  for await (const group of collection.groups({ pageSize: 1 })) {
    assert.deepEqual([group.photos, group.ids], [8, ["50%25", ...ids]]);
    const members: string[] = [];
    for await (const id of collection.group(group.group, { pageSize: 3 })) {
      members.push(id);
    }
    assert.deepEqual(members, group.ids);
  }
  for await (const group of collection.groups({ limit_ids: 1 })) {
    assert.deepEqual([group.photos, group.ids], [8, ["50%25"]]);
  }
  assert.deepEqual(await collection.markNotDuplicates("/", "100%"), { changed: true });
  for await (const pair of collection.notDuplicates()) {
    assert.deepEqual([pair.a, pair.b].sort(), ["/", "100%"]);
  }
  assert.deepEqual(await collection.unmarkNotDuplicates("100%", "/"), { changed: true });
  for (const id of ids) {
    assert.equal((await collection.photo(id)).id, id);
    assert.deepEqual(await collection.deletePhoto(id), { changed: true });
  }
  assert.equal((await refused(collection.deletePhoto("/"))).code, "unknown_photo");
  assert.equal((await collection.info()).photos, 2);
  await collection.delete();
});

test("asks the server about itself", async () => {
  assert.deepEqual(await client.live(), { status: "alive" });
  assert.deepEqual(await client.ready(), { status: "ready" });
  assert.deepEqual((await client.models()).models.map((each) => each.name), ["tiny", "tiny_embedder"]);
  const { taken_up, refused: kept, models } = await client.reload();
  assert.deepEqual([taken_up, kept, models.length], [[], [], 2]);
  assert.match(await client.metrics(), /^phototriage_requests_total\{.*route="\/v1\/classify"/m);
  assert.deepEqual((await client.document())["info"] instanceof Object, true);
});
