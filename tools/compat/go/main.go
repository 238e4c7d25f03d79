// Command compat runs scenarios with the Go client against a cluster.
//
//	compat -namesrv ADDR -broker ADDR [-scenario all|NAME,NAME] [-run-id X]
//
// It prints "PASS name ms" or "FAIL name reason" for each and closes with "N passed, N failed".
//
// What this client cannot do: lite pull (it has only the plain pull consumer), lz4 and zstd, viewing a message by its
// id, searching offsets by time, binary headers (it always sends JSON).
package main

import (
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

// Scenarios wait for servers most of the time, so a few more than there are cores.
const parallel = 8

type scenario func(*world)

func scenarios() map[string]scenario {
	return map[string]scenario{
		"send-sync": sendSync, "send-async": sendAsync, "send-oneway": sendOneway,
		"precreated-topic": precreatedTopic, "batch": batch, "queue-selector": queueSelector,
		"intact-2000": intact, "orderly": orderly, "broadcasting": broadcasting, "resume": resume,
		"long-poll": longPoll, "tag-filter": tagFilter, "clustering": clustering, "rebalance": rebalance,
		"reconsume-later": reconsumeLater, "pull-seek": pullSeek, "body-4-mib": largestBody, "body-oversize": oversizeBody,
		"compression-zlib": compressed,
	}
}

func main() {
	namesrv := flag.String("namesrv", "", "address of the name server")
	broker := flag.String("broker", "", "address of the broker, for creating topics")
	names := flag.String("scenario", "all", "all, or names with commas between")
	runID := flag.String("run-id", fmt.Sprint("r", time.Now().UnixMilli()), "makes topics and groups unique")
	role := flag.String("role", "", "internal: consumer of a child process")
	topic := flag.String("topic", "", "internal: topic of the child")
	group := flag.String("group", "", "internal: group of the child")
	flag.Parse()
	rlog.SetLogLevel("error")
	_ = rlog.SetOutputPath(os.TempDir() + "/compat-go.log")
	if *role == "consumer" {
		runChild(*namesrv, *topic, *group)
		return
	}
	os.Exit(runAll(chosen(*names), world{namesrv: *namesrv, broker: *broker, runID: *runID}))
}

func chosen(names string) []string {
	all := scenarios()
	var list []string
	if names == "all" {
		for name := range all {
			list = append(list, name)
		}
		sort.Strings(list)
		return list
	}
	for _, name := range strings.Split(names, ",") {
		if all[name] == nil {
			fmt.Fprintln(os.Stderr, "no scenario", name)
			os.Exit(2)
		}
		list = append(list, name)
	}
	return list
}

func runAll(names []string, base world) int {
	var mutex sync.Mutex
	var group sync.WaitGroup
	passed, failed := 0, 0
	slots := make(chan struct{}, parallel)
	for _, name := range names {
		name := name
		group.Add(1)
		slots <- struct{}{}
		go func() {
			defer group.Done()
			began := time.Now()
			reason := runOne(scenarios()[name], &world{
				namesrv: base.namesrv, broker: base.broker, runID: base.runID, scenario: name})
			<-slots
			mutex.Lock()
			defer mutex.Unlock()
			if reason == "" {
				passed++
				fmt.Println("PASS", name, time.Since(began).Milliseconds())
			} else {
				failed++
				fmt.Println("FAIL", name, reason)
			}
		}()
	}
	group.Wait()
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return 1
	}
	return 0
}

func runOne(run scenario, w *world) (reason string) {
	defer w.close()
	defer func() {
		if caught := recover(); caught != nil {
			reason = strings.Join(strings.Fields(fmt.Sprint(caught)), " ")
		}
	}()
	run(w)
	return ""
}
