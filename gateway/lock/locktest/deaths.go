package locktest

import (
	"context"
	"testing"

	"dittofs/gateway/lock"
)

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
