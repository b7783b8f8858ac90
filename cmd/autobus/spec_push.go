// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/registry"
	"github.com/autobus-io/autobus/spec"
)

// specPush is the command that brings specs into force.
type specPush struct {
	operator
	dir    string
	dryRun bool
	force  bool
}

func (a *app) newSpecPushCommand() *cobra.Command {
	p := &specPush{operator: operator{app: a}}
	cmd := &cobra.Command{
		Use:   "push [DIR]",
		Short: "Bring the specs of a folder into force",
		Long: "Bring the specs of a folder into force, all of them at once: what DIR does not declare has no spec\n" +
			"afterwards. First the plan is shown: which types and subscriptions come, go and change, which topics are\n" +
			"made and altered, what stays different, and who would break, with owners, of all that was ever in force.\n" +
			"What breaks somebody is not pushed, unless by --force: by S21 and S24, findings that the file waives\n" +
			"left out, and where a subscription of the bus reads what is retired or handles a command already.\n\n" +
			"DIR is ./specs if there, else this folder. It takes the grant manage on *. Under -o json: {\"plan\",\n" +
			"\"report\"}, the report only where something was done.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound, exitUnreachable, exitConfirm),
		Example: "  autobus spec push specs --dry-run\n  autobus spec push specs --yes --reason 'refunds get a note'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.dir = folderOf(args)
			return p.run(cmd.Context())
		},
	}
	p.yesFlag(cmd)
	p.reasonFlag(cmd)
	cmd.Flags().BoolVar(&p.dryRun, "dry-run", false, "show the plan, change nothing")
	cmd.Flags().BoolVar(&p.force, "force", false, "push also what breaks somebody")
	return cmd
}

// pushTime is how long the bus may take to make topics and write what is new.
const pushTime = 2 * time.Minute

// pushAnswer is what the bus says of a push.
type pushAnswer struct {
	Plan   registry.Preview `json:"plan"`
	Report *registry.Report `json:"report,omitempty"`
}

func (p *specPush) run(ctx context.Context) error {
	a := p.app
	files, err := filesIn(p.dir)
	if err != nil {
		return err
	}
	// All faults at once and by line, which the bus's answer has no room for.
	if _, err := readSpecs(func() (spec.Files, error) { return files, nil }, p.dir); err != nil {
		return err
	}
	c, err := a.api()
	if err != nil {
		return err
	}
	defer c.close()
	planned, _, err := p.push(ctx, c, files, nil)
	if err != nil {
		return err
	}
	if a.output == "table" {
		p.print(planned.Plan)
	}
	broken := len(planned.Plan.Breaks)
	switch {
	case broken > 0 && !p.force:
		a.note("Not pushed: %d changes break somebody.", broken)
		return p.end(planned, &exitError{code: exitFound})
	case !planned.Plan.Changed:
		a.note("Nothing to do: these specs are in force.")
		return p.end(planned, nil)
	case p.dryRun:
		return p.end(planned, nil)
	}
	if err := p.confirm(fmt.Sprintf("Bring %d types into force", planned.Plan.Types)); err != nil {
		return p.end(planned, err)
	}
	done, doc, err := p.push(ctx, c, files, &planned.Plan.Base)
	if err != nil {
		return err
	}
	a.note("In force: %d types, %d topics made, %d settings altered.", done.Plan.Types, len(done.Report.Created),
		len(done.Report.Altered))
	if why := done.Report.Pending; why != "" {
		a.note("Not all declared subscriptions could be made yet; the bus tries again: %s", why)
	}
	if a.output != "table" {
		return a.emit(doc)
	}
	return nil
}

// end shows the plan to programs where nothing was done.
func (p *specPush) end(planned pushAnswer, err error) error {
	if p.app.output == "table" {
		return err
	}
	if bad := p.app.emitValue(planned); bad != nil {
		return bad
	}
	return err
}

// push asks for a plan, or for what a plan says while the specs it was made for are in force.
func (p *specPush) push(ctx context.Context, c *api, files spec.Files, base *string) (pushAnswer, []byte, error) {
	body := map[string]any{"dry_run": base == nil, "force": p.force, "reason": p.reason}
	if base != nil {
		body["base"] = *base
	}
	contents := make(map[string]string, len(files))
	for name, content := range files {
		contents[name] = string(content)
	}
	body["files"] = contents
	var out pushAnswer
	doc, _, err := c.sendJSON(ctx, http.MethodPost, "/v1/specs", body, max(p.app.timeout, pushTime))
	if err == nil {
		err = json.Unmarshal(doc, &out)
	}
	if err == nil && base != nil && out.Report == nil {
		err = autobus.NewError(autobus.ReasonServerUnreachable, "the answer does not say what was done")
	}
	return out, doc, err
}

// print shows the plan: what breaks somebody last, where it is read.
func (p *specPush) print(plan registry.Preview) {
	var rows [][]string
	row := func(what, where, detail string) { rows = append(rows, []string{what, where, detail}) }
	for _, name := range plan.Added {
		row("add", "type "+name, "")
	}
	for _, name := range plan.Removed {
		row("remove", "type "+name, "it has no spec afterwards; topic and events stay")
	}
	for _, u := range plan.Updated {
		what := fmt.Sprintf("%s becomes %s", u.From, u.To)
		if u.From == u.To {
			what = u.From + ", in other words"
		}
		row("change", "type "+u.Type, what)
	}
	for _, name := range plan.Files {
		row("change", "file "+name, "")
	}
	for _, s := range plan.Subscriptions {
		what := map[string]string{"added": "add", "changed": "change", "undeclared": "remove"}[s.Change]
		detail := s.File
		if s.Change == "undeclared" {
			detail = "declared no more: it stays until it is deleted"
		}
		row(what, "subscription "+s.Name, detail)
	}
	for _, n := range plan.Create {
		row("create", "topic "+n.Topic, fmt.Sprintf("%d partitions, %d copies", n.Partitions, n.Replicas))
	}
	for _, alter := range plan.Alter {
		row("alter", "topic "+alter.Topic, fmt.Sprintf("%s: %s becomes %s", alter.Key, cmp.Or(alter.Before, "(default)"),
			alter.After))
	}
	for _, d := range plan.Drift {
		row("differs", "topic "+d.Topic, fmt.Sprintf("%s is %s, not %s: that stays", d.What, d.Got, d.Want))
	}
	for _, f := range plan.Breaks {
		where := filepath.Join(p.dir, filepath.FromSlash(f.File))
		if f.Line > 0 {
			where += fmt.Sprintf(":%d", f.Line)
		}
		row(p.app.paint(p.app.out, red, "breaks"), where, f.Message)
	}
	if len(rows) > 0 {
		p.app.table([]string{"", "where", "what"}, rows)
	}
}
