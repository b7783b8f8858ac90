// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// prefersSSE reports whether a reader would rather have server-sent events than NDJSON, which is the default: also for
// those who say that they like both alike, or neither.
func prefersSSE(h http.Header) bool {
	sse, lines := preference{}, preference{}
	for _, field := range h.Values("Accept") {
		for part := range strings.SplitSeq(field, ",") {
			media, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			q := 1.0
			if s, ok := params["q"]; ok {
				if q, err = strconv.ParseFloat(s, 64); err != nil {
					continue
				}
			}
			sse.hear(media, mediaSSE, q)
			lines.hear(media, mediaNDJSON, q)
		}
	}
	return sse.q > lines.q || sse.q > 0 && sse.q == lines.q && sse.exact > lines.exact
}

// preference is how much a reader likes a media type; the most exact thing it says counts.
type preference struct {
	exact int // 1 = said of everything, 2 = of its kind, 3 = by name; 0 = not said
	q     float64
}

func (p *preference) hear(said, media string, q float64) {
	kind, _, _ := strings.Cut(media, "/")
	exact := 0
	switch said {
	case media:
		exact = 3
	case kind + "/*":
		exact = 2
	case "*/*":
		exact = 1
	}
	if exact > p.exact {
		p.exact, p.q = exact, q
	}
}
