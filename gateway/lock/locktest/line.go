package locktest

import (
	"context"
	"testing"

	"dittofs/gateway/lock"
)

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
