// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

func TestOpenWithTLSAndSASL(t *testing.T) {
	site := httptest.NewTLSServer(nil) // for its certificate
	site.Close()
	roots := x509.NewCertPool()
	roots.AddCert(site.Certificate())
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		t.Run(mechanism, func(t *testing.T) {
			c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"), kfake.EnableSASL(),
				kfake.Superuser(strings.ToUpper(mechanism), "bus", "right"),
				kfake.TLS(&tls.Config{Certificates: site.TLS.Certificates}))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			cfg := kafka.Config{Name: "test", Brokers: c.ListenAddrs(), Logger: slog.New(slog.DiscardHandler),
				TLS:  &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
				SASL: &kafka.SASL{Mechanism: mechanism, User: "bus", Password: "right"}}
			l, err := kafka.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close(context.Background())
			if got := write(t, l, tp, "x"); got[0].err != nil {
				t.Errorf("append: %v", got[0].err)
			}
			if got := read(t, l, tp, 0, 1); got[0] != "x" {
				t.Errorf("read %q", got)
			}
			wrong := cfg
			wrong.SASL = &kafka.SASL{Mechanism: mechanism, User: "bus", Password: "wrong"}
			_, err = kafka.Open(t.Context(), wrong)
			if e := autobus.AsError(err); e == nil || e.Reason != autobus.ReasonClusterUnreachable ||
				!strings.Contains(e.NextStep(), "password") {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
	if _, err := kafka.Open(t.Context(), kafka.Config{SASL: &kafka.SASL{Mechanism: "gssapi"}}); reasonOf(err) !=
		autobus.ReasonConfigInvalid {
		t.Errorf("an unknown mechanism: %v", err)
	}
}
