package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"math/rand"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const (
	many            = 2000
	randomBodyBytes = 16 << 10
	// A heartbeat under way while a client leaves its group brings it back for a moment; the next one gets all queues
	// with its second rebalance, after 20 s.
	goneWaitAtMost = 45 * time.Second
	// This client waits 3 s for the answer to a message that it gives back, and 5 s more before it consumes it again by
	// itself; one that Apache's broker took back comes when the route of the retry topic is found, after up to 30 s.
	againWaitAtMost = 60 * time.Second
)

// intact: 2,000 messages of random sizes arrive unchanged, exactly once, in the order of sending per queue.
func intact(w *world) {
	queues := w.createTopic(4)
	through := w.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	box := &inbox{}
	reader, _ := w.pushConsumer(w.group("reader"))
	must(reader.Subscribe(w.topic(), consumer.MessageSelector{}, box.listen))
	must(reader.Start())
	var senders sync.WaitGroup
	failures := make(chan error, many)
	for _, queue := range queues {
		queue := queue
		senders.Add(1)
		go func() {
			defer senders.Done()
			random := rand.New(rand.NewSource(int64(queue.QueueId)))
			for number := 0; number < many/4; number++ {
				body := make([]byte, 1+random.Intn(randomBodyBytes))
				random.Read(body)
				message := primitive.NewMessage(w.topic(), body)
				message.WithProperty("number", fmt.Sprint(number))
				message.WithProperty("crc", fmt.Sprint(crc32.ChecksumIEEE(body)))
				message.Queue = queue
				if _, err := through.SendSync(context.Background(), message); err != nil {
					failures <- err
				}
			}
		}()
	}
	senders.Wait()
	check(len(failures) == 0, "%d sends failed", len(failures))
	await("2,000 messages", func() bool { return box.size() >= many })
	equal(many, box.size(), "messages")
	for queue, messages := range box.byQueue() {
		equal(many/4, len(messages), fmt.Sprint("messages in queue ", queue))
		for number, message := range messages {
			equal(int64(number), message.QueueOffset, "offset")
			equal(fmt.Sprint(number), message.GetProperty("number"), "order")
			equal(message.GetProperty("crc"), fmt.Sprint(crc32.ChecksumIEEE(message.Body)), "checksum of the body")
		}
	}
}

// orderly: two consumers; each queue is delivered in order by one of them. Each holds the same half from its start: this
// client does not unlock a queue that it hands over, so the next owner would wait until the lock expires, 60 s.
func orderly(w *world) {
	queues := w.createTopic(4)
	through := w.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	box := &inbox{}
	for _, half := range []int{0, 1} {
		half := half
		reader, _ := w.pushConsumer(w.group("reader"), consumer.WithConsumerOrder(true),
			consumer.WithStrategy(func(_, _ string, all []*primitive.MessageQueue, _ []string) []*primitive.MessageQueue {
				var mine []*primitive.MessageQueue
				for _, queue := range all {
					if queue.QueueId%2 == half {
						mine = append(mine, queue)
					}
				}
				return mine
			}))
		must(reader.Subscribe(w.topic(), consumer.MessageSelector{}, box.listen))
		must(reader.Start())
	}
	for number := 0; number < 200; number++ {
		message := w.message(number)
		message.Queue = queues[number%4]
		send(through, message)
	}
	box.awaitExactly(texts(0, 200))
	last := map[int]string{}
	for _, message := range box.all() {
		queue := message.Queue.QueueId
		check(last[queue] < string(message.Body), "out of order: %s", message.Body)
		last[queue] = string(message.Body)
	}
}

func broadcasting(w *world) {
	w.createTopic(4)
	var boxes []*inbox
	for count := 0; count < 2; count++ {
		box := &inbox{}
		reader, _ := w.pushConsumer(w.group("reader"), consumer.WithConsumerModel(consumer.BroadCasting))
		must(reader.Subscribe(w.topic(), consumer.MessageSelector{}, box.listen))
		must(reader.Start())
		boxes = append(boxes, box)
	}
	through := w.producer()
	for number := 0; number < 100; number++ {
		send(through, w.message(number))
	}
	for _, box := range boxes {
		box.awaitExactly(texts(0, 100))
	}
}

// resume: a new consumer of the group goes on where the closed one stopped.
func resume(w *world) {
	w.createTopic(4)
	through := w.producer()
	for round := 0; round < 3; round++ {
		for number := round * 50; number < round*50+50; number++ {
			send(through, w.message(number))
		}
		box := &inbox{}
		reader, _ := w.pushConsumer(w.group("reader"))
		must(reader.Subscribe(w.topic(), consumer.MessageSelector{}, box.listen))
		must(reader.Start())
		awaitUpTo(goneWaitAtMost, "50 messages", func() bool { return box.size() >= 50 })
		box.awaitExactly(texts(round*50, round*50+50))
		// Progress moves after the listener has answered.
		await("the progress of the last message", func() bool { return reader.GetOffsetDiffMap()[w.topic()] == 0 })
		must(reader.Shutdown())
	}
}

// reconsumeLater: a message that a listener refuses comes again, and the progress of the group waits for it.
func reconsumeLater(w *world) {
	w.createTopic(4)
	through := w.producer()
	box, tries := &inbox{}, &tally{}
	reader, _ := w.pushConsumer(w.group("reader"))
	listen := func(ctx context.Context, received ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		again, _ := primitive.GetConcurrentlyCtx(ctx)
		again.DelayLevelWhenNextConsume = 1 // The least delay that there is.
		for _, message := range received {
			if tries.add(string(message.Body)) == 1 && isRefused(message) {
				return consumer.ConsumeRetryLater, nil
			}
		}
		return box.listen(ctx, received...)
	}
	must(reader.Subscribe(w.topic(), consumer.MessageSelector{}, listen))
	must(reader.Start())
	for number := 0; number < 40; number++ {
		send(through, w.message(number))
	}
	awaitUpTo(againWaitAtMost, "40 messages", func() bool { return box.size() >= 40 })
	box.awaitExactly(texts(0, 40))
	for _, message := range box.all() {
		expected := 0
		if isRefused(message) {
			expected = 1
		}
		equal(int32(expected), message.ReconsumeTimes, fmt.Sprintf("how often %s came before", message.Body))
		equal(expected+1, tries.of(string(message.Body)), fmt.Sprintf("tries of %s", message.Body))
	}
	// Only then has the group nothing left: progress never passes a message that is still to come again.
	await("the progress of the last message", func() bool { return reader.GetOffsetDiffMap()[w.topic()] == 0 })
	must(reader.Shutdown())
	send(through, w.message(40))
	rest := &inbox{}
	next, _ := w.pushConsumer(w.group("reader"))
	must(next.Subscribe(w.topic(), consumer.MessageSelector{}, rest.listen))
	must(next.Start())
	awaitUpTo(goneWaitAtMost, "the message after those", func() bool { return rest.size() > 0 })
	rest.awaitExactly(texts(40, 41))
}

func isRefused(message *primitive.MessageExt) bool {
	return strings.HasSuffix(string(message.Body), "3")
}

// longPoll: a consumer that waits for messages gets one at once.
func longPoll(w *world) {
	w.createTopic(4)
	through := w.producer()
	box := &inbox{}
	reader, share := w.pushConsumer(w.group("reader"))
	must(reader.Subscribe(w.topic(), consumer.MessageSelector{}, box.listen))
	must(reader.Start())
	await("the queues", func() bool { return share.held(w.topic()) == 4 })
	for number := 0; number < 20; number++ {
		began := time.Now()
		send(through, w.message(number))
		await("a message", func() bool { return box.size() == number+1 })
		check(number == 0 || time.Since(began) < 4500*time.Millisecond, "a message took %v", time.Since(began))
	}
}

// tagFilter: only matching tags arrive, also when another tag has the same hash code ("Aa" and "BB").
func tagFilter(w *world) {
	w.createTopic(4)
	through := w.producer()
	var expected []string
	for number := 0; number < 200; number++ {
		message := w.message(number)
		if tag := []string{"Aa", "BB", "TagC", "TagD", ""}[number%5]; tag != "" {
			message.WithTag(tag)
		}
		send(through, message)
		if number%5 == 0 || number%5 == 2 {
			expected = append(expected, text(number))
		}
	}
	box := &inbox{}
	reader, _ := w.pushConsumer(w.group("reader"))
	must(reader.Subscribe(w.topic(), consumer.MessageSelector{Type: consumer.TAG, Expression: "Aa || TagC"}, box.listen))
	must(reader.Start())
	box.awaitExactly(expected)
}

func pullSeek(w *world) {
	queue := w.createTopic(4)[2]
	through := w.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	for number := 0; number < 100; number++ {
		message := w.message(number)
		message.Queue = queue
		send(through, message)
	}
	puller := w.pullConsumer()
	ctx := context.Background()
	await("the last message, which Apache's broker indexes after it has acknowledged it", func() bool {
		last, err := puller.PullFrom(ctx, queue, 99, 1)
		return err == nil && last.Status == primitive.PullFound
	})
	middle, err := puller.PullFrom(ctx, queue, 40, 5)
	must(err)
	equal(primitive.PullFound, middle.Status, "status")
	equal(int64(45), middle.NextBeginOffset, "next offset")
	equal(int64(0), middle.MinOffset, "least offset")
	equal(int64(100), middle.MaxOffset, "greatest offset")
	equal(5, len(middle.GetMessageExts()), "messages")
	for number, message := range middle.GetMessageExts() {
		equal(text(40+number), string(message.Body), "body")
	}
	beyond, err := puller.PullFrom(ctx, queue, 5000, 5)
	must(err)
	equal(primitive.PullOffsetIllegal, beyond.Status, "status beyond the end")
	equal(int64(100), beyond.NextBeginOffset, "offset to go on with")
}
