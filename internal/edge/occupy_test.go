// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"net/http"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/quota"
)

func TestOccupy(t *testing.T) {
	quotas := quota.New(quota.Config{Default: quota.Limits{Connections: 1}})
	mux := http.NewServeMux()
	var inner func()
	mux.HandleFunc("GET /v1/wait", func(w http.ResponseWriter, r *http.Request) {
		if err := Occupy(r.Context()); err != nil {
			WriteProblem(w, r, err)
			return
		}
		if f := inner; f != nil {
			inner = nil
			f()
		}
	})
	h := Handler(mux, Options{Quotas: quotas,
		Authenticate: func(token string) (autobus.Principal, string, bool) {
			return autobus.Principal{Name: token}, token, true
		}})
	get := func(who string) (int, string) {
		w, _ := ask(h, http.MethodGet, "/v1/wait", "Authorization", "Bearer "+who)
		return w.Code, w.Header().Get("Retry-After")
	}
	inner = func() {
		if code, after := get("shop"); code != http.StatusTooManyRequests || after != "1" {
			t.Errorf("a second connection: %d, Retry-After %q", code, after)
		}
		if code, _ := get("other"); code != http.StatusOK {
			t.Errorf("another principal's connection: %d", code)
		}
	}
	for range 2 { // the first one is given back when it ends
		if code, _ := get("shop"); code != http.StatusOK {
			t.Errorf("the first connection: %d", code)
		}
	}
	if inner != nil || quotas.Status("shop").Open != 0 {
		t.Error("nothing was held, or something is")
	}
	if err := Occupy(context.Background()); err != nil {
		t.Error("outside of a handler", err)
	}
}

// What one principal holds in memory leaves half of the room to the others, and comes back with its requests.
func TestIntake(t *testing.T) {
	h := &handler{}
	request := func(who string) (context.Context, *session) {
		s := &session{handler: h}
		ctx := context.WithValue(t.Context(), requestKey{}, request{session: s})
		return autobus.WithPrincipal(ctx, autobus.Principal{Name: who}), s
	}
	var greedy []*session
	for n := 0; ; n++ {
		ctx, s := request("greedy")
		greedy = append(greedy, s)
		in := IntakeOf(ctx)
		if err := in.Hold(freeIntake); err != nil {
			t.Fatal("a small request", err)
		}
		if err := in.Hold(1 << 20); err != nil {
			if err.Reason != autobus.ReasonCapacity || n != maxIntake/2>>20 {
				t.Errorf("%d requests of 1 MiB: %v", n, err)
			}
			break
		}
	}
	ctx, other := request("other")
	in := IntakeOf(ctx)
	if err := in.Hold(autobus.MaxBatchBytes); err != nil {
		t.Error("another principal", err)
	}
	if in.Keep(autobus.MaxBatchBytes/8) || in.held != 0 {
		t.Error("memory is kept for nothing while others need it")
	}
	for _, s := range append(greedy, other) {
		s.end()
	}
	if h.intake.total != 0 || len(h.intake.by) != 0 {
		t.Errorf("%d bytes are held of nobody, %v", h.intake.total, h.intake.by)
	}
	if !in.Keep(1 << 20) {
		t.Error("memory is not kept though there is room")
	}
	if err := IntakeOf(context.Background()).Hold(1 << 40); err != nil {
		t.Error("outside of a handler", err)
	}
}
