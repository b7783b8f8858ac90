// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// schemaMedia is the media type of every answer.
const schemaMedia = "application/vnd.schemaregistry.v1+json"

// SchemaPrefix is the path below which the schema registry lies.
const SchemaPrefix = "/schema-registry"

// maxSchemaBytes bounds a body: a schema has to fit into one control record, and as JSON text it takes up to twice as
// much.
const maxSchemaBytes = 2 * autobus.MaxEventBytes

// schemaEdge speaks the REST protocol of schema registries that clients of Kafka expect, with the paths, fields and
// error codes of Confluent's: all that is read, and for subjects that belong to no type what is written. What is left
// out, and where it differs, is told in docs/reference/schema-registry.md.
type schemaEdge struct{ r *Registry }

// SchemaEdge serves the schema registry below SchemaPrefix.
func (r *Registry) SchemaEdge() edge.Edge { return schemaEdge{r} }

// RefuseSchema writes an error in the form of the protocol: what fails before a path of it is reached.
func (r *Registry) RefuseSchema(w http.ResponseWriter, req *http.Request, err error) {
	schemaEdge{r}.refuse(w, req, err)
}

// Name is the edge's name in the log.
func (schemaEdge) Name() string { return "schemas" }

// Run waits for the end of ctx: the edge does nothing of its own.
func (schemaEdge) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// call is one request.
type call struct {
	*http.Request
	who  autobus.Principal
	body []byte
}

// flag reads a query parameter that is true or false.
func (c *call) flag(name string) bool { return c.URL.Query().Get(name) == "true" }

// Mount adds the paths.
func (e schemaEdge) Mount(mux *http.ServeMux) {
	const version = "/subjects/{subject}/versions/{version}"
	for path, f := range map[string]func(*call) (any, error){
		"GET /{$}":                                        e.root,
		"GET /subjects":                                   e.subjects,
		"POST /subjects/{subject}":                        e.lookup,
		"DELETE /subjects/{subject}":                      e.deleteSubject,
		"GET /subjects/{subject}/versions":                e.versions,
		"POST /subjects/{subject}/versions":               e.register,
		"GET " + version:                                  e.version,
		"GET " + version + "/schema":                      e.versionText,
		"GET " + version + "/referencedby":                e.referencedBy,
		"DELETE " + version:                               e.deleteVersion,
		"GET /schemas":                                    e.schemas,
		"GET /schemas/types":                              e.types,
		"GET /schemas/ids/{id}":                           e.byID,
		"GET /schemas/ids/{id}/schema":                    e.textByID,
		"GET /schemas/ids/{id}/subjects":                  e.subjectsByID,
		"GET /schemas/ids/{id}/versions":                  e.versionsByID,
		"GET /schemas/guids/{guid}":                       e.byGUID,
		"GET /schemas/guids/{guid}/ids":                   e.idsByGUID,
		"POST /compatibility" + version:                   e.compatibleVersion,
		"POST /compatibility/subjects/{subject}/versions": e.compatible,
		"GET /config":                                     e.config,
		"PUT /config":                                     e.setConfig,
		"DELETE /config":                                  e.resetConfig,
		"GET /config/{subject}":                           e.subjectConfig,
		"PUT /config/{subject}":                           e.setSubjectConfig,
		"DELETE /config/{subject}":                        e.resetSubjectConfig,
		"GET /mode":                                       e.mode,
		"PUT /mode":                                       e.setMode,
		"DELETE /mode":                                    e.resetMode,
		"GET /mode/{subject}":                             e.subjectMode,
		"PUT /mode/{subject}":                             e.setSubjectMode,
		"DELETE /mode/{subject}":                          e.resetSubjectMode,
		"GET /contexts":                                   e.contexts,
		"GET /associations/":                              e.associations,
		"GET /v1/metadata/id":                             e.metadataID,
	} {
		method, path, _ := strings.Cut(path, " ")
		mux.HandleFunc(method+" "+SchemaPrefix+path, e.answer(f))
	}
}

// answer reads the body and writes what f says. A refusal that newer control state could lift is given only after a
// read barrier: f, which then changed nothing, is asked a second time.
func (e schemaEdge) answer(f func(*call) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		who, ok := autobus.PrincipalOf(req.Context())
		if !ok {
			e.refuse(w, req, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask"))
			return
		}
		c := &call{Request: req, who: who}
		if req.Method == http.MethodPost || req.Method == http.MethodPut {
			body, err := edge.ReadBody(w, req, maxSchemaBytes, autobus.ReasonBatchTooLarge)
			if err != nil {
				e.refuse(w, req, err)
				return
			}
			c.body = body
		}
		v, err := f(c)
		if fault, ok := errors.AsType[*schemaFault](err); ok && fault.status == http.StatusNotFound {
			if err = e.r.catchUp(req.Context()); err == nil {
				v, err = f(c)
			}
		}
		if err != nil {
			e.refuse(w, req, err)
			return
		}
		e.write(w, http.StatusOK, v)
	}
}

func (schemaEdge) write(w http.ResponseWriter, status int, v any) {
	body, isText := v.(json.RawMessage)
	if !isText {
		body, _ = json.Marshal(v) // of strings, numbers and objects of them
	}
	w.Header().Set("Content-Type", schemaMedia)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that went away needs no answer
}

// schemaFault is an error as clients of schema registries know it.
type schemaFault struct {
	status  int
	code    int
	message string
}

func (f *schemaFault) Error() string { return fmt.Sprintf("%d: %s", f.code, f.message) }

// Codes that clients tell apart. The first three digits are the HTTP status.
const (
	codeSubjectUnknown   = 40401
	codeVersionUnknown   = 40402
	codeSchemaUnknown    = 40403
	codeSubjectDeleted   = 40404
	codeSubjectLive      = 40405
	codeVersionDeleted   = 40406
	codeVersionLive      = 40407
	codeNoSubjectConfig  = 40408
	codeNoSubjectMode    = 40409
	codeNoAssociation    = 40410
	codeForbidden        = 40301
	codeIncompatible     = 409
	codeSchemaInvalid    = 42201
	codeVersionInvalid   = 42202
	codeLevelInvalid     = 42203
	codeModeInvalid      = 42204
	codeNotPermitted     = 42205
	codeReferenced       = 42206
	codeIDTaken          = 42207
	codeSchemaTooLarge   = 42209
	codeRulesUnsupported = 42210
	codeStoreFailed      = 50001
	codeTimeout          = 50002
)

func fault(code int, format string, args ...any) error {
	status := code
	for status > 999 {
		status /= 10
	}
	return &schemaFault{status, code, fmt.Sprintf(format, args...)}
}

// refuse writes an error. Others than of this protocol keep the status that they have everywhere.
func (e schemaEdge) refuse(w http.ResponseWriter, req *http.Request, err error) {
	f, ok := errors.AsType[*schemaFault](err)
	if !ok {
		known := autobus.AsError(err)
		edge.LogCause(req, known)
		f = &schemaFault{edge.Status(known), edge.Status(known), known.Error()}
		switch {
		case known.Reason == autobus.ReasonUnauthenticated:
			w.Header().Set("WWW-Authenticate", `Basic realm="autobus"`) // clients offer the token only where it is asked for
		case known.Reason == autobus.ReasonEventTooLarge || known.Reason == autobus.ReasonBatchTooLarge:
			f.status, f.code = http.StatusUnprocessableEntity, codeSchemaTooLarge
		case known.Code == autobus.DeadlineExceeded:
			f.code = codeTimeout
		case f.status >= http.StatusInternalServerError:
			f.code = codeStoreFailed
		}
		edge.SetRetryAfter(w.Header(), known.RetryAfter)
	}
	e.write(w, f.status, map[string]any{"error_code": f.code, "message": f.message})
}

// may refuses who has no grant to change a subject; "" is all of them.
func (c *call) may(subject string) error {
	if subject == "" && c.who.MayAll(autobus.VerbManage, "*") || subject != "" && c.who.May(autobus.VerbManage, subject) {
		return nil
	}
	if subject == "" {
		subject = "all subjects"
	}
	return fault(codeForbidden, "%s has no grant to manage %s", c.who.Name, subject)
}

// number reads a positive number of 31 bits.
func number(s string) (int32, bool) {
	n, err := strconv.ParseInt(s, 10, 32)
	return int32(n), err == nil && n > 0 && n <= math.MaxInt32
}

func (schemaEdge) root(*call) (any, error) { return map[string]any{}, nil }

func (schemaEdge) types(*call) (any, error) { return []string{typeJSON, typeAvro}, nil }

func (schemaEdge) contexts(*call) (any, error) { return []string{"."}, nil }

// associations are asked for by clients before anything else; that there are none sends them on to the subjects.
func (schemaEdge) associations(*call) (any, error) {
	return nil, fault(codeNoAssociation, "there are no associations here")
}

func (e schemaEdge) metadataID(*call) (any, error) {
	return map[string]any{"scope": map[string]any{"path": []string{}, "clusters": map[string]string{
		"kafka-cluster": e.r.cfg.Control.ClusterID(), "schema-registry-cluster": "autobus"}}}, nil
}
