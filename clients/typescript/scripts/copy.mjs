// tsc leaves declaration files where they are: node scripts/copy.mjs src/schema.d.ts dist/schema.d.ts
import { copyFile } from "node:fs/promises";

await copyFile(...process.argv.slice(2, 4));
