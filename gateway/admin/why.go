package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
)

// reasons is what `lock why` says of a path, and its JSON. A path may name a file in each of several exports.
type reasons struct {
	Files   []whyFile `json:"files"`
	Refused []refused `json:"refused"` // the latest last
}

type whyFile struct {
	Path    string   `json:"path"`
	Key     string   `json:"key"`
	Held    []entry  `json:"held"`
	Waiters []waiter `json:"waiters"`
}

// waiter is one who waits, and what those hold whom it waits for.
type waiter struct {
	entry
	Blockers []blocker `json:"blockers"`
}

type blocker struct {
	Owner string  `json:"owner"`
	Holds []entry `json:"holds"` // nothing where it only came earlier
}

type refused struct {
	At       time.Time `json:"at"`
	Times    uint64    `json:"times"`
	Path     string    `json:"path"`
	Key      string    `json:"key"`
	Protocol string    `json:"protocol"`
	Owner    string    `json:"owner"`
	User     string    `json:"user,omitempty"`
	Asked    string    `json:"asked"`
	Reason   string    `json:"reason"`
	Limit    string    `json:"limit,omitempty"`
	Waited   float64   `json:"waited_seconds"`
	Holder   string    `json:"holder,omitempty"`
	Held     string    `json:"held,omitempty"`
}

func why(c *cli.Context) error {
	words, _, asJSON, err := wordsAndFlags(c)
	if err != nil {
		return err
	}
	if len(words) != 1 {
		return fmt.Errorf("lock why: of which file? Give one path, absolute or as lock list prints it")
	}
	f := lock.Filter{Path: words[0]}
	return ask(c, func(ctx context.Context, a *ipc.Admin) error {
		s, err := a.List(ctx, f)
		if err != nil {
			return err
		}
		ds, err := a.Denials(ctx, f)
		if err != nil {
			return err
		}
		r := explain(s, ds)
		if asJSON {
			return printJSON(c.App.Writer, r)
		}
		return printWhy(c.App.Writer, words[0], r)
	})
}

func explain(s lock.Snapshot, ds []lock.Denial) reasons {
	r := reasons{Files: []whyFile{}, Refused: []refused{}}
	for _, st := range s.Files {
		f := whyFile{Path: st.Path, Key: st.Key.String(), Held: []entry{}, Waiters: []waiter{}}
		all := fileEntries(st)
		for _, e := range all {
			if e.Kind != "waiter" {
				f.Held = append(f.Held, e)
			}
		}
		for _, e := range all {
			if e.Kind != "waiter" {
				continue
			}
			w := waiter{entry: e, Blockers: []blocker{}}
			for i, o := range e.For {
				if slices.Contains(e.For[:i], o) {
					continue
				}
				b := blocker{Owner: o, Holds: []entry{}}
				for _, h := range f.Held {
					if sameOwner(h.Owner, o) || h.State != "" && h.Protocol == "smb" && sameClient(h.Owner, o) && leased(h.Kind) {
						b.Holds = append(b.Holds, h)
					}
				}
				w.Blockers = append(w.Blockers, b)
			}
			f.Waiters = append(f.Waiters, w)
		}
		r.Files = append(r.Files, f)
	}
	for _, d := range ds {
		x := refused{At: d.At, Times: d.Times, Path: d.Path, Key: d.Key.String(), Protocol: d.Owner.Client.Door.String(), Owner: d.Owner.String(), User: d.User,
			Asked: d.What, Reason: d.Outcome.String(), Limit: d.Limit, Waited: d.Waited.Seconds()}
		if d.Holder != nil {
			x.Holder, x.Held = d.Holder.Owner.String(), heldText(d.Holder)
		}
		r.Refused = append(r.Refused, x)
	}
	return r
}

// sameOwner reports whether a holder is the owner that a waiter names: a local one is named without its process, which may be another's
// that shares the lock.
func sameOwner(holder, named string) bool {
	if strings.HasPrefix(named, "local:") {
		return strings.HasPrefix(holder, "local:") && holder[strings.LastIndexByte(holder, ':'):] == named[strings.LastIndexByte(named, ':'):]
	}
	return holder == named
}

// A lease belongs to its client, whatever open it was asked for with; one that breaks is what a waiter waits for.
func leased(kind string) bool {
	return kind == lock.KindLease.String() || kind == lock.KindOplock.String()
}

// sameClient compares the first two parts of two owners.
func sameClient(a, b string) bool {
	client := func(s string) string {
		p := strings.SplitN(s, ":", 3)
		return strings.Join(p[:min(2, len(p))], ":")
	}
	return client(a) == client(b)
}

// heldText is what somebody held who stood in the way.
func heldText(h *lock.Holder) string {
	switch {
	case h.Rights != 0 && h.Access == 0:
		return "a lease " + h.Rights.String()
	case h.Access != 0 || h.Share != 0:
		s := fmt.Sprintf("an open for %v, sharing %v", h.Access, h.Share)
		if h.Rights != 0 {
			s += ", with a lease " + h.Rights.String()
		}
		return s
	}
	return mode(h.Exclusive) + " " + bytesText(h.Owner.Client.Door.String(), h.Offset, h.Length)
}

func printWhy(out io.Writer, path string, r reasons) error {
	if len(r.Files) == 0 {
		fmt.Fprintf(out, "%q: nobody holds it and nobody waits\n", path)
	}
	for _, f := range r.Files {
		fmt.Fprintf(out, "%q, file %s\n\n", f.Path, f.Key)
		if err := printEntries(out, f.Held); err != nil {
			return err
		}
		for _, w := range f.Waiters {
			fmt.Fprintf(out, "\n%s%s has waited %s for: %s  (%s)\n", plain(w.Owner), userText(w.User), age(w.Since), w.Mode, w.ID)
			if len(w.Blockers) == 0 {
				fmt.Fprintln(out, "  an operation under way has to end first")
			}
			for _, b := range w.Blockers {
				fmt.Fprintf(out, "  blocked by %s", plain(b.Owner))
				if len(b.Holds) == 0 {
					fmt.Fprint(out, ", who came earlier")
				}
				fmt.Fprintln(out)
				for _, h := range b.Holds {
					fmt.Fprintf(out, "    %s %s%s%s since %s  (%s)\n", h.Kind, h.Mode, space(h.bytes()), userText(h.User), age(h.Since), h.ID)
				}
			}
		}
	}
	if len(r.Refused) == 0 {
		fmt.Fprintln(out, "\nnobody was refused lately")
		return nil
	}
	fmt.Fprintln(out, "\nrefused, the latest last:")
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "AT\tTIMES\tWHO\tUSER\tASKED\tREASON\tAFTER\tHOLDER\tHELD")
	for _, d := range r.Refused {
		reason := d.Reason
		if d.Limit != "" {
			reason += " " + d.Limit
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%.3fs\t%s\t%s\n", d.At.Format(time.DateTime), d.Times, plain(d.Owner), plain(d.User), d.Asked, reason, d.Waited, plain(d.Holder), d.Held)
	}
	return w.Flush()
}

func userText(user string) string {
	if user == "" {
		return ""
	}
	return " (user " + plain(user) + ")"
}

func space(s string) string {
	if s == "" {
		return ""
	}
	return " " + s
}
