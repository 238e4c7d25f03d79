// Runs scenarios with the Node client ali-ons against a cluster:
//
//   node main.js --namesrv ADDR --broker ADDR [--scenario all|NAME,NAME] [--run-id X]
//
// Prints "PASS name ms" or "FAIL name reason" for each and closes with "N passed, N failed".
//
// What this client cannot do: batches, choosing a queue (but by sharding key), queue locks (it delivers each queue in
// order without them), lite pull, lz4 and zstd, viewing by id, binary headers. It does not listen to the notice that a
// group has changed but rebalances by time. Scenarios use a layer below its public calls for oneway sends, for pulls, and
// for a topic that does not exist yet (its send gives up when the name server says so, before it looks at the template
// topic; told to look there first, it sends).
'use strict';

const { World } = require('./world');
const { runChild } = require('./rebalance');

// Scenarios wait for servers most of the time, so a few more than there are cores.
const PARALLEL = 6;

const scenarios = {
  ...require('./rebalance').scenarios,
  ...require('./consume').scenarios,
  ...require('./send').scenarios,
};

function options(argv) {
  const found = { scenario: 'all', 'run-id': `r${Date.now()}` };
  for (let i = 0; i + 1 < argv.length; i += 2) found[argv[i].replace(/^--/, '')] = argv[i + 1];
  if (!found.namesrv) {
    console.error('usage: node main.js --namesrv HOST:PORT --broker HOST:PORT [--scenario all|NAME,NAME] [--run-id ID]');
    process.exit(2);
  }
  return found;
}

async function runOne(name, given) {
  const world = new World(given, name);
  const began = Date.now();
  try {
    await scenarios[name](world);
    console.log(`PASS ${name} ${Date.now() - began}`);
    return true;
  } catch (reason) {
    console.log(`FAIL ${name} ${String(reason.message || reason).replace(/\s+/g, ' ')}`);
    return false;
  } finally {
    await world.close();
  }
}

async function main() {
  const given = options(process.argv.slice(2));
  if (given.role === 'consumer') return runChild(given);
  const names = given.scenario === 'all' ? Object.keys(scenarios) : given.scenario.split(',');
  const unknown = names.filter(name => !scenarios[name]);
  if (unknown.length > 0) {
    console.error(`no scenario ${unknown}; there are ${Object.keys(scenarios)}`);
    process.exit(2);
  }
  const count = { passed: 0, failed: 0 };
  const worker = async () => {
    for (let name = names.shift(); name; name = names.shift()) {
      count[await runOne(name, given) ? 'passed' : 'failed']++;
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  console.log(`${count.passed} passed, ${count.failed} failed`);
  process.exit(count.failed === 0 ? 0 : 1);
}

main();
