// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
)

// How often a job is asked for while the command waits, and how often it says how far that is.
const (
	jobAsked = 200 * time.Millisecond
	jobTold  = 10 * time.Second
)

func (a *app) newJobCommand() *cobra.Command {
	return group("job", "Follow what was asked for dead letters, or cancel it",
		"  autobus job list\n  autobus job show 0197f3a2-7c1e-7000-8000-000000000000",
		a.newJobListCommand(), a.newJobShowCommand(), a.newJobAttachCommand(), a.newJobCancelCommand())
}

func jobPath(id string) string { return "/v1/jobs/" + url.PathEscape(id) }

func (a *app) newJobListCommand() *cobra.Command {
	var subscription string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the jobs, the youngest first",
		Long: "List the jobs, the youngest first. One is known as long as some of its dead letters are kept.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus job list\n  autobus job list --subscription shipping -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.api()
			if err != nil {
				return err
			}
			defer c.close()
			request := call{method: http.MethodGet, path: "/v1/jobs"}
			if subscription != "" {
				request.query = url.Values{"subscription": {subscription}}
			}
			doc, _, err := c.exchange(cmd.Context(), request, a.timeout)
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.emit(doc)
			}
			var list struct {
				Jobs []bus.Job `json:"jobs"`
			}
			if err := json.Unmarshal(doc, &list); err != nil {
				return unreadable("the jobs", err)
			}
			a.printJobs(list.Jobs)
			return nil
		},
	}
	c.Flags().StringVar(&subscription, "subscription", "", "only those of this subscription")
	return c
}

func (a *app) printJobs(list []bus.Job) {
	if len(list) == 0 {
		a.note("There are no jobs.")
		return
	}
	var rows [][]string
	for _, j := range list {
		rows = append(rows, []string{j.ID, j.Action, j.Subscription, j.State, fmt.Sprint(j.Count), fmt.Sprint(j.Redriven),
			fmt.Sprint(j.Remaining), stamp(j.Created), j.Actor, oneLine(j.Reason)})
	}
	a.table([]string{"id", "action", "subscription", "state", "count", "redriven", "remaining", "created", "by", "reason"},
		rows)
}

func (a *app) newJobShowCommand() *cobra.Command {
	return a.jobCommand("show ID", "Show one job and how far it is", "Show one job and how far it is.",
		func(ctx context.Context, c *api, id string) error {
			doc, j, err := a.getJob(ctx, c, id)
			if err != nil {
				return err
			}
			return a.printJob(doc, j)
		})
}

func (a *app) newJobAttachCommand() *cobra.Command {
	return a.jobCommand("attach ID", "Wait for the end of a job",
		"Wait for the end of a job. The command can be left at any time: the job goes on.",
		func(ctx context.Context, c *api, id string) error {
			doc, j, err := a.getJob(ctx, c, id)
			if err != nil {
				return err
			}
			return a.follow(ctx, c, doc, j)
		})
}

func (a *app) newJobCancelCommand() *cobra.Command {
	o := &operator{app: a}
	cmd := a.jobCommand("cancel ID", "End a redrive where it is",
		"End a redrive where it is. What was redriven stays so, the rest stay dead letters.",
		func(ctx context.Context, c *api, id string) error {
			request := call{method: http.MethodPost, path: jobPath(id) + "/cancel"}
			if o.reason != "" {
				request.query = url.Values{"reason": {o.reason}}
			}
			doc, _, err := c.exchange(ctx, request, a.timeout)
			if err != nil {
				return err
			}
			j, err := readJob(doc)
			if err != nil {
				return err
			}
			return a.printJob(doc, j)
		})
	o.reasonFlag(cmd)
	return cmd
}

func (a *app) jobCommand(use, short, long string, do func(context.Context, *api, string) error) *cobra.Command {
	verb := use[:len(use)-len(" ID")]
	example := "autobus job " + verb + " 0197f3a2-7c1e-7000-8000-000000000000"
	return &cobra.Command{
		Use:     use,
		Short:   short,
		Long:    long + "\n\n" + exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  " + example,
		Args:    named("job", example, cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.api()
			if err != nil {
				return err
			}
			defer c.close()
			return do(cmd.Context(), c, args[0])
		},
	}
}

func (a *app) getJob(ctx context.Context, c *api, id string) ([]byte, *bus.Job, error) {
	doc, err := c.get(ctx, jobPath(id), a.timeout)
	if err != nil {
		return nil, nil, err
	}
	j, err := readJob(doc)
	return doc, j, err
}

func readJob(doc []byte) (*bus.Job, error) {
	var j bus.Job
	if err := json.Unmarshal(doc, &j); err != nil {
		return nil, unreadable("the job", err)
	}
	return &j, nil
}

// printJob says how far a job is.
func (a *app) printJob(doc []byte, j *bus.Job) error {
	if a.output != "table" {
		return a.emit(doc)
	}
	a.printJobs([]bus.Job{*j})
	if j.Repeated > 0 {
		a.note("%d were not redriven: their event was on its way to %s already.", j.Repeated, j.Subscription)
	}
	if len(j.Left) > 0 {
		a.note("%d could not be redriven and stay: %v", len(j.Left), j.Left)
	}
	if j.Gone > 0 {
		a.note("%d were redriven or dropped by others meanwhile, or their retention ended.", j.Gone)
	}
	return nil
}

// follow waits for the end of a job.
func (a *app) follow(ctx context.Context, c *api, doc []byte, j *bus.Job) error {
	told, heard := time.Now(), time.Now()
	for j.State == bus.JobRunning {
		select {
		case <-ctx.Done():
			a.note("The job goes on. Come back to it: autobus job attach %s", j.ID)
			return ctx.Err()
		case <-time.After(jobAsked):
		}
		if time.Since(told) >= jobTold {
			told = time.Now()
			a.note("%d of %d redriven", j.Redriven, j.Count)
			if j.Redriven == 0 {
				a.note("Is a worker of %s connected? autobus why %s tells.", j.Subscription, j.Subscription)
			}
		}
		next, at, err := a.getJob(ctx, c, j.ID)
		switch {
		case err == nil:
			doc, j, heard = next, at, time.Now()
		case ctx.Err() != nil:
		case !errors.Is(err, &autobus.Error{Reason: autobus.ReasonServerUnreachable}), time.Since(heard) > a.timeout:
			return err // else the instance may come back; the job goes on without it
		}
	}
	return a.printJob(doc, j)
}
