// A browser on a running instance, and what tests do with it. Everything waits for what it wants to see.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import assert from "node:assert/strict";

const require = createRequire(`${process.env.TIDEGATE_BROWSER}/`);
const { chromium } = require("playwright-core");

export { assert };
export const axeSource = require("axe-core").source;

// What any one step may take before the test gives up; nothing is measured by it.
export const PATIENCE = 120_000;

export const http = `http://${process.env.TIDEGATE_HTTP}`;
export const mqttPort = process.env.TIDEGATE_MQTT;

const children = [];

export async function open({ theme = "light", width = 1280, height = 860 } = {}) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: theme, reducedMotion: "reduce" });
  page.setDefaultTimeout(PATIENCE);
  // what a page says to its developer, what it asks of others, and what it fails at are mistakes
  const mistakes = [];
  page.on("console", message => { if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) mistakes.push(message.text()); });
  page.on("pageerror", error => mistakes.push(error.stack));
  page.on("request", request => { if (!request.url().startsWith(http) && !/^(blob|about):/.test(request.url())) mistakes.push(`asked ${request.url()}`); });
  return { browser, page, mistakes };
}

// Runs a test, and leaves nothing running.
export async function run(test) {
  const opened = await open();
  try {
    await test(opened.page);
    assert.deepEqual(opened.mistakes, []);
  } catch (error) {
    console.error(error);
    console.error("mistakes of the page:", opened.mistakes);
    console.error("what it showed:", (await opened.page.locator("body").innerText().catch(() => "")).slice(0, 4000));
    process.exitCode = 1;
  } finally {
    await opened.browser.close();
    children.forEach(child => child.kill());
  }
}

// A machine that publishes as long as the test runs. `payload` makes each message.
export function publisher(topic, payload) {
  const child = spawn("mosquitto_pub", ["-p", mqttPort, "-q", "1", "-t", topic, "-l"], { stdio: ["pipe", "ignore", "inherit"] });
  children.push(child);
  let n = 0;
  const timer = setInterval(() => child.stdin.write(`${JSON.stringify(payload(n++))}\n`), 100);
  child.on("exit", () => clearInterval(timer));
  child.stdin.on("error", () => clearInterval(timer));
}

export function publish(topic, payload) {
  const child = spawn("mosquitto_pub", ["-p", mqttPort, "-q", "1", "-t", topic, "-m", JSON.stringify(payload)]);
  return new Promise((done, failed) => child.on("exit", code => code === 0 ? done() : failed(new Error(`mosquitto_pub: ${code}`))));
}

// What comes on a topic: gives a function that waits for a pattern in it. The subscription stands once this returns.
export async function subscriber(topic) {
  const child = spawn("stdbuf", ["-oL", "mosquitto_sub", "-p", mqttPort, "-q", "1", "-i", `listens-${topic}`, "-t", topic], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  let heard = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", data => { heard += data; });
  await until(async () => {
    const { clients } = await (await fetch(`${http}/api/v1/broker/clients`)).json();
    return clients.some(client => client.subscriptions.includes(topic));
  }, `a subscription to ${topic}`);
  return pattern => until(() => pattern.exec(heard)?.[0], () => `${pattern} on ${topic}, but ${heard.slice(-2000)}`);
}

// Asks again and again until there is an answer.
export async function until(ask, what) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`never ${typeof what === "function" ? what() : what}`);
    await new Promise(done => setTimeout(done, 50));
  }
}

// A flow as the API has it.
export async function flowNow(name) {
  const { dataflows } = await (await fetch(`${http}/api/v1/dataflows`)).json();
  return dataflows.find(flow => flow.name === name);
}

export async function apply(...manifests) {
  const files = manifests.map((text, i) => ({ name: `${i}.yaml`, text }));
  const answer = await fetch(`${http}/api/v1/apply`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ files }) });
  assert.equal(answer.status, 200, await answer.clone().text());
}

export const flowManifest = (name, { source = "factory/+/press", destination = "mes/press", endpoint = "default", profile = "default", transform = "" } = {}) => `apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata:
  name: ${name}
  namespace: azure-iot-operations
spec:
  profileRef: ${profile}
  operations:
    - operationType: Source
      sourceSettings:
        endpointRef: default
        dataSources: # what the machines say
          - ${source}
${transform}    - operationType: Destination
      destinationSettings:
        endpointRef: ${endpoint}
        dataDestination: ${destination}
`;

// A broker that nobody reaches.
export const endpointManifest = name => `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata:
  name: ${name}
  namespace: azure-iot-operations
spec:
  endpointType: Mqtt
  mqttSettings:
    host: 127.0.0.1:1
    authentication:
      method: Anonymous
      anonymousSettings: {}
    tls:
      mode: Disabled
`;

// Opens a page anew: a change of the hash alone would leave the earlier page there for a moment.
export async function go(page, hash) {
  await page.goto("about:blank");
  await page.goto(`${http}/${hash}`);
}

export const stage = (page, id) => page.locator(`[data-stage=${id}]`);
export const stageSays = (page, id, text) => stage(page, id).filter({ hasText: text }).waitFor();
