// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/admin"
)

func (a *app) newTokenCommand() *cobra.Command {
	return group("token", "Give and take away access",
		"  autobus token create --config autobus.yaml --principal checkout --grant 'publish:orders.*'\n"+
			"  autobus token list --config autobus.yaml\n"+
			"  autobus token revoke --config autobus.yaml 3f9a0c21b7de",
		a.newTokenCreateCommand(), a.newTokenListCommand(), a.newTokenRevokeCommand())
}

// tokenAbout stands in the help of what changes tokens.
const tokenAbout = "Works on the cluster's control log, whether an instance runs or not. Running instances know a\n" +
	"new token at once and end the streams of a revoked one within a minute.\n\n"

// withTokens opens the tokens of the cluster for the time of f.
func (o *operator) withTokens(ctx context.Context, f func(context.Context, *admin.Tokens) error) error {
	ctx, cancel := context.WithTimeout(ctx, o.app.timeout)
	defer cancel()
	c, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	ctl, err := c.control(ctx)
	if err != nil {
		return initHint(o.outOfTime(err), o.config)
	}
	return o.outOfTime(f(ctx, admin.NewTokens(ctl)))
}

func (a *app) newTokenCreateCommand() *cobra.Command {
	o := &operator{app: a}
	var principal string
	var grantTexts []string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a token for a principal and print it once",
		Long: "Create a token for a principal and print it. It is stored as a hash only: nobody can show it again.\n" +
			"A grant is verb:pattern; the verbs are publish, subscribe, request, manage, redrive, peek.\n\n" + tokenAbout +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus token create --config autobus.yaml --principal checkout \\\n" +
			"    --grant 'publish:orders.*' --grant 'subscribe:refunds.refund.*.v1'\n" +
			"  autobus token create --config autobus.yaml --principal ci --grant 'publish:*' -q > token",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if principal == "" || len(grantTexts) == 0 {
				return usage("a token needs a principal and grants").
					WithHint("Give --principal NAME and at least one --grant verb:pattern.")
			}
			var grants []autobus.Grant
			for _, text := range grantTexts {
				g, err := admin.ParseGrant(text)
				if err != nil {
					return &exitError{code: exitUsage, err: asError(err)}
				}
				grants = append(grants, g)
			}
			return o.withTokens(cmd.Context(), func(ctx context.Context, tokens *admin.Tokens) error {
				token, id, err := tokens.Create(ctx, principal, grants, actor())
				if err != nil {
					return err
				}
				if a.output != "table" {
					return a.emitValue(map[string]any{"id": id, "principal": principal, "grants": grants, "token": token})
				}
				a.note("Token %s of %s. Keep it now, it cannot be shown again:", id, principal)
				_, err = fmt.Fprintln(a.out, token)
				return err
			})
		},
	}
	o.configFlag(cmd)
	cmd.Flags().StringVar(&principal, "principal", "", "who it is: the service's name")
	cmd.Flags().StringArrayVar(&grantTexts, "grant", nil, "verb:pattern, such as publish:orders.*; may be repeated")
	return cmd
}

func (a *app) newTokenListCommand() *cobra.Command {
	o := &operator{app: a}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tokens in force, without their secrets",
		Long: "List the tokens in force. The ids are public.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus token list --config autobus.yaml\n  autobus token list --config autobus.yaml -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withTokens(cmd.Context(), func(_ context.Context, tokens *admin.Tokens) error {
				return a.printTokens(tokens.List())
			})
		},
	}
	o.configFlag(cmd)
	return cmd
}

func (a *app) printTokens(list []admin.TokenInfo) error {
	switch a.output {
	case "json":
		return a.emitValue(map[string]any{"tokens": list})
	case "ndjson":
		for _, t := range list {
			if err := a.emitValue(t); err != nil {
				return err
			}
		}
		return nil
	}
	var rows [][]string
	for _, t := range list {
		rows = append(rows, []string{t.ID, t.Principal, grantTexts(t.Grants), t.Created.Format(time.RFC3339), t.CreatedBy})
	}
	a.table([]string{"id", "principal", "grants", "created", "by"}, rows)
	return nil
}

func grantTexts(grants []autobus.Grant) string {
	var out []string
	for _, g := range grants {
		out = append(out, string(g.Verb)+":"+g.Pattern)
	}
	return strings.Join(out, " ")
}

func (a *app) newTokenRevokeCommand() *cobra.Command {
	o := &operator{app: a}
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "Make a token worthless, everywhere",
		Long: "Make a token worthless, everywhere. Shows whose it is and asks first.\n\n" + tokenAbout +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitConfirm),
		Example: "  autobus token revoke --config autobus.yaml 3f9a0c21b7de\n" +
			"  autobus token revoke --config autobus.yaml 3f9a0c21b7de --yes --reason 'leaked in a log'",
		Args: named("token id", "autobus token revoke 3f9a0c21b7de", cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.withTokens(cmd.Context(), func(ctx context.Context, tokens *admin.Tokens) error {
				return o.revoke(ctx, tokens, args[0])
			})
		},
	}
	o.configFlag(cmd)
	o.yesFlag(cmd)
	o.reasonFlag(cmd)
	return cmd
}

func (o *operator) revoke(ctx context.Context, tokens *admin.Tokens, id string) error {
	for _, t := range tokens.List() {
		if t.ID != id {
			continue
		}
		o.app.note("Token %s of %s, grants %s, created %s.", t.ID, t.Principal, grantTexts(t.Grants),
			t.Created.Format(time.RFC3339))
		if err := o.confirm("Revoke it"); err != nil {
			return err
		}
		if err := tokens.Revoke(context.WithoutCancel(ctx), id, actor(), o.reason); err != nil {
			return err
		}
		if o.app.output != "table" {
			return o.app.emitValue(map[string]any{"id": id, "revoked": true})
		}
		o.app.note("Revoked.")
		return nil
	}
	return autobus.NewError(autobus.ReasonTokenUnknown, "there is no token %q", id)
}
