// SPDX-License-Identifier: Apache-2.0

// Command direct prints the same table as tally, read from the Kafka topics by a plain Kafka client. It shows that the
// bus hides nothing: a type is a topic, a record's value is the event's data, its attributes are ce_ headers. To do
// without the bus is its whole point, which is why it imports a Kafka client, as nothing else outside internal/kafka
// does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus/examples/flights/table"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	brokers := flag.String("brokers", "localhost:9092", "addresses of Kafka brokers, host:port, separated by commas")
	patience := flag.Duration("timeout", 5*time.Minute, "how long it may take")
	flag.Parse()
	ctx, cancel := context.WithTimeout(ctx, *patience)
	defer cancel()
	if err := direct(ctx, os.Stdout, strings.Split(*brokers, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "direct:", err)
		os.Exit(1)
	}
}

// direct writes the table of everything that is in the topics now.
func direct(ctx context.Context, out io.Writer, brokers []string) error {
	from, ends, err := offsets(ctx, brokers)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumePartitions(from))
	if err != nil {
		return err
	}
	defer client.Close()
	var t table.Table
	read := 0
	for len(ends) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d partitions are not read to their end: %w", len(ends), err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			p := partition{r.Topic, r.Partition}
			end, open := ends[p]
			if !open {
				continue // written after this program began
			}
			if err := add(&t, r); err != nil {
				return err
			}
			read++
			if r.Offset+1 >= end {
				delete(ends, p)
			}
		}
	}
	fmt.Fprintf(os.Stderr, "direct: read %d records, %d different events\n", read, t.Events())
	return t.Write(out)
}

type partition struct {
	topic string
	id    int32
}

// offsets says where to begin in each partition that has records, and where it ends now.
func offsets(ctx context.Context, brokers []string) (from map[string]map[int32]kgo.Offset, ends map[partition]int64,
	err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, table.Departed, table.Cancelled)
	if err = errors.Join(err, starts.Error()); err != nil {
		return nil, nil, err
	}
	listed, err := admin.ListEndOffsets(ctx, table.Departed, table.Cancelled)
	if err = errors.Join(err, listed.Error()); err != nil {
		return nil, nil, err
	}
	from, ends = map[string]map[int32]kgo.Offset{}, map[partition]int64{}
	listed.Each(func(end kadm.ListedOffset) {
		start, ok := starts.Lookup(end.Topic, end.Partition)
		if !ok || start.Offset >= end.Offset {
			return
		}
		if from[end.Topic] == nil {
			from[end.Topic] = map[int32]kgo.Offset{}
		}
		from[end.Topic][end.Partition] = kgo.NewOffset().At(start.Offset)
		ends[partition{end.Topic, end.Partition}] = end.Offset
	})
	return from, ends, nil
}

func add(t *table.Table, r *kgo.Record) error {
	var id string
	for _, h := range r.Headers {
		if h.Key == "ce_id" {
			id = string(h.Value)
		}
	}
	var f table.Flight
	if err := json.Unmarshal(r.Value, &f); err != nil {
		return fmt.Errorf("%s/%d at %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	if err := t.Add(r.Topic, id, f); err != nil {
		return fmt.Errorf("%s/%d at %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return nil
}
