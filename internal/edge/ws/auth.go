// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// auth renews the token before it expires. A bad one ends the connection.
func (c *conn) auth(f frame) *autobus.Error {
	var token string
	if err := f.get("token", &token); err != nil {
		return invalid("the field token is not a string") // an error must not repeat it
	}
	p, err := edge.Renew(c.r.Context(), token)
	if err != nil {
		c.fail(f.seq, err)
		return nil
	}
	c.who = c.r.WithContext(autobus.WithPrincipal(c.ctx, p))
	c.outcome = autobus.WithPrincipal(c.outcomes, p)
	return nil
}
