import type {
  AddBatchItem,
  AddBatchQuery,
  AddQuery,
  AddResponse,
  ChangedResponse,
  CollectionInfo,
  CollectionPhoto,
  CollectionQuery,
  CollectionQueryResponse,
  CreateQuery,
  Embedding,
  GroupsQuery,
  NotDuplicates,
  PhotoGroup,
  PhotoQuery,
  QueryBatchItem,
  QueryBatchQuery,
} from "./answers.js";
import type { Caller, CallOptions } from "./calls.js";
import { type Image, imagesForm, isEmbedding, named, rawSide } from "./images.js";
import { checkedFileName, checkedGroup, checkedId, checkedName, checkedTags } from "./names.js";

/** Photos by their ids: an object or pairs, as of a Map. */
export type Keyed<T> = Iterable<readonly [string, T]> | Readonly<Record<string, T>>;
export type Images = Keyed<Image>;
export type Photos = Keyed<Image | Embedding> | AsyncIterable<readonly [string, Image | Embedding]>;

/** An embedding with tags of its own, beside those of the batch. */
export interface TaggedEmbedding {
  embedding: Embedding;
  tags?: string[];
}

export interface AddManyOptions extends CallOptions {
  /** How many are asked about at once; 8 if not given. */
  concurrency?: number;
}

/** What came of one of many: its place, its id, and either the answer or, in `error`, why there is none. */
export type Added = { index: number; id: string } & (
  | { result: AddResponse; error?: undefined }
  | { result?: undefined; error: Error }
);

const CONCURRENCY = 8;
const CHANGED: ChangedResponse = { changed: true };

/**
 * A collection on the server: photos that came in, kept and compared with each new one. Its methods throw what those of
 * `Client` do, and TypeError for an id, a name or a tag that would arrive as another.
 *
 * A photo's id is any text without control characters, up to 512 characters. An embedding of `embed` takes a photo's
 * place.
 *
 * Every call is sent again as the options allow, and none does harm twice. Where an answer was lost, `add` may tell
 * `unchanged` for a photo that this call added; deletions and marks tell `changed` then, if it is so now, since most
 * likely the lost attempt has done it.
 */
export class Collection {
  readonly name: string;
  readonly #caller: Caller;

  /** Made by `client.collection`. */
  constructor(caller: Caller, name: string) {
    this.name = checkedName(name);
    this.#caller = caller;
  }

  get #path(): { collection: string } {
    return { collection: this.name };
  }

  /** Make it of an embedder's photos, if there is none of that name; one that is there stays as it is. */
  async create(query: CreateQuery = {}, options: CallOptions = {}): Promise<CollectionInfo> {
    const params = { path: this.#path, query };
    return this.#caller.call(options, (by) => this.#caller.http.PUT("/v1/collections/{collection}", { params, ...by }));
  }

  /** What is in it? */
  async info(options: CallOptions = {}): Promise<CollectionInfo> {
    const params = { path: this.#path };
    return this.#caller.call(options, (by) => this.#caller.http.GET("/v1/collections/{collection}", { params, ...by }));
  }

  /** With all its photos. */
  async delete(options: CallOptions = {}): Promise<ChangedResponse> {
    const params = { path: this.#path };
    return this.#caller.call(
      options,
      (by) => this.#caller.http.DELETE("/v1/collections/{collection}", { params, ...by }),
      { ifRepeated: CHANGED, doneBy: "unknown_collection" },
    );
  }

  /** Add a photo; one that has this id is replaced. With `if_new` only if it is a duplicate of none that is there. */
  async add(
    photo: Image | Embedding,
    id: string,
    query: AddQuery = {},
    options: CallOptions = {},
  ): Promise<AddResponse> {
    const sent = rawSide(photo);
    const params = { path: this.#path, query: { ...checkedTags(query), id: checkedId(id) } };
    return this.#caller.call(options, (by) =>
      this.#caller.http.POST("/v1/collections/{collection}/photos", { params, ...sent, ...by }),
    );
  }

  /**
   * Add a few in one request, by their ids: all as images, or all as embeddings; the tags are of all. A bad one never
   * fails another. Throws TypeError for an image's id that no file's name can be, which `addMany` takes, and for a
   * mixture.
   */
  async addBatch(
    photos: Images | Keyed<Embedding | TaggedEmbedding>,
    query: AddBatchQuery = {},
    options: CallOptions = {},
  ): Promise<AddBatchItem[]> {
    const given = [...pairs<Image | Embedding | TaggedEmbedding>(photos)];
    const sent = batchOf(
      given,
      ([id, photo]) => ({ id: checkedId(id), ...checkedTags(tagged(photo)) }),
      ([id, image]) => named(image, checkedFileName(id)),
    );
    const params = { path: this.#path, query: checkedTags(query) };
    const answer = await this.#caller.call(options, (by) =>
      this.#caller.http.POST("/v1/collections/{collection}/batch", { params, ...sent, ...by }),
    );
    return answer.results;
  }

  /**
   * As `query` about a few in one request, all images or all embeddings; a bad one never fails another. An embedding
   * may come with the photo's own id, so that it isn't found itself: `[id, embedding]`.
   */
  async queryBatch(
    photos: Iterable<Image> | Iterable<Embedding | readonly [string, Embedding]>,
    query: QueryBatchQuery = {},
    options: CallOptions = {},
  ): Promise<QueryBatchItem[]> {
    type Given = readonly [string | undefined, Image | Embedding];
    const given = [...(photos as Iterable<Image | Embedding | readonly [string, Embedding]>)].map((photo) =>
      Array.isArray(photo) ? (photo as Given) : ([undefined, photo] as Given),
    );
    const sent = batchOf(
      given,
      ([id, photo]) => ({ ...(id === undefined ? {} : { id: checkedId(id) }), embedding: photo as Embedding }),
      ([, image]) => image,
    );
    const params = { path: this.#path, query: checkedTags(query) };
    const answer = await this.#caller.call(options, (by) =>
      this.#caller.http.POST("/v1/collections/{collection}/query/batch", { params, ...sent, ...by }),
    );
    return answer.results;
  }

  /**
   * Add photos by their ids, a request each: an item each, in their order; one that fails never stops another. At most
   * `concurrency` are taken ahead, so there may be any number. With `if_new`, which of two duplicates comes first is
   * chance where both are asked about at once. Throws TypeError for wrong tags, and the reason of the caller's signal.
   */
  async *addMany(
    photos: Photos,
    query: AddQuery = {},
    options: AddManyOptions = {},
  ): AsyncGenerator<Added, void, void> {
    const { concurrency = CONCURRENCY, signal, ...bounds } = options;
    if (!Number.isInteger(concurrency) || concurrency < 1) {
      throw new TypeError(`concurrency is ${concurrency}, and has to be a whole number from 1 on.`);
    }
    checkedTags(query);
    const left = new AbortController();
    const own = { ...bounds, signal: signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]) };
    const add = async (index: number, id: string, photo: Image | Embedding): Promise<Added> => {
      try {
        return { index, id, result: await this.add(photo, id, query, own) };
      } catch (error) {
        return { index, id, error: error instanceof Error ? error : new Error(String(error)) };
      }
    };
    const waiting: Promise<Added>[] = [];
    const next = async (): Promise<Added> => {
      const item = await (waiting.shift() as Promise<Added>);
      signal?.throwIfAborted();
      return item;
    };
    const taken = isAsync(photos) ? photos[Symbol.asyncIterator]() : pairs(photos)[Symbol.iterator]();
    let failure: { reason: unknown } | undefined;
    try {
      for (let index = 0; ; index += 1) {
        try {
          const { done, value } = await taken.next();
          if (done === true) {
            break;
          }
          waiting.push(add(index, value[0], value[1]));
        } catch (reason) {
          failure = { reason }; // it is thrown in its turn
          break;
        }
        if (waiting.length >= concurrency) {
          yield await next();
        }
      }
      while (waiting.length > 0) {
        yield await next();
      }
    } finally {
      left.abort();
      await taken.return?.();
    }
    if (failure !== undefined) {
      throw failure.reason;
    }
  }

  /** Has this photo been here before, and what is like it? With `id`, its own, it isn't found itself. */
  async query(
    photo: Image | Embedding,
    query: CollectionQuery = {},
    options: CallOptions = {},
  ): Promise<CollectionQueryResponse> {
    const sent = rawSide(photo);
    const own = query.id === undefined ? {} : { id: checkedId(query.id) };
    const params = { path: this.#path, query: { ...checkedTags(query), ...own } };
    return this.#caller.call(options, (by) =>
      this.#caller.http.POST("/v1/collections/{collection}/query", { params, ...sent, ...by }),
    );
  }

  /** What is kept of a photo, on demand with its embedding? */
  async photo(id: string, query: PhotoQuery = {}, options: CallOptions = {}): Promise<CollectionPhoto> {
    const params = { path: { ...this.#path, id: checkedId(id) }, query };
    return this.#caller.call(options, (by) =>
      this.#caller.http.GET("/v1/collections/{collection}/photos/{id}", { params, ...by }),
    );
  }

  /** Leave nothing of a photo. */
  async deletePhoto(id: string, options: CallOptions = {}): Promise<ChangedResponse> {
    const params = { path: { ...this.#path, id: checkedId(id) } };
    return this.#caller.call(
      options,
      (by) => this.#caller.http.DELETE("/v1/collections/{collection}/photos/{id}", { params, ...by }),
      { ifRepeated: CHANGED, doneBy: "unknown_photo" },
    );
  }

  /** The ids of all photos that have all tags, in the order in which they were added; asked for page by page. */
  async *photos(
    query: { tags?: string[]; pageSize?: number } = {},
    options: CallOptions = {},
  ): AsyncGenerator<string, void, void> {
    const { pageSize, ...tags } = query;
    checkedTags(tags);
    for await (const page of paged((after) => {
      const params = { path: this.#path, query: { ...tags, ...after, ...limit(pageSize) } };
      return this.#caller.call(options, (by) =>
        this.#caller.http.GET("/v1/collections/{collection}/photos", { params, ...by }),
      );
    })) {
      yield* page.ids;
    }
  }

  /**
   * All groups of photos that are one another's duplicates; asked for page by page. Of each at most `limit_ids` ids,
   * 100 where nothing is said: `group` lists them all.
   */
  async *groups(
    query: GroupsQuery & { pageSize?: number } = {},
    options: CallOptions = {},
  ): AsyncGenerator<PhotoGroup, void, void> {
    const { pageSize, ...bounds } = query;
    for await (const page of paged((after) => {
      const params = { path: this.#path, query: { ...bounds, ...after, ...limit(pageSize) } };
      return this.#caller.call(options, (by) =>
        this.#caller.http.GET("/v1/collections/{collection}/groups", { params, ...by }),
      );
    })) {
      yield* page.groups;
    }
  }

  /** The ids of a group's photos, in the order in which they were added; none where there is no such group any more. */
  async *group(
    group: string,
    query: { pageSize?: number } = {},
    options: CallOptions = {},
  ): AsyncGenerator<string, void, void> {
    const path = { ...this.#path, group: checkedGroup(group) };
    for await (const page of paged((after) => {
      const params = { path, query: { ...after, ...limit(query.pageSize) } };
      return this.#caller.call(options, (by) =>
        this.#caller.http.GET("/v1/collections/{collection}/groups/{group}", { params, ...by }),
      );
    })) {
      yield* page.ids;
    }
  }

  /** All pairs that are marked as no duplicates; asked for page by page. */
  async *notDuplicates(
    query: { pageSize?: number } = {},
    options: CallOptions = {},
  ): AsyncGenerator<NotDuplicates, void, void> {
    for await (const page of paged((after) => {
      const params = { path: this.#path, query: { ...after, ...limit(query.pageSize) } };
      return this.#caller.call(options, (by) =>
        this.#caller.http.GET("/v1/collections/{collection}/not_duplicates", { params, ...by }),
      );
    })) {
      yield* page.pairs;
    }
  }

  /** Remember that two photos, by their ids, are no duplicates, whatever they look like. */
  async markNotDuplicates(a: string, b: string, options: CallOptions = {}): Promise<ChangedResponse> {
    const params = { path: this.#path, query: { a: checkedId(a), b: checkedId(b) } };
    return this.#caller.call(
      options,
      (by) => this.#caller.http.PUT("/v1/collections/{collection}/not_duplicates", { params, ...by }),
      { ifRepeated: CHANGED },
    );
  }

  /** Forget that they are none. */
  async unmarkNotDuplicates(a: string, b: string, options: CallOptions = {}): Promise<ChangedResponse> {
    const params = { path: this.#path, query: { a: checkedId(a), b: checkedId(b) } };
    return this.#caller.call(
      options,
      (by) => this.#caller.http.DELETE("/v1/collections/{collection}/not_duplicates", { params, ...by }),
      { ifRepeated: CHANGED },
    );
  }
}

/** Photos as a form, or embeddings as JSON. Throws TypeError for a mixture. */
function batchOf<Id>(
  photos: readonly (readonly [Id, Image | Embedding | TaggedEmbedding])[],
  kept: (photo: readonly [Id, Embedding | TaggedEmbedding]) => object,
  sent: (photo: readonly [Id, Image]) => Image,
): { body: never; headers?: { "Content-Type": string } } {
  const embeddings = photos.filter((photo): photo is readonly [Id, Embedding | TaggedEmbedding] => isKept(photo[1]));
  if (embeddings.length === 0) {
    return { body: imagesForm(photos.map((photo) => sent(photo as readonly [Id, Image]))) as never };
  }
  if (embeddings.length < photos.length) {
    throw new TypeError("A batch has images or embeddings, and these are some of each. Send two batches.");
  }
  const type = "application/json";
  const body = new Blob([JSON.stringify({ photos: embeddings.map(kept) })], { type });
  return { body: body as never, headers: { "Content-Type": type } };
}

function tagged(photo: Embedding | TaggedEmbedding): TaggedEmbedding {
  if ("values" in photo) {
    return { embedding: photo };
  }
  return photo.tags === undefined ? { embedding: photo.embedding } : { embedding: photo.embedding, tags: photo.tags };
}

function isKept(photo: Image | Embedding | TaggedEmbedding): photo is Embedding | TaggedEmbedding {
  return isEmbedding(photo as Image | Embedding) || (typeof photo === "object" && "embedding" in photo);
}

/** Pages, one after the other. */
async function* paged<P extends { next?: number }>(
  ask: (after: { after?: number }) => Promise<P>,
): AsyncGenerator<P, void, void> {
  let page = await ask({});
  yield page;
  while (page.next !== undefined) {
    page = await ask({ after: page.next });
    yield page;
  }
}

function limit(pageSize: number | undefined): { limit?: number } {
  return pageSize === undefined ? {} : { limit: pageSize };
}

function isAsync(photos: Photos): photos is AsyncIterable<readonly [string, Image | Embedding]> {
  return Symbol.asyncIterator in photos;
}

function pairs<T>(photos: Keyed<T>): Iterable<readonly [string, T]> {
  return Symbol.iterator in photos ? (photos as Iterable<readonly [string, T]>) : Object.entries(photos);
}
