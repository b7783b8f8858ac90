// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/bus"
)

// letterEdit is one edit as it was typed.
type letterEdit struct {
	operator
	data string
	file string
	key  string
}

func (a *app) newDLQEditCommand() *cobra.Command {
	e := &letterEdit{operator: operator{app: a}}
	c := &cobra.Command{
		Use:   "edit NAME NUMBER",
		Short: "Change the data or the key of a dead letter before it is redriven",
		Long: "Change the data or the key of a dead letter, before it is redriven. Another letter takes its place, with a\n" +
			"number of its own. The event has to be valid by its spec. Shows both and asks first.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitConfirm),
		Example: "  autobus dlq edit shipping 17 --data '{\"id\":\"o-1\",\"total\":4.5}'\n" +
			"  autobus dlq show shipping 17 | jq .event.data >o-1.json\n" +
			"  autobus dlq edit shipping 17 --data-file o-1.json --yes --reason 'total was a text'",
		Args:              named("subscription", "autobus dlq edit shipping 17", cobra.ExactArgs(2)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.run(cmd, args[0], args[1])
		},
	}
	f := c.Flags()
	f.StringVar(&e.data, "data", "", "the data as it should be, JSON")
	f.StringVar(&e.file, "data-file", "", "file with the data; - = stdin")
	f.StringVar(&e.key, "key", "", "the key as it should be, where it is not in the data")
	e.yesFlag(c)
	e.reasonFlag(c)
	return c
}

func (e *letterEdit) run(cmd *cobra.Command, name, number string) error {
	path, err := lettersPath(name)
	if err != nil {
		return err
	}
	n, err := letterNumber(number)
	if err != nil {
		return err
	}
	request := bus.LetterEdit{Reason: e.reason, DryRun: true}
	if request.Data, err = e.read(); err != nil {
		return err
	}
	if cmd.Flags().Changed("key") {
		request.Key = &e.key
	}
	if request.Data == nil && request.Key == nil {
		return usage("nothing is to be changed").WithHint("Give --data, --data-file or --key.")
	}
	c, err := e.app.api()
	if err != nil {
		return err
	}
	defer c.close()
	path = fmt.Sprintf("%s/%d", path, n)
	if err := e.preview(cmd.Context(), c, path, request); err != nil {
		return err
	}
	if err := e.confirm(fmt.Sprintf("Put it in the place of dead letter %d", n)); err != nil {
		return err
	}
	request.DryRun = false
	doc, err := e.app.send(cmd.Context(), c, http.MethodPatch, path, request)
	if err != nil {
		return err
	}
	if e.app.output != "table" {
		return e.app.emit(doc)
	}
	var l bus.DeadLetter
	if err := json.Unmarshal(doc, &l); err != nil {
		return unreadable("the dead letter", err)
	}
	e.app.note("It is number %d now. Redrive it: autobus dlq redrive %s %d", l.Number, name, l.Number)
	return nil
}

// preview has the edit checked and shows the event before and after.
func (e *letterEdit) preview(ctx context.Context, c *api, path string, request bus.LetterEdit) error {
	before, err := c.get(ctx, path, e.app.timeout)
	if err != nil {
		return err
	}
	after, err := e.app.send(ctx, c, http.MethodPatch, path, request)
	if err != nil {
		return err
	}
	for _, side := range []struct {
		sign string
		doc  []byte
	}{{"-", before}, {"+", after}} {
		var l bus.DeadLetter
		if err := json.Unmarshal(side.doc, &l); err != nil {
			return unreadable("the dead letter", err)
		}
		var line bytes.Buffer
		if err := json.Compact(&line, l.Event); err != nil {
			return unreadable("the event", err)
		}
		e.app.note("%s %s", side.sign, &line)
	}
	return nil
}

func (e *letterEdit) read() (json.RawMessage, error) {
	raw := []byte(e.data)
	switch {
	case e.data != "" && e.file != "":
		return nil, usage("--data and --data-file are both given").WithHint("Leave one away.")
	case e.file == "-":
		if isTerminal(e.app.in) {
			return nil, usage("--data-file - reads the data from stdin, and nothing is there").
				WithHint("Pipe it in, or name a file.")
		}
		if !e.yes {
			return nil, usage("--data-file - takes stdin, so nobody can be asked").WithHint("Add --yes.")
		}
		var err error
		if raw, err = io.ReadAll(e.app.in); err != nil {
			return nil, usage("stdin cannot be read: %s", err).WithHint("Use --data-file FILE.")
		}
	case e.file != "":
		var err error
		if raw, err = os.ReadFile(e.file); err != nil {
			return nil, usage("the data cannot be read: %s", err).WithHint("Check --data-file.")
		}
	}
	if len(raw) == 0 {
		return nil, nil
	}
	if !json.Valid(raw) {
		return nil, usage("the data is no JSON").WithHint("Quote it for the shell, or use --data-file.")
	}
	return raw, nil
}
