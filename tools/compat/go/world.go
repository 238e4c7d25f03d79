package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const (
	// Longest wait for anything; below the 20 s after which clients rebalance without being told.
	waitAtMost = 15 * time.Second
	pollEvery  = 10 * time.Millisecond
)

var instances atomic.Int64

// world is what a scenario works with: names of its own and clients that are closed at its end.
type world struct {
	namesrv, broker, runID, scenario string
	closers                          []func()
}

func (w *world) topic() string { return "T-go-" + w.scenario + "-" + w.runID }

func (w *world) group(role string) string { return "G-go-" + w.scenario + "-" + role + "-" + w.runID }

func (w *world) close() {
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]()
	}
}

// instance gives each client a connection of its own, as in separate processes.
func instance() string { return fmt.Sprintf("%d-%d", os.Getpid(), instances.Add(1)) }

func (w *world) producer(options ...producer.Option) rocketmq.Producer {
	options = append([]producer.Option{
		producer.WithNameServer([]string{w.namesrv}), producer.WithGroupName(w.group("producer")),
		producer.WithInstanceName(instance()), producer.WithSendMsgTimeout(waitAtMost),
	}, options...)
	made, err := rocketmq.NewProducer(options...)
	must(err)
	must(made.Start())
	w.closers = append(w.closers, func() { _ = made.Shutdown() })
	return made
}

// pushConsumer reads a new group's topics from their beginning; the share counts the queues it holds.
func (w *world) pushConsumer(group string, options ...consumer.Option) (rocketmq.PushConsumer, *share) {
	made, share := newPushConsumer(w.namesrv, group, options...)
	w.closers = append(w.closers, func() { _ = made.Shutdown() })
	return made, share
}

func newPushConsumer(namesrv, group string, options ...consumer.Option) (rocketmq.PushConsumer, *share) {
	share := &share{}
	options = append([]consumer.Option{
		consumer.WithNameServer([]string{namesrv}), consumer.WithGroupName(group),
		consumer.WithInstance(instance()), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithStrategy(share.allocate),
	}, options...)
	made, err := rocketmq.NewPushConsumer(options...)
	must(err)
	return made, share
}

// share remembers the outcome of a consumer's last rebalance.
type share struct {
	mutex  sync.Mutex
	queues map[string]int
}

func (s *share) allocate(group, client string, all []*primitive.MessageQueue, clients []string) []*primitive.MessageQueue {
	mine := consumer.AllocateByAveragely(group, client, all, clients)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.queues == nil {
		s.queues = map[string]int{}
	}
	if len(all) > 0 {
		s.queues[all[0].Topic] = len(mine)
	}
	return mine
}

func (s *share) held(topic string) int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.queues[topic]
}

// createTopic creates the topic through the admin call and waits until its route shows all queues.
func (w *world) createTopic(queues int) []*primitive.MessageQueue {
	calls := w.admin()
	must(calls.CreateTopic(context.Background(), admin.WithTopicCreate(w.topic()),
		admin.WithBrokerAddrCreate(w.broker), admin.WithReadQueueNums(queues), admin.WithWriteQueueNums(queues)))
	var found []*primitive.MessageQueue
	await("the route of "+w.topic(), func() bool {
		found, _ = calls.FetchPublishMessageQueues(context.Background(), w.topic())
		return len(found) == queues
	})
	return found
}

// awaitRoute waits until a topic that a send created can be found.
func (w *world) awaitRoute() {
	calls := w.admin()
	await("a route of "+w.topic(), func() bool {
		found, err := calls.FetchPublishMessageQueues(context.Background(), w.topic())
		return err == nil && len(found) > 0
	})
}

func (w *world) admin() admin.Admin {
	made, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver([]string{w.namesrv})))
	must(err)
	w.closers = append(w.closers, func() { _ = made.Close() })
	return made
}

// await polls until the condition holds; past the deadline the scenario fails.
func await(what string, holds func() bool) {
	awaitUpTo(waitAtMost, what, holds)
}

func awaitUpTo(limit time.Duration, what string, holds func() bool) {
	deadline := time.Now().Add(limit)
	for !holds() {
		if time.Now().After(deadline) {
			panic(fmt.Sprintf("waited %v for %s", limit, what))
		}
		time.Sleep(pollEvery)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(holds bool, otherwise string, values ...any) {
	if !holds {
		panic(fmt.Sprintf(otherwise, values...))
	}
}

func equal[T comparable](expected, found T, what string) {
	check(expected == found, "%s: expected %v, found %v", what, expected, found)
}
