// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// writeCertificate makes a certificate for localhost that is its own authority.
func writeCertificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	for file, raw := range map[string][]byte{certFile: chain,
		keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(chain)
	return certFile, keyFile, pool
}

// With a certificate serve may be reached from everywhere, speaks TLS, and still lets nobody in without a token.
func TestServeBeyondLoopbackSpeaksTLS(t *testing.T) {
	broker, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	certFile, keyFile, pool := writeCertificate(t)
	file := writeConfig(t, "listen: 0.0.0.0:0\ntls: {cert_file: "+certFile+", key_file: "+keyFile+"}\n"+
		"kafka: {brokers: ['"+broker.Addr()+"']}\n")
	if code, _, stderr := invoke(t, "", "cluster", "init", "--config", file, "--yes"); code != exitOK {
		t.Fatal(stderr)
	}
	cfg, p, err := loadConfig(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := startInstance(t, cfg.settings(&app{err: t.Output()}, p))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool,
		MinVersion: tls.VersionTLS12}}}
	defer client.CloseIdleConnections()
	for path, want := range map[string]int{"/livez": http.StatusOK, "/v1/types": http.StatusUnauthorized} {
		if got, body := getStatus(t, client, in.url()+path); got != want {
			t.Errorf("%s: %d %s, want %d", path, got, body, want)
		}
	}
	if !strings.HasPrefix(in.url(), "https://") {
		t.Errorf("the address is %s", in.url())
	}
	conn, err := net.Dial("tcp", in.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
	answer, _ := io.ReadAll(conn)
	if strings.Contains(string(answer), "200 OK") {
		t.Errorf("plain HTTP was answered: %s", answer)
	}
}

func getStatus(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// A certificate that cannot be used is a fault of the configuration, with its key.
func TestUnusableCertificate(t *testing.T) {
	certFile, _, _ := writeCertificate(t)
	_, otherKey, _ := writeCertificate(t)
	file := writeConfig(t, "tls: {cert_file: "+certFile+", key_file: "+otherKey+"}\n"+
		"kafka: {brokers: [k:1], tls: {ca_file: "+otherKey+"}, sasl: {mechanism: plain, user: a, password_file: /nowhere}}\n")
	code, _, stderr := invoke(t, "", "serve", "--config", file)
	for _, want := range []string{"3 faults", "tls: tls: private key does not match public key",
		"kafka.tls.ca_file: ", "kafka.sasl.password_file: open /nowhere"} {
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("exit status %d, stderr lacks %q:\n%s", code, want, stderr)
		}
	}
}
