import type { Problem } from "./answers.js";

/** The stable codes of the server's problems. Later servers may have others. */
export const CODES = [
  "malformed_request",
  "unauthorized",
  "not_found",
  "unknown_model",
  "method_not_allowed",
  "too_large",
  "unsupported_image",
  "undecodable_image",
  "unknown_label",
  "foreign_embedding",
  "unknown_collection",
  "unknown_photo",
  "foreign_collection",
  "store_unavailable",
  "internal_error",
  "overloaded",
  "deadline_exceeded",
] as const;

/** A code of the server's, or `unexpected_answer` for what isn't a problem of its own, as a proxy's error page. */
export type Code = (typeof CODES)[number] | "unexpected_answer" | (string & {});

/** Whatever ends a call but the caller's own `signal`. */
export class PhototriageError extends Error {
  override name = "PhototriageError";
}

/** The server refused: `code` says what it is about, `detail` names the value, the limit and the remedy. */
export class ProblemError extends PhototriageError {
  override name = "ProblemError";
  readonly code: Code;
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** To be told to those who run the server, whose log has it; null where the browser hides it. */
  readonly requestId: string | null;

  constructor(problem: Problem, requestId: string | null = null) {
    super(`${problem.title}: ${problem.detail} (${problem.status} ${problem.code})`);
    this.code = problem.code;
    this.status = problem.status;
    this.title = problem.title;
    this.detail = problem.detail;
    this.requestId = requestId;
  }
}

/** No whole answer came; `cause` is what fetch says of it. */
export class ConnectionError extends PhototriageError {
  override name = "ConnectionError";
}

/** The call took longer than its `timeoutMs`, retries and their pauses included. */
export class TimeoutError extends PhototriageError {
  override name = "TimeoutError";
}

const SHOWN_CHARACTERS = 200;

/** The error of an answer that isn't a success, from its body. */
export function problemOf(response: Response, body: unknown): ProblemError {
  const requestId = response.headers.get("X-Request-Id");
  if (isProblem(body)) {
    return new ProblemError(body, requestId);
  }
  const text = typeof body === "string" ? body : (JSON.stringify(body) ?? "");
  return unexpected(response, `The answer isn't Phototriage's: ${text.slice(0, SHOWN_CHARACTERS) || "it is empty"}`);
}

/** The error of an answer that nobody can have meant. */
export function unexpected(response: Response, detail: string): ProblemError {
  const problem = {
    title: response.statusText || "Unexpected answer",
    status: response.status,
    code: "unexpected_answer",
    detail: `${detail}. Look at what stands between here and the server, and at the base URL.`,
  };
  return new ProblemError(problem, response.headers.get("X-Request-Id"));
}

/** Whether a body is a problem of the server's own. */
export function isProblem(body: unknown): body is Problem {
  const fields = body as Partial<Problem> | null;
  return (
    typeof fields === "object" &&
    fields !== null &&
    typeof fields.code === "string" &&
    typeof fields.title === "string" &&
    typeof fields.detail === "string" &&
    typeof fields.status === "number"
  );
}
