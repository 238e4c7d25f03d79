package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

const queuesShared = 8

func (w *world) pullConsumer() rocketmq.PullConsumer {
	made, err := rocketmq.NewPullConsumer(consumer.WithNameServer([]string{w.namesrv}),
		consumer.WithGroupName(w.group("pull")), consumer.WithInstance(instance()))
	must(err)
	must(made.Subscribe(w.topic(), consumer.MessageSelector{}))
	must(made.Start())
	w.closers = append(w.closers, func() { _ = made.Shutdown() })
	return made
}

// startPair starts two consumers and waits until each holds half of the queues. The second one starts when the first has
// taken all, so that no share is one on the way to another.
func (w *world) startPair(box *inbox, own []*inbox) []*share {
	var shares []*share
	for _, mine := range own {
		mine := mine
		reader, share := w.pushConsumer(w.group("reader"))
		must(reader.Subscribe(w.topic(), consumer.MessageSelector{},
			func(ctx context.Context, received ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
				_, _ = mine.listen(ctx, received...)
				return box.listen(ctx, received...)
			}))
		must(reader.Start())
		shares = append(shares, share)
		await("all queues for the first consumers", func() bool {
			held := 0
			for _, share := range shares {
				held += share.held(w.topic())
			}
			return held >= queuesShared
		})
	}
	w.awaitHalves(shares)
	return shares
}

func (w *world) awaitHalves(shares []*share) {
	await("half of the queues each", func() bool {
		return shares[0].held(w.topic()) == queuesShared/2 && shares[1].held(w.topic()) == queuesShared/2
	})
}

func clustering(w *world) {
	w.createTopic(queuesShared)
	box, own := &inbox{}, []*inbox{{}, {}}
	w.startPair(box, own)
	through := w.producer()
	for number := 0; number < 400; number++ {
		send(through, w.message(number))
	}
	box.awaitExactly(texts(0, 400))
	for _, mine := range own {
		check(mine.size() > 100, "one consumer received only %d", mine.size())
	}
}

// rebalance: a third consumer, a process of its own, joins and is killed with SIGKILL; nothing gets lost.
func rebalance(w *world) {
	w.createTopic(queuesShared)
	box := &inbox{}
	shares := w.startPair(box, []*inbox{{}, {}})
	through := w.producer()
	child := startChild(w)
	w.closers = append(w.closers, child.kill)
	await("a share for the joining consumer", func() bool {
		held := child.latestHeld()
		return held >= 2 && held+shares[0].held(w.topic())+shares[1].held(w.topic()) == queuesShared
	})
	for number := 0; number < 400; number++ {
		send(through, w.message(number))
		if number == 200 {
			await("a message for the joining consumer", func() bool { return len(child.all("GOT ")) > 0 })
			child.kill()
		}
	}
	w.awaitHalves(shares)
	await("all messages after a consumer was killed", func() bool {
		seen := map[string]bool{}
		for _, body := range append(box.bodies(), child.all("GOT ")...) {
			seen[body] = true
		}
		return len(seen) == 400
	})
	for number := 400; number < 600; number++ {
		send(through, w.message(number))
	}
	await("the messages after that", func() bool { return len(settled(box)) >= 200 })
	check(reflect.DeepEqual(texts(400, 600), settled(box)), "messages doubled once the queues were settled")
}

func settled(box *inbox) []string {
	var bodies []string
	for _, body := range box.bodies() {
		if body >= text(400) {
			bodies = append(bodies, body)
		}
	}
	return bodies
}

// childProcess is a consumer in a process of its own, and the lines it printed.
type childProcess struct {
	command *exec.Cmd
	mutex   sync.Mutex
	lines   []string
	ended   chan struct{}
	once    sync.Once
}

func startChild(w *world) *childProcess {
	program, err := os.Executable()
	must(err)
	command := exec.Command(program, "-role", "consumer", "-namesrv", w.namesrv,
		"-topic", w.topic(), "-group", w.group("reader"))
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	must(err)
	must(command.Start())
	child := &childProcess{command: command, ended: make(chan struct{})}
	go child.read(output)
	return child
}

func (c *childProcess) read(output io.Reader) {
	defer close(c.ended)
	for lines := bufio.NewScanner(output); lines.Scan(); {
		c.mutex.Lock()
		c.lines = append(c.lines, lines.Text())
		c.mutex.Unlock()
	}
}

// kill sends SIGKILL and waits until everything printed before was read.
func (c *childProcess) kill() {
	c.once.Do(func() {
		_ = c.command.Process.Kill()
		<-c.ended
		_ = c.command.Wait()
	})
}

func (c *childProcess) all(prefix string) []string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var found []string
	for _, line := range c.lines {
		if strings.HasPrefix(line, prefix) {
			found = append(found, strings.TrimPrefix(line, prefix))
		}
	}
	return found
}

func (c *childProcess) latestHeld() int {
	held := -1
	for _, text := range c.all("HELD ") {
		_, _ = fmt.Sscan(text, &held)
	}
	return held
}

// runChild consumes until it is killed; it prints a message before it answers success.
func runChild(namesrv, topic, group string) {
	reader, share := newPushConsumer(namesrv, group)
	must(reader.Subscribe(topic, consumer.MessageSelector{},
		func(_ context.Context, received ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			for _, message := range received {
				fmt.Println("GOT " + string(message.Body))
			}
			return consumer.ConsumeSuccess, nil
		}))
	must(reader.Start())
	held := -1
	for {
		if now := share.held(topic); now != held {
			held = now
			fmt.Println("HELD", held)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
