package export

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"sync"
	"time"

	"dittofs/gateway/config"
)

// Terms are on what terms a client comes in. They do not change; a new configuration makes new ones.
type Terms struct {
	ReadOnly bool
	Squash   string // root, all, none
	Anon     Cred
	Insecure bool // from any port
	Async    bool
	Sec      []string // sys, krb5, krb5i, krb5p, in the order of preference; never empty
	AnyLocks bool     // NLM: who comes in may lock any file
}

// Takes reports whether a client may use this flavor: sys, krb5, krb5i or krb5p. A stronger protection than a listed one is not taken for
// it, as exports(5) has it.
func (t *Terms) Takes(sec string) bool { return slices.Contains(t.Sec, sec) }

// As returns whom a caller is taken for: squash, RFC 1813 §4.4 "Permission issues". Nobody (AUTH_NONE) is anonymous.
func (t *Terms) As(c Cred, known bool) Cred {
	if !known || t.Squash == "all" {
		return t.Anon
	}
	if t.Squash == "none" {
		return c
	}
	if c.UID == 0 {
		return t.Anon
	}
	// A group 0 is root's as well.
	if c.GID == 0 {
		c.GID = t.Anon.GID
	}
	if slices.Contains(c.Groups, 0) {
		c.Groups = slices.Clone(c.Groups)
		for i, g := range c.Groups {
			if g == 0 {
				c.Groups[i] = t.Anon.GID
			}
		}
	}
	return c
}

// guests is an export's client list: who comes in, and on what terms.
type guests struct {
	list  []guest
	every *Terms // where the list is empty
	named bool   // some are known by name, so that it takes time to tell them
	names names

	mu    sync.Mutex // guards known
	known map[netip.Addr]*admission
}

type guest struct {
	config.Client
	terms *Terms
}

// admission remembers what was found out about an address.
type admission struct {
	terms *Terms // nil: refused
	until time.Time
}

// How long names are trusted. A client that is in stays in while the name service is away.
const (
	nameFresh = 5 * time.Minute
	nameRetry = 10 * time.Second
	knownMax  = 4096
)

func newGuests(e *config.Export, n names) (*guests, error) {
	every := Terms{ReadOnly: e.ReadOnly, Squash: e.Squash, Anon: Cred{UID: e.AnonUID, GID: e.AnonGID}, Insecure: e.Insecure, Async: e.Async, Sec: e.Sec}
	if len(every.Sec) == 0 {
		every.Sec = []string{"sys"}
	}
	g := &guests{every: &every, names: n, known: map[netip.Addr]*admission{}}
	for _, text := range e.Clients {
		c, err := config.ParseClient(text)
		if err != nil {
			return nil, fmt.Errorf("export %s: client %q: %w", e.Path, text, err)
		}
		t := every
		set(&t.ReadOnly, c.ReadOnly)
		set(&t.Insecure, c.Insecure)
		set(&t.Async, c.Async)
		set(&t.AnyLocks, c.AnyLocks)
		set(&t.Anon.UID, c.AnonUID)
		set(&t.Anon.GID, c.AnonGID)
		if c.Squash != "" {
			t.Squash = c.Squash
		}
		if c.Sec != nil {
			t.Sec = c.Sec
		}
		g.list = append(g.list, guest{c, &t})
		g.named = g.named || !c.Network.IsValid() && c.Pattern != "*"
	}
	return g, nil
}

func set[T any](v *T, to *T) {
	if to != nil {
		*v = *to
	}
}

// Admit returns the terms on which an NFS client comes in from this address and port; ErrRefused: it may not; ErrAway: nobody can tell now.
func (e *Export) Admit(ctx context.Context, from netip.AddrPort) (*Terms, error) {
	g := e.guests.Load()
	t, err := g.admit(ctx, from.Addr())
	if err == nil && !t.Insecure && from.Port() >= 1024 {
		err = ErrRefused // IPPORT_RESERVED: only root's programs come from below
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (g *guests) admit(ctx context.Context, a netip.Addr) (*Terms, error) {
	if len(g.list) == 0 {
		return g.every, nil
	}
	a = a.Unmap().WithZone("")
	if !g.named {
		t, _ := g.find(ctx, a)
		return orRefused(t)
	}
	g.mu.Lock()
	old := g.known[a]
	now := time.Now()
	if old != nil && now.Before(old.until) {
		g.mu.Unlock()
		return orRefused(old.terms)
	}
	if old != nil {
		old.until = now.Add(nameRetry) // the others need not ask at the same time
	}
	g.mu.Unlock()

	t, err := g.find(ctx, a)
	fresh := nameFresh
	switch {
	case err != nil && (old == nil || old.terms == nil):
		return nil, err
	case err != nil:
		t, fresh = old.terms, nameRetry
	case t == nil:
		fresh = nameRetry
	}
	g.mu.Lock()
	if len(g.known) >= knownMax {
		clear(g.known)
	}
	g.known[a] = &admission{t, time.Now().Add(fresh)}
	g.mu.Unlock()
	return orRefused(t)
}

func orRefused(t *Terms) (*Terms, error) {
	if t == nil {
		return nil, ErrRefused
	}
	return t, nil
}

// find takes the first entry that fits. An entry of which nobody can tell whether it does is ErrAway: those behind it may be more generous.
func (g *guests) find(ctx context.Context, a netip.Addr) (*Terms, error) {
	h := host{addr: a, names: g.names}
	for i := range g.list {
		ok, err := h.is(ctx, &g.list[i].Client)
		if err != nil {
			return nil, errors.Join(ErrAway, err)
		}
		if ok {
			return g.list[i].terms, nil
		}
	}
	return nil, nil
}

// host is a client whose name is looked up where an entry asks for it.
type host struct {
	addr  netip.Addr
	names names

	asked     bool
	confirmed []string // its names, confirmed: each leads back to the address
	err       error
}

func (h *host) is(ctx context.Context, c *config.Client) (bool, error) {
	switch {
	case c.Network.IsValid():
		return c.Network.Contains(h.addr), nil
	case c.Pattern == "*":
		return true, nil
	case c.Name != "":
		return h.names.leads(ctx, c.Name, h.addr)
	}
	if !h.asked {
		h.asked = true
		h.confirmed, h.err = h.names.of(ctx, h.addr)
	}
	if h.err != nil {
		return false, h.err
	}
	if c.Netgroup != "" {
		return h.names.inNetgroup(ctx, c.Netgroup, append([]string{h.addr.String()}, h.confirmed...))
	}
	return slices.ContainsFunc(h.confirmed, func(name string) bool {
		ok, _ := path.Match(c.Pattern, name)
		return ok
	}), nil
}
