import createFetchClient, { type Client as FetchClient } from "openapi-fetch";
import type {
  BatchItem,
  ClassifyResponse,
  ClassifyQuery,
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
  TriageResponse,
  TriageQuery,
  Triaged,
} from "./answers.js";
import { ConnectionError, PhototriageError, problemOf, TimeoutError, unexpected } from "./errors.js";
import { type Image, imagesForm, pairForm, toBlob } from "./images.js";
import { sendWithin } from "./retries.js";
import type { operations, paths } from "./schema.js";

type Fetch = (request: Request) => Promise<Response>;
type Result<T> = { data?: T; error?: unknown; response: Response };

export interface ClientOptions {
  /** Where the server is, as `https://photos.example.org` or, behind a proxy, with a path. */
  baseUrl: string;
  /** Sent as `Authorization: Bearer`. Whoever can read a page's script can read it, too. */
  apiKey?: string;
  /** Used in place of the platform's fetch. */
  fetch?: Fetch;
  /** Of a whole call, with its retries; 30,000 if not given. The server's own deadline is 10 s where nobody set it. */
  timeoutMs?: number;
  /** How often a call is sent again while the server is busy or can't be reached; 4 if not given. */
  retries?: number;
}

/** Of one call; the client's own where it says nothing. */
export interface CallOptions {
  /** Ends the call, with the signal's reason as the error. */
  signal?: AbortSignal;
  timeoutMs?: number;
  retries?: number;
}

const TIMEOUT_MS = 30_000;
const RETRIES = 4;

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
  readonly #http: FetchClient<paths, "application/json">;
  readonly #fetch: Fetch;
  readonly #timeoutMs: number;
  readonly #retries: number;

  constructor(options: ClientOptions) {
    this.#fetch = options.fetch ?? ((request) => globalThis.fetch(request));
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#retries = options.retries ?? RETRIES;
    this.#http = createFetchClient<paths, "application/json">({
      baseUrl: absolute(options.baseUrl),
      headers: options.apiKey === undefined ? {} : { Authorization: `Bearer ${options.apiKey}` },
      querySerializer: { array: { style: "form", explode: false } },
      bodySerializer: (body) => body, // methods hand over Blobs and FormData, which fetch knows
    });
  }

  /** What is in this photo? */
  async classify(image: Image, query: ClassifyQuery = {}, options: CallOptions = {}): Promise<ClassifyResponse> {
    const sent = raw(image);
    return this.#call(options, (by) => this.#http.POST("/v1/classify", { params: { query }, ...sent, ...by }));
  }

  /** How hard is this photo, and why? */
  async difficulty(image: Image, query: DifficultyQuery = {}, options: CallOptions = {}): Promise<DifficultyResponse> {
    const sent = raw(image);
    return this.#call(options, (by) => this.#http.POST("/v1/difficulty", { params: { query }, ...sent, ...by }));
  }

  /** What did the model look at? The mask in base64, with what it says. */
  async saliency(image: Image, query: SaliencyQuery = {}, options: CallOptions = {}): Promise<SaliencyResponse> {
    const sent = raw(image);
    return this.#call(options, (by) => this.#http.POST("/v1/saliency", { params: { query }, ...sent, ...by }));
  }

  /** What did the model look at? The mask alone: an 8-bit grey PNG of the upright image's size. */
  async saliencyPng(image: Image, query: SaliencyQuery = {}, options: CallOptions = {}): Promise<Blob> {
    const { body, headers } = raw(image);
    const sent = { body, headers: { ...headers, Accept: "image/png" }, parseAs: "blob" as const };
    return this.#call(options, (by) => this.#http.POST("/v1/saliency", { params: { query }, ...sent, ...by }));
  }

  /** What is this photo to be known by? `duplicates` takes the embedding in place of the photo. */
  async embed(image: Image, query: EmbedQuery = {}, options: CallOptions = {}): Promise<EmbedResponse> {
    const sent = raw(image);
    return this.#call(options, (by) => this.#http.POST("/v1/embed", { params: { query }, ...sent, ...by }));
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
    return this.#call(options, (by) => this.#http.POST("/v1/duplicates", { params: { query }, body, ...by }));
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
    return this.#call(options, (by) => this.#http.POST("/v1/duplicates", { params, ...sent, ...by }));
  }

  /** All of these at once, from one decode. What `include` names is there in the answer. */
  triage<P extends Part>(
    image: Image,
    query: TriageQuery<P> & { include: readonly P[] },
    options?: CallOptions,
  ): Promise<Triaged<P>>;
  triage(image: Image, query?: TriageQuery, options?: CallOptions): Promise<TriageResponse>;
  async triage(image: Image, query: TriageQuery = {}, options: CallOptions = {}): Promise<TriageResponse> {
    const sent = raw(image);
    const params = { query: listed(query) };
    return this.#call(options, (by) => this.#http.POST("/v1/triage", { params, ...sent, ...by }));
  }

  /** The same about several photos, in their order; one that can't be read never fails another. */
  triageBatch<P extends Part>(
    images: Iterable<Image>,
    query: TriageQuery<P> & { include: readonly P[] },
    options?: CallOptions,
  ): Promise<BatchItem<Triaged<P>>[]>;
  triageBatch(images: Iterable<Image>, query?: TriageQuery, options?: CallOptions): Promise<BatchItem[]>;
  async triageBatch(images: Iterable<Image>, query: TriageQuery = {}, options: CallOptions = {}): Promise<BatchItem[]> {
    const body = form<"triage_batch">(imagesForm(images));
    const params = { query: listed(query) };
    const answer = await this.#call(options, (by) => this.#http.POST("/v1/triage/batch", { params, body, ...by }));
    return answer.results as BatchItem[];
  }

  /** Which models are served? */
  async models(options: CallOptions = {}): Promise<ModelsResponse> {
    return this.#call(options, (by) => this.#http.GET("/v1/models", by));
  }

  /** Take up what has changed in the models directory. Needs a key. It is sent again only where nothing was done. */
  async reload(options: CallOptions = {}): Promise<ReloadResponse> {
    return this.#call(options, (by) => this.#http.POST("/v1/models/reload", by), false);
  }

  /** Does the process answer? Asked once, unless `retries` says more. */
  async live(options: CallOptions = {}): Promise<Health> {
    return this.#call({ retries: 0, ...options }, (by) => this.#http.GET("/livez", by));
  }

  /** Are the models verified, replayed and warm? Asked once, unless `retries` says more. */
  async ready(options: CallOptions = {}): Promise<Health> {
    return this.#call({ retries: 0, ...options }, (by) => this.#http.GET("/readyz", by));
  }

  /** Metrics in Prometheus's text format. */
  async metrics(options: CallOptions = {}): Promise<string> {
    return this.#call(options, (by) => this.#http.GET("/metrics", { parseAs: "text", ...by }));
  }

  /** The server's own OpenAPI document. */
  async document(options: CallOptions = {}): Promise<Record<string, unknown>> {
    return this.#call(options, (by) => this.#http.GET("/docs.json", by));
  }

  /** The answer that `ask` brings, or the error that says why there is none. */
  async #call<T>(
    options: CallOptions,
    ask: (by: { signal: AbortSignal; fetch: Fetch }) => Promise<Result<T>>,
    repeatable = true,
  ): Promise<T> {
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    const bounds = { retries: options.retries ?? this.#retries, until: performance.now() + timeoutMs, repeatable };
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
    let response: Response | undefined;
    try {
      const fetch: Fetch = async (request) => (response = await sendWithin(bounds, this.#fetch, request));
      const result = await ask({ signal, fetch });
      return taken(result);
    } catch (error) {
      if (error instanceof PhototriageError) {
        throw error;
      }
      options.signal?.throwIfAborted();
      if (timeout.aborted) {
        throw new TimeoutError(`No answer within ${timeoutMs} ms. Give a longer timeoutMs, or a smaller image.`);
      }
      if (response !== undefined && error instanceof SyntaxError) {
        throw unexpected(response, "The answer is no JSON");
      }
      throw new ConnectionError(`No whole answer came: ${String(error)}. See whether the server can be reached.`, {
        cause: error,
      });
    }
  }
}

function taken<T>({ data, error, response }: Result<T>): T {
  if (!response.ok) {
    throw problemOf(response, error);
  }
  if (data === undefined) {
    throw unexpected(response, "The answer is empty");
  }
  return data;
}

/** One image as the body itself, which costs less than a form. */
function raw(image: Image): { body: Blob; headers: { "Content-Type": string } } {
  const body = toBlob(image);
  return { body, headers: { "Content-Type": body.type } };
}

/** A form, where the document's type has an object of its parts. */
function form<Name extends "duplicates" | "triage_batch">(
  parts: FormData,
): operations[Name]["requestBody"]["content"]["multipart/form-data"] {
  return parts as unknown as operations[Name]["requestBody"]["content"]["multipart/form-data"];
}

/** Lists that may be read only, as the generated types have them. */
function listed({ include, ...query }: TriageQuery): Omit<TriageQuery, "include"> & { include?: Part[] } {
  return include === undefined ? query : { ...query, include: [...include] };
}

function absolute(baseUrl: string): string {
  const page = (globalThis as { location?: { href: string } }).location?.href;
  let url: URL;
  try {
    url = new URL(baseUrl, page);
  } catch {
    throw new TypeError(`The base URL is ${JSON.stringify(baseUrl)}. Give an address with http:// or https://.`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new TypeError(`The base URL is ${JSON.stringify(baseUrl)}. Only http:// and https:// are spoken.`);
  }
  return url.href;
}
