// `npm test`: vitest on a software adapter, and the GPU tests once more on a second one. Arguments go to vitest.
//   W2SD_TEST_ADAPTERS=lavapipe,swiftshader   demands these adapters, in this order, instead of taking what is there.
//   CI=true                                   fails where there is no adapter at all; otherwise GPU tests are left out, loudly.
// The last line is `N passed, N failed`, over all passes.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ensureBuilt } from "./build.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);
const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
const gpuTests = ["test/gpu", "test/golden", "test/cli"];
const reports = mkdtempSync(join(tmpdir(), "w2sd-test-"));

/** What Dawn prints about every software adapter, and nobody needs to know. */
const noise = /^Warning: maxDynamic\w+BuffersPerPipelineLayout artificially reduced/;

/** Runs vitest once; returns what its report counts. */
async function run(name, args, adapter) {
  console.log(`\n== ${name}`);
  const report = join(reports, `${name.replace(/\W+/g, "-")}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const env = { ...process.env, ...(adapter && { W2SD_ADAPTER: adapter }) };
  const stdio = ["inherit", "inherit", "pipe"];
  const child = spawn(process.execPath, [vitest, "run", ...args, ...reporters], { stdio, env });
  createInterface({ input: child.stderr }).on("line", (line) => noise.test(line) || console.error(line));
  const [status] = await once(child, "close");
  let result = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, testResults: [] };
  try {
    result = JSON.parse(readFileSync(report, "utf8"));
  } catch {
    // No report: vitest itself failed, which counts below.
  }
  // A file that failed to load has no tests of its own to count.
  const broken = result.testResults.filter((f) => f.status === "failed" && f.assertionResults.length === 0).length;
  let failed = result.numFailedTests + broken;
  if (status !== 0 && failed === 0) failed = 1;
  if (result.numPassedTests === 0 && failed === 0 && !args.includes("--passWithNoTests")) {
    console.log(`${name}: no test ran`);
    failed = 1;
  }
  return { passed: result.numPassedTests, failed, skipped: result.numPendingTests };
}

/** Adapters to test on, in order, and what to say about those that are missing. */
async function chooseAdapters() {
  await ensureBuilt();
  const { findAdapter } = await import("../dist/node.js");
  const found = [];
  const missing = [];
  const look = async (adapter) => {
    try {
      const { name, software } = await findAdapter({ adapter });
      found.push(adapter);
      console.log(`${adapter}: ${name}${software ? ", software" : ""}`);
    } catch (error) {
      if (error.name !== "AdapterError") throw error;
      missing.push(error.message);
    }
  };
  const demanded = process.env["W2SD_TEST_ADAPTERS"];
  if (demanded) {
    for (const adapter of demanded.split(",")) await look(adapter);
    return { found, missing, enough: missing.length === 0 };
  }
  // The two known software adapters give the same results everywhere; whatever else there is comes after them.
  for (const adapter of ["lavapipe", "swiftshader"]) await look(adapter);
  if (found.length === 0) await look("auto");
  return { found, missing: found.length === 0 ? missing : [], enough: found.length > 0 };
}

const args = process.argv.slice(2);
const total = { passed: 0, failed: 0, skipped: 0 };
const add = (counts) => Object.keys(total).forEach((key) => (total[key] += counts[key]));
let left = "";

try {
  const { found, missing, enough } = await chooseAdapters();
  if (!enough) {
    const why = missing.map((m) => `  ${m.replaceAll("\n", "\n  ")}`).join("\n");
    if (process.env["CI"] || process.env["W2SD_TEST_ADAPTERS"]) {
      console.error(`The GPU tests cannot run on every adapter they must run on:\n${why}`);
      add({ passed: 0, failed: 1, skipped: 0 });
    } else {
      left = `LEFT OUT: ${gpuTests.join(" and ")}, since there is no adapter:\n${why}`;
      console.error(left);
    }
  }
  const [first, ...others] = found;
  if (first === undefined)
    add(await run("tests without a GPU", [...gpuTests.flatMap((t) => ["--exclude", `${t}/**`]), ...args]));
  else add(await run(`all tests, GPU tests on ${first}`, args, first));
  // A selection of files may hold no GPU tests.
  const selected = args.length > 0 ? [...args, "--passWithNoTests"] : [];
  const rest = readdirSync("test").filter((name) => name !== "gpu");
  const onlyGpu = rest.flatMap((name) => ["--exclude", `test/${name}/**`]);
  for (const adapter of others) add(await run(`GPU tests on ${adapter}`, [...onlyGpu, ...selected], adapter));
} catch (error) {
  console.error(error);
  add({ passed: 0, failed: 1, skipped: 0 });
} finally {
  rmSync(reports, { recursive: true, force: true });
}

if (left) console.error(left);
if (total.skipped > 0) console.log(`${total.skipped} skipped, each with its reason in its name or above`);
console.log(`${total.passed} passed, ${total.failed} failed`);
// The adapters found above must not hold up the end.
process.exit(total.failed > 0 ? 1 : 0);
