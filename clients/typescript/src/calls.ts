import createFetchClient, { type Client as FetchClient } from "openapi-fetch";
import { ConnectionError, isProblem, PhototriageError, problemOf, TimeoutError, unexpected } from "./errors.js";
import { sendWithin } from "./retries.js";
import type { paths } from "./schema.js";

export type Fetch = (request: Request) => Promise<Response>;
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

/** What is known of a call that may be sent twice. */
export interface Repetition<T> {
  /** Whether it may be sent again when it isn't known if the server acted on it; true if not given. */
  repeatable?: boolean;
  /** The answer where an earlier attempt may have done it, and a later one succeeds or finds it done. */
  ifRepeated?: T;
  /** The code of a problem that says so: there is nothing left to do. */
  doneBy?: string;
}

const TIMEOUT_MS = 30_000;
const RETRIES = 4;

/** Calls one server, within the bounds of each call. */
export class Caller {
  readonly http: FetchClient<paths, "application/json">;
  readonly #fetch: Fetch;
  readonly #timeoutMs: number;
  readonly #retries: number;

  constructor(options: ClientOptions) {
    this.#fetch = options.fetch ?? ((request) => globalThis.fetch(request));
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#retries = options.retries ?? RETRIES;
    this.http = createFetchClient<paths, "application/json">({
      baseUrl: absolute(options.baseUrl),
      headers: options.apiKey === undefined ? {} : { Authorization: `Bearer ${options.apiKey}` },
      querySerializer: { array: { style: "form", explode: false } },
      bodySerializer: (body) => body, // methods hand over Blobs and FormData, which fetch knows
    });
  }

  /** The answer that `ask` brings, or the error that says why there is none. */
  async call<T>(
    options: CallOptions,
    ask: (by: { signal: AbortSignal; fetch: Fetch }) => Promise<Result<T>>,
    { repeatable = true, ifRepeated, doneBy }: Repetition<T> = {},
  ): Promise<T> {
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    const bounds = { retries: options.retries ?? this.#retries, until: performance.now() + timeoutMs, repeatable };
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
    const seen = new Seen(this.#fetch);
    let response: Response | undefined;
    try {
      const fetch: Fetch = async (request) => (response = await sendWithin(bounds, seen.fetch, request));
      const result = await ask({ signal, fetch });
      if (ifRepeated !== undefined && seen.mayBeDone && isDone(result, doneBy)) {
        return ifRepeated;
      }
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

/** Sends, and remembers whether the server may have acted on what brought no answer. */
class Seen {
  mayBeDone = false;
  readonly #fetch: Fetch;

  constructor(fetch: Fetch) {
    this.#fetch = fetch;
  }

  fetch: Fetch = async (request) => {
    try {
      const response = await this.#fetch(request);
      if (response.status === 503) {
        const body: unknown = await response.clone().json().catch(() => undefined);
        this.mayBeDone ||= !isProblem(body) || body.code !== "overloaded";
      }
      return response;
    } catch (error) {
      this.mayBeDone = true;
      throw error;
    }
  };
}

function isDone<T>({ error, response }: Result<T>, doneBy: string | undefined): boolean {
  return response.ok || (isProblem(error) && error.code === doneBy);
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
