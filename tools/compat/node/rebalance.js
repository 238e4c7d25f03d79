'use strict';

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const readline = require('node:readline');
const { Inbox, held, startConsumer, text, texts, until } = require('./world');

const QUEUES = 8;

// Two consumers that hold half of the queues each. The second one starts when the first has taken all: a consumer takes
// its queues one after the other, so of two that start together each may hold a half on the way to another share.
async function startPair(world, inbox, own) {
  const pair = [];
  for (const mine of own) {
    pair.push(await world.consumer(world.group('reader'), '*', async message => {
      mine.messages.push(message);
      inbox.messages.push(message);
    }));
    await until(() => shared(world, pair) >= QUEUES, () => `all queues, ${pair.length} hold ${shared(world, pair)}`);
  }
  await awaitHalves(world, pair);
  return pair;
}

async function awaitHalves(world, pair) {
  const halves = () => pair.every(consumer => held(consumer, world.topic).length === QUEUES / 2)
    && new Set(pair.flatMap(consumer => held(consumer, world.topic))).size === QUEUES;
  await until(halves, () => `half of the queues each, have ${pair.map(consumer => held(consumer, world.topic).length)}`);
}

// How many queues consumers hold in all.
function shared(world, consumers) {
  return consumers.reduce((sum, consumer) => sum + held(consumer, world.topic).length, 0);
}

async function clustering(world) {
  const producer = await world.producer();
  await world.createTopic(producer, QUEUES);
  const inbox = new Inbox();
  const own = [new Inbox(), new Inbox()];
  await startPair(world, inbox, own);
  for (let i = 0; i < 400; i++) await producer.send(world.message(i));
  await inbox.awaitExactly(texts(0, 400));
  own.forEach(mine => assert.ok(mine.messages.length > 100, `one consumer received only ${mine.messages.length}`));
}

// A third consumer, a process of its own, joins and is killed with SIGKILL; nothing gets lost.
async function rebalance(world) {
  const producer = await world.producer();
  await world.createTopic(producer, QUEUES);
  const inbox = new Inbox();
  const pair = await startPair(world, inbox, [new Inbox(), new Inbox()]);
  const child = startChild(world);
  world.closers.push(() => child.kill());
  await until(() => child.held() >= 2 && child.held() + shared(world, pair) === QUEUES,
    'a share for the joining consumer');
  for (let i = 0; i < 400; i++) {
    await producer.send(world.message(i));
    if (i === 200) {
      await until(() => child.got().length > 0, 'a message for the joining consumer');
      await child.kill();
    }
  }
  await awaitHalves(world, pair);
  await until(() => new Set([...inbox.bodies(), ...child.got()]).size === 400,
    'all messages after a consumer was killed');
  for (let i = 400; i < 600; i++) await producer.send(world.message(i));
  const settled = () => inbox.bodies().filter(body => body >= text(400));
  await until(() => settled().length >= 200, 'the messages after that');
  assert.deepStrictEqual(settled(), texts(400, 600));
}

function startChild(world) {
  const child = spawn(process.execPath, [path.join(__dirname, 'main.js'), '--role', 'consumer', '--topic', world.topic,
    '--namesrv', world.given.namesrv, '--group', world.group('reader')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = [];
  const reader = readline.createInterface({ input: child.stdout });
  reader.on('line', line => lines.push(line));
  const ended = once(reader, 'close');
  const all = prefix => lines.filter(line => line.startsWith(prefix)).map(line => line.slice(prefix.length));
  return {
    held: () => Number(all('HELD ').pop() ?? -1),
    got: () => all('GOT '),
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

// Consumes until it is killed; prints a message before it answers success.
async function runChild(given) {
  const consumer = await startConsumer(given, given.group, given.topic, '*', async message => {
    process.stdout.write(`GOT ${message.body}\n`);
  });
  let before = -1;
  setInterval(() => {
    const now = held(consumer, given.topic).length;
    if (now !== before) process.stdout.write(`HELD ${now}\n`);
    before = now;
  }, 20);
}

exports.scenarios = { rebalance, clustering };
exports.runChild = runChild;
