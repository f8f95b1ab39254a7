export type * from "./answers.js";
export { type CallOptions, Client, type ClientOptions, createClient } from "./client.js";
export { type Code, CODES, ConnectionError, PhototriageError, ProblemError, TimeoutError } from "./errors.js";
export type { Bytes, Image } from "./images.js";
export type { components, operations, paths } from "./schema.js";
