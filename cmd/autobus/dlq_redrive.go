// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/bus"
)

// letterJob is one redrive or drop as it was typed.
type letterJob struct {
	operator
	verb    string
	request bus.JobRequest
	all     bool
	detach  bool
}

func (a *app) newDLQRedriveCommand() *cobra.Command {
	j := &letterJob{operator: operator{app: a}, verb: "redrive"}
	c := j.command("Deliver dead letters once more, to this subscription alone",
		"Deliver dead letters once more, to the subscription that gave them up and to no other. Shows what that is and\n"+
			"asks first. They are worked off by the instances that have the subscription's workers; each is redriven\n"+
			"exactly once, whatever happens to these. What fails again is a dead letter again.\n\n"+
			"The command waits until they are on their way. It can be left at any time: the job goes on.",
		"  autobus dlq redrive shipping 17\n"+
			"  autobus dlq redrive shipping --fingerprint 9ae16a3b2f90404f --rate 50\n"+
			"  autobus dlq redrive shipping --all --yes --reason 'shipping 2.3 reads them'")
	c.Flags().Float64Var(&j.request.Rate, "rate", 0, "most letters a second; 0 = as fast as it goes")
	c.Flags().BoolVar(&j.detach, "detach", false, "do not wait for the end of the job")
	return c
}

func (a *app) newDLQDropCommand() *cobra.Command {
	j := &letterJob{operator: operator{app: a}, verb: "drop"}
	return j.command("Give dead letters up for good",
		"Give dead letters up for good: nobody is shown them any more. Shows what that is and asks first. The records\n"+
			"stay in the topic dlq.NAME as long as its retention says.",
		"  autobus dlq drop shipping 17\n"+
			"  autobus dlq drop shipping --filter 'data.test == true' --yes --reason 'from the load test'")
}

// command makes what the two have in common.
func (j *letterJob) command(short, long, example string) *cobra.Command {
	c := &cobra.Command{
		Use:               j.verb + " NAME [NUMBER...]",
		Short:             short,
		Long:              long + "\n\n" + exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitConfirm),
		Example:           example,
		Args:              named("subscription", "autobus dlq "+j.verb+" shipping 17", cobra.MinimumNArgs(1)),
		ValidArgsFunction: j.app.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			return j.run(cmd.Context(), args[0], args[1:])
		},
	}
	f := c.Flags()
	f.StringArrayVar(&j.request.IDs, "id", nil, "only the event with this id; may be repeated")
	f.StringVar(&j.request.Fingerprint, "fingerprint", "", "only those with this kind of reason, see autobus dlq stats")
	f.StringVar(&j.request.Filter, "filter", "", "only those whose event passes this CEL expression")
	f.BoolVar(&j.all, "all", false, "all of them")
	f.BoolVar(&j.request.DryRun, "dry-run", false, "show what would be done, and do nothing")
	j.yesFlag(c)
	j.reasonFlag(c)
	return c
}

func (j *letterJob) choose(numbers []string) error {
	r := &j.request
	for _, s := range numbers {
		n, err := letterNumber(s)
		if err != nil {
			return err
		}
		r.Numbers = append(r.Numbers, n)
	}
	chosen := len(r.Numbers)+len(r.IDs) > 0 || r.Fingerprint != "" || r.Filter != ""
	switch {
	case !chosen && !j.all:
		return usage("no dead letters are chosen").
			WithHint("Name numbers, or use --id, --fingerprint or --filter; --all takes all.")
	case chosen && j.all:
		return usage("--all cannot be used with what chooses some").WithHint("Leave --all away.")
	case !(r.Rate >= 0):
		return usage("--rate is %v", r.Rate).WithHint("Give letters a second.")
	}
	r.Reason = j.reason
	return nil
}

func letterNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, usage("%q is no number of a dead letter", s).
			WithHint("autobus dlq list NAME shows them in the first column.")
	}
	return n, nil
}

func (j *letterJob) run(ctx context.Context, name string, numbers []string) error {
	path, err := lettersPath(name)
	if err != nil {
		return err
	}
	if err := j.choose(numbers); err != nil {
		return err
	}
	c, err := j.app.api()
	if err != nil {
		return err
	}
	defer c.close()
	path += "/" + j.verb
	only := j.request.DryRun
	j.request.DryRun = true
	doc, err := j.app.send(ctx, c, http.MethodPost, path, j.request)
	if err != nil {
		return err
	}
	var plan bus.LetterPlan
	if err := json.Unmarshal(doc, &plan); err != nil {
		return unreadable("the plan", err)
	}
	if only && j.app.output != "table" {
		return j.app.emit(doc)
	}
	j.preview(&plan)
	if only || plan.Count == 0 {
		return nil
	}
	question := "Drop "
	if j.verb == "redrive" {
		question = "Redrive "
	}
	if err := j.confirm(question + letterCount(plan.Count)); err != nil {
		return err
	}
	j.request.DryRun, j.request.Before = false, plan.End // what came since, nobody has seen
	if doc, err = j.app.send(ctx, c, http.MethodPost, path, j.request); err != nil {
		return err
	}
	var made bus.Job
	if err := json.Unmarshal(doc, &made); err != nil {
		return unreadable("the job", err)
	}
	if j.detach {
		return j.app.printJob(doc, &made)
	}
	return j.app.follow(ctx, c, doc, &made)
}

// preview shows what the job is about to do: on stdout only where that is all the command prints.
func (j *letterJob) preview(p *bus.LetterPlan) {
	a := j.app
	if a.output == "table" && len(p.Groups) > 0 {
		var rows [][]string
		for _, g := range p.Groups {
			rows = append(rows, []string{fmt.Sprint(g.Count), g.Type, g.Fingerprint, stamp(g.First), stamp(g.Last),
				oneLine(g.Reason)})
		}
		a.table([]string{"count", "type", "fingerprint", "first", "last", "reason"}, rows)
	}
	for _, l := range p.Left {
		a.note("%s cannot be redriven: %s (such as number %d).", letterCount(l.Count), l.Why, l.Example)
	}
	if p.Count == 0 {
		a.note("%s has no such dead letters.", p.Subscription)
		return
	}
	if p.Action == "redrive" {
		a.note("%s would be delivered to %s once more.", letterCount(p.Count), p.Subscription)
	} else {
		a.note("%s of %s would be given up.", letterCount(p.Count), p.Subscription)
	}
}

func letterCount(n int64) string { return count(int(n), "dead letter", "dead letters") }

// send exchanges one JSON document.
func (a *app) send(ctx context.Context, c *api, method, path string, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	doc, _, err := c.exchange(ctx, call{method: method, path: path, body: bytes.NewReader(body),
		header: http.Header{"Content-Type": {"application/json"}}}, a.timeout)
	return doc, err
}
