/** Within which bounds a request may be sent again. */
export interface Bounds {
  /** How often, at most. */
  retries: number;
  /** Until when, by `performance.now()`. */
  until: number;
  /** Whether it may be sent again when it isn't known if the server acted on it. */
  repeatable: boolean;
}

/** Statuses of a server that did nothing, and will do it later. All others would come again. */
const LATER = new Set([429, 503]);

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8_000;

/**
 * Send a request, and again after a pause while the server is busy or, if it is `repeatable`, can't be reached.
 * Throws what fetch throws, at once if the request's signal is aborted.
 */
export async function sendWithin(
  bounds: Bounds,
  fetch: (request: Request) => Promise<Response>,
  request: Request,
): Promise<Response> {
  for (let sent = 0; ; sent += 1) {
    const isLast = sent >= bounds.retries;
    let response: Response | undefined;
    let failure: unknown;
    try {
      // What is sent can't be sent again, so a copy goes.
      response = await fetch(isLast ? request : request.clone());
      if (!LATER.has(response.status)) {
        return response;
      }
    } catch (error) {
      if (!bounds.repeatable || request.signal.aborted) {
        throw error;
      }
      failure = error;
    }
    const pause = pauseMs(sent, response?.headers.get("Retry-After") ?? null);
    if (isLast || performance.now() + pause >= bounds.until) {
      if (response === undefined) {
        throw failure;
      }
      return response;
    }
    await response?.body?.cancel();
    await sleep(pause, request.signal);
  }
}

/** At least what the server asks for, and a random part of a pause that doubles, so that clients spread. */
export function pauseMs(sent: number, retryAfter: string | null): number {
  const drawn = Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** sent);
  return askedMs(retryAfter) + drawn;
}

/** Retry-After is a number of seconds or a date. */
function askedMs(retryAfter: string | null): number {
  if (retryAfter === null) {
    return 0;
  }
  if (/^\s*\d+\s*$/.test(retryAfter)) {
    return Number(retryAfter) * 1000;
  }
  const date = Date.parse(retryAfter);
  return Number.isNaN(date) ? 0 : Math.max(0, date - Date.now());
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    if (signal.aborted) {
      abort();
    } else {
      signal.addEventListener("abort", abort, { once: true });
    }
  });
}
