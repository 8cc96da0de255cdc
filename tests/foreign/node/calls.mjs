// Connect's own client for Node calls a running demo by the Connect protocol (JSON and binary, HTTP/1.1 and HTTP/2), by
// gRPC-Web and by gRPC, from the published descriptors. It knows nothing of Chapar's code.
//
//   node tests/foreign/node/calls.mjs FOLDER-OF-A-DEMO
//
// Prints one line for each protocol, and exits with 1 if an answer is not what another protocol gives.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { createFileRegistry, fromBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";

const dir = process.argv[2];
const demo = JSON.parse(fs.readFileSync(path.join(dir, "demo.json"), "utf8"));
const read = (file) => fs.readFileSync(path.join(dir, file));
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, read(demo.descriptors)));
const civil = registry.getService("civil.v1.CivilRegistry");
const farms = registry.getService("agriculture.v1.FarmRegistry");
const citizen = demo.sample.find((person) => person.has.includes("civil") && person.has.includes("agriculture")).national_id;

function tls(identity) {
  const { cert, key } = demo.identities[identity];
  return { ca: read(demo.ca), cert: read(cert), key: read(key) };
}

function transports(identity) {
  const baseUrl = `https://${demo.gateway}`;
  const nodeOptions = tls(identity);
  const connect = (httpVersion, useBinaryFormat) =>
    createConnectTransport({ baseUrl, httpVersion, useBinaryFormat, nodeOptions });
  return {
    "Connect, JSON, HTTP/1.1": connect("1.1", false),
    "Connect, JSON, HTTP/2": connect("2", false),
    "Connect, binary, HTTP/1.1": connect("1.1", true),
    "Connect, binary, HTTP/2": connect("2", true),
    "gRPC-Web, HTTP/1.1": createGrpcWebTransport({ baseUrl, httpVersion: "1.1", nodeOptions }),
    "gRPC-Web, HTTP/2": createGrpcWebTransport({ baseUrl, httpVersion: "2", nodeOptions }),
    "gRPC, HTTP/2": createGrpcTransport({ baseUrl, nodeOptions }),
  };
}

const counter = {
  "chapar-purpose": "loan.farm",
  "chapar-on-behalf-of": "com/agri-bank",
  "chapar-case": "1404-771",
  "chapar-clerk": "z.karimi",
};

async function refused(call) {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof ConnectError, String(error));
    return error;
  }
  assert.fail("the call was answered");
}

let person;
let parcels;
for (const [name, transport] of Object.entries(transports("office/khorramabad-12/counter"))) {
  const client = createClient(civil, transport);
  let entry;
  const answer = await client.getPerson(
    { nationalId: citizen },
    { headers: counter, timeoutMs: 5000, onTrailer: (trailer) => (entry = trailer.get("chapar-entry")) },
  );
  const json = toJson(civil.method.getPerson.output, answer);
  person ??= json;
  assert.deepEqual(json, person, name);
  assert.equal(json.nationalId, citizen);
  assert.match(entry, /\/evidence\/\d+$/, name);

  const rows = [];
  for await (const row of createClient(farms, transport).listParcels({ nationalId: citizen }, { headers: counter })) {
    rows.push(toJson(farms.method.listParcels.output, row));
  }
  parcels ??= rows;
  assert.deepEqual(rows, parcels, name);

  const without = await refused(() => client.getPerson({ nationalId: citizen }, { headers: { ...counter, "chapar-purpose": "counter.identity_check" } }));
  assert.equal(without.code, Code.PermissionDenied, name);
  // By its type, as any client reads the details: the reason is the first field of google.rpc.ErrorInfo.
  const info = without.details.find((detail) => detail.type === "google.rpc.ErrorInfo");
  assert.ok(Buffer.from(info.value).includes("PURPOSE_NOT_GRANTED"), name);
  assert.ok(!without.message.includes(citizen), name);
  console.log(`ok  ${name}: one person, ${rows.length} parcels, one refusal`);
}
