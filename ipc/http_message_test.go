// SPDX-License-Identifier: Apache-2.0

package ipc

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
)

// Fields are bytes: what is no UTF-8, such as a file's name in Latin-1, arrives as it was.
func TestFieldsPassByteForByte(t *testing.T) {
	const value = "\xe9\xff \xc2\xa0x\xc2\xa0"
	r, _ := http.NewRequest(http.MethodGet, "http://pricing/", nil)
	r.Header.Set("X-Name", value)
	raw, err := EncodeRequest(r)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeRequest(raw.Data)
	if err != nil || back.Header.Get("X-Name") != value {
		t.Errorf("request: %q, %v", raw.Data, err)
	}
	raw, err = EncodeResponse(http.MethodGet, 200, http.Header{"X-Name": {value}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := DecodeResponse(raw.Data, r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("X-Name") != value {
		t.Errorf("response: %q", raw.Data)
	}
}

// What a program puts into a URL by hand begins no line of its own: net/http refuses it as well.
func TestStartLineHasOneLine(t *testing.T) {
	for name, r := range map[string]*http.Request{
		"query":        {Method: "GET", URL: &url.URL{Path: "/", RawQuery: "a HTTP/1.1\r\nX-Admin: 1\r\nX: "}},
		"space":        {Method: "GET", URL: &url.URL{Path: "/", RawQuery: "a b"}},
		"opaque":       {Method: "GET", URL: &url.URL{Opaque: "/a\r\nX-Admin: 1"}},
		"method":       {Method: "GET / HTTP/1.1\r\nX-Admin: 1\r\nX: ", URL: &url.URL{Path: "/"}},
		"host":         {Method: "GET", URL: &url.URL{Path: "/"}, Host: "a b"},
		"host, a path": {Method: "GET", URL: &url.URL{Path: "/", Host: "a/b"}},
	} {
		if raw, err := EncodeRequest(r); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonHTTPUnsupported}) {
			t.Errorf("%s: %q, %v", name, raw.Data, err)
		}
	}
	for _, status := range []int{0, 99, 100, 199, 1000, -200} {
		raw, err := EncodeResponse("GET", status, nil, nil)
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonHTTPUnsupported}) {
			t.Errorf("%d: %q, %v", status, raw.Data, err)
		}
	}
}

// An event carries one message, whole: what follows it nobody would see, and half a body is none.
func TestOneWholeMessage(t *testing.T) {
	const get, post = "GET / HTTP/1.1\r\nHost: a\r\n", "POST / HTTP/1.1\r\nHost: a\r\n"
	for _, data := range []string{
		get + "\r\n" + get + "\r\n", get + "\r\nx", post + "\r\nx",
		post + "Content-Length: 1\r\n\r\nxy", post + "Content-Length: 3\r\n\r\nxy",
		post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + get + "\r\n",
		"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a/../\r\n\r\n",
	} {
		if r, err := DecodeRequest([]byte(data)); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonDataUnreadable}) {
			t.Errorf("%q: %+v, %v", data, r, err)
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, data := range []string{ok + "Content-Length: 1\r\n\r\nxy", ok + "Content-Length: 3\r\n\r\nxy",
		ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + ok + "\r\n", "HTTP/1.1 204 No Content\r\n\r\nx"} {
		resp, err := DecodeResponse([]byte(data), nil)
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonDataUnreadable}) {
			t.Errorf("%q: %v", data, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
	resp, err := DecodeResponse([]byte(ok+"\r\nto the end"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "to the end" {
		t.Errorf("%q", b)
	}
	r, err := DecodeRequest([]byte(strings.Replace(get, "a", "exämple:80", 1) + "\r\n"))
	if err != nil || r.Host != "exämple:80" {
		t.Errorf("%+v, %v", r, err)
	}
}
