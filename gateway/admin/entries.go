package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"dittofs/gateway/lock"
)

// entry is one line of `lock list`, and one object of its JSON.
type entry struct {
	ID       string     `json:"id"`
	Path     string     `json:"path"`
	Key      string     `json:"key"`
	Kind     string     `json:"kind"` // range, flock, open, lease, oplock, waiter
	Protocol string     `json:"protocol"`
	Owner    string     `json:"owner"`
	User     string     `json:"user,omitempty"`
	Mode     string     `json:"mode"` // exclusive or shared; an open's access and what it shares; a lease's rights; what a waiter wants
	Start    uint64     `json:"start"`
	Length   uint64     `json:"length"` // 0: to the end of file
	State    string     `json:"state,omitempty"`
	Since    *time.Time `json:"since,omitempty"`
	For      []string   `json:"waits_for,omitempty"` // owners
}

func entries(s lock.Snapshot) []entry {
	list := []entry{}
	for _, f := range s.Files {
		list = append(list, fileEntries(f)...)
	}
	return list
}

func fileEntries(f lock.FileState) (list []entry) {
	add := func(e entry, since time.Time) {
		e.Path, e.Key = f.Path, f.Key.String()
		if !since.IsZero() {
			e.Since = &since
		}
		list = append(list, e)
	}
	for _, r := range f.Ranges {
		e := entry{ID: r.ID, Kind: r.Kind().String(), Protocol: r.Owner.Client.Door.String(), Owner: r.Owner.String(), User: r.User, Mode: mode(r.Exclusive),
			Start: r.Offset, Length: r.Length}
		if r.Unclaimed {
			e.State = "not yet reclaimed"
		}
		add(e, r.Since)
	}
	for _, o := range f.Opens {
		e := entry{ID: o.ID, Kind: "open", Protocol: o.Owner.Client.Door.String(), Owner: o.Owner.String(), User: o.User,
			Mode: fmt.Sprintf("%v, shares %v", o.Access, o.Share)}
		switch {
		case o.Disconnected:
			e.State = "durable, disconnected"
		case o.Durable:
			e.State = "durable"
		}
		add(e, o.Since)
	}
	for _, l := range f.Leases {
		e := entry{ID: l.ID, Kind: l.What().String(), Protocol: "smb", Owner: fmt.Sprintf("smb:%v:%v", l.Client, l.LeaseKey), User: l.User, Mode: l.Rights.String()}
		if l.Breaking {
			e.State = "breaking to " + l.To.String()
		}
		add(e, l.Since)
	}
	for _, w := range f.Waiters {
		e := entry{ID: w.ID, Kind: "waiter", Protocol: w.Owner.Client.Door.String(), Owner: w.Owner.String(), User: w.User, Mode: w.What}
		for _, o := range w.For {
			e.For = append(e.For, o.String())
		}
		if e.For != nil {
			e.State = "waits for " + strings.Join(e.For, ", ")
		}
		add(e, w.Since)
	}
	return list
}

func mode(exclusive bool) string {
	if exclusive {
		return "exclusive"
	}
	return "shared"
}

// bytesText is a range as people read it. SMB's range of no length holds no byte.
func bytesText(door string, start, length uint64) string {
	switch {
	case length == 0 && door == "smb":
		return fmt.Sprintf("nothing at %d", start)
	case length == 0, length-1 > math.MaxUint64-start:
		return fmt.Sprintf("%d-", start)
	}
	return fmt.Sprintf("%d-%d", start, start+length-1)
}

func (e *entry) bytes() string {
	if e.Kind != "range" {
		return ""
	}
	return bytesText(e.Protocol, e.Start, e.Length)
}

// age is how long something has been so.
func age(since *time.Time) string {
	if since == nil {
		return ""
	}
	return time.Since(*since).Round(time.Second).String()
}

type printer func(io.Writer, []entry) error

// output prints a list as the flags say.
func output(c *cli.Context, list []entry, print printer) error {
	if c.Bool("json") {
		return printJSON(c.App.Writer, list)
	}
	return print(c.App.Writer, list)
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printEntries(out io.Writer, list []entry) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tPATH\tKIND\tPROTOCOL\tMODE\tRANGE\tOWNER\tUSER\tFOR\tSTATE")
	for _, e := range list {
		fmt.Fprintf(w, "%s\t%q\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.Path, e.Kind, e.Protocol, e.Mode, e.bytes(), plain(e.Owner), plain(e.User), age(e.Since), plain(e.State))
	}
	return w.Flush()
}

func printWaiters(out io.Writer, list []entry) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tPATH\tWHO\tUSER\tWANTS\tFOR\tBLOCKED BY")
	for _, e := range list {
		by := "an operation under way"
		if e.For != nil {
			by = strings.Join(e.For, ", ")
		}
		fmt.Fprintf(w, "%s\t%q\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.Path, plain(e.Owner), plain(e.User), e.Mode, age(e.Since), plain(by))
	}
	return w.Flush()
}

// plain shows a client's words without what would steer a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
