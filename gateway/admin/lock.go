package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
)

func lockCommand() *cli.Command {
	return &cli.Command{
		Name:  "lock",
		Usage: "byte-range locks, leases, opens and who waits, across all doors",
		Flags: where(),
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list byte-range locks; with --all or --kind also opens, leases and waiters",
				Flags: append(selection(),
					&cli.BoolFlag{Name: "all", Usage: "opens, leases and waiters too"},
					&cli.BoolFlag{Name: "watch", Usage: "print the list again whenever it has changed, until interrupted"}),
				Action: listLocks,
			},
			{
				Name: "waiters", Usage: "list who waits, for what, and for whom",
				Flags: append(selection(), &cli.BoolFlag{Name: "watch", Usage: "print the list again whenever it has changed, until interrupted"}),
				Action: func(c *cli.Context) error {
					f, err := selected(c)
					if err != nil {
						return err
					}
					f.Kind = lock.KindWaiter
					return show(c, f, printWaiters)
				},
			},
			{
				Name: "why", Usage: "who holds a file, who waits for whom, and who was refused lately", ArgsUsage: "PATH",
				Flags:  append(where(), &cli.BoolFlag{Name: "json", Usage: "one JSON object"}),
				Action: why,
			},
			{
				Name: "break", Usage: "take locks away: by their IDs, or a path's or a client's locks and leases", ArgsUsage: "[ID …]",
				Description: "A lock, an open or a lease is taken away whatever its holder thinks of it; a lease's holder is asked to give it back, as\n" +
					"for any other opener. An open of a local program stays: end the program. Who asked, and what went, is in the gateway's log.",
				Flags:  append(selection(), &cli.BoolFlag{Name: "dry-run", Usage: "say what would be taken away, and change nothing"}),
				Action: breakLocks,
			},
		},
	}
}

// selection are the flags that select what is listed.
func selection() []cli.Flag {
	return append(where(),
		&cli.BoolFlag{Name: "json", Usage: "one JSON array"},
		&cli.StringFlag{Name: "path", Usage: "only this `PATH`: absolute, or as listed"},
		&cli.StringFlag{Name: "client", Usage: "only this `CLIENT`: a host, or the first parts of an owner, as nlm:host or local:1234"},
		&cli.StringFlag{Name: "user", Usage: "only this `USER`"},
		&cli.StringFlag{Name: "protocol", Usage: "only nlm, smb, local or nfs"},
		&cli.StringFlag{Name: "kind", Usage: "only these, with commas between: range, flock, open, lease, oplock, waiter"})
}

func selected(c *cli.Context) (lock.Filter, error) {
	f := lock.Filter{Path: c.String("path"), Client: c.String("client"), User: c.String("user")}
	if p := c.String("protocol"); p != "" {
		for d := lock.NLM; d <= lock.NFS; d++ {
			if d.String() == p {
				f.Door = d
			}
		}
		if f.Door == 0 {
			return f, fmt.Errorf("--protocol %s: must be nlm, smb, local or nfs", p)
		}
	}
	if kinds := c.String("kind"); kinds != "" {
		for _, name := range strings.Split(kinds, ",") {
			k := lock.KindOf(name)
			if k == 0 {
				return f, fmt.Errorf("--kind %s: must be of range, flock, open, lease, oplock, waiter", name)
			}
			f.Kind |= k
		}
	}
	return f, nil
}

func listLocks(c *cli.Context) error {
	f, err := selected(c)
	if err != nil {
		return err
	}
	if f.Kind == 0 && !c.Bool("all") {
		f.Kind = lock.KindRange | lock.KindFlock
	}
	return show(c, f, printEntries)
}

// tick is how often a list that is watched is looked at.
const tick = time.Second

// show prints what f selects, once or, watched, each time it is another list. A gateway that is away meanwhile is waited for.
func show(c *cli.Context, f lock.Filter, print printer) error {
	if !c.Bool("watch") {
		return ask(c, func(ctx context.Context, a *ipc.Admin) error {
			s, err := a.List(ctx, f)
			if err != nil {
				return err
			}
			return output(c, entries(s), print)
		})
	}
	var last []entry
	t := time.NewTicker(tick)
	defer t.Stop()
	for first := true; ; first = false {
		err := ask(c, func(ctx context.Context, a *ipc.Admin) error {
			s, err := a.List(ctx, f)
			if err != nil {
				return err
			}
			list := entries(s)
			if !first && reflect.DeepEqual(list, last) {
				return nil
			}
			last = list
			if fi, err := os.Stdout.Stat(); err == nil && fi.Mode()&os.ModeCharDevice != 0 && !c.Bool("json") {
				fmt.Fprint(c.App.Writer, "\x1b[H\x1b[2J")
			}
			return output(c, list, print)
		})
		if err != nil {
			if first {
				return err
			}
			fmt.Fprintf(os.Stderr, "dittofs: %v\n", err)
		}
		select {
		case <-t.C:
		case <-c.Context.Done():
			return nil
		}
	}
}

// breakLocks takes away what the IDs or the flags say.
func breakLocks(c *cli.Context) error {
	ids, dry, asJSON, err := wordsAndFlags(c)
	if err != nil {
		return err
	}
	f, err := selected(c)
	if err != nil {
		return err
	}
	switch {
	case len(ids) == 0 && f.Path == "" && f.Client == "":
		return fmt.Errorf("lock break: of what? Give IDs, --path or --client")
	case len(ids) > 0 && f != (lock.Filter{}):
		return fmt.Errorf("lock break: an ID says it alone")
	case len(ids) == 0 && f.Kind == 0:
		f.Kind = lock.KindRange | lock.KindFlock | lock.KindLease | lock.KindOplock
	}
	filters := []lock.Filter{f}
	if len(ids) > 0 {
		filters = nil
		for _, id := range ids {
			filters = append(filters, lock.Filter{ID: id})
		}
	}
	return ask(c, func(ctx context.Context, a *ipc.Admin) error {
		list := []entry{}
		for _, f := range filters {
			s, err := a.Break(ctx, ipc.BreakRequest{Filter: f, DryRun: dry})
			if err != nil {
				return err
			}
			if len(s.Files) == 0 {
				return fmt.Errorf("lock break: nothing that can be taken away is %s", what(f))
			}
			list = append(list, entries(s)...)
		}
		if asJSON {
			return printJSON(c.App.Writer, list)
		}
		if dry {
			fmt.Fprintln(c.App.Writer, "would be taken away; nothing was changed:")
		} else {
			fmt.Fprintln(c.App.Writer, "taken away:")
		}
		return printEntries(c.App.Writer, list)
	})
}

func what(f lock.Filter) string {
	switch {
	case f.ID != "":
		return f.ID
	case f.Path != "":
		return "on " + f.Path
	}
	return "of " + f.Client
}

// wordsAndFlags lets --dry-run and --json follow the IDs: the library stops at the first word that is no flag, and a flag that is not
// heard must not break anything.
func wordsAndFlags(c *cli.Context) (words []string, dry, asJSON bool, err error) {
	dry, asJSON = c.Bool("dry-run"), c.Bool("json")
	for _, w := range c.Args().Slice() {
		switch {
		case w == "--dry-run", w == "-dry-run":
			dry = true
		case w == "--json", w == "-json":
			asJSON = true
		case strings.HasPrefix(w, "-"):
			return nil, false, false, fmt.Errorf("%s: flags come before the rest", w)
		default:
			words = append(words, w)
		}
	}
	return words, dry, asJSON, nil
}
