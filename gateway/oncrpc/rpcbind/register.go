package rpcbind

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Where names the keepers to register with: the first socket that answers, and that is the one behind Ask, is taken.
type Where struct {
	Sockets []string // Unix sockets
	// Ask is the address and port that clients will ask, "127.0.0.1:111". A registration counts once that keeper repeats it: a socket is
	// seen from every network namespace and may belong to the keeper of another one. Empty: not asked.
	Ask string
}

// Register makes ms known, in place of what was registered for the same programs, versions and netids. withdraw removes them again.
func Register(ctx context.Context, w Where, ms []Mapping) (withdraw func(), err error) {
	var errs []error
	for _, path := range w.Sockets {
		err := at(ctx, path, func(c Client) error {
			if err := w.same(ctx, c); err != nil {
				return err
			}
			return set(ctx, c, ms)
		})
		if err == nil && w.Ask != "" {
			if err = w.confirm(ctx, ms); err != nil {
				at(ctx, path, func(c Client) error { unset(ctx, c, ms); return nil })
			}
		}
		if err == nil {
			return func() {
				// The daemon's own context has ended by now.
				end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
				defer cancel()
				at(end, path, func(c Client) error { unset(end, c, ms); return nil })
			}, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", path, err))
	}
	return nil, fmt.Errorf("rpcbind: %w", errors.Join(errs...))
}

func at(ctx context.Context, path string, do func(Client) error) error {
	c, err := Dial(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

func set(ctx context.Context, c Client, ms []Mapping) error {
	for i, m := range ms {
		if _, err := c.Unset(ctx, m); err != nil {
			return err
		}
		if ok, err := c.Set(ctx, m); err != nil || !ok {
			unset(ctx, c, ms[:i])
			return errors.Join(err, fmt.Errorf("refuses program %d version %d over %s", m.Program, m.Version, m.Netid))
		}
	}
	return nil
}

func unset(ctx context.Context, c Client, ms []Mapping) {
	for _, m := range ms {
		c.Unset(ctx, m)
	}
}

// same reports an error where the keeper behind Ask does not list what c lists: then c is another one, whose table is left alone. Two
// keepers that list the same are told apart by confirm.
func (w Where) same(ctx context.Context, c Client) error {
	if w.Ask == "" {
		return nil
	}
	other, err := Dial(ctx, "tcp", w.Ask)
	if err != nil {
		return err
	}
	defer other.Close()
	count := map[Mapping]int{}
	for i, k := range []Client{c, other} {
		ms, err := k.Dump(ctx)
		if err != nil {
			return err
		}
		for _, m := range ms {
			count[Mapping{Program: m.Program, Version: m.Version, Netid: m.Netid, Addr: m.Addr}] += 1 - 2*i
		}
	}
	for _, n := range count {
		if n != 0 {
			return fmt.Errorf("%s is another keeper's", w.Ask)
		}
	}
	return nil
}

// confirm asks the keeper that clients will ask for the first of ms.
func (w Where) confirm(ctx context.Context, ms []Mapping) error {
	if len(ms) == 0 {
		return nil
	}
	c, err := Dial(ctx, "tcp", w.Ask)
	if err != nil {
		return err
	}
	defer c.Close()
	want, err := ParseUaddr(ms[0].Addr)
	if err != nil {
		return err
	}
	got, err := c.GetAddr(ctx, ms[0].Program, ms[0].Version, ms[0].Netid)
	if err != nil || got.Port() != want.Port() {
		return fmt.Errorf("%s is another keeper's", w.Ask)
	}
	return nil
}

// known reports whether the keeper behind the socket still has all of ms.
func (w Where) known(ctx context.Context, ms []Mapping) bool {
	for _, path := range w.Sockets {
		var have []Mapping
		if at(ctx, path, func(c Client) (err error) { have, err = c.Dump(ctx); return err }) != nil {
			continue
		}
		found := 0
		for _, m := range ms {
			for _, h := range have {
				if h.Program == m.Program && h.Version == m.Version && h.Netid == m.Netid && h.Addr == m.Addr {
					found++
					break
				}
			}
		}
		if found == len(ms) {
			return true
		}
	}
	return false
}

const (
	recheck = time.Second
	patient = 3 * time.Second // the daemons start together, and each may see the others' registrations come
)

// Keep registers ms and keeps them registered: a keeper that was restarted has forgotten them. It tries for as long as ctx lives, tells
// the log once when it has failed for a while and once when it succeeds again, and calls ready after the first success. The function that it
// returns waits until what was registered is withdrawn; ctx has to end first.
func Keep(ctx context.Context, log *slog.Logger, w Where, ms []Mapping, ready func()) (wait func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		withdraw := func() {}
		defer func() { withdraw() }()
		since, failing := time.Now(), false
		next := 200 * time.Millisecond
		for ctx.Err() == nil {
			tctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			if !w.known(tctx, ms) {
				undo, err := Register(tctx, w, ms)
				switch {
				case err == nil:
					// The first withdrawal is as good as any: it names the same mappings, at the socket that took them.
					withdraw = undo
					log.Info("registered with rpcbind", "programs", len(ms))
					failing, next = false, recheck
				case !failing && ctx.Err() == nil && time.Since(since) > patient:
					failing = true
					log.Warn("not registered with rpcbind", "err", err)
				}
				if err == nil && ready != nil {
					ready()
					ready = nil
				}
			} else {
				next, since = recheck, time.Now()
			}
			cancel()
			select {
			case <-ctx.Done():
			case <-time.After(next):
				next = min(2*next, recheck)
			}
		}
	})
	return wg.Wait
}
