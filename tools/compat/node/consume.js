'use strict';

const assert = require('node:assert');
const crypto = require('node:crypto');
const { Inbox, Message, held, text, texts, until } = require('./world');

const MANY = 2000;
const SENDERS = 4;
const RANDOM_BODY_BYTES = 16 << 10;
// Without being woken a held pull is looked at every 5 s at best.
const AWAKE_MS = 4500;

const digest = body => crypto.createHash('md5').update(body).digest('hex');

// 2,000 messages of random sizes arrive unchanged, exactly once, in the order of sending per queue.
async function intact(world) {
  const producer = await world.producer({ compressMsgBodyOverHowmuch: 2 * RANDOM_BODY_BYTES });
  await world.createTopic(producer, 4);
  const inbox = new Inbox();
  await world.consumer(world.group('reader'), '*', inbox.listener());
  await Promise.all(Array.from({ length: SENDERS }, async (_, sender) => {
    for (let number = 0; number < MANY / SENDERS; number++) {
      const body = crypto.randomBytes(1 + crypto.randomInt(RANDOM_BODY_BYTES));
      const message = new Message(world.topic, '', body);
      Object.assign(message.properties, { sender: `${sender}`, number: `${number}`, digest: digest(body) });
      await producer.send(message);
    }
  }));
  await until(() => inbox.messages.length >= MANY, () => `${MANY} messages, have ${inbox.messages.length}`);
  assert.strictEqual(inbox.messages.length, MANY);
  const seen = new Set();
  for (const messages of inbox.byQueue().values()) {
    const last = {};
    messages.forEach((message, offset) => {
      const { sender, number } = message.properties;
      assert.strictEqual(Number(message.queueOffset), offset, 'offset');
      assert.strictEqual(digest(message.body), message.properties.digest, 'the body differs');
      assert.ok(!(Number(number) <= last[sender]), 'out of order');
      last[sender] = Number(number);
      seen.add(`${sender}/${number}`);
    });
  }
  assert.strictEqual(seen.size, MANY);
}

// One message of a queue at a time, in order.
async function orderly(world) {
  const producer = await world.producer();
  await world.createTopic(producer, 4);
  for (let i = 0; i < 200; i++) await producer.send(world.message(i));
  const inbox = new Inbox();
  await world.consumer(world.group('reader'), '*', inbox.listener());
  await inbox.awaitExactly(texts(0, 200));
  const last = {};
  for (const message of inbox.messages) {
    assert.ok(!(message.body.toString() <= last[message.queueId]), `out of order: ${message.body}`);
    last[message.queueId] = message.body.toString();
  }
}

async function broadcasting(world) {
  const producer = await world.producer();
  await world.createTopic(producer, 4);
  const inboxes = [new Inbox(), new Inbox()];
  for (const inbox of inboxes) {
    await world.consumer(world.group('reader'), '*', inbox.listener(), { isBroadcast: true });
  }
  for (let i = 0; i < 100; i++) await producer.send(world.message(i));
  for (const inbox of inboxes) await inbox.awaitExactly(texts(0, 100));
}

// A new consumer of the group goes on where the closed one stopped.
async function resume(world) {
  const producer = await world.producer();
  await world.createTopic(producer, 4);
  for (let round = 0; round < 3; round++) {
    for (let i = round * 50; i < round * 50 + 50; i++) await producer.send(world.message(i));
    const inbox = new Inbox();
    const consumer = await world.consumer(world.group('reader'), '*', inbox.listener());
    await inbox.awaitExactly(texts(round * 50, round * 50 + 50));
    // Progress moves after the listener has answered.
    await until(() => [...consumer.processQueueTable.values()].every(item => item.processQueue.msgCount === 0),
      'the progress of the last message');
    await consumer.close();
  }
}

// A consumer that waits for messages gets one at once.
async function longPoll(world) {
  const producer = await world.producer();
  await world.createTopic(producer, 4);
  const inbox = new Inbox();
  const consumer = await world.consumer(world.group('reader'), '*', inbox.listener());
  await until(() => held(consumer, world.topic).length === 4, 'the queues');
  for (let i = 0; i < 20; i++) {
    const began = Date.now();
    await producer.send(world.message(i));
    await until(() => inbox.messages.length === i + 1, 'a message');
    assert.ok(i === 0 || Date.now() - began < AWAKE_MS, `a message took ${Date.now() - began} ms`);
  }
}

// Only matching tags arrive, also when another tag has the same hash code ("Aa" and "BB").
async function tagFilter(world) {
  const producer = await world.producer();
  await world.createTopic(producer, 4);
  const expected = [];
  for (let i = 0; i < 200; i++) {
    const tag = ['Aa', 'BB', 'TagC', 'TagD', 'TagE'][i % 5];
    await producer.send(world.message(i, tag));
    if (tag === 'Aa' || tag === 'TagC') expected.push(text(i));
  }
  const inbox = new Inbox();
  await world.consumer(world.group('reader'), 'Aa || TagC', inbox.listener());
  await inbox.awaitExactly(expected);
}

async function pullSeek(world) {
  const producer = await world.producer();
  await world.createTopic(producer, 1);
  for (let i = 0; i < 100; i++) await producer.send(world.message(i));
  const pull = (queueOffset, maxMsgNums) => producer._mqClient.pullMessage(world.given.broker, {
    consumerGroup: world.group('pull'), topic: world.topic, queueId: 0, queueOffset, maxMsgNums, sysFlag: 4,
    commitOffset: 0, suspendTimeoutMillis: 0, subscription: '*', subVersion: 0,
  }, 15000);
  // Apache's broker indexes messages after it has acknowledged them.
  await until(async () => (await pull(99, 1)).pullStatus === 'FOUND', 'the last message');
  const middle = await pull(40, 5);
  assert.strictEqual(middle.pullStatus, 'FOUND');
  assert.deepStrictEqual([middle.nextBeginOffset, middle.minOffset, middle.maxOffset], [45, 0, 100]);
  assert.deepStrictEqual(middle.msgFoundList.map(m => m.body.toString()), texts(40, 45));
  const beyond = await pull(5000, 5);
  assert.strictEqual(beyond.pullStatus, 'OFFSET_ILLEGAL');
  assert.strictEqual(beyond.nextBeginOffset, 100);
}

exports.scenarios = {
  'intact-2000': intact,
  orderly,
  broadcasting,
  resume,
  'long-poll': longPoll,
  'tag-filter': tagFilter,
  'pull-seek': pullSeek,
};
