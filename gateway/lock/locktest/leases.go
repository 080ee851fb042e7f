package locktest

import (
	"context"
	"fmt"
	"testing"

	"dittofs/gateway/lock"
)

const (
	none = lock.Rights(0)
	r    = lock.R
	rh   = lock.R | lock.H
	rw   = lock.R | lock.W
	rwh  = lock.R | lock.W | lock.H

	rdwr = lock.Read | lock.Write
)

// leases: an operation meets an SMB client's lease. [MS-FSA] 2.1.4.12: the break, and whether the operation waits for its answer.
func leases(t *testing.T, new Counter) {
	type meets struct {
		op    string
		lease lock.Rights
		says  string // "" for no break
		waits bool
	}
	var cells []meets
	row := func(op string, says ...string) {
		for i, l := range []lock.Rights{r, rh, rw, rwh} {
			s, waits := says[i], false
			if n := len(s); n > 0 && s[n-1] == '?' {
				s, waits = s[:n-1], true
			}
			cells = append(cells, meets{op, l, s, waits})
		}
	}
	row("nfs read", "", "", "RW>R!?", "RWH>RH!?")
	row("nfs write", "R>-", "RH>-!", "RW>-!?", "RWH>-!?")
	row("nfs setsize", "R>-", "RH>-!", "RW>-!?", "RWH>-!?")
	row("nfs setattr", "", "", "RW>R!?", "RWH>RH!?")
	row("nfs remove", "R>-", "RH>-!?", "RW>-!?", "RWH>-!?")
	row("nfs rename", "", "RH>R!?", "", "RWH>RW!?")
	row("nfs link", "", "RH>R!?", "", "RWH>RW!?")
	row("nlm lock", "R>-", "RH>-!", "RW>-!?", "RWH>-!?")
	row("nlm test", "", "", "", "")
	row("local lock", "R>-", "RH>-!", "RW>-!?", "RWH>-!?")
	row("local open read", "", "", "RW>R!?", "RWH>RH!?")
	row("local open write", "R>-", "RH>-!", "RW>-!?", "RWH>-!?")
	row("local truncate", "R>-", "RH>-!", "RW>-!?", "RWH>-!?")
	row("local remove", "R>-", "RH>-!?", "RW>-!?", "RWH>-!?")
	row("smb open read", "", "", "RW>R!?", "RWH>RH!?")
	row("smb open attributes", "", "", "", "")
	row("smb overwrite", "R>-", "RH>-!", "RW>-!?", "RWH>-!?")
	for _, c := range cells {
		t.Run(fmt.Sprintf("%s meets %v", c.op, c.lease), func(t *testing.T) {
			h := enter(t, new, Settings{})
			o := h.smb.open(1, rdwr, lease(c.lease))
			h.want("the lease", o.Rights, c.lease)
			out, by := h.operation(c.op)
			want := lock.Granted
			if c.waits {
				want = lock.Blocked
			}
			h.want("outcome", out, want)
			h.want("break", h.smb.told(), c.says)
			if !c.waits {
				return
			}
			var keep lock.Rights
			if n := len(c.says); c.says[n-3:] != ">-!" {
				for _, x := range c.says[indexOf(c.says, '>')+1 : n-1] {
					keep |= map[rune]lock.Rights{'R': r, 'W': lock.W, 'H': lock.H}[x]
				}
			}
			h.want("acknowledgement", o.ack(keep), lock.Granted)
			h.want("the waiter's answer", by.next(), "granted")
			h.want("a second one", o.ack(keep), lock.Late)
		})
	}
	t.Run("an answer that keeps too much", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.smb.open(1, rdwr, lease(rwh))
		h.nfs.access(lock.OpRead, nil)
		h.want("break", h.smb.next(), "RWH>RH!")
		h.want("acknowledgement", o.ack(rwh), lock.Invalid)
		h.want("acknowledgement", o.ack(rh), lock.Granted)
	})
	t.Run("a lease key belongs to one file", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.smb.open(1, rdwr, lease(rh))
		other := key
		other.Ino++
		elsewhere := func(r *lock.OpenRequest) { r.Key = other }
		h.want("elsewhere", h.smb.open(1, rdwr, lease(rh), elsewhere).Outcome, lock.Invalid)
		h.want("another client", h.smb.open(2, rdwr, lease(rh), elsewhere).Outcome, lock.Granted)
		o.close()
		h.want("later", h.smb.open(1, rdwr, lease(rh), elsewhere).Outcome, lock.Granted)
	})
	t.Run("one lease for all opens of its key", func(t *testing.T) {
		h := enter(t, new, Settings{})
		a := h.smb.open(1, rdwr, lease(r))
		b := h.smb.open(1, rdwr, lease(rwh))
		h.want("upgrade", b.Rights, rwh)
		h.want("epoch", b.Epoch, a.Epoch+1)
		a.close()
		h.want("still", h.smb.open(1, rdwr, lease(r)).Rights, rwh)
		h.want("no break of its own", h.smb.told(), "")
	})
	t.Run("an operation that waits caps a new lease", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.smb.open(1, rdwr, lease(rh))
		out, _ := h.nfs.access(lock.OpRemove, nil)
		h.want("remove", out, lock.Blocked)
		h.want("break", h.smb.next(), "RH>-!")
		h.want("a new lease, which would have to be broken at once", h.smb.open(2, lock.Read, lease(rh)).Rights, none)
		h.want("acknowledgement", o.ack(none), lock.Granted)
		h.want("the waiter's answer", h.nfs.next(), "granted")
		h.want("nothing else is broken", h.smb.told(), "")
	})
	t.Run("an operation under way caps a new lease", func(t *testing.T) {
		h := enter(t, new, Settings{})
		_, id := h.nfs.access(lock.OpWrite, nil)
		a := h.smb.open(1, rdwr, lease(rwh))
		h.want("while writing", a.Rights, none)
		a.close()
		h.nfs.done(id)
		h.want("after it", h.smb.open(1, rdwr, lease(rwh)).Rights, rwh)
	})
}

func indexOf(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return -1
}

// operation does what a row says, and returns the door that waits for an answer.
func (h *house) operation(name string) (lock.Outcome, *door) {
	h.t.Helper()
	ops := map[string]lock.Op{"read": lock.OpRead, "write": lock.OpWrite, "setsize": lock.OpSetSize, "setattr": lock.OpSetAttr,
		"remove": lock.OpRemove, "rename": lock.OpRename, "link": lock.OpLink, "truncate": lock.OpSetSize}
	switch name {
	case "nlm lock":
		out, _ := h.nlm.wait(h.nlm.ranged(1, 0, 10, true))
		return out, h.nlm
	case "nlm test":
		res, err := h.nlm.Test(context.Background(), h.nlm.ranged(1, 0, 10, true))
		h.must(err)
		return res.Outcome, h.nlm
	case "local lock":
		req := h.local.ranged(1, 0, 10, true)
		req.Try = true
		out, _ := h.local.wait(req)
		return out, h.local
	case "local open read":
		return h.local.open(1, lock.Read).Outcome, h.local
	case "local open write":
		return h.local.open(1, rdwr).Outcome, h.local
	case "smb open read":
		return h.smb.open(2, lock.Read).Outcome, h.smb
	case "smb open attributes":
		return h.smb.open(2, 0).Outcome, h.smb
	case "smb overwrite":
		return h.smb.open(2, lock.Write, overwrite).Outcome, h.smb
	}
	d := h.nfs
	if name[:5] == "local" {
		d, name = h.local, name[6:]
	} else {
		name = name[4:]
	}
	out, _ := d.access(ops[name], nil)
	return out, d
}

// directories: a name that changes calls directory leases back, but the changer's own.
func directories(t *testing.T, new Counter) {
	dir := func(r *lock.OpenRequest) { r.Directory = true }
	for _, c := range []struct {
		ask, get lock.Rights
		says     string
	}{{r, r, "R>-"}, {rh, rh, "RH>-!"}, {rwh, rh, "RH>-!"}, {rw, r, "R>-"}} {
		t.Run(c.ask.String(), func(t *testing.T) {
			h := enter(t, new, Settings{})
			o := h.smb.open(1, lock.Read, lease(c.ask), dir)
			h.want("granted", o.Rights, c.get)
			own := lock.AccessRequest{ID: h.smb.num(), Key: key, Owner: o.owner, Op: lock.OpChangeDir, ParentKey: lock.GUID{1, 0xee}}
			res, err := h.smb.Access(context.Background(), own)
			h.must(err)
			h.want("its own change", res.Outcome, lock.Granted)
			h.want("is no news", h.smb.told(), "")
			out, _ := h.nfs.access(lock.OpChangeDir, nil)
			h.want("another's change", out, lock.Granted)
			h.want("is", h.smb.told(), c.says)
		})
		t.Run(c.ask.String()+", by surprise", func(t *testing.T) {
			h := enter(t, new, Settings{})
			h.smb.open(1, lock.Read, lease(c.ask), dir)
			made := lock.Change{Dir: key, Name: "new", Action: lock.Added, Filter: 1, Sudden: true, Client: lock.GUID{1}, ParentKey: lock.GUID{1, 0xee}}
			h.must(h.smb.Changed(context.Background(), made))
			h.want("its own change is no news", h.smb.told(), "")
			made.Client = lock.GUID{2}
			o := h.smb.open(2, lock.Write, func(r *lock.OpenRequest) { r.Key.Ino++; r.Made = &made })
			h.want("what another made", o.Outcome, lock.Granted)
			h.want("is", h.smb.told(), c.says)
			h.want("and the other doors hear of both", h.local.told(), "change 1 new change 1 new")
		})
	}
}
