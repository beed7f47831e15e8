// Checks manifests against the typed models of Kubernetes, of the Prometheus operator and of the Gateway API: enums and
// quantities, which schemas do not know. Every kind has to be known.
//
//   node tests/deploy-models.mjs FOLDER_OF_NODE_MODULES FILE...
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, ...files] = process.argv.slice(2);
const require = createRequire(pathToFileURL(join(modules, 'x')));
const { parseAllDocuments } = require('yaml');

const PACKAGES = [
  ['monitoring.coreos.com/', '@kubernetes-models/prometheus-operator'],
  ['gateway.networking.k8s.io/', '@kubernetes-models/gateway-api'],
  ['', 'kubernetes-models'],
];

async function model({ apiVersion, kind }) {
  const [, name] = PACKAGES.find(([prefix]) => apiVersion.startsWith(prefix));
  const models = await import(pathToFileURL(join(modules, name, apiVersion, 'index.js')));
  return models[kind];
}

let checked = 0;
for (const file of files) {
  for (const document of parseAllDocuments(readFileSync(file, 'utf8'))) {
    if (document.errors.length) throw new Error(`${file}: ${document.errors[0]}`);
    const object = document.toJS();
    if (object === null) continue;
    const name = `${file}: ${object.kind} ${object.metadata?.name}`;
    const Model = await model(object);
    if (!Model) throw new Error(`${name}: no model of ${object.apiVersion}`);
    try {
      new Model(object).validate();
    } catch (error) {
      throw new Error(`${name}: ${error.message}`);
    }
    checked += 1;
  }
}
console.log(`${checked} objects in ${files.length} files are as their models say`);
