// SPDX-License-Identifier: Apache-2.0

// The OpenAPI description of the contract (packaging/openapi.yaml), and whether what the agent says is in it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

import { load } from '../lab/cloud/packages.mjs';

const Ajv = load('ajv/dist/2020').default;
const addFormats = load('ajv-formats').default;
const { Validator } = await import(pathToFileURL(load.resolve('@seriousme/openapi-schema-validator')));

const FILE = new URL('../../packaging/openapi.yaml', import.meta.url);

// Headers that only the agent sets; the others are the relay's, which has some of its own.
const AGENTS_HEADERS = /^(writeback-|allow$|retry-after$)/;

export const description = load('yaml').parse(readFileSync(FILE, 'utf8'));

// Types and requirements may stand in another schema of the same allOf than what they are about.
const ajv = addFormats(new Ajv({ strict: true, strictTypes: false, strictRequired: false, allErrors: true }));
ajv.addVocabulary(Object.keys(description));
ajv.addSchema(description, 'openapi');

/** What is wrong with the description itself, by the schema of OpenAPI 3.1; undefined: nothing. */
export async function faults() {
  return (await new Validator().validate(structuredClone(description))).errors;
}

const escape = (part) => String(part).replaceAll('~', '~0').replaceAll('/', '~1');

/** Follows a $ref: {pointer, value}. */
function at(pointer) {
  const value = pointer.split('/').slice(1)
    .reduce((node, part) => node?.[part.replaceAll('~1', '/').replaceAll('~0', '~')], description);
  return value?.$ref ? at(value.$ref) : { pointer, value };
}

function assertMatches(pointer, value, what) {
  const validate = ajv.getSchema(`openapi${pointer}`);
  assert.ok(validate, `there is no schema at ${pointer}`);
  assert.ok(validate(value), `${what}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(value, null, 2)}`);
}

/** Whether a value is as a schema of the description's components has it. */
export function matches(name, value) {
  return ajv.getSchema(`openapi#/components/schemas/${name}`)(value);
}

/** The description of an answer to this request: {pointer, value}. */
function findResponse(method, path, status) {
  const item = description.paths[path];
  const operation = item?.[method.toLowerCase()];
  if (!item) return at('#/components/responses/NotFound');
  if (!operation) return at('#/components/responses/MethodNotAllowed');
  return at(`#/paths/${escape(path)}/${method.toLowerCase()}/responses/${status}`);
}

function assertHeaders(response, { headers }, what) {
  for (const [name, header] of Object.entries(response.value.headers ?? {})) {
    const { pointer, value } = at(header.$ref);
    const text = headers[name.toLowerCase()];
    if (text === undefined) assert.ok(!value.required, `${what}: no ${name}`);
    else assertMatches(`${pointer}/schema`, at(`${pointer}/schema`).value.type === 'integer' ? Number(text) : text, `${what}, ${name}`);
  }
  const told = Object.keys(response.value.headers ?? {}).map((name) => name.toLowerCase());
  assert.deepEqual(Object.keys(headers).filter((name) => AGENTS_HEADERS.test(name) && !told.includes(name)), [], what);
}

/** Holds an answer of the agent to the description: status, headers, media type, body. */
export function assertDescribed(method, path, answer) {
  const what = `${method} ${path} answered ${answer.status}`;
  const response = findResponse(method, path, answer.status);
  assert.ok(response.value, `${what}, which is not described`);
  assert.ok(answer.headers['content-type'] in response.value.content, `${what}: ${answer.headers['content-type']}`);
  assertMatches(`${response.pointer}/content/${escape(answer.headers['content-type'])}/schema`, answer.json, what);
  assertHeaders(response, answer, what);
}

const namesOf = (list) => list.map(({ $ref }) => $ref.split('/').at(-1));

/** The schemas that an answer to POST /v1/requests may match, by status. */
export function outcomesByStatus() {
  const { responses } = description.paths['/v1/requests'].post;
  return Object.fromEntries(Object.keys(responses).map((status) => {
    const { value } = at(`#/paths/~1v1~1requests/post/responses/${status}`);
    return [status, namesOf(Object.values(value.content)[0].schema.oneOf)];
  }));
}

/** What a schema of an answer says of itself, as outcome.def does: {http, name, number, isRetryable}. */
export function outcomeOf(name) {
  const { status, code, event, eventId, retryable } = description.components.schemas[name].properties;
  return {
    http: status?.const ?? 200, name: (code ?? event).const, number: eventId.const, isRetryable: retryable?.const ?? false,
  };
}
