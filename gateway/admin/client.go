package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
)

func clientCommand() *cli.Command {
	return &cli.Command{
		Name:  "client",
		Usage: "who holds anything: NFS hosts, SMB clients, local programs",
		Flags: where(),
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list the clients and how much each holds",
				Flags: append(where(), &cli.BoolFlag{Name: "json", Usage: "one JSON array"}),
				Action: func(c *cli.Context) error {
					return ask(c, func(ctx context.Context, a *ipc.Admin) error {
						s, err := a.List(ctx, lock.Filter{})
						if err != nil {
							return err
						}
						hosts, err := a.Hosts(ctx)
						if err != nil {
							return err
						}
						list := clients(s, hosts)
						if c.Bool("json") {
							return printJSON(c.App.Writer, list)
						}
						return printClients(c.App.Writer, list)
					})
				},
			},
			{
				Name: "forget", Usage: "end everything that an NFS host or an SMB client holds", ArgsUsage: "nlm:HOST|smb:GUID",
				Description: "For a client that will not come back. A host is not told of the gateway's next restart, until it locks again.",
				Flags:       where(),
				Action: func(c *cli.Context) error {
					words, _, _, err := wordsAndFlags(c)
					if err != nil {
						return err
					}
					if len(words) != 1 {
						return fmt.Errorf("client forget: of which client? Give one as client list prints it")
					}
					cl, err := clientOf(words[0])
					if err != nil {
						return err
					}
					return ask(c, func(ctx context.Context, a *ipc.Admin) error {
						n, err := a.Forget(ctx, cl)
						if err == nil {
							fmt.Fprintf(c.App.Writer, "%s forgotten; it held %d\n", plain(cl.String()), n)
						}
						return err
					})
				},
			},
		},
	}
}

// clientOf reads a client as lock.Client's String writes it.
func clientOf(s string) (c lock.Client, err error) {
	door, name, _ := strings.Cut(s, ":")
	switch {
	case door == "nlm" && name != "":
		return lock.Client{Door: lock.NLM, Name: name}, nil
	case door == "smb":
		b, err := hex.DecodeString(name)
		if err != nil || len(b) != len(c.GUID) {
			return c, fmt.Errorf("client forget: smb:GUID has 32 hexadecimal digits")
		}
		c.Door = lock.SMB
		copy(c.GUID[:], b)
		return c, nil
	}
	return c, fmt.Errorf("client forget: %s: must be nlm:HOST or smb:GUID", s)
}

// holder is one line of `client list`, and one object of its JSON.
type holder struct {
	Client  string   `json:"client"`
	Address string   `json:"address,omitempty"` // an NFS host's, where it is told of a restart
	Users   []string `json:"users,omitempty"`
	Locks   int      `json:"locks"`
	Opens   int      `json:"opens"`
	Leases  int      `json:"leases"`
	Waiters int      `json:"waiters"`
}

func clients(s lock.Snapshot, hosts []ipc.Host) []holder {
	all := map[lock.Client]*holder{}
	of := func(c lock.Client, user string) *holder {
		h := all[c]
		if h == nil {
			h = &holder{Client: c.String()}
			all[c] = h
		}
		if user != "" && !slices.Contains(h.Users, user) {
			h.Users = append(h.Users, user)
		}
		return h
	}
	for _, f := range s.Files {
		for _, r := range f.Ranges {
			of(r.Owner.Client, r.User).Locks++
		}
		for _, o := range f.Opens {
			of(o.Owner.Client, o.User).Opens++
		}
		for _, l := range f.Leases {
			of(lock.Client{Door: lock.SMB, GUID: l.Client}, l.User).Leases++
		}
		for _, w := range f.Waiters {
			of(w.Owner.Client, w.User).Waiters++
		}
	}
	for _, h := range hosts {
		of(lock.Client{Door: lock.NLM, Name: h.Name}, "").Address = h.Address
	}
	list := []holder{}
	for _, h := range all {
		slices.Sort(h.Users)
		list = append(list, *h)
	}
	slices.SortFunc(list, func(a, b holder) int { return strings.Compare(a.Client, b.Client) })
	return list
}

func printClients(out io.Writer, list []holder) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "CLIENT\tADDRESS\tLOCKS\tOPENS\tLEASES\tWAITERS\tUSERS")
	for _, h := range list {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\n", plain(h.Client), plain(h.Address), h.Locks, h.Opens, h.Leases, h.Waiters, plain(strings.Join(h.Users, ", ")))
	}
	return w.Flush()
}
