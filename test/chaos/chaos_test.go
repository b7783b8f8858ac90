// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"os"
	"testing"
	"time"
)

// TestChaos makes the full runs, on clusters of its own, and prints the table that docs/explanation/faults.md shows.
// It takes more than an hour, so it is for `make chaos` alone. A run whose fault did not happen fails.
func TestChaos(t *testing.T) {
	if os.Getenv("AUTOBUS_TEST_CHAOS") == "" {
		return // not skipped: what `make test` runs are the short forms
	}
	full := scale{rate: rate(t), full: true}
	tab := &table{}
	for _, j := range jobs(newRig(t, "apart"), newRig(t, "combined")) {
		t.Run(j.id, func(t *testing.T) {
			r := &row{job: j, result: void}
			tab.rows = append(tab.rows, r)
			defer func() {
				switch {
				case t.Failed():
					r.verdict = "**fails**"
				case t.Skipped() || r.result == void:
					r.verdict = "not run"
				default:
					r.verdict = "holds"
				}
				t.Log(r)
			}()
			j.test(t, full, r)
		})
	}
	t.Logf("%s, Kafka 4.3.1, 3 brokers, RF 3, min ISR 2:\n%s", time.Now().Format(time.DateOnly), tab)
}

// job is one row of the table. T and a number is a fault that the bus was designed against.
type job struct {
	id, fault, pass string
	test            func(*testing.T, scale, *row)
}

// jobs are all runs: with the controller apart, and with three nodes in a network of their own that are both.
func jobs(apart, combined *rig) []job {
	return []job{
		{"T1", "`kill -9` of a partition's leader",
			"resumes within 15 s; no copies",
			apart.on(killLeader)},
		{"T2", "rolling restart of the brokers by SIGTERM",
			"longest gap 5 s, p99 3 s; no copies",
			apart.on(rollBrokers)},
		{"T3", "SIGSTOP of a leader for 30 s",
			"resumes within 25 s; no acknowledgement of the stale leader",
			apart.on(pauseLeader)},
		{"T4", "`kill -9` of two of three brokers for 60 s, controller apart",
			"nothing acknowledged meanwhile, tails go on, resumes within 20 s of the second",
			apart.on(killTwo)},
		{"T5", "`kill -9` of the active controller that leads partitions too, combined nodes",
			"resumes within 20 s; no copies",
			combined.on(killController)},
		{"T6", "the link between a leader and one follower is cut for 30 s, both see the controller, combined nodes",
			"longest gap 16 s",
			combined.on(cutFollower)},
		{"T7", "a gateway is cut off from all brokers for 60 s",
			"unknown only for what was sent, the rest refused within 50 ms, memory grows by the buffer and a fifth",
			combined.on(cutGateway)},
		{"T8", "answers of the brokers are lost for 10 s, clients try again at the same gateway",
			"one copy of each",
			combined.on(loseAnswers)},
		{"T9", "the same, clients try again at another gateway",
			"at most two copies, one once readers drop known ids",
			combined.on(loseAnswersMove)},
		{"T10", "`kill -9` of the gateway that holds all 8 partitions, window 64, another one takes over",
			"no more comes again than was in flight or acked in the last second; takeover within 15 s",
			apart.on(kills(5, killGateway))},
		{"T11", "SIGTERM of that gateway under load",
			"only what no worker settled within 5 s comes again; down and handed over after 4 s, 9 s with such events",
			apart.on(stopGateway)},
		{"T12", "workers settle in random order, `kill -9` of the gateway at random points",
			"nothing skipped, no inversion",
			apart.on(kills(20, killGateway))},
		{"T12-dev", "`kill -9` of `autobus dev` in the middle of writing and of consuming",
			"nothing lost, nothing skipped, no inversion",
			onDev(scale{rate: 500, kills: 200}, killGateway)},
		{"T13", "one event that every worker fails, parked before its last attempt",
			"one dead letter, its key follows; p99 of the others at most twice as long",
			apart.on(poisonEvent)},
		{"T14", "one event of which every worker dies; the gateway is killed while it is parked, and stopped",
			"one dead letter after all attempts, none early, the lag falls to 0",
			apart.on(crashingEvent)},
		{"T15", "10 workers and 3 gateways come and go for 30 s",
			"nothing skipped, no key in two hands, no more comes again than the windows hold",
			apart.on(churn)},
		{"T16", "corrupt, foreign, oversized commit metadata",
			"nothing skipped, partitions go on within 5 s, each is alarmed",
			apart.on(tamperPositions)},
		{"T17", "10,000 events are scheduled for the next 10 minutes, one of two gateways is killed every 20 s",
			"nothing lost, nothing early; 25 s late at most, else p99 2 s; copies only of what hopped at a kill",
			apart.on(kills(30, killKeepers))},
		{"T18", "1,000 dead letters are redriven, the gateway that does it is killed twice",
			"each redriven once",
			apart.on(redrive)},
		{"T19", "50 of 800 keys fail and are parked; the gateway is killed while they are, and while they come back",
			"nothing skipped, each key in order; the others at 90 % of their rate; attempts never early, 1 s + 3 % late",
			apart.on(parkKeys)},
		{"T20", "`kill -9` of the gateway that holds the inbox of requests under way, another one is asked",
			"every answer that is in the log is found, none goes astray",
			apart.on(kills(3, asks(killAsker, func(rate int) int { return rate / 4 })))},
		{"T20-server", "`kill -9` of one of two servers that have requests in hand",
			"the other one answers them, each caller gets one answer",
			apart.on(kills(5, asks(killResponder, func(int) int { return 0 })))},
		{"T21", "five services are asked at once, one is silent, one answers twice",
			"at the deadline, within 200 ms: got 4, missing 1, duplicates 1",
			apart.on(asks(gather, func(int) int { return 20 }))},
		{"flights", "the flights example: a broker and one of two gateways killed in the middle of feeding and of the work",
			"the tables of the file, the workers, the bus and the topics are equal",
			flights(apart)},
		{"flights-poison",
			"the flights example: 1 % of the deliveries fail, 0.1 % of the rows always do, two gateways are killed at random, " +
				"6 times",
			"the tables of the file, the workers and the topics are equal, the dead letters are the poison rows",
			flightsPoison(apart)},
	}
}
