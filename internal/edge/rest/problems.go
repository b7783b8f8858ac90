// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

var problemPage = template.Must(template.New("problem").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{.Reason}}</title>
<h1>{{.Reason}}</h1>
<p>{{.Title}}</p>
<p>{{.Hint}}</p>
<p>HTTP status {{.Status}}, code {{.Code}}, {{if .Retriable}}worth trying again unchanged{{else}}trying again unchanged
gives the same answer{{end}}.</p>
</html>
`))

// problemDoc explains one reason.
type problemDoc struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Code      autobus.Code   `json:"code"`
	Reason    autobus.Reason `json:"reason"`
	Hint      string         `json:"hint"`
	Retriable bool           `json:"retriable"`
}

// problem serves GET /problems/{reason}, to which the type of every problem points.
func problem(w http.ResponseWriter, r *http.Request) {
	reason := autobus.Reason(r.PathValue("reason"))
	known := slices.ContainsFunc(autobus.Reasons(), func(i autobus.ReasonInfo) bool { return i.Reason == reason })
	if !known {
		edge.WriteProblem(w, r, autobus.NewError(autobus.ReasonPathUnknown, "there is no reason %q",
			edge.Clip(string(reason))))
		return
	}
	info := reason.Info()
	doc := problemDoc{Type: "/problems/" + string(reason), Title: info.Title, Code: info.Code, Reason: reason,
		Status: edge.Status(autobus.NewError(reason, "")), Hint: info.Hint, Retriable: info.Retriable}
	// A client that left does not read its answer; there is nobody to tell.
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = problemPage.Execute(w, doc)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(doc)
}
