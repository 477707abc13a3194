// Holds a request and its answer against GitHub's GraphQL schema: node graphql.cjs PEERS EXCHANGE.
// The request is carried out by the schema with the answer as what there is, and has to come out as that answer.

const assert = require("node:assert");
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const [peers, file] = process.argv.slice(2);
const ofPeers = createRequire(`${peers}/`);
const { buildSchema, execute, parse, validate } = ofPeers("graphql");
const description = `${peers}/node_modules/@octokit/graphql-schema/schema.graphql`;

const { asked, answered } = JSON.parse(readFileSync(file, "utf8"));
// GitHub describes a field twice.
const schema = buildSchema(readFileSync(description, "utf8"), { assumeValidSDL: true });
const oid = schema.getType("GitObjectID");
oid.parseValue = oid.serialize = (value) => {
  assert.match(value, /^[0-9a-f]{40}$/);
  return value;
};
const base64 = schema.getType("Base64String");
base64.parseValue = (value) => {
  assert.equal(Buffer.from(value, "base64").toString("base64"), value);
  return value;
};

const document = parse(asked.query);
const faults = validate(schema, document);
if (faults.length > 0) throw new Error(faults.join("\n"));
const result = execute({ schema, document, variableValues: asked.variables, rootValue: answered.data });
if (result.errors) throw new Error(result.errors.join("\n"));
assert.deepEqual(JSON.parse(JSON.stringify(result.data)), answered.data);
