// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// Option says how a Bus differs from the usual one.
type Option func(*config) error

// config is what the options say together.
type config struct {
	specs      *spec.Snapshot // nil = none: every type is unspecified
	partitions int32          // of every type; 0 = as the spec says
	start      time.Time      // of a clock that stands; zero = the clock of the package time
	who        autobus.Principal
	filters    map[string]FilterFunc
}

// Specs reads the specs below a folder, as autobus dev --specs does: types are validated by them, others are refused,
// and the subscriptions of services/*.yaml exist from the start.
func Specs(dir string) Option {
	return func(c *config) error {
		files, err := spec.ReadDir(dir)
		if err != nil {
			return err
		}
		return c.parse(files)
	}
}

// SpecsFS does the same with the *.yaml and *.yml files of a file system, such as an embed.FS or an fstest.MapFS.
func SpecsFS(fsys fs.FS) Option {
	return func(c *config) error {
		files := spec.Files{}
		err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && name != "." && strings.HasPrefix(d.Name(), "."):
				return fs.SkipDir
			case d.IsDir() || path.Ext(name) != ".yaml" && path.Ext(name) != ".yml":
				return nil
			}
			files[name], err = fs.ReadFile(fsys, name)
			return err
		})
		if err != nil {
			return err
		}
		return c.parse(files)
	}
}

func (c *config) parse(files spec.Files) (err error) {
	c.specs, err = spec.Parse(files)
	return err
}

// Partitions gives every type so many partitions. Without it a type has as many as its spec says, or one.
func Partitions(n int32) Option {
	return func(c *config) error {
		if n < 1 {
			return autobus.NewError(autobus.ReasonConfigInvalid, "Partitions(%d): a type has at least one", n)
		}
		c.partitions = n
		return nil
	}
}

// Clock makes the bus's clock stand at a time, from which only Bus.Advance moves it. Without it the clock is that of
// the package time.
func Clock(start time.Time) Option {
	return func(c *config) error {
		if start.IsZero() {
			return autobus.NewError(autobus.ReasonConfigInvalid, "Clock: the zero time is none")
		}
		c.start = start
		return nil
	}
}

// As names who acts where the context names nobody. Without it that is "test", who may do everything.
func As(p autobus.Principal) Option {
	return func(c *config) error {
		c.who = p
		return nil
	}
}

// FilterFunc stands in for a CEL filter: it reports whether the event is wanted. params are those of the subscription's
// policy. It must neither change the event nor call the bus.
type FilterFunc func(e *autobus.Event, params map[string]string) bool

// Filter gives the replacement of a filter: of is the name of the subscription that has it, or the expression itself
// as it is written, which serves tails too. Whoever subscribes with a filter that has no replacement fails the test.
func Filter(of string, pass FilterFunc) Option {
	return func(c *config) error {
		c.filters[of] = pass
		return nil
	}
}
