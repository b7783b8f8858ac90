// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/quota"
)

// maxBurst bounds the burst: what a principal may do once in so long a time is no rate any more.
const maxBurst = time.Hour

func (q *quotasConfig) check(p *problems) {
	q.Default.check(p, "quotas.default")
	for i := range q.Principals {
		at, rule := fmt.Sprintf("quotas.principals[%d]", i), &q.Principals[i]
		rule.quota().check(p, at)
		if !p.sound(at + ".principal") {
			continue
		}
		if !autobus.ValidPattern(rule.Principal) || strings.ToLower(rule.Principal) != rule.Principal {
			p.at(at+".principal", "%q is neither a principal's name nor a pattern", rule.Principal).
				next("write a name such as checkout, in lower case, or batch.* for all that begin with batch and a dot")
			continue
		}
		for j := range i {
			if autobus.MatchType(q.Principals[j].Principal, rule.Principal) {
				p.at(at+".principal", "%s is never asked for, because %s comes first", rule.Principal,
					q.Principals[j].Principal).next("put the narrower entry first, or remove it")
				break
			}
		}
	}
}

func (q quotaConfig) check(p *problems, path string) {
	if q.Burst < 0 || q.Burst > maxBurst {
		p.at(path+".burst", "%s is not from 0s to %s", q.Burst, maxBurst).next("give a duration such as 5s")
	}
	if q.Burst > 0 && q.Events == 0 && q.Bytes == 0 && p.sound(path+".events", path+".bytes") {
		p.at(path+".burst", "there is no rate to which it belongs").next("add events or bytes, or remove it")
	}
}

func (r *principalQuota) quota() quotaConfig {
	return quotaConfig{Events: r.Events, Bytes: r.Bytes, Connections: r.Connections, Burst: r.Burst}
}

// open gives what the quotas are made from.
func (q *quotasConfig) open() quota.Config {
	out := quota.Config{Default: q.Default.limits()}
	for i := range q.Principals {
		r := &q.Principals[i]
		out.Rules = append(out.Rules, quota.Rule{Principal: r.Principal, Limits: r.quota().limits()})
	}
	return out
}

func (q quotaConfig) limits() quota.Limits {
	return quota.Limits{Events: int64(q.Events), Bytes: int64(q.Bytes), Connections: int64(q.Connections),
		Burst: q.Burst}
}
