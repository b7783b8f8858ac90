// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/spec"
)

// specNew is the command that begins a spec.
type specNew struct {
	*app
	dir, like, owner, kind string
}

func (a *app) newSpecNewCommand() *cobra.Command {
	n := &specNew{app: a}
	cmd := &cobra.Command{
		Use:   "new TYPE",
		Short: "Begin the spec of a type",
		Long: "Write the file of a new type, with all that the rules ask for. --like copies another type under the new\n" +
			"name; of the type's own earlier major that is how a breaking change begins.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound),
		Example: "  autobus spec new orders.order.placed.v1\n" +
			"  autobus spec new orders.order.placed.v2 --like orders.order.placed.v1\n" +
			"  autobus spec new refunds.refund.create.v1 --kind command --owner team-refunds",
		Args: named("type", "autobus spec new orders.order.placed.v1", cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error { return n.run(args[0]) },
	}
	specsFlag(cmd, &n.dir)
	f := cmd.Flags()
	f.StringVar(&n.like, "like", "", "the type to copy")
	f.StringVar(&n.owner, "owner", "", "the team that owns it (default that of --like, else the only team of teams.yaml)")
	f.StringVar(&n.kind, "kind", "event", "event, command or query")
	return cmd
}

// specsFlag names the folder of the specs for commands whose arguments are types.
func specsFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "specs", "", "folder of the specs (default ./specs if there, else this folder)")
}

// specsFolder is the folder that --specs names.
func specsFolder(dir string) string {
	if dir != "" {
		return dir
	}
	return folderOf(nil)
}

func (n *specNew) run(name string) error {
	dir := specsFolder(n.dir)
	if !slices.Contains([]string{"event", "command", "query"}, n.kind) {
		return usage("--kind is %q", n.kind).WithHint("Use event, command or query.")
	}
	files, err := filesIn(dir)
	if err != nil {
		return err
	}
	if n.owner == "" && n.like == "" {
		teams := spec.Teams(files)
		if len(teams) != 1 {
			return usage("nobody owns it").WithHint("Name a team of teams.yaml: --owner team-checkout")
		}
		n.owner = teams[0]
	}
	s, err := newScaffold(name, n.kind, n.owner)
	if err != nil {
		return err
	}
	data, err := n.content(files, dir, s)
	if err != nil {
		return err
	}
	if err := create(dir, specFile(name), data); err != nil {
		return err
	}
	fmt.Fprintln(n.out, filepath.Join(dir, filepath.FromSlash(specFile(name))))
	n.note("Next: describe it, then autobus spec lint %s", dir)
	if n.kind != "event" {
		n.note("A %s needs a service that receives it: an operation in %s.", n.kind, filepath.Join(dir, "services"))
	}
	return nil
}

func (n *specNew) content(files spec.Files, dir string, s scaffolded) ([]byte, error) {
	before := fmt.Sprintf("%s.v%d", s.Title, s.Major-1)
	if n.like == "" {
		if _, there := files[specFile(before)]; there {
			s.Replaces = before
		}
		return s.render()
	}
	snapshot, err := specsIn(dir)
	if err != nil {
		return nil, err
	}
	other, ok := snapshot.Type(n.like)
	if !ok {
		return nil, unknownType(snapshot, n.like)
	}
	return copySpec(string(files[other.File]), other, s, n.owner), nil
}

// unknownType says which types there are.
func unknownType(snapshot *spec.Snapshot, name string) error {
	hint := "autobus spec list shows the types."
	if near := snapshot.Near(name, 3); len(near) > 0 {
		hint = "Did you mean " + strings.Join(near, ", ") + "?"
	}
	return usage("no spec declares %s", name).WithHint("%s", hint)
}

var (
	versionLine   = regexp.MustCompile(`(\bversion: *)['"]?[0-9]+\.[0-9]+\.[0-9]+['"]?`)
	lifecycleLine = regexp.MustCompile(`(\bx-lifecycle: *)[a-z]+`)
	sunsetLine    = regexp.MustCompile(`(?m)^ *(x-sunset|x-replaces|x-replaced-by): .*\n`)
	ownerLine     = regexp.MustCompile(`(\bx-owner: *)[^\s,}]+`)
)

// copySpec gives the text of a spec another name, comments and all.
func copySpec(text string, other *spec.Type, s scaffolded, owner string) []byte {
	like, err := newScaffold(other.Name, other.Kind, other.Owner)
	if err != nil {
		like.Title = other.Name[:strings.LastIndex(other.Name, ".v")]
	}
	text = sunsetLine.ReplaceAllString(text, "")
	text = strings.ReplaceAll(text, other.Name, s.Type)
	text = regexp.MustCompile(`(\btitle: *)`+regexp.QuoteMeta(like.Title)+`\b`).ReplaceAllString(text, "${1}"+s.Title)
	if like.Message != "" && like.Message != s.Message {
		text = regexp.MustCompile(`\b`+like.Message+`\b`).ReplaceAllString(text, s.Message)
	}
	text = strings.ReplaceAll(text, "'domain:"+like.Domain+"'", "'domain:"+s.Domain+"'")
	text = replaceFirst(versionLine, text, fmt.Sprintf("${1}%d.0.0", s.Major))
	text = replaceFirst(lifecycleLine, text, "${1}draft")
	if owner != "" {
		text = replaceFirst(ownerLine, text, "${1}"+owner)
	}
	if other.Name == fmt.Sprintf("%s.v%d", s.Title, s.Major-1) {
		at := regexp.MustCompile(`(?m)^( *)x-owner: [^\n{}]*\n`)
		text = replaceFirst(at, text, "${0}${1}x-replaces: "+other.Name+"\n")
	}
	return []byte(text)
}

func replaceFirst(re *regexp.Regexp, text, with string) string {
	at := re.FindStringSubmatchIndex(text)
	if at == nil {
		return text
	}
	return text[:at[0]] + string(re.ExpandString(nil, with, text, at)) + text[at[1]:]
}

// knownType finds a type in a folder of specs.
func knownType(dir, name string) (*spec.Snapshot, *spec.Type, error) {
	snapshot, err := specsIn(dir)
	if err != nil {
		return nil, nil, err
	}
	t, ok := snapshot.Type(name)
	if !ok {
		return nil, nil, unknownType(snapshot, name)
	}
	return snapshot, t, nil
}
