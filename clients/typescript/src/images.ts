import type { Embedding } from "./answers.js";

/** An image file's bytes. A `File` is a Blob, Node's `Buffer` a Uint8Array. */
export type Bytes = Blob | ArrayBuffer | Uint8Array;

/** An image file, with the name that a batch's answer is to call it by. A `File` brings its own. */
export type Image = Bytes | { data: Bytes; filename: string };

const OCTETS = "application/octet-stream";

/** The image as a Blob of an `image/*` type or none that says more than bytes, since others are refused. */
export function toBlob(image: Image): Blob {
  const data = isNamed(image) ? image.data : image;
  switch (kindOf(data)) {
    case "Blob":
    case "File": {
      const blob = data as Blob;
      return blob.type.startsWith("image/") ? blob : blob.slice(0, blob.size, OCTETS);
    }
    case "ArrayBuffer":
      return new Blob([data as ArrayBuffer], { type: OCTETS });
    case "Uint8Array":
      // A copy, since the bytes may be shared memory, which no Blob takes.
      return new Blob([new Uint8Array(data as Uint8Array)], { type: OCTETS });
    default:
      throw new TypeError(
        `An image is a Blob, File, ArrayBuffer or Uint8Array of a file's bytes, but a ${kindOf(data)} came. ` +
          "Read the file or fetch the address first.",
      );
  }
}

/** One image as the body itself, which costs less than a form. */
export function raw(image: Image): { body: Blob; headers: { "Content-Type": string } } {
  const body = toBlob(image);
  return { body, headers: { "Content-Type": body.type } };
}

/** An image, or what /v1/embed made of one, as the body itself. */
export function rawSide(sent: Image | Embedding): { body: Blob; headers: { "Content-Type": string } } {
  if (!isEmbedding(sent)) {
    return raw(sent);
  }
  const body = new Blob([JSON.stringify(sent)], { type: "application/json" });
  return { body, headers: { "Content-Type": body.type } };
}

/** A form with a part `images` for each. */
export function imagesForm(images: Iterable<Image>): FormData {
  const form = new FormData();
  let index = 0;
  for (const image of images) {
    // A part without a file name would be a text field, which the server refuses.
    form.append("images", toBlob(image), nameOf(image) ?? `image_${index}`);
    index += 1;
  }
  return form;
}

/** A form with two sides, each an image or what /v1/embed made of it. */
export function pairForm(a: Image | Embedding, b: Image | Embedding): FormData {
  const form = new FormData();
  for (const [side, sent] of [["a", a] as const, ["b", b] as const]) {
    if (isEmbedding(sent)) {
      form.append(`embedding_${side}`, new Blob([JSON.stringify(sent)], { type: "application/json" }), `${side}.json`);
    } else {
      form.append(`image_${side}`, toBlob(sent), nameOf(sent) ?? `image_${side}`);
    }
  }
  return form;
}

/** The image with a name in place of its own. */
export function named(image: Image, filename: string): Image {
  return { data: isNamed(image) ? image.data : image, filename };
}

/** Its file's name, if it has one. */
export function nameOf(image: Image): string | undefined {
  if (isNamed(image)) {
    return image.filename;
  }
  return kindOf(image) === "File" ? (image as File).name : undefined;
}

function isNamed(image: Image): image is { data: Bytes; filename: string } {
  return kindOf(image) === "Object" && "data" in image && "filename" in image;
}

export function isEmbedding(sent: Image | Embedding): sent is Embedding {
  return kindOf(sent) === "Object" && "values" in sent;
}

/** The built-in kind, also of objects from another window or realm, of which `instanceof` knows nothing. */
function kindOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice("[object ".length, -1);
}
