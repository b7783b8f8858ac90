// SPDX-License-Identifier: Apache-2.0

// Reads every AsyncAPI document below the folders with AsyncAPI's own parser, and says what it holds against them.
//
//   node check.mjs FOLDER...
//
// Prints "FILE: LINE: message" per error and ends with 1; else "ok N". The packages are found from the folder the
// program is started in.
import {readFile, readdir} from 'node:fs/promises';
import {createRequire} from 'node:module';
import {join} from 'node:path';

const {Parser} = createRequire(join(process.cwd(), 'package.json'))('@asyncapi/parser');

const parser = new Parser();
let read = 0, bad = 0;
for (const folder of process.argv.slice(2)) {
  for (const entry of await readdir(folder, {recursive: true, withFileTypes: true})) {
    const file = join(entry.parentPath ?? entry.path, entry.name);
    if (!entry.isFile() || !/\.ya?ml$/.test(file)) continue;
    const text = await readFile(file, 'utf8');
    if (!/^asyncapi:/m.test(text)) continue; // a part that others refer to
    read++;
    const {document, diagnostics} = await parser.parse(text, {source: file});
    const errors = diagnostics.filter(d => d.severity === 0);
    for (const e of errors) console.log(`${file}: ${e.range.start.line + 1}: ${e.message}`);
    if (!document && errors.length === 0) console.log(`${file}: no document`);
    if (!document || errors.length > 0) bad++;
  }
}
if (bad > 0) process.exit(1);
console.log(`ok ${read}`);
