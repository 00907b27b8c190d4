// One JavaScript or TypeScript task: run the candidate's code, then answer calls with plain data until the judge hangs up.
// It never sees an expected value. Whatever the candidate breaks in here, it breaks only its own answers.
'use strict';
const fs = require('node:fs');
const vm = require('node:vm');
const { createRequire, stripTypeScriptTypes } = require('node:module');

const JUDGE = 3;
const MAX_BYTES = 1_000_000;
const MAX_DEPTH = 60;
const MAX_ITEMS = 200_000;
const NAME = 'answer.js';

class Unsendable extends Error {}

// ---- frames: four bytes of length, then JSON ----

function exactly(count) {
  const data = Buffer.alloc(count);
  for (let have = 0; have < count;) {
    const part = fs.readSync(JUDGE, data, have, count - have, null);
    if (part === 0) process.reallyExit(0); // the judge has hung up
    have += part;
  }
  return data;
}

function receive() {
  return JSON.parse(exactly(exactly(4).readUInt32BE()).toString());
}

function send(told) {
  const body = Buffer.from(JSON.stringify(told));
  if (body.length > MAX_BYTES) throw new Unsendable(`larger than ${MAX_BYTES} bytes`);
  const data = Buffer.alloc(4 + body.length);
  data.writeUInt32BE(body.length);
  body.copy(data, 4);
  for (let done = 0; done < data.length;) done += fs.writeSync(JUDGE, data, done);
}

// ---- plain data, tagged as the Python side tags it ----

function encode(value, depth, budget) {
  budget.items -= 1;
  if (budget.items < 0) throw new Unsendable(`more than ${MAX_ITEMS} items`);
  if (depth > MAX_DEPTH) throw new Unsendable(`nested deeper than ${MAX_DEPTH}`);
  switch (typeof value) {
    case 'undefined': return { $undefined: true };
    case 'boolean': return value;
    case 'number': return Number.isFinite(value) ? value : { $number: String(value) };
    case 'bigint': return { $int: value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}` };
    case 'string': return short(value);
    case 'object': return value === null ? null : encodeObject(value, depth + 1, budget);
    default: throw new Unsendable(`a value of type ${typeof value} is no plain data`);
  }
}

function short(text) {
  if (text.length > MAX_BYTES) throw new Unsendable(`larger than ${MAX_BYTES} bytes`);
  return text;
}

function encodeObject(value, depth, budget) {
  const items = (values) => Array.from(values, (item) => encode(item, depth, budget));
  const pairs = (entries) => ({ $dict: Array.from(entries, (pair) => pair.map((item) => encode(item, depth, budget))) });
  if (Array.isArray(value)) return items(value);
  const kind = Object.getPrototypeOf(value);
  if (kind === Object.prototype || kind === null) {
    const entries = Object.entries(value);
    if (entries.some(([key]) => key.startsWith('$') || key === '__proto__')) return pairs(entries);
    return Object.fromEntries(entries.map(([key, item]) => [short(key), encode(item, depth, budget)]));
  }
  if (kind === Map.prototype) return pairs(value);
  if (kind === Set.prototype) return { $set: items(value) };
  if (kind === Date.prototype) return { $date: Number.isNaN(+value) ? 'invalid' : value.toISOString() };
  if (kind === Uint8Array.prototype || kind === Buffer.prototype) {
    return { $bytes: short(Buffer.from(value).toString('hex')) };
  }
  throw new Unsendable(`a value of type ${String(value.constructor?.name).slice(0, 80)} is no plain data`);
}

const DECODERS = {
  $undefined: () => undefined,
  $number: (body) => Number(body),
  $int: (body) => (body.startsWith('-') ? -BigInt(body.slice(1)) : BigInt(body)),
  $dict: (body) => new Map(body.map(([key, item]) => [decode(key), decode(item)])),
  $set: (body) => new Set(body.map(decode)),
  $frozenset: (body) => new Set(body.map(decode)),
  $tuple: (body) => body.map(decode),
  $date: (body) => new Date(body),
  $bytes: (body) => new Uint8Array(Buffer.from(body, 'hex')),
};

function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (typeof value !== 'object' || value === null) return value;
  const keys = Object.keys(value);
  if (keys.length === 1 && Object.hasOwn(DECODERS, keys[0])) return DECODERS[keys[0]](value[keys[0]]);
  return Object.fromEntries(keys.map((key) => [key, decode(value[key])]));
}

// ---- the candidate ----

function untyped(code) {
  try {
    return stripTypeScriptTypes(code); // leaves every position as it was
  } catch (error) {
    if (error.code !== 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX') throw error;
    return stripTypeScriptTypes(code, { mode: 'transform' }); // enums, parameter properties
  }
}

const IS_MODULE = /import statement outside a module|Unexpected token 'export'|import\.meta|await is only valid/;

async function load({ code, language, entry }) {
  const source = language === 'typescript' ? untyped(code) : code;
  try {
    return loadScript(source, entry);
  } catch (error) {
    if (!(error instanceof SyntaxError) || !IS_MODULE.test(error.message)) throw error;
  }
  return loadModule(source, entry);
}

function loadScript(source, entry) {
  const body = `${source}\n;return typeof ${entry} === 'undefined' ? undefined : ${entry};`;
  const options = { filename: NAME, importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER };
  const module = { exports: {} };
  const run = vm.compileFunction(body, ['require', 'module', 'exports'], options);
  return run.call(module.exports, createRequire('/answer.js'), module, module.exports) ?? exported(module.exports, entry);
}

async function loadModule(source, entry) {
  const url = (text) => `data:text/javascript,${encodeURIComponent(text)}`;
  try {
    return (await import(url(`${source}\n;export { ${entry} as $forge_entry };`))).$forge_entry;
  } catch (error) {
    if (!(error instanceof SyntaxError) || !/is not defined in module/.test(error.message)) throw error;
  }
  return exported(await import(url(source)), entry);
}

function exported(exports, entry) {
  if (typeof exports === 'function') return exports;
  return exports[entry] ?? exports.default?.[entry] ?? exports.default;
}

function raised(error) {
  if (error instanceof Unsendable) return { unsendable: error.message };
  try {
    const name = error instanceof Error ? error.constructor.name || error.name : 'thrown';
    const message = error instanceof Error ? error.message : String(error);
    return { raised: String(name).slice(0, 80), message: String(message).slice(0, 400), line: lineOf(error) };
  } catch {
    return { raised: 'Error', message: '' };
  }
}

function lineOf(error) {
  // The one that the candidate's code got furthest in; of a module only its address tells.
  const found = /(?:answer\.js|data:text\/javascript,\S*?):(\d+)/.exec(String(error?.stack));
  return found ? Number(found[1]) : null;
}

async function serve() {
  let candidate;
  let waiting = false;
  process.on('beforeExit', () => {
    if (waiting) send({ raised: 'NeverSettled', message: 'the promise was never settled', line: null });
    process.reallyExit(0);
  });
  for (;;) {
    const asked = receive();
    let told;
    waiting = true;
    try {
      if ('code' in asked) {
        candidate = await load(asked);
        told = { value: null };
      } else if (typeof candidate !== 'function') {
        throw new ReferenceError(`${asked.call} is not defined`);
      } else {
        told = { value: encode(await candidate(...decode(asked.args)), 0, { items: MAX_ITEMS }) };
      }
    } catch (error) {
      told = raised(error);
    }
    waiting = false;
    try {
      send(told);
    } catch (error) {
      send(raised(error));
    }
  }
}

serve();
