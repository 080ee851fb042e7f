package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"dittofs/gateway/ipc"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "daemons, doors, exports and grace",
		Flags: where(),
		Action: func(c *cli.Context) error {
			return ask(c, func(ctx context.Context, a *ipc.Admin) error {
				st, err := a.Status(ctx)
				if err != nil {
					return err
				}
				printStatus(c.App.Writer, st)
				return nil
			})
		},
	}
}

func printStatus(out io.Writer, st ipc.Status) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "version\t%s\tepoch %d\n", st.Version, st.Epoch)
	if st.Grace > 0 {
		fmt.Fprintf(w, "grace\t%v left\n", st.Grace.Round(time.Second))
	}
	there := map[string]ipc.Daemon{}
	for _, d := range st.Daemons {
		there[d.Name] = d
	}
	for _, name := range daemons {
		d, ok := there[name]
		if !ok || d.Since.IsZero() {
			fmt.Fprintf(w, "%s\taway\n", name)
			continue
		}
		fmt.Fprintf(w, "%s\tpid %d\tsince %s", name, d.PID, d.Since.Format(time.RFC3339))
		for _, door := range slices.Sorted(maps.Keys(d.Doors)) {
			fmt.Fprintf(w, "\t%s=%s", door, d.Doors[door])
		}
		fmt.Fprintln(w)
	}
	for _, t := range st.Trees {
		state := "mounted"
		if !t.Mounted {
			state = "not mounted, so not served: " + cmp.Or(t.Refused, "dittofs-fusefs is away")
		}
		fmt.Fprintf(w, "export\t%s\t%s\t%s\n", t.Name, t.Path, state)
	}
}

func sessionCommand() *cli.Command {
	return &cli.Command{
		Name:  "session",
		Usage: "SMB sessions",
		Flags: where(),
		Subcommands: []*cli.Command{{
			Name: "list", Usage: "list who is connected", Flags: where(),
			Action: func(c *cli.Context) error {
				return ask(c, func(ctx context.Context, a *ipc.Admin) error {
					list, err := a.Sessions(ctx)
					if err != nil {
						return err
					}
					w := tabwriter.NewWriter(c.App.Writer, 0, 8, 2, ' ', 0)
					defer w.Flush()
					fmt.Fprintln(w, "SESSION\tUSER\tADDRESS\tDIALECT\tSIGNED\tENCRYPTED\tSHARES\tSINCE")
					for _, s := range list {
						fmt.Fprintf(w, "%x\t%s\t%s\t%s\t%t\t%t\t%v\t%s\n", s.ID, s.User, s.Address, s.Dialect, s.Signed, s.Encrypted, s.Share, s.Since.Format(time.RFC3339))
					}
					return nil
				})
			},
		}},
	}
}

func graceCommand() *cli.Command {
	return &cli.Command{
		Name:  "grace",
		Usage: "the grace period, in which NFS clients reclaim their locks",
		Flags: where(),
		Subcommands: []*cli.Command{
			{
				Name: "status", Usage: "how long it still runs", Flags: where(),
				Action: func(c *cli.Context) error {
					return ask(c, func(ctx context.Context, a *ipc.Admin) error {
						st, err := a.Status(ctx)
						if err != nil {
							return err
						}
						if st.Grace == 0 {
							fmt.Fprintln(c.App.Writer, "no grace period")
							return nil
						}
						fmt.Fprintf(c.App.Writer, "%v left\n", st.Grace.Round(time.Second))
						return nil
					})
				},
			},
			{
				Name: "end", Usage: "end it now: locks that nobody has reclaimed are dropped", Flags: where(),
				Action: func(c *cli.Context) error {
					return ask(c, func(ctx context.Context, a *ipc.Admin) error { return a.EndGrace(ctx) })
				},
			},
		},
	}
}
