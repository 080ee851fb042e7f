package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
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
				Name: "list", Usage: "list byte-range locks; with --all also opens, leases and waiters",
				Flags: append(where(),
					&cli.BoolFlag{Name: "json", Usage: "one JSON array"},
					&cli.BoolFlag{Name: "all", Usage: "opens, leases and waiters too"},
					&cli.StringFlag{Name: "path", Usage: "only this `PATH`, relative to the export"},
					&cli.StringFlag{Name: "client", Usage: "only this `CLIENT`"},
					&cli.StringFlag{Name: "user", Usage: "only this `USER`"},
					&cli.StringFlag{Name: "protocol", Usage: "only nlm, smb or local"}),
				Action: func(c *cli.Context) error {
					f := lock.Filter{Path: c.String("path"), Client: c.String("client"), User: c.String("user")}
					switch p := c.String("protocol"); p {
					case "":
					case "nlm":
						f.Door = lock.NLM
					case "smb":
						f.Door = lock.SMB
					case "local":
						f.Door = lock.Local
					default:
						return fmt.Errorf("lock list: --protocol %s: must be nlm, smb or local", p)
					}
					return ask(c, func(ctx context.Context, a *ipc.Admin) error {
						s, err := a.List(ctx, f)
						if err != nil {
							return err
						}
						return printLocks(c.App.Writer, entries(s, c.Bool("all")), c.Bool("json"))
					})
				},
			},
		},
	}
}

// entry is one line of `lock list`, and one object of its JSON.
type entry struct {
	Path     string     `json:"path"`
	Key      string     `json:"key"`
	Kind     string     `json:"kind"` // range, flock, open, lease, oplock, waiter
	Protocol string     `json:"protocol"`
	Owner    string     `json:"owner"`
	User     string     `json:"user,omitempty"`
	Mode     string     `json:"mode"` // exclusive or shared; an open's access and what it shares; a lease's rights
	Start    uint64     `json:"start"`
	Length   uint64     `json:"length"` // 0: to the end of file
	State    string     `json:"state,omitempty"`
	Since    *time.Time `json:"since,omitempty"`
}

func entries(s lock.Snapshot, all bool) []entry {
	list := []entry{}
	for _, f := range s.Files {
		add := func(e entry, since time.Time) {
			e.Path, e.Key = f.Path, f.Key.String()
			if !since.IsZero() {
				e.Since = &since
			}
			list = append(list, e)
		}
		for _, r := range f.Ranges {
			e := entry{Kind: "range", Protocol: r.Owner.Client.Door.String(), Owner: r.Owner.String(), User: r.User, Mode: "shared", Start: r.Offset, Length: r.Length}
			if r.Flock {
				e.Kind = "flock"
			}
			if r.Exclusive {
				e.Mode = "exclusive"
			}
			if r.Unclaimed {
				e.State = "not yet reclaimed"
			}
			add(e, r.Since)
		}
		if !all {
			continue
		}
		for _, o := range f.Opens {
			e := entry{Kind: "open", Protocol: o.Owner.Client.Door.String(), Owner: o.Owner.String(), User: o.User, Mode: accessText(o.Access) + ", shares " + shareText(o.Share)}
			switch {
			case o.Disconnected:
				e.State = "durable, disconnected"
			case o.Durable:
				e.State = "durable"
			}
			add(e, o.Since)
		}
		for _, l := range f.Leases {
			e := entry{Kind: "lease", Protocol: "smb", Owner: fmt.Sprintf("smb:%v:%v", l.Client, l.LeaseKey), Mode: l.Rights.String()}
			if l.Kind == lock.Oplock {
				e.Kind = "oplock"
			}
			if l.Breaking {
				e.State = "breaking to " + l.To.String()
			}
			add(e, l.Since)
		}
		for _, w := range f.Waiters {
			names := make([]string, len(w.For))
			for i, o := range w.For {
				names[i] = o.String()
			}
			add(entry{Kind: "waiter", Protocol: w.Owner.Client.Door.String(), Owner: w.Owner.String(), Mode: w.What, State: "waits for " + strings.Join(names, ", ")}, w.Since)
		}
	}
	return list
}

func accessText(a lock.Access) string {
	var s []string
	for _, b := range []struct {
		bit  lock.Access
		name string
	}{{lock.Read, "read"}, {lock.Write, "write"}, {lock.Append, "append"}, {lock.Execute, "execute"}, {lock.Delete, "delete"}, {lock.Other, "other"}} {
		if a&b.bit != 0 {
			s = append(s, b.name)
		}
	}
	if s == nil {
		return "attributes"
	}
	return strings.Join(s, "+")
}

func shareText(sh lock.Share) string {
	var s []string
	for _, b := range []struct {
		bit  lock.Share
		name string
	}{{lock.ShareRead, "read"}, {lock.ShareWrite, "write"}, {lock.ShareDelete, "delete"}} {
		if sh&b.bit != 0 {
			s = append(s, b.name)
		}
	}
	if s == nil {
		return "nothing"
	}
	return strings.Join(s, "+")
}

func printLocks(out io.Writer, list []entry, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PATH\tKIND\tPROTOCOL\tMODE\tRANGE\tOWNER\tSTATE")
	for _, e := range list {
		at := ""
		if e.Kind == "range" {
			at = fmt.Sprintf("%d-%d", e.Start, e.Start+e.Length-1)
			if e.Length == 0 {
				at = fmt.Sprintf("%d-", e.Start)
			}
		}
		fmt.Fprintf(w, "%q\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Path, e.Kind, e.Protocol, e.Mode, at, e.Owner, e.State)
	}
	return w.Flush()
}
