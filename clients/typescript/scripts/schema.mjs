// Makes src/schema.d.ts from the OpenAPI document: node scripts/schema.mjs ../openapi.json src/schema.d.ts
import { readFile, rename, writeFile } from "node:fs/promises";
import openapiTS, { astToString, COMMENT_HEADER } from "openapi-typescript";
import ts from "typescript";

const [source, target] = process.argv.slice(2);
if (source === undefined || target === undefined) {
  throw new Error("Two paths are needed: that of the OpenAPI document and that of the declarations to be written.");
}

const BLOB = ts.factory.createTypeReferenceNode("Blob");

/** Parts and answers with a media type of their own are files. */
function transform(schema) {
  return "contentMediaType" in schema ? BLOB : undefined;
}

/** So are raw bodies, which OpenAPI 3.1 describes by an empty schema. */
function postTransform(type, { path }) {
  return /\/requestBody\/content\/(image|application~1octet-stream)/.test(path) ? BLOB : undefined;
}

// A default is what the server takes where a field is left out, not what it sends.
const options = { transform, postTransform, defaultNonNullable: false, silent: true };
const nodes = await openapiTS(JSON.parse(await readFile(source, "utf8")), options);
await writeFile(`${target}.part`, COMMENT_HEADER + astToString(nodes));
await rename(`${target}.part`, target);
