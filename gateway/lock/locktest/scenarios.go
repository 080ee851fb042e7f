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

// shareModes: what an SMB open denies is denied to every door, and a local open counts as one.
func shareModes(t *testing.T, new Counter) {
	all, w, rd, del := lock.ShareAll, lock.ShareAll&^lock.ShareWrite, lock.ShareAll&^lock.ShareRead, lock.ShareAll&^lock.ShareDelete
	for _, c := range []struct {
		deny  string
		share lock.Share
		op    string
		want  lock.Outcome
	}{
		{"nothing", all, "nfs read", lock.Granted}, {"nothing", all, "nfs write", lock.Granted}, {"nothing", all, "nfs remove", lock.Granted}, {"nothing", all, "local open write", lock.Granted},
		{"reading", rd, "nfs read", lock.SharingDenied}, {"reading", rd, "nfs write", lock.Granted}, {"reading", rd, "local open read", lock.SharingDenied}, {"reading", rd, "nlm lock", lock.Granted},
		{"writing", w, "nfs read", lock.Granted}, {"writing", w, "nfs write", lock.SharingDenied}, {"writing", w, "nfs setsize", lock.SharingDenied}, {"writing", w, "nfs setattr", lock.Granted},
		{"writing", w, "local open read", lock.Granted}, {"writing", w, "local open write", lock.SharingDenied}, {"writing", w, "local truncate", lock.SharingDenied},
		{"writing", w, "smb overwrite", lock.SharingDenied}, {"writing", w, "smb open read", lock.Granted}, {"writing", w, "smb open attributes", lock.Granted},
		{"deleting", del, "nfs remove", lock.SharingDenied}, {"deleting", del, "nfs rename", lock.SharingDenied}, {"deleting", del, "local remove", lock.SharingDenied}, {"deleting", del, "nfs write", lock.Granted},
	} {
		t.Run(fmt.Sprintf("%s denied, %s", c.deny, c.op), func(t *testing.T) {
			h := enter(t, new, Settings{})
			o := h.smb.open(1, rdwr, share(c.share))
			out, _ := h.operation(c.op)
			h.want("outcome", out, c.want)
			o.close()
			if c.want == lock.SharingDenied {
				out, _ = h.operation(c.op)
				h.want("after the close", out, lock.Granted)
			}
		})
	}
	t.Run("unlink_open = unix", func(t *testing.T) {
		h := enter(t, new, Settings{UnlinkOpen: "unix"})
		h.smb.open(1, rdwr, share(del))
		out, _ := h.operation("nfs remove")
		h.want("remove", out, lock.Granted)
		out, _ = h.operation("local remove")
		h.want("remove", out, lock.Granted)
	})
	t.Run("SMB denies what a local program has open", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.local.open(1, rdwr)
		for _, c := range []struct {
			share lock.Share
			want  lock.Outcome
		}{{0, lock.SharingDenied}, {w, lock.SharingDenied}, {rd, lock.SharingDenied}, {del, lock.Granted}, {all, lock.Granted}} {
			h.want(fmt.Sprint("share ", c.share), h.smb.open(1, lock.Read, share(c.share)).Outcome, c.want)
		}
		o.close()
		h.want("after the close", h.smb.open(2, lock.Read, share(w)).Outcome, lock.Granted)
	})
	t.Run("a program that runs cannot be written over SMB", func(t *testing.T) {
		h := enter(t, new, Settings{})
		h.local.open(1, lock.Read|lock.Execute)
		h.want("write", h.smb.open(1, lock.Write).Outcome, lock.SharingDenied)
		h.want("read", h.smb.open(1, lock.Read).Outcome, lock.Granted)
	})
	t.Run("a cached handle is called back before a violation counts", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.smb.open(1, lock.Read, lease(rh), share(w))
		out, _ := h.operation("nfs write")
		h.want("outcome", out, lock.Blocked)
		h.want("break", h.smb.next(), "RH>R!")
		o.close()
		h.want("answer", h.nfs.next(), "granted")
		o = h.smb.open(1, lock.Read, share(w))
		h.want("no handle to call back", o.Outcome, lock.Blocked) // the write is under way
	})
	t.Run("a deny mode waits for a write under way", func(t *testing.T) {
		h := enter(t, new, Settings{})
		_, id := h.nfs.access(lock.OpWrite, nil)
		h.want("outcome", h.smb.open(1, lock.Read, share(w)).Outcome, lock.Blocked)
		h.nfs.done(id)
		h.want("answer", h.smb.next(), "granted")
	})
	t.Run("NLM SHARE is a share mode", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.nlm.open(1, lock.Read, share(lock.ShareRead|lock.ShareDelete))
		h.want("granted", o.Outcome, lock.Granted)
		h.want("SMB", h.smb.open(1, lock.Write).Outcome, lock.SharingDenied)
		out, _ := h.operation("nfs write")
		h.want("NFS", out, lock.SharingDenied)
		o.close()
		h.want("SMB after it", h.smb.open(1, lock.Write).Outcome, lock.Granted)
	})
	t.Run("an open stream holds its file", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.smb.open(1, lock.Read, lease(rwh), share(0))
		h.want("beside an open that shares nothing", h.smb.open(2, lock.Stream, share(all)).Outcome, lock.Granted)
		h.want("break", h.smb.told(), "")
		o.close()
		s := h.smb.open(2, lock.Stream, share(del))
		o = h.smb.open(1, rdwr, share(0), lease(rwh))
		h.want("data", o.Rights, rwh)
		o.close()
		h.want("open for deletion", h.smb.open(1, lock.Delete).Outcome, lock.SharingDenied)
		out, _ := h.operation("nfs remove")
		h.want("remove", out, lock.SharingDenied)
		s.close()
		h.want("open for deletion", h.smb.open(3, lock.Delete).Outcome, lock.Granted)
	})
	t.Run("the file of an open stream keeps its name, and goes after it", func(t *testing.T) {
		h := enter(t, new, Settings{})
		s := h.smb.open(1, lock.Stream, share(all))
		o := h.smb.open(2, lock.Delete)
		out, _ := h.smb.access(lock.OpRename, o)
		h.want("rename", out, lock.SharingDenied)
		out, err := h.smb.Disposition(context.Background(), o.n, true)
		h.must(err)
		h.want("delete pending", out, lock.Granted)
		h.want("the file's close", o.close().Delete, false)
		h.want("another stream", h.smb.open(2, lock.Stream, share(all)).Outcome, lock.DeletePending)
		h.want("the stream's close", s.close().Delete, true)
	})
}

// locker asks for ranges through one door.
type locker struct {
	name string
	d    *door
	req  func(offset, length uint64, exclusive bool) lock.LockRequest
}

func (h *house) lockers() []locker {
	one, two := h.smb.open(1, rdwr), h.smb.open(2, rdwr)
	l := func(name string, d *door, who int) locker {
		return locker{name, d, func(o, n uint64, ex bool) lock.LockRequest { return d.ranged(who, o, n, ex) }}
	}
	return []locker{l("nlm 1", h.nlm, 1), l("nlm 2", h.nlm, 2), {"smb 1", h.smb, one.ranged}, {"smb 2", h.smb, two.ranged}, l("local 1", h.local, 1), l("local 2", h.local, 2)}
}

// ranges: every door's ranges stand against every other's, and each holder's release lets a waiter of any door in.
func ranges(t *testing.T, new Counter) {
	for a := range 6 {
		for b := range 6 {
			if a == b {
				continue
			}
			h := enter(t, new, Settings{})
			all := h.lockers()
			held, asks := all[a], all[b]
			t.Run(held.name+" holds, "+asks.name+" asks", func(t *testing.T) {
				h.t = t
				for _, c := range []struct {
					held, asked    bool
					offset, length uint64
					want           lock.Outcome
				}{
					{true, true, 15, 1, lock.Denied}, {true, false, 5, 6, lock.Denied}, {false, true, 19, 10, lock.Denied}, {false, false, 10, 10, lock.Granted},
					{true, true, 0, 10, lock.Granted}, {true, true, 20, 5, lock.Granted},
				} {
					h.want("first", held.d.lock(held.req(10, 10, c.held)), lock.Granted)
					h.want(fmt.Sprintf("%d+%d", c.offset, c.length), asks.d.lock(asks.req(c.offset, c.length, c.asked)), c.want)
					if c.want == lock.Granted {
						h.want("unlock", asks.d.unlock(asks.req(c.offset, c.length, c.asked)), lock.Granted)
					}
					h.want("unlock", held.d.unlock(held.req(10, 10, c.held)), lock.Granted)
				}
				h.want("first", held.d.lock(held.req(10, 10, true)), lock.Granted)
				out, _ := asks.d.wait(asks.req(0, 100, true))
				h.want("waits", out, lock.Blocked)
				h.want("unlock", held.d.unlock(held.req(10, 10, true)), lock.Granted)
				h.want("the waiter's answer", asks.d.next(), "granted")
				h.want("now the first is refused", held.d.lock(held.req(10, 10, false)), lock.Denied)
			})
		}
	}
	t.Run("beyond 2^64", func(t *testing.T) {
		h := enter(t, new, Settings{})
		for _, l := range h.lockers() {
			h.want(l.name, l.d.lock(l.req(1<<63, 1<<63+1, true)), lock.Invalid)
			h.want(l.name, l.d.lock(l.req(1<<63, 1<<63, true)), lock.Granted)
			h.want(l.name, l.d.unlock(l.req(1<<63, 1<<63, true)), lock.Granted)
		}
	})
	t.Run("flock is a space of its own", func(t *testing.T) {
		h := enter(t, new, Settings{})
		f := func(who int) lock.LockRequest {
			q := h.local.ranged(who, 0, 0, true)
			q.Flock = true
			return q
		}
		h.want("flock", h.local.lock(f(1)), lock.Granted)
		h.want("another flock", h.local.lock(f(2)), lock.Denied)
		h.want("fcntl", h.local.lock(h.local.ranged(2, 0, 0, true)), lock.Granted)
	})
	t.Run("Test names the holder", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.smb.open(1, rdwr)
		h.smb.lock(o.ranged(5, 10, true))
		res, err := h.nlm.Test(context.Background(), h.nlm.ranged(1, 0, 0, false))
		h.must(err)
		h.want("outcome", res.Outcome, lock.Denied)
		h.want("holder", *res.Holder, lock.Holder{Owner: o.owner, Exclusive: true, Offset: 5, Length: 10})
	})
}

// mandatory: whom a range holds back from reading and writing.
func mandatory(t *testing.T, new Counter) {
	for _, c := range []struct {
		holder                                                         string
		exclusive                                                      bool
		nfsRead, nfsWrite, smbRead, smbWrite, localTruncate, ownDoesIt lock.Outcome // ownDoesIt: the holder's own write, SMB only
	}{
		{"smb 1", false, lock.Granted, lock.Denied, lock.Granted, lock.Denied, lock.Denied, lock.Denied},
		{"smb 1", true, lock.Denied, lock.Denied, lock.Denied, lock.Denied, lock.Denied, lock.Granted},
		{"nlm 1", false, lock.Granted, lock.Granted, lock.Granted, lock.Denied, lock.Granted, 0},
		{"nlm 1", true, lock.Granted, lock.Granted, lock.Denied, lock.Denied, lock.Granted, 0},
		{"local 1", false, lock.Granted, lock.Granted, lock.Granted, lock.Denied, lock.Granted, 0},
		{"local 1", true, lock.Granted, lock.Granted, lock.Denied, lock.Denied, lock.Granted, 0},
	} {
		t.Run(fmt.Sprintf("%s exclusive %v", c.holder, c.exclusive), func(t *testing.T) {
			h := enter(t, new, Settings{})
			own, other := h.smb.open(1, rdwr), h.smb.open(2, rdwr)
			switch c.holder {
			case "smb 1":
				h.smb.lock(own.ranged(5, 2, c.exclusive))
			case "nlm 1":
				h.nlm.lock(h.nlm.ranged(1, 5, 2, c.exclusive))
			case "local 1":
				h.local.lock(h.local.ranged(1, 5, 2, c.exclusive))
			}
			try := func(what string, want lock.Outcome, d *door, op lock.Op, o *opened) {
				t.Helper()
				out, id := d.access(op, o)
				h.want(what, out, want)
				d.done(id)
			}
			try("NFS READ", c.nfsRead, h.nfs, lock.OpRead, nil)
			try("NFS WRITE", c.nfsWrite, h.nfs, lock.OpWrite, nil)
			try("SMB READ", c.smbRead, h.smb, lock.OpRead, other)
			try("SMB WRITE", c.smbWrite, h.smb, lock.OpWrite, other)
			try("SMB set size", c.smbWrite, h.smb, lock.OpSetSize, other)
			try("local truncate", c.localTruncate, h.local, lock.OpSetSize, nil)
			if c.ownDoesIt != 0 {
				try("the holder's own WRITE", c.ownDoesIt, h.smb, lock.OpWrite, own)
			}
		})
	}
	t.Run("brl_read = unix", func(t *testing.T) {
		h := enter(t, new, Settings{BrlRead: "unix"})
		o := h.smb.open(1, rdwr)
		h.smb.lock(o.ranged(0, 10, true))
		out, _ := h.nfs.access(lock.OpRead, nil)
		h.want("NFS READ", out, lock.Granted)
		out, _ = h.nfs.access(lock.OpWrite, nil)
		h.want("NFS WRITE", out, lock.Denied)
	})
	t.Run("outside the range", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.smb.open(1, rdwr)
		h.smb.lock(o.ranged(10, 10, true)) // operations go over 0 to 9
		out, _ := h.nfs.access(lock.OpWrite, nil)
		h.want("NFS WRITE", out, lock.Granted)
	})
}

// caps: what others hold limits what a new lease may be.
func caps(t *testing.T, new Counter) {
	for _, c := range []struct {
		others string
		want   lock.Rights
	}{
		{"nobody", rwh}, {"a local reader", rh}, {"a local writer", none}, {"a local flock", r}, {"an SMB open", rh}, {"an SMB open of attributes", rwh},
		{"an SMB range", none}, {"an NLM shared lock", r}, {"an NLM exclusive lock", none}, {"a local fcntl read lock", r}, {"a lease R", rh}, {"a lease RWH given back to RH", rh},
	} {
		t.Run(c.others, func(t *testing.T) {
			h := enter(t, new, Settings{})
			switch c.others {
			case "a local reader":
				h.local.open(1, lock.Read)
			case "a local writer":
				h.local.open(1, lock.Write)
			case "a local flock":
				q := h.local.ranged(1, 0, 0, false)
				q.Flock = true
				h.local.lock(q)
			case "an SMB open":
				h.smb.open(1, rdwr)
			case "an SMB open of attributes":
				h.smb.open(1, 0)
			case "an SMB range":
				h.smb.lock(h.smb.open(1, rdwr).ranged(0, 1, false))
			case "an NLM shared lock":
				h.nlm.lock(h.nlm.ranged(1, 0, 1, false))
			case "an NLM exclusive lock":
				h.nlm.lock(h.nlm.ranged(1, 0, 1, true))
			case "a local fcntl read lock":
				h.local.lock(h.local.ranged(1, 0, 1, false))
			case "a lease R":
				h.smb.open(1, rdwr, lease(r))
			case "a lease RWH given back to RH":
				o := h.smb.open(1, rdwr, lease(rwh))
				h.want("open", h.smb.open(2, rdwr, lease(rwh)).Outcome, lock.Blocked)
				h.want("break", h.smb.next(), "RWH>RH!")
				o.ack(rh)
				e := h.smb.event()
				h.want("answer", e.Answer.Rights, c.want)
				return
			}
			h.want("granted", h.smb.open(2, rdwr, lease(rwh)).Rights, c.want)
		})
	}
}

// waiting: one line for all doors, first come first served.
func waiting(t *testing.T, new Counter) {
	t.Run("first come first served", func(t *testing.T) {
		h := enter(t, new, Settings{})
		l := h.lockers()
		nlm, smb, local := l[0], l[2], l[4]
		h.want("holder", nlm.d.lock(nlm.req(0, 10, true)), lock.Granted)
		out, _ := smb.d.wait(smb.req(0, 10, true))
		h.want("second", out, lock.Blocked)
		out, _ = local.d.wait(local.req(0, 10, false))
		h.want("third", out, lock.Blocked)
		nlm.d.unlock(nlm.req(0, 10, true))
		h.want("second", smb.d.next(), "granted")
		h.want("third still waits", local.d.told(), "")
		smb.d.unlock(smb.req(0, 10, true))
		h.want("third", local.d.next(), "granted")
	})
	t.Run("readers do not starve a writer", func(t *testing.T) {
		h := enter(t, new, Settings{})
		l := h.lockers()
		h.want("reader", l[0].d.lock(l[0].req(0, 10, false)), lock.Granted)
		out, _ := l[2].d.wait(l[2].req(0, 10, true))
		h.want("writer", out, lock.Blocked)
		out, _ = l[4].d.wait(l[4].req(0, 10, false))
		h.want("late reader", out, lock.Blocked)
		h.want("who asks without waiting is measured by holders alone", l[1].d.lock(l[1].req(0, 10, false)), lock.Granted)
		out, _ = l[0].d.wait(l[0].req(0, 10, false))
		h.want("a retransmission of what is held", out, lock.Granted)
		out, _ = l[0].d.wait(l[0].req(0, 20, false))
		h.want("more, by him for whom the writer waits", out, lock.Granted)
	})
	t.Run("Cancel", func(t *testing.T) {
		h := enter(t, new, Settings{})
		l := h.lockers()
		l[0].d.lock(l[0].req(0, 10, true))
		out, ticket := l[2].d.wait(l[2].req(0, 10, true))
		h.want("waits", out, lock.Blocked)
		out, err := l[2].d.Cancel(context.Background(), ticket)
		h.must(err)
		h.want("cancel", out, lock.Cancelled)
		l[0].d.unlock(l[0].req(0, 10, true))
		h.want("it got nothing", l[4].d.lock(l[4].req(0, 10, true)), lock.Granted)
		h.want("nor an answer", l[2].d.told(), "")
	})
	t.Run("Cancel comes too late", func(t *testing.T) {
		h := enter(t, new, Settings{})
		l := h.lockers()
		l[0].d.lock(l[0].req(0, 10, true))
		_, ticket := l[2].d.wait(l[2].req(0, 10, true))
		l[0].d.unlock(l[0].req(0, 10, true))
		out, err := l[2].d.Cancel(context.Background(), ticket)
		h.must(err)
		h.want("cancel", out, lock.Granted)
		h.want("the answer comes", l[2].d.next(), "granted")
	})
	t.Run("NLM CANCEL by its arguments", func(t *testing.T) {
		h := enter(t, new, Settings{})
		h.nlm.lock(h.nlm.ranged(1, 0, 10, true))
		h.nlm.wait(h.nlm.ranged(2, 0, 10, true))
		out, err := h.nlm.CancelLock(context.Background(), h.nlm.ranged(2, 0, 10, true))
		h.must(err)
		h.want("cancel", out, lock.Cancelled)
		h.nlm.unlock(h.nlm.ranged(1, 0, 10, true))
		h.want("it got nothing", h.nlm.lock(h.nlm.ranged(3, 0, 10, true)), lock.Granted)
	})
	t.Run("a repeated NLM request replaces its ticket", func(t *testing.T) {
		h := enter(t, new, Settings{})
		h.nlm.lock(h.nlm.ranged(1, 0, 10, true))
		_, first := h.nlm.wait(h.nlm.ranged(2, 0, 10, true))
		_, second := h.nlm.wait(h.nlm.ranged(2, 0, 10, true))
		e := h.nlm.event()
		h.want("the first", *e.Answer, lock.Answer{Ticket: first, Outcome: lock.Cancelled})
		h.nlm.unlock(h.nlm.ranged(1, 0, 10, true))
		e = h.nlm.event()
		h.want("the second", *e.Answer, lock.Answer{Ticket: second, Outcome: lock.Granted})
	})
	t.Run("a repeated request keeps its place", func(t *testing.T) {
		h := enter(t, new, Settings{})
		h.nlm.lock(h.nlm.ranged(1, 0, 10, true))
		h.nlm.wait(h.nlm.ranged(2, 0, 10, true))
		h.local.wait(h.local.ranged(3, 0, 10, true))
		h.nlm.wait(h.nlm.ranged(2, 0, 10, true))
		h.want("the first ticket", h.nlm.next(), "cancelled")
		h.nlm.unlock(h.nlm.ranged(1, 0, 10, true))
		h.want("the second", h.nlm.next(), "granted")
		h.want("who came later", h.local.told(), "")
	})
	t.Run("Try waits for breaks and for nothing else", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.smb.open(1, rdwr, lease(rwh))
		q := h.local.ranged(1, 0, 10, true)
		q.Try = true
		out, _ := h.local.wait(q)
		h.want("the lease", out, lock.Blocked)
		h.want("break", h.smb.next(), "RWH>-!")
		h.want("the client writes its cached lock back first", h.smb.lock(o.ranged(0, 1, true)), lock.Granted)
		o.ack(none)
		h.want("answer", h.local.next(), "denied")
	})
}

// deadlock: one wait-for graph over all doors and files; the newest waiter is the victim.
func deadlock(t *testing.T, new Counter) {
	elsewhere := func(q lock.LockRequest) lock.LockRequest { q.Key.Ino++; return q }
	t.Run("NLM and a local process over two files", func(t *testing.T) {
		h := enter(t, new, Settings{})
		a, b := h.nlm.ranged(1, 0, 10, true), h.local.ranged(1, 0, 10, true)
		h.want("a", h.nlm.lock(a), lock.Granted)
		h.want("b", h.local.lock(elsewhere(b)), lock.Granted)
		out, _ := h.nlm.wait(elsewhere(a))
		h.want("a waits", out, lock.Blocked)
		out, _ = h.local.wait(b)
		h.want("b would close the cycle", out, lock.Deadlock)
		h.local.unlock(elsewhere(b))
		h.want("a goes on", h.nlm.next(), "granted")
	})
	t.Run("a place in the line is no deadlock", func(t *testing.T) {
		h := enter(t, new, Settings{})
		n := func(who int, exclusive bool) lock.LockRequest { return h.nlm.ranged(who, 0, 10, exclusive) }
		// 4 holds file 2 shared; 3 waits for it; 1 holds file 1; 4 waits for 1; now 1 asks for file 2 shared, behind 3.
		h.want("4 on file 2", h.nlm.lock(elsewhere(n(4, false))), lock.Granted)
		h.want("1 on file 1", h.nlm.lock(n(1, true)), lock.Granted)
		out, _ := h.nlm.wait(elsewhere(n(3, true)))
		h.want("3 waits for 4", out, lock.Blocked)
		out, _ = h.nlm.wait(n(4, true))
		h.want("4 waits for 1", out, lock.Blocked)
		out, _ = h.nlm.wait(elsewhere(n(1, false)))
		if out == lock.Blocked {
			h.want("1 passes 3", h.nlm.next(), "granted")
		} else {
			h.want("1 passes 3", out, lock.Granted)
		}
	})
	t.Run("among SMB opens of one file", func(t *testing.T) {
		h := enter(t, new, Settings{})
		a, b := h.smb.open(1, rdwr), h.smb.open(2, rdwr)
		h.smb.lock(a.ranged(0, 10, true))
		h.smb.lock(b.ranged(10, 10, true))
		out, _ := h.smb.wait(a.ranged(10, 10, true))
		h.want("a waits", out, lock.Blocked)
		out, _ = h.smb.wait(b.ranged(0, 10, true))
		h.want("b would close the cycle", out, lock.Deadlock)
	})
}

// deletes: delete pending, and who removes the name.
func deletes(t *testing.T, new Counter) {
	t.Run("the last network close removes the name", func(t *testing.T) {
		h := enter(t, new, Settings{})
		a, b, l := h.smb.open(1, rdwr|lock.Delete), h.smb.open(2, rdwr), h.local.open(1, lock.Read)
		out, err := h.smb.Disposition(context.Background(), a.n, true)
		h.must(err)
		h.want("disposition", out, lock.Granted)
		h.want("a new open", h.smb.open(3, lock.Read).Outcome, lock.DeletePending)
		h.want("a local open", h.local.open(1, lock.Read).Outcome, lock.DeletePending)
		for _, c := range []struct {
			op   string
			want lock.Outcome
		}{{"nfs read", lock.Granted}, {"nfs rename", lock.DeletePending}, {"nfs link", lock.DeletePending}, {"nlm lock", lock.Stale}} {
			out, _ := h.operation(c.op)
			h.want(c.op, out, c.want)
		}
		h.want("a closes", a.close(), lock.CloseResult{Outcome: lock.Granted})
		h.want("b closes", b.close(), lock.CloseResult{Outcome: lock.Granted, Delete: true})
		h.want("the local program keeps the inode", l.close(), lock.CloseResult{Outcome: lock.Granted})
	})
	t.Run("taken back", func(t *testing.T) {
		h := enter(t, new, Settings{})
		a := h.smb.open(1, rdwr|lock.Delete)
		h.smb.Disposition(context.Background(), a.n, true)
		h.smb.Disposition(context.Background(), a.n, false)
		h.want("a new open", h.smb.open(2, lock.Read).Outcome, lock.Granted)
	})
	t.Run("delete on close", func(t *testing.T) {
		h := enter(t, new, Settings{})
		a := h.smb.open(1, rdwr|lock.Delete, func(r *lock.OpenRequest) { r.DeleteOnClose = true })
		b := h.smb.open(2, rdwr)
		h.want("a closes", a.close().Delete, false)
		h.want("a new open", h.smb.open(3, lock.Read).Outcome, lock.DeletePending)
		h.want("b closes", b.close().Delete, true)
		h.want("it is gone", h.smb.open(3, lock.Read).Outcome, lock.Granted)
	})
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
	}
}

// deaths: what ends with a door, and what stays.
func deaths(t *testing.T, new Counter) {
	t.Run("fusefs", func(t *testing.T) {
		h := enter(t, new, Settings{})
		h.local.open(1, rdwr)
		h.local.lock(h.local.ranged(1, 0, 10, true))
		out, _ := h.nlm.wait(h.nlm.ranged(1, 0, 10, true))
		h.want("a waiter", out, lock.Blocked)
		h.local.stop()
		h.want("goes on", h.nlm.next(), "granted")
		h.want("deny modes", h.smb.open(1, lock.Read, share(0)).Outcome, lock.Granted)
	})
	t.Run("smbd", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.smb.open(1, rdwr, lease(rwh), share(lock.ShareRead))
		h.smb.lock(o.ranged(0, 10, true))
		out, _ := h.operation("nfs write")
		h.want("a writer", out, lock.Blocked)
		h.want("break", h.smb.next(), "RWH>RW!")
		h.smb.stop()
		h.want("goes on", h.nfs.next(), "granted")
	})
	t.Run("lockd", func(t *testing.T) {
		h := enter(t, new, Settings{})
		h.nlm.lock(h.nlm.ranged(1, 0, 10, true))
		h.nlm.wait(h.nlm.ranged(2, 0, 10, true))
		h.nlm.stop()
		h.want("its locks stay", h.local.lock(h.local.ranged(1, 0, 10, false)), lock.Denied)
		again := h.door(lock.NLM, "lockd")
		h.want("and are its client's", again.unlock(again.ranged(1, 0, 10, true)), lock.Granted)
		h.want("its tickets do not", h.local.lock(h.local.ranged(1, 0, 10, true)), lock.Granted)
	})
	t.Run("an NLM client", func(t *testing.T) {
		h := enter(t, new, Settings{})
		h.nlm.lock(h.nlm.ranged(1, 0, 10, true))
		h.nlm.lock(h.nlm.ranged(2, 20, 10, true))
		o := h.smb.open(1, rdwr)
		out, _ := h.smb.wait(o.ranged(0, 100, true))
		h.want("a waiter", out, lock.Blocked)
		h.must(h.nlm.Forget(context.Background(), lock.Client{Door: lock.NLM, Name: "host"}))
		h.want("goes on", h.smb.next(), "granted")
	})
	t.Run("an open with its ranges and tickets", func(t *testing.T) {
		h := enter(t, new, Settings{})
		a, b := h.smb.open(1, rdwr), h.smb.open(2, rdwr)
		h.smb.lock(a.ranged(0, 10, true))
		_, ticket := h.smb.wait(b.ranged(0, 10, true))
		b.close()
		e := h.smb.event()
		h.want("its ticket", *e.Answer, lock.Answer{Ticket: ticket, Outcome: lock.Cancelled})
		a.close()
		h.want("its range", h.nlm.lock(h.nlm.ranged(1, 0, 10, true)), lock.Granted)
	})
	t.Run("a durable open waits for its client", func(t *testing.T) {
		h := enter(t, new, Settings{})
		durable := func(r *lock.OpenRequest) { r.Durable, r.CreateGuid = 3600e9, lock.GUID{5} }
		o := h.smb.open(1, rdwr, lease(rh), durable, share(lock.ShareRead|lock.ShareDelete))
		h.smb.lock(o.ranged(0, 10, true))
		res, err := h.smb.Close(context.Background(), lock.CloseRequest{Open: o.n, Keep: true})
		h.must(err)
		h.want("disconnected", res.Outcome, lock.Granted)
		h.want("its range holds", h.nlm.lock(h.nlm.ranged(1, 0, 1, false)), lock.Denied)
		h.want("a conflicting open ends it", h.smb.open(2, lock.Write).Outcome, lock.Granted)
		h.want("its range is gone", h.nlm.lock(h.nlm.ranged(1, 0, 1, false)), lock.Granted)
	})
}

// changes: what one door changes, the others that keep caches are told.
func changes(t *testing.T, new Counter) {
	h := enter(t, new, Settings{})
	_, id := h.nfs.access(lock.OpWrite, nil)
	h.must(h.nfs.Done(context.Background(), id, true))
	for _, d := range []*door{h.smb, h.local} {
		h.want("change", *d.event().Change, lock.Change{Key: key, Action: lock.Modified, Filter: 0x18, By: lock.NFS, Data: true})
	}
	h.must(h.local.Changed(context.Background(), lock.Change{Dir: key, Name: "new", Action: lock.Added, Filter: 1}))
	h.want("SMB hears of the local name", h.smb.next(), "change 1 new")
	h.want("its maker does not", h.local.told(), "")
}

// limits are refused with their own word.
func limits(t *testing.T, new Counter) {
	h := enter(t, new, Settings{RangesPerFile: 3, WaitersPerFile: 1})
	for i := range 3 {
		h.want("range", h.nlm.lock(h.nlm.ranged(1, uint64(i*10), 5, true)), lock.Granted)
	}
	h.want("one more", h.nlm.lock(h.nlm.ranged(1, 100, 5, true)), lock.Limit)
	h.want("a retransmission", h.nlm.lock(h.nlm.ranged(1, 0, 5, true)), lock.Granted)
	h.nlm.unlock(h.nlm.ranged(1, 20, 5, true))
	out, _ := h.nlm.wait(h.nlm.ranged(2, 0, 5, true))
	h.want("a waiter", out, lock.Blocked)
	out, _ = h.nlm.wait(h.nlm.ranged(3, 0, 5, true))
	h.want("another", out, lock.Limit)
}
