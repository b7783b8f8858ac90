// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/autobus-io/autobus"
)

// Leave ends a stream over HTTP by the name that its reader, the principal in the context, gave it, at whichever of the
// instances has it. ReasonSessionUnknown: none has. ReasonPeerUnreachable: none of those that answered has, and not all
// did.
func (p *Pool) Leave(ctx context.Context, addresses []string, subscription, session string) error {
	who, ok := autobus.PrincipalOf(ctx)
	if !ok {
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to act at another instance")
	}
	token, err := p.cfg.Keys.Token(p.cfg.Instance, who)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // one that has it is enough
	path := "/v1/subscriptions/" + url.PathEscape(subscription) + "/sessions/" + url.PathEscape(session)
	answers := make(chan error, len(addresses))
	for _, address := range addresses {
		go func() { answers <- p.leaveAt(ctx, p.url(address)+path, token) }()
	}
	result := autobus.NewError(autobus.ReasonSessionUnknown, "no instance has a stream of %s with the session %q",
		subscription, session)
	left := false
	for range addresses {
		switch err := <-answers; {
		case err == nil:
			left = true
			cancel()
		case !left && result.Reason == autobus.ReasonSessionUnknown && err != errUnknown:
			result = autobus.NewError(autobus.ReasonPeerUnreachable,
				"whether the stream is at another instance is not known: %v", err).WithCause(err)
		}
	}
	if left {
		return nil
	}
	return result
}

// errUnknown is the answer of an instance that has no such stream.
var errUnknown = autobus.NewError(autobus.ReasonSessionUnknown, "not there")

// leaveAt asks one instance.
func (p *Pool) leaveAt(ctx context.Context, url, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := p.http().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // the status says it all
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusNotFound:
		return errUnknown
	}
	return fmt.Errorf("it answered %s", resp.Status)
}
