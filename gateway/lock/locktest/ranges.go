package locktest

import (
	"context"
	"fmt"
	"testing"

	"dittofs/gateway/lock"
)

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
