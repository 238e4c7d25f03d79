package main

import (
	"context"
	"fmt"
	"reflect"
	"sort"
	"sync"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// inbox keeps what consumers received, in the order of arrival.
type inbox struct {
	mutex    sync.Mutex
	messages []*primitive.MessageExt
}

// listen is a listener that keeps everything and answers success.
func (i *inbox) listen(_ context.Context, received ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	i.messages = append(i.messages, received...)
	return consumer.ConsumeSuccess, nil
}

func (i *inbox) all() []*primitive.MessageExt {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	return append([]*primitive.MessageExt{}, i.messages...)
}

func (i *inbox) size() int { return len(i.all()) }

func (i *inbox) bodies() []string {
	bodies := []string{}
	for _, message := range i.all() {
		bodies = append(bodies, string(message.Body))
	}
	sort.Strings(bodies)
	return bodies
}

// awaitExactly waits until exactly these bodies are here.
func (i *inbox) awaitExactly(bodies []string) {
	expected := append([]string{}, bodies...)
	sort.Strings(expected)
	await(fmt.Sprintf("%d messages", len(expected)), func() bool { return i.size() >= len(expected) })
	check(reflect.DeepEqual(expected, i.bodies()), "%d messages, %d received, or others than sent", len(expected), i.size())
}

// byQueue sorts the messages of each queue by offset; an offset twice is a failure.
func (i *inbox) byQueue() map[int][]*primitive.MessageExt {
	queues := map[int][]*primitive.MessageExt{}
	for _, message := range i.all() {
		queues[message.Queue.QueueId] = append(queues[message.Queue.QueueId], message)
	}
	for queue, messages := range queues {
		messages := messages
		sort.Slice(messages, func(a, b int) bool { return messages[a].QueueOffset < messages[b].QueueOffset })
		for n := 1; n < len(messages); n++ {
			check(messages[n-1].QueueOffset < messages[n].QueueOffset, "queue %d delivered offset %d twice",
				queue, messages[n].QueueOffset)
		}
	}
	return queues
}

// tally counts how often something happened.
type tally struct {
	mutex  sync.Mutex
	counts map[string]int
}

// add counts it once more and tells how often it has happened.
func (t *tally) add(what string) int {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts[what]++
	return t.counts[what]
}

func (t *tally) of(what string) int {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.counts[what]
}

func text(number int) string { return fmt.Sprintf("m%05d", number) }

func texts(from, to int) []string {
	var all []string
	for number := from; number < to; number++ {
		all = append(all, text(number))
	}
	return all
}

// read lets a new group receive exactly these bodies.
func (w *world) read(bodies []string) *inbox {
	w.awaitRoute()
	box := &inbox{}
	reader, _ := w.pushConsumer(w.group("reader"))
	must(reader.Subscribe(w.topic(), consumer.MessageSelector{}, box.listen))
	must(reader.Start())
	box.awaitExactly(bodies)
	return box
}
