'use strict';

const assert = require('node:assert');
const { Consumer, Message, Producer } = require('ali-ons');

// Longest wait for anything.
const WAIT_MS = 15000;
const POLL_MS = 10;
// This client does not listen to the notice that its group has changed; it looks every so often (10 s is its default).
const REBALANCE_MS = 2000;

const quiet = { info() {}, warn() {}, debug() {}, error() {} };

// The client wants one, for finding name servers by URL, which we do not.
const NO_HTTP = {};

let instances = 0;

// What a scenario works with: names of its own and clients that are closed at its end.
class World {
  constructor(given, scenario) {
    this.given = given;
    this.scenario = scenario;
    this.closers = [];
  }

  get topic() {
    return `T-node-${this.scenario}-${this.given['run-id']}`;
  }

  group(role) {
    return `G-node-${this.scenario}-${role}-${this.given['run-id']}`;
  }

  async producer(extra = {}) {
    const producer = new Producer({ ...clientOptions(this.given), producerGroup: this.group('producer'),
      sendMsgTimeout: WAIT_MS, ...extra });
    producer.on('error', () => {});
    this.closers.push(() => producer.close());
    await producer.ready();
    return producer;
  }

  // A push consumer that reads a new group's topics from their beginning.
  async consumer(group, expression, handler, extra = {}) {
    const consumer = await startConsumer(this.given, group, this.topic, expression, handler, extra);
    this.closers.push(() => consumer.close());
    return consumer;
  }

  // Creates the topic through the admin call and waits until its route shows all queues.
  async createTopic(producer, queues) {
    const config = { topicName: this.topic, readQueueNums: queues, writeQueueNums: queues, perm: 6,
      topicFilterType: 'SINGLE_TAG', topicSysFlag: 0, order: false };
    await producer._mqClient.createTopic(this.given.broker, 'TBW102', config, WAIT_MS);
    await until(async () => (await this.queues(producer)) === queues, `the route of ${this.topic}`);
  }

  // Queues to write to by the name server's answer, 0 without a route.
  async queues(producer) {
    try {
      const route = await producer._mqClient.getTopicRouteInfoFromNameServer(this.topic, WAIT_MS);
      return route.queueDatas.reduce((sum, data) => sum + data.writeQueueNums, 0);
    } catch (noRouteYet) {
      return 0;
    }
  }

  async awaitRoute(producer) {
    await until(async () => (await this.queues(producer)) > 0, `a route of ${this.topic}`);
  }

  // A new group receives exactly these bodies.
  async read(producer, bodies) {
    await this.awaitRoute(producer);
    const inbox = new Inbox();
    await this.consumer(this.group('reader'), '*', inbox.listener());
    await inbox.awaitExactly(bodies);
    return inbox;
  }

  message(number, tag) {
    return new Message(this.topic, tag || '', text(number));
  }

  async close() {
    for (const closer of this.closers.reverse()) {
      try {
        await closer();
      } catch (alreadyClosed) {
        // Closed by the scenario itself.
      }
    }
  }
}

function clientOptions(given) {
  return { nameSrv: given.namesrv, namespace: '', instanceName: `${process.pid}-${++instances}`, logger: quiet,
    rebalanceInterval: REBALANCE_MS, httpclient: NO_HTTP };
}

async function startConsumer(given, group, topic, expression, handler, extra = {}) {
  const consumer = new Consumer({ ...clientOptions(given), consumerGroup: group,
    consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET', ...extra });
  consumer.on('error', () => {});
  consumer.subscribe(topic, expression, handler);
  await consumer.ready();
  return consumer;
}

// The ids of a topic's queues that a consumer holds.
function held(consumer, topic) {
  const queues = [...consumer.processQueueTable.values()].map(item => item.messageQueue);
  return queues.filter(queue => queue.topic === topic).map(queue => queue.queueId);
}

// Keeps what consumers received, in the order of arrival.
class Inbox {
  constructor() {
    this.messages = [];
  }

  listener() {
    return async message => { this.messages.push(message); };
  }

  bodies() {
    return this.messages.map(message => message.body.toString()).sort();
  }

  // Waits until exactly these bodies are here.
  async awaitExactly(bodies) {
    const expected = [...bodies].sort();
    await until(() => this.messages.length >= expected.length, () => `${expected.length} messages, have ${this.messages.length}`);
    assert.deepStrictEqual(this.bodies(), expected);
  }

  // The messages of each queue by queue offset; an offset twice is a failure.
  byQueue() {
    const queues = new Map();
    for (const message of this.messages) {
      if (!queues.has(message.queueId)) queues.set(message.queueId, []);
      queues.get(message.queueId).push(message);
    }
    for (const messages of queues.values()) {
      messages.sort((a, b) => Number(a.queueOffset) - Number(b.queueOffset));
      const offsets = new Set(messages.map(message => Number(message.queueOffset)));
      assert.strictEqual(offsets.size, messages.length, 'an offset was delivered twice');
    }
    return queues;
  }
}

// Polls until the condition holds; past the deadline the scenario fails.
async function until(holds, what) {
  const deadline = Date.now() + WAIT_MS;
  while (!await holds()) {
    if (Date.now() > deadline) {
      throw new Error(`waited ${WAIT_MS} ms for ${typeof what === 'function' ? what() : what}`);
    }
    await new Promise(resolve => { setTimeout(resolve, POLL_MS); });
  }
}

const text = number => `m${String(number).padStart(5, '0')}`;
const texts = (from, to) => Array.from({ length: to - from }, (_, i) => text(from + i));

module.exports = { WAIT_MS, World, Inbox, Message, startConsumer, held, until, text, texts };
