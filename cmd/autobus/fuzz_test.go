// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/autobus-io/autobus"
)

// FuzzConfig: a file is a configuration, or every fault of it is told with a place and what to do.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		"kafka: {brokers: [k1:9092]}\n",
		"listen: 0.0.0.0:7070\ntls: {cert_file: a}\nkafka: {brokers: [k:1], tls: {enabled: true}}\n",
		"quotas:\n  default: {events: 10, bytes: 1MiB, burst: 2s}\n  principals:\n  - {principal: a.*, connections: 1}\n",
		"limits: {buffer: 64MiB, drain: 5s}\nlog: {level: debug, format: json}\n", "a: &a [*a]\n", "{? [a] : b}",
		"--- a\n--- b\n",
		"quotas: {principals: [[], {}, null]}\n", "listen: *x\n", "!!binary x: 1\n", "kafka: !!map {brokers: !!seq [a]}\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := &problems{file: "autobus.yaml", places: map[string]place{}, spoiled: map[string]bool{}}
		c := defaultConfig()
		p.readFile(raw, valueOf(&c))
		c.check(p)
		err := p.err()
		if err == nil {
			return
		}
		var e *autobus.Error
		if !errors.As(err, &e) || e.Reason != autobus.ReasonConfigInvalid {
			t.Errorf("%q: %v", raw, err)
		}
		for _, fault := range p.list {
			if fault.message == "" {
				t.Errorf("%q: a fault at %s without a word", raw, fault.text)
			}
		}
	})
}

// FuzzAnswers: what a server answers to a command is read or is an error, whatever stands there instead of a bus.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{`{"type":"/problems/quota","status":429,"reason":"quota","detail":"d","retry_after":"1s"}`,
		"<html>", `{"name":"x","types":["a.*"],"start":"earliest"}`,
		"{\"op\":\"events\"}\n\n{\"error\":{}}\n", `{"reason":7}`,
		`{"name":"x","behind":1,"partitions":[{"partition":0}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		resp := &http.Response{Status: "429 Too Many Requests", StatusCode: 429, Header: http.Header{},
			Body: io.NopCloser(bytes.NewReader(raw))}
		if readProblem(resp) == nil {
			t.Errorf("%q is no error", raw)
		}
		_, _ = readSubscription(raw)
		_, _ = readLag(raw)
		in := bufio.NewReaderSize(bytes.NewReader(raw), 16)
		for n := 0; ; n++ {
			line, err := readLine(in)
			if bytes.ContainsAny(line, "\n") || n > len(raw) {
				t.Fatalf("%q has the line %q", raw, line)
			}
			if err != nil {
				break
			}
		}
	})
}

// FuzzSize: what is read as a size is written as the same number.
func FuzzSize(f *testing.F) {
	for _, s := range []string{"256MiB", "1 GB", "0", "-1", "9223372036854775807", "9e9", "1kiB", "8GiB "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseSize(text)
		if err != nil {
			return
		}
		if again, err := parseSize(n.String()); err != nil || again != n || n < 0 {
			t.Errorf("%q is %d, written %s, read %d, %v", text, n, n, again, err)
		}
	})
}
