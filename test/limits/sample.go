// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sample is what the gateway says of itself.
type sample struct{ memory, goroutines, descriptors float64 }

func (s sample) String() string {
	return fmt.Sprintf("%.1f MiB, %.0f goroutines, %.0f descriptors", s.memory/(1<<20), s.goroutines, s.descriptors)
}

func (l *limits) sample(ctx context.Context) (s sample, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+"/metrics", nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch name {
		case "process_resident_memory_bytes":
			s.memory = n
		case "go_goroutines":
			s.goroutines = n
		case "process_open_fds":
			s.descriptors = n
		}
	}
	if err := lines.Err(); err != nil {
		return s, err
	}
	if s.memory == 0 {
		return s, fmt.Errorf("%s/metrics tells no memory: %s", l.url, resp.Status)
	}
	return s, nil
}

// samples are those of the steady load.
type samples struct {
	at  []time.Duration
	all []sample
}

func (s *samples) add(at time.Duration, x sample) {
	s.at, s.all = append(s.at, at), append(s.all, x)
}

// settling is how long a gateway may grow into its load.
const settling = 2 * time.Minute

// tell prints the slope of the memory by least squares, and what is there at the end beside minute 2.
func (s *samples) tell(out io.Writer) error {
	var n, sx, sy, sxx, sxy float64
	first := -1
	for i, at := range s.at {
		if at < settling {
			continue
		}
		if first < 0 {
			first = i
		}
		x, y := at.Minutes(), s.all[i].memory/(1<<20)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if n < 2 {
		return fmt.Errorf("the load was too short: nothing is left after the first %s", settling)
	}
	fmt.Fprintf(out, "memory grew by %.2f MiB a minute after the first %s\n", (n*sxy-sx*sy)/(n*sxx-sx*sx), settling)
	fmt.Fprintf(out, "then  %s\nend   %s\n", s.all[first], s.all[len(s.all)-1])
	return nil
}
