// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"

	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/edge"
)

func (e *Edge) mountSchedules(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/schedules", e.listSchedules)
	mux.HandleFunc("DELETE /v1/schedules/{id}", e.cancelSchedule)
}

func (e *Edge) listSchedules(w http.ResponseWriter, r *http.Request) {
	q, bad := edge.Query(r, "type", "limit")
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	var want bus.ScheduleQuery
	if want.Type, bad = edge.Single(q, "type"); bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	limit, bad := edge.Single(q, "limit")
	if bad == nil && limit != "" {
		var n int64
		n, bad = whole("limit", limit, 1, bus.SchedulesMost)
		want.Limit = int(n)
	}
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	list, err := e.cfg.Bus.ScheduleList(r.Context(), want)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	writeJSON(w, r, http.StatusOK, list)
}

func (e *Edge) cancelSchedule(w http.ResponseWriter, r *http.Request) {
	if err := e.cfg.Bus.CancelSchedule(r.Context(), r.PathValue("id")); err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
