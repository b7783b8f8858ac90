// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"net/http"
	"net/url"
)

// Below serves a part of h as if it were all there is: every path is taken for one below prefix.
func Below(prefix string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		part := new(http.Request)
		*part = *r
		part.URL = new(url.URL)
		*part.URL = *r.URL
		part.URL.Path = prefix + r.URL.Path
		if r.URL.RawPath != "" {
			part.URL.RawPath = prefix + r.URL.RawPath
		}
		h.ServeHTTP(w, part)
	})
}
