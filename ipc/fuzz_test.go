// SPDX-License-Identifier: Apache-2.0

package ipc

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// FuzzHTTPRequest: data that somebody sent as a request is one that a handler can read, and that can be sent on as the
// same, or an error.
func FuzzHTTPRequest(f *testing.F) {
	for _, s := range []string{
		"POST /a?b=c HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc",
		"GET http://other/ HTTP/1.1\r\nHost: shop\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: t\r\n\r\n3\r\nabc\r\n0\r\nt: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close, x-a\r\nX-A: 1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\nabc", "CONNECT a:1 HTTP/1.1\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRequest(data)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // it is cut off, which whoever reads it hears
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		raw, err := EncodeRequest(r)
		if err != nil {
			return
		}
		again, err := DecodeRequest(raw.Data)
		if err != nil {
			t.Fatalf("%q became %q: %v", data, raw.Data, err)
		}
		same, err := io.ReadAll(again.Body)
		if err != nil || !bytes.Equal(same, body) || again.Method != r.Method ||
			again.URL.RequestURI() != r.URL.RequestURI() || again.Close || len(again.TransferEncoding) > 0 {
			t.Errorf("%q became %q: %v", data, raw.Data, err)
		}
	})
}

// FuzzHTTPResponse: the same of responses.
func FuzzHTTPResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: 1\r\n\r\nabc", "HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.0 099 x\r\n\r\nabc",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, head bool) {
		to := &http.Request{Method: http.MethodGet}
		if head {
			to.Method = http.MethodHead
		}
		resp, err := DecodeResponse(data, to)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return
		}
		raw, err := EncodeResponse(to.Method, resp.StatusCode, resp.Header, body)
		if err != nil {
			return
		}
		again, err := DecodeResponse(raw.Data, to)
		if err != nil {
			t.Fatalf("%q became %q: %v", data, raw.Data, err)
		}
		defer again.Body.Close()
		same, err := io.ReadAll(again.Body)
		bodiless := resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified
		if err != nil || !bodiless && !bytes.Equal(same, body) || again.StatusCode != resp.StatusCode {
			t.Errorf("%q became %q: %v", data, raw.Data, err)
		}
		for name, values := range again.Header {
			if strings.ContainsAny(name+strings.Join(values, ""), "\r\n") {
				t.Errorf("%q has the field %q", data, name)
			}
		}
	})
}
