import type {
  BatchItem,
  ClassifyResponse,
  ClassifyQuery,
  CollectionsResponse,
  DifficultyResponse,
  DifficultyQuery,
  DuplicatesResponse,
  DuplicatesQuery,
  EmbedResponse,
  EmbedQuery,
  Embedding,
  Health,
  ModelsResponse,
  Part,
  PictureQuery,
  ReloadResponse,
  SaliencyResponse,
  SaliencyQuery,
  TriageBatchQuery,
  TriageResponse,
  TriageQuery,
  Triaged,
} from "./answers.js";
import { Caller, type CallOptions, type ClientOptions } from "./calls.js";
import { Collection } from "./collections.js";
import { type Image, imagesForm, nameOf, pairForm, raw } from "./images.js";
import { checkedFileName, checkedId, checkedTags } from "./names.js";
import type { operations } from "./schema.js";

/**
 * A client of one server. Throws TypeError where the base URL is no absolute address or, on a page, a path of its own.
 */
export function createClient(options: ClientOptions): Client {
  return new Client(options);
}

/**
 * All routes of a Phototriage server. Every method throws ProblemError for what the server refuses, ConnectionError,
 * TimeoutError, the reason of the caller's signal, and TypeError for an image that isn't bytes.
 */
export class Client {
  readonly #caller: Caller;
  readonly #http: Caller["http"];

  constructor(options: ClientOptions) {
    this.#caller = new Caller(options);
    this.#http = this.#caller.http;
  }

  /** What is in this photo? */
  async classify(image: Image, query: ClassifyQuery = {}, options: CallOptions = {}): Promise<ClassifyResponse> {
    const sent = raw(image);
    return this.#caller.call(options, (by) => this.#http.POST("/v1/classify", { params: { query }, ...sent, ...by }));
  }

  /** How hard is this photo, and why? */
  async difficulty(image: Image, query: DifficultyQuery = {}, options: CallOptions = {}): Promise<DifficultyResponse> {
    const sent = raw(image);
    return this.#caller.call(options, (by) => this.#http.POST("/v1/difficulty", { params: { query }, ...sent, ...by }));
  }

  /** What did the model look at? The mask in base64, with what it says. */
  async saliency(image: Image, query: SaliencyQuery = {}, options: CallOptions = {}): Promise<SaliencyResponse> {
    const sent = raw(image);
    return this.#caller.call(options, (by) => this.#http.POST("/v1/saliency", { params: { query }, ...sent, ...by }));
  }

  /** What did the model look at? The mask alone: an 8-bit grey PNG of the upright image's size. */
  async saliencyPng(image: Image, query: SaliencyQuery = {}, options: CallOptions = {}): Promise<Blob> {
    const { body, headers } = raw(image);
    const sent = { body, headers: { ...headers, Accept: "image/png" }, parseAs: "blob" as const };
    return this.#caller.call(options, (by) => this.#http.POST("/v1/saliency", { params: { query }, ...sent, ...by }));
  }

  /** What is this photo to be known by? `duplicates` takes the embedding in place of the photo. */
  async embed(image: Image, query: EmbedQuery = {}, options: CallOptions = {}): Promise<EmbedResponse> {
    const sent = raw(image);
    return this.#caller.call(options, (by) => this.#http.POST("/v1/embed", { params: { query }, ...sent, ...by }));
  }

  /**
   * Are these two the same photo, if cropped, framed, recoloured or compressed anew? The server lays one over the other,
   * and `verified` is true; with a `threshold`, or an embedding without a signature, their similarity decides alone.
   */
  async duplicates(
    a: Image | Embedding,
    b: Image | Embedding,
    query: DuplicatesQuery = {},
    options: CallOptions = {},
  ): Promise<DuplicatesResponse> {
    const body = form<"duplicates">(pairForm(a, b));
    return this.#caller.call(options, (by) => this.#http.POST("/v1/duplicates", { params: { query }, body, ...by }));
  }

  /**
   * What the two have in common, drawn: both side by side, as PNG. An embedding is drawn from its signature, grey, and
   * refused without one.
   */
  async duplicatesPng(
    a: Image | Embedding,
    b: Image | Embedding,
    query: PictureQuery = {},
    options: CallOptions = {},
  ): Promise<Blob> {
    const body = form<"duplicates">(pairForm(a, b));
    const sent = { body, headers: { Accept: "image/png" }, parseAs: "blob" as const };
    const params = { query: { ...query, explain: true } };
    return this.#caller.call(options, (by) => this.#http.POST("/v1/duplicates", { params, ...sent, ...by }));
  }

  /**
   * All of these at once, from one decode. What `include` names is there in the answer. A `collection` is asked about
   * the photo, too; with an `id` the photo is added to it. An error says that it wasn't, but for deadlines and lost
   * answers: then ask again.
   */
  triage<P extends Part>(
    image: Image,
    query: TriageQuery<P> & { include: readonly P[] },
    options?: CallOptions,
  ): Promise<Triaged<P>>;
  triage(image: Image, query?: TriageQuery, options?: CallOptions): Promise<TriageResponse>;
  async triage(image: Image, query: TriageQuery = {}, options: CallOptions = {}): Promise<TriageResponse> {
    const sent = raw(image);
    const own = query.id === undefined ? {} : { id: checkedId(query.id) };
    const params = { query: { ...listed(checkedTags(query)), ...own } };
    return this.#caller.call(options, (by) => this.#http.POST("/v1/triage", { params, ...sent, ...by }));
  }

  /**
   * The same about several photos, in their order; one that can't be read never fails another. With `add` they are
   * added to the `collection` by their file names. Throws TypeError where one has none, or such as no form can hold.
   */
  triageBatch<P extends Part>(
    images: Iterable<Image>,
    query: TriageBatchQuery<P> & { include: readonly P[] },
    options?: CallOptions,
  ): Promise<BatchItem<Triaged<P>>[]>;
  triageBatch(images: Iterable<Image>, query?: TriageBatchQuery, options?: CallOptions): Promise<BatchItem[]>;
  async triageBatch(
    images: Iterable<Image>,
    query: TriageBatchQuery = {},
    options: CallOptions = {},
  ): Promise<BatchItem[]> {
    const given = [...images];
    if (query.add === true) {
      given.forEach((image) => checkedFileName(nameOf(image) ?? ""));
    }
    const body = form<"triage_batch">(imagesForm(given));
    const params = { query: listed(checkedTags(query)) };
    const answer = await this.#caller.call(options, (by) =>
      this.#http.POST("/v1/triage/batch", { params, body, ...by }),
    );
    return answer.results as BatchItem[];
  }

  /** Which models are served? */
  async models(options: CallOptions = {}): Promise<ModelsResponse> {
    return this.#caller.call(options, (by) => this.#http.GET("/v1/models", by));
  }

  /** Take up what has changed in the models directory. Needs a key. It is sent again only where nothing was done. */
  async reload(options: CallOptions = {}): Promise<ReloadResponse> {
    return this.#caller.call(options, (by) => this.#http.POST("/v1/models/reload", by), { repeatable: false });
  }

  /** Does the process answer? Asked once, unless `retries` says more. */
  async live(options: CallOptions = {}): Promise<Health> {
    return this.#caller.call({ retries: 0, ...options }, (by) => this.#http.GET("/livez", by));
  }

  /** Are the models verified, replayed and warm? Asked once, unless `retries` says more. */
  async ready(options: CallOptions = {}): Promise<Health> {
    return this.#caller.call({ retries: 0, ...options }, (by) => this.#http.GET("/readyz", by));
  }

  /** Metrics in Prometheus's text format. */
  async metrics(options: CallOptions = {}): Promise<string> {
    return this.#caller.call(options, (by) => this.#http.GET("/metrics", { parseAs: "text", ...by }));
  }

  /** The server's own OpenAPI document. */
  async document(options: CallOptions = {}): Promise<Record<string, unknown>> {
    return this.#caller.call(options, (by) => this.#http.GET("/docs.json", by));
  }

  /**
   * A handle of a collection, for which nothing is asked: it needn't be there yet. Throws TypeError for a name that
   * would lead to another route.
   */
  collection(name: string): Collection {
    return new Collection(this.#caller, name);
  }

  /** Which collections are there? */
  async collections(options: CallOptions = {}): Promise<CollectionsResponse> {
    return this.#caller.call(options, (by) => this.#http.GET("/v1/collections", by));
  }
}

/** A form, where the document's type has an object of its parts. */
function form<Name extends "duplicates" | "triage_batch">(
  parts: FormData,
): operations[Name]["requestBody"]["content"]["multipart/form-data"] {
  return parts as unknown as operations[Name]["requestBody"]["content"]["multipart/form-data"];
}

/** Lists that may be read only, as the generated types have them. */
function listed<Query extends { include?: readonly Part[] }>({
  include,
  ...query
}: Query): Omit<Query, "include"> & { include?: Part[] } {
  return include === undefined ? query : { ...query, include: [...include] };
}
