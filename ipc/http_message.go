// SPDX-License-Identifier: Apache-2.0

package ipc

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/autobus-io/autobus"
)

// How HTTP travels. The data of an event is one whole message of HTTP/1.1 (RFC 9112) under the content type
// application/http: start line, fields, an empty line, the body. So method, path, fields, status and body arrive as
// they were, bodies byte for byte. A type that carries them declares contentType: application/http and no payload.
//
// The body has a Content-Length and is never chunked. Fields that speak of one connection alone are left away
// (Connection and what it names, Keep-Alive, TE, Trailer, Transfer-Encoding, Upgrade, Expect, Proxy-*). What cannot
// pass is refused: CONNECT, a change of protocol, trailers (ReasonHTTPUnsupported), and more than MaxHTTPBytes
// (ReasonEventTooLarge).

// MediaHTTP is the content type of a message of HTTP.
const MediaHTTP = "application/http"

// Content types of the two kinds of message.
const (
	mediaHTTPRequest  = MediaHTTP + ";msgtype=request"
	mediaHTTPResponse = MediaHTTP + ";msgtype=response"
)

// fieldBreaks are what a field's value cannot have.
var fieldBreaks = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")

// MaxHTTPBytes is what a message may have, fields and body: an event less its attributes.
const MaxHTTPBytes = autobus.MaxEventBytes - 16<<10

// EncodeRequest writes a request that a server got or a client is about to send. It reads the body and closes it.
func EncodeRequest(r *http.Request) (Raw, error) {
	body, err := readBody(r.Body)
	if err != nil {
		return Raw{}, err
	}
	switch {
	case r.Method == http.MethodConnect, r.Header.Get("Upgrade") != "":
		return Raw{}, autobus.NewError(autobus.ReasonHTTPUnsupported, "%s %s asks for another protocol", r.Method,
			r.URL.Path)
	case len(r.Trailer) > 0:
		return Raw{}, autobus.NewError(autobus.ReasonHTTPUnsupported, "the request has trailers")
	}
	method, host, target := cmp.Or(r.Method, http.MethodGet), cmp.Or(r.Host, r.URL.Host), r.URL.RequestURI()
	switch {
	case !isToken(method):
		return Raw{}, autobus.NewError(autobus.ReasonHTTPUnsupported, "%q cannot be a method", method)
	case strings.ContainsFunc(target, isBreak):
		return Raw{}, autobus.NewError(autobus.ReasonHTTPUnsupported, "%q cannot be the target of a request", target)
	case !isHost(host):
		return Raw{}, autobus.NewError(autobus.ReasonHTTPUnsupported, "%q cannot be a host", host)
	}
	var b bytes.Buffer
	b.WriteString(method + " " + target + " HTTP/1.1\r\n")
	writeField(&b, "Host", host)
	length := ""
	if len(body) > 0 || r.Header.Get("Content-Length") != "" || r.Body != nil && r.ContentLength == 0 && hasBody(method) {
		length = strconv.Itoa(len(body))
	}
	return finish(&b, mediaHTTPRequest, r.Header, length, body)
}

func hasBody(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// DecodeRequest reads a request, which has to be whole and the only one. It has no remote address.
func DecodeRequest(data []byte) (*http.Request, error) {
	in := bufio.NewReader(bytes.NewReader(data))
	r, err := http.ReadRequest(in)
	switch {
	case err != nil:
	case r.URL.Opaque != "":
		err = errors.New("its target is neither a path nor the URL of a host")
	case !isHost(r.Host):
		err = errors.New("its host cannot be one") // net/http would send another one in its place, none
	default:
		r.Body, err = whole(r.Body, in)
	}
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonDataUnreadable, "the data is no request of HTTP").WithCause(err)
	}
	return r, nil
}

// EncodeResponse writes a response to a request of the method. One to HEAD keeps the Content-Length that it says.
func EncodeResponse(method string, status int, h http.Header, body []byte) (Raw, error) {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\n")
	length := strconv.Itoa(len(body))
	switch {
	case status < 200 || status > 999:
		return Raw{}, autobus.NewError(autobus.ReasonHTTPUnsupported, "the status %d is not that of a last response", status)
	case status == http.StatusNoContent, status == http.StatusNotModified:
		length, body = "", nil
	case method == http.MethodHead:
		length, body = h.Get("Content-Length"), nil
	}
	return finish(&b, mediaHTTPResponse, h, length, body)
}

// DecodeResponse reads the response to a request, which has to be whole and the only one.
func DecodeResponse(data []byte, to *http.Request) (*http.Response, error) {
	in := bufio.NewReader(bytes.NewReader(data))
	resp, err := http.ReadResponse(in, to)
	if err == nil {
		resp.Body, err = whole(resp.Body, in)
	}
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonDataUnreadable, "the data is no response of HTTP").WithCause(err)
	}
	return resp, nil
}

// whole reads the body of a message, after which nothing may follow: whoever reads on might see another message there.
func whole(body io.ReadCloser, in *bufio.Reader) (io.ReadCloser, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	if _, err := in.Peek(1); err == nil {
		return nil, errors.New("something follows it")
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// isHTTP reports whether an event carries a message of HTTP.
func isHTTP(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == MediaHTTP
}

// finish writes the fields and the body. length is the Content-Length; "" = none is said.
func finish(b *bytes.Buffer, media string, h http.Header, length string, body []byte) (Raw, error) {
	drop := []string{"Host", "Content-Length", "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate",
		"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"}
	for _, named := range h["Connection"] {
		for name := range strings.SplitSeq(named, ",") {
			drop = append(drop, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	names := make([]string, 0, len(h))
	for name := range h {
		if !slices.Contains(drop, http.CanonicalHeaderKey(name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range h[name] {
			if !isToken(name) {
				return Raw{}, autobus.NewError(autobus.ReasonHTTPUnsupported, "%q cannot be the name of a field", name)
			}
			writeField(b, name, v)
		}
	}
	if length != "" {
		writeField(b, "Content-Length", length)
	}
	b.WriteString("\r\n")
	if n := b.Len() + len(body); n > MaxHTTPBytes {
		return Raw{}, tooLarge(n)
	}
	b.Write(body)
	return Raw{ContentType: media, Data: b.Bytes()}, nil
}

// writeField writes a field; a value cannot begin another one. Every other byte stays, in whatever encoding it is.
func writeField(b *bytes.Buffer, name, value string) {
	b.WriteString(name + ": " + strings.Trim(fieldBreaks.Replace(value), " \t") + "\r\n")
}

// isBreak reports whether r cannot stand in a start line other than between its parts.
func isBreak(r rune) bool { return r <= ' ' || r == 0x7f }

// isHost reports whether s may be a host, with or without a port. It may be none, or one of other letters.
func isHost(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return isBreak(r) || strings.ContainsRune("\"#,/<>?@\\^`{|}", r) })
}

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func readBody(body io.ReadCloser) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, MaxHTTPBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxHTTPBytes {
		return nil, tooLarge(len(b))
	}
	return b, nil
}

func tooLarge(n int) *autobus.Error {
	return autobus.NewError(autobus.ReasonEventTooLarge, "a message of HTTP has %d bytes or more, at most %d pass", n,
		MaxHTTPBytes)
}
