// What photos and collections may be called: nothing that would arrive as another name. All throw TypeError.

const MOST_OF_A_FILE_NAME = 255; // characters, of which the server takes no more

/** A collection's name, if it leads to no other route. */
export function checkedName(name: string): string {
  if (["", ".", ".."].includes(name) || name.includes("/") || !isWellFormed(name)) {
    throw new TypeError(
      `A collection can't be called ${JSON.stringify(name)}. Take lower-case letters, digits, "_", "." and "-".`,
    );
  }
  return name;
}

/** The id, if no address and no query makes another of it. */
export function checkedId(id: string): string {
  if (typeof id !== "string" || ["", ".", ".."].includes(id)) {
    throw new TypeError(
      `A photo can't be known by ${JSON.stringify(id)}, which no address can end with. Take another id.`,
    );
  }
  if (!isWellFormed(id)) {
    throw new TypeError(`The id ${JSON.stringify(id)} has characters that UTF-8 can't say. Take another id.`);
  }
  return id;
}

/** The group, as an answer names it. */
export function checkedGroup(group: string): string {
  if (!/^[0-9]+$/.test(group)) {
    throw new TypeError(`A group can't be ${JSON.stringify(group)}: it is a number, as answers have it.`);
  }
  return group;
}

/** The id, if it can be a file's name in a form: senders and receivers differ on how some characters are written. */
export function checkedFileName(id: string): string {
  if (/["\\\x00-\x1f\x7f]|%(22|0a|0d)/i.test(checkedId(id)) || [...id].length > MOST_OF_A_FILE_NAME) {
    throw new TypeError(
      `A batch can't hold the id ${JSON.stringify(id)}, since file names carry them: at most ${MOST_OF_A_FILE_NAME} ` +
        "characters, without quotation marks, backslashes and control characters, and without %22, %0A and %0D, which " +
        "stand for such. Add that photo by itself.",
    );
  }
  return id;
}

/** The query, if no tag in it would become another. */
export function checkedTags<Query extends { tags?: string[] }>(query: Query): Query {
  for (const tag of query.tags ?? []) {
    if (tag === "" || tag.includes(",")) {
      throw new TypeError(`A tag can't be ${JSON.stringify(tag)}: tags are told apart by commas, and none is empty.`);
    }
  }
  return query;
}

/** Whether UTF-8 can say it. */
function isWellFormed(text: string): boolean {
  try {
    encodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
