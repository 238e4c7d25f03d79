package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"strings"
	"sync/atomic"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const largestBodyBytes = 4 << 20

func (w *world) message(number int) *primitive.Message {
	return primitive.NewMessage(w.topic(), []byte(text(number)))
}

func send(through rocketmq.Producer, messages ...*primitive.Message) *primitive.SendResult {
	result, err := through.SendSync(context.Background(), messages...)
	must(err)
	equal(primitive.SendOK, result.Status, "status")
	return result
}

// sendSync uses an auto-created topic; everything that a message carries arrives.
func sendSync(w *world) {
	through := w.producer()
	message := primitive.NewMessage(w.topic(), []byte("body"))
	message.WithTag("TagA").WithKeys([]string{"key-1", "key-2"}).WithProperty("colour", "绿 = green")
	message.Flag = 7
	result := send(through, message)
	bodies := []string{"body"}
	for number := 0; number < 10; number++ {
		send(through, w.message(number))
		bodies = append(bodies, text(number))
	}
	for _, received := range w.read(bodies).all() {
		if string(received.Body) != "body" {
			continue
		}
		equal("TagA", received.GetTags(), "tag")
		equal("key-1 key-2", received.GetKeys(), "keys")
		equal("绿 = green", received.GetProperty("colour"), "user property")
		equal(int32(7), received.Flag, "flag")
		equal(result.MsgID, received.MsgId, "message id")
	}
}

func sendAsync(w *world) {
	through := w.producer()
	send(through, w.message(0))
	var sent, failed atomic.Int64
	for number := 1; number < 200; number++ {
		must(through.SendAsync(context.Background(), func(_ context.Context, _ *primitive.SendResult, err error) {
			if err == nil {
				sent.Add(1)
			} else {
				failed.Add(1)
			}
		}, w.message(number)))
	}
	await("the answers", func() bool { return sent.Load()+failed.Load() == 199 })
	equal(int64(0), failed.Load(), "failed sends")
	w.read(texts(0, 200))
}

func sendOneway(w *world) {
	w.createTopic(4)
	through := w.producer()
	for number := 0; number < 50; number++ {
		must(through.SendOneWay(context.Background(), w.message(number)))
	}
	w.read(texts(0, 50))
}

func precreatedTopic(w *world) {
	queues := w.createTopic(6)
	through := w.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	for number := 0; number < 18; number++ {
		message := w.message(number)
		message.Queue = queues[number%6]
		result := send(through, message)
		equal(queues[number%6].QueueId, result.MessageQueue.QueueId, "queue")
		equal(int64(number/6), result.QueueOffset, "offset")
	}
	w.read(texts(0, 18))
}

func batch(w *world) {
	w.createTopic(1)
	var messages []*primitive.Message
	for number := 0; number < 64; number++ {
		message := w.message(number)
		message.WithTag(fmt.Sprint("Tag", number%2)).WithProperty("number", fmt.Sprint(number))
		messages = append(messages, message)
	}
	send(w.producer(), messages...)
	for number, message := range w.read(texts(0, 64)).byQueue()[0] {
		equal(text(number), string(message.Body), "body")
		equal(fmt.Sprint("Tag", number%2), message.GetTags(), "tag")
		equal(fmt.Sprint(number), message.GetProperty("number"), "user property")
	}
}

func queueSelector(w *world) {
	w.createTopic(4)
	through := w.producer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	queueOf := map[string]int{}
	for number := 0; number < 40; number++ {
		message := w.message(number)
		key := fmt.Sprint("user-", number%7)
		message.WithShardingKey(key)
		queue := send(through, message).MessageQueue.QueueId
		if before, known := queueOf[key]; known {
			equal(before, queue, "queue of "+key)
		}
		queueOf[key] = queue
	}
	w.read(texts(0, 40))
}

func randomBytes(length int) []byte {
	body := make([]byte, length)
	rand.New(rand.NewSource(int64(length))).Read(body)
	return body
}

func largestBody(w *world) {
	w.createTopic(1)
	through := w.producer(producer.WithCompressMsgBodyOverHowmuch(2 * largestBodyBytes))
	body := randomBytes(largestBodyBytes)
	for count := 0; count < 2; count++ {
		send(through, primitive.NewMessage(w.topic(), body))
	}
	for _, message := range w.read([]string{string(body), string(body)}).all() {
		check(bytes.Equal(body, message.Body), "the body differs")
	}
}

// oversizeBody: MESSAGE_ILLEGAL comes at once, and the connection stays good.
func oversizeBody(w *world) {
	w.createTopic(1)
	through := w.producer(producer.WithCompressMsgBodyOverHowmuch(2*largestBodyBytes), producer.WithRetry(0))
	_, err := through.SendSync(context.Background(), primitive.NewMessage(w.topic(), randomBytes(largestBodyBytes+256<<10)))
	check(err != nil, "a body of 4.25 MiB was taken")
	// This client waits 3 s for an answer and then tells of a timeout.
	check(strings.HasPrefix(err.Error(), "CODE: 13,"), "refused with %v", err)
	send(through, w.message(1))
}

func compressed(w *world) {
	w.createTopic(1)
	body := strings.Repeat("All work and no play makes Jack a dull boy. ", 5000)
	send(w.producer(), primitive.NewMessage(w.topic(), []byte(body)))
	box := &inbox{}
	reader, _ := w.pushConsumer(w.group("reader"))
	must(reader.Subscribe(w.topic(), consumer.MessageSelector{}, box.listen))
	must(reader.Start())
	box.awaitExactly([]string{body})
	check(int(box.all()[0].StoreSize) < len(body)/10, "stored in %d bytes", box.all()[0].StoreSize)
}
