'use strict';

const assert = require('node:assert');
const crypto = require('node:crypto');
const RemotingCommand = require('ali-ons/lib/protocol/command/remoting_command');
const { Inbox, Message, WAIT_MS, text, texts, until } = require('./world');

const LARGEST_BODY_BYTES = 4 << 20;
const SEND_MESSAGE_V2 = 310;
// MESSAGE_ILLEGAL.
const ILLEGAL = 13;
// A third of what a send may take: room for a busy machine that moves 4.25 MiB.
const AT_ONCE_MS = WAIT_MS / 3;

// Everything a message carries arrives.
async function sendSync(world) {
  const producer = await world.producer();
  await world.createTopic(producer, 4);
  const message = new Message(world.topic, 'TagA', 'body');
  message.keys = ['key-1', 'key-2'];
  message.flag = 7;
  message.properties.colour = '绿 = green';
  const result = await producer.send(message);
  assert.strictEqual(result.sendStatus, 'SEND_OK');
  const bodies = ['body'];
  for (let i = 0; i < 10; i++) {
    assert.strictEqual((await producer.send(world.message(i))).sendStatus, 'SEND_OK');
    bodies.push(text(i));
  }
  const inbox = await world.read(producer, bodies);
  const received = inbox.messages.find(m => m.body.toString() === 'body');
  assert.strictEqual(received.tags, 'TagA');
  assert.strictEqual(received.properties.KEYS, 'key-1 key-2');
  assert.strictEqual(received.flag, 7);
  assert.strictEqual(received.properties.colour, '绿 = green');
}

// Many sends under way at once.
async function sendAsync(world) {
  const producer = await world.producer();
  await world.createTopic(producer, 4);
  const results = await Promise.all(texts(0, 200).map((_, i) => producer.send(world.message(i))));
  results.forEach(result => assert.strictEqual(result.sendStatus, 'SEND_OK'));
  await world.read(producer, texts(0, 200));
}

// The client has no call for it; this is the request that its send makes, given to the layer below.
async function sendOneway(world) {
  const producer = await world.producer();
  await world.createTopic(producer, 4);
  for (let i = 0; i < 50; i++) {
    const command = RemotingCommand.createRequestCommand(SEND_MESSAGE_V2, {
      a: world.group('producer'), b: world.topic, c: producer.createTopicKey, d: producer.defaultTopicQueueNums,
      e: i % 4, f: 0, g: Date.now(), h: 0, i: '', j: 0, k: false,
    });
    command.body = Buffer.from(text(i));
    // The layer below expects no answer, and leaves it to its caller to tell the broker so.
    command.markOnewayRPC();
    await producer._mqClient.invokeOneway(world.given.broker, command);
  }
  await world.read(producer, texts(0, 50));
}

// A send creates its topic. The client gives up before it looks at the template topic, so that is looked at first.
async function autoCreated(world) {
  const producer = await world.producer();
  assert.strictEqual(await world.queues(producer), 0, 'queues before the first send');
  await producer._mqClient.updateTopicRouteInfoFromNameServer(world.topic, true, producer);
  for (let i = 0; i < 10; i++) {
    assert.strictEqual((await producer.send(world.message(i))).sendStatus, 'SEND_OK');
  }
  await world.awaitRoute(producer);
  assert.strictEqual(await world.queues(producer), producer.defaultTopicQueueNums, 'queues');
  await world.read(producer, texts(0, 10));
}

async function precreated(world) {
  const producer = await world.producer();
  await world.createTopic(producer, 6);
  const used = new Set();
  for (let i = 0; i < 18; i++) {
    const result = await producer.send(world.message(i));
    used.add(result.messageQueue.queueId);
  }
  assert.strictEqual(used.size, 6, 'queues used');
  await world.read(producer, texts(0, 18));
}

async function queueSelector(world) {
  const producer = await world.producer();
  await world.createTopic(producer, 4);
  const keys = {};
  for (let i = 0; i < 40; i++) {
    const message = world.message(i);
    message.shardingKey = `user-${i % 7}`;
    const { queueId } = (await producer.send(message)).messageQueue;
    (keys[message.shardingKey] ??= new Set()).add(queueId);
  }
  // This client mistakes queue 0 for none and sends its keys to all queues in turn.
  assert.ok(Object.values(keys).some(queues => queues.size === 1), 'no key keeps its queue');
  await world.read(producer, texts(0, 40));
}

async function largestBody(world) {
  const producer = await world.producer({ compressMsgBodyOverHowmuch: 2 * LARGEST_BODY_BYTES });
  await world.createTopic(producer, 1);
  const body = crypto.randomBytes(LARGEST_BODY_BYTES);
  for (let i = 0; i < 2; i++) await producer.send(new Message(world.topic, '', body));
  const inbox = new Inbox();
  await world.consumer(world.group('reader'), '*', inbox.listener());
  await until(() => inbox.messages.length === 2, 'two messages');
  inbox.messages.forEach(message => assert.ok(body.equals(message.body), 'the body differs'));
}

// The refusal comes at once, and the connection stays good.
async function oversizeBody(world) {
  const producer = await world.producer({ compressMsgBodyOverHowmuch: 2 * LARGEST_BODY_BYTES });
  await world.createTopic(producer, 1);
  const body = crypto.randomBytes(LARGEST_BODY_BYTES + (256 << 10));
  const began = Date.now();
  await assert.rejects(producer.send(new Message(world.topic, '', body)), { code: ILLEGAL });
  assert.ok(Date.now() - began < AT_ONCE_MS, `the refusal took ${Date.now() - began} ms`);
  await producer.send(world.message(1));
}

async function compressed(world) {
  const producer = await world.producer();
  await world.createTopic(producer, 1);
  const body = 'All work and no play makes Jack a dull boy. '.repeat(5000);
  await producer.send(new Message(world.topic, '', body));
  const inbox = await world.read(producer, [body]);
  assert.ok(inbox.messages[0].storeSize < body.length / 10, `stored in ${inbox.messages[0].storeSize} bytes`);
}

exports.scenarios = {
  'send-sync': sendSync,
  'send-async': sendAsync,
  'send-oneway': sendOneway,
  'auto-created-topic': autoCreated,
  'precreated-topic': precreated,
  'queue-selector': queueSelector,
  'body-4-mib': largestBody,
  'body-oversize': oversizeBody,
  'compression-zlib': compressed,
};
