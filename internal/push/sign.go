// SPDX-License-Identifier: Apache-2.0

package push

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// Form of a file of secrets: one per line, the first one first in the signatures, so that they can be changed while
// requests flow.
const (
	secretPrefix   = "whsec_"
	minSecretBytes = 24
	maxSecretBytes = 64
	maxSecrets     = 4
	maxSecretsFile = 4 << 10
)

// secrets reads a file of the folder, and of nowhere else: who makes a subscription names it.
func secrets(dir, name string) (out [][]byte, err error) {
	if dir == "" {
		return nil, errors.New("the instance has no folder of secrets")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxSecretsFile))
	if err != nil {
		return nil, err
	}
	for i, line := range bytes.Fields(raw) {
		text, ok := strings.CutPrefix(string(line), secretPrefix)
		b, bad := base64.StdEncoding.DecodeString(text)
		if !ok || bad != nil || len(b) < minSecretBytes || len(b) > maxSecretBytes || i == maxSecrets {
			return nil, fmt.Errorf("the file %q holds other than up to %d secrets, each %s and %d to %d bytes in base64", name,
				maxSecrets, secretPrefix, minSecretBytes, maxSecretBytes)
		}
		out = append(out, b)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the file %q is empty", name)
	}
	return out, nil
}

// sign adds the headers of Standard Webhooks. Without secrets there is no signature.
func sign(h http.Header, id string, now time.Time, body []byte, keys [][]byte) {
	at := strconv.FormatInt(now.Unix(), 10)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", at)
	signatures := make([]string, len(keys))
	for i, key := range keys {
		mac := hmac.New(sha256.New, key)
		_, _ = fmt.Fprintf(mac, "%s.%s.", id, at) // a hash takes everything
		_, _ = mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	if len(keys) > 0 {
		h.Set("webhook-signature", strings.Join(signatures, " "))
	}
}

// messageID is the same for every attempt of the same events, whatever the attempt and the instance.
func messageID(ds []*autobus.Delivery) string {
	sum := sha256.New()
	for _, d := range ds {
		_, _ = fmt.Fprintf(sum, "%d:%s%d:%s", len(d.Source), d.Source, len(d.ID), d.ID)
	}
	return "msg_" + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:18])
}
