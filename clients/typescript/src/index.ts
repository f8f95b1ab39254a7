export type * from "./answers.js";
export type { CallOptions, ClientOptions } from "./calls.js";
export { Client, createClient } from "./client.js";
export { type Added, type AddManyOptions, Collection, type Images, type Photos, type TaggedEmbedding } from "./collections.js";
export { type Code, CODES, ConnectionError, PhototriageError, ProblemError, TimeoutError } from "./errors.js";
export type { Bytes, Image } from "./images.js";
export type { components, operations, paths } from "./schema.js";
