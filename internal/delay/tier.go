// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"strconv"
	"strings"
	"time"
)

const (
	firstTier = 3
	lastTier  = 9

	// lead is what a record has left at least when it leaves a tier: a hop must not make it late.
	lead = 5 * time.Second

	// KeptFor is how long a record stays in a topic beyond its time there, in case nobody works on it.
	KeptFor = 7 * 24 * time.Hour
)

// tier is a topic of delayed records, and for how long it holds each. The one of what is due soon holds nothing back by
// itself: hold is 0.
type tier struct {
	topic string
	hold  time.Duration
}

// near is how much time is left to what is held in memory, at most.
const near = 64*time.Second + lead

// tiers lists the topics, the longest time first and what is due soon last.
func (c *Config) tiers() []tier {
	out := make([]tier, 0, lastTier-firstTier+2)
	for n := lastTier; n >= firstTier; n-- {
		out = append(out, c.tier(n))
	}
	return append(out, c.dueTier())
}

func (c *Config) tier(n int) tier { return tier{c.Name + "." + strconv.Itoa(n), holdOf(n)} }

func (c *Config) dueTier() tier { return tier{topic: c.Name + ".due"} }

func holdOf(n int) time.Duration { return time.Second << (2 * n) }

// tierFor is where a record waits that has so much time left: the longest hold that leaves it the lead.
func (c *Config) tierFor(left time.Duration) tier {
	for n := lastTier; n >= firstTier; n-- {
		if holdOf(n)+lead <= left {
			return c.tier(n)
		}
	}
	return c.dueTier()
}

// tierOf reads a topic's name.
func (c *Config) tierOf(topic string) tier {
	n, err := strconv.ParseUint(strings.TrimPrefix(topic, c.Name+"."), 10, 4)
	if err != nil {
		return tier{topic: topic}
	}
	return tier{topic, holdOf(int(n))}
}

// Held is how long a topic of the bus's delayed records, by its name, holds each; 0 where it holds none back.
func Held(topic string) time.Duration { return (&Config{Name: Group}).tierOf(topic).hold }

// retention is how long a topic keeps what it has.
func (t tier) retention() time.Duration { return max(t.hold, near) + KeptFor }
