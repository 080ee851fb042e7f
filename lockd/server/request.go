package server

import (
	"bytes"
	"context"
	"time"

	"dittofs/gateway/lock"
	"dittofs/lockd/nlm"
)

// owner is who asks: caller_name, svid and oh together, X/Open NLM nlm4_lock. A nameless caller is named by its address.
func owner(p peer, name string, svid int32, oh []byte) lock.Owner {
	if name == "" {
		name = p.addr.String()
	}
	return lock.Owner{Client: lock.Client{Door: lock.NLM, Name: name}, PID: svid, OH: string(oh)}
}

// request is what the counter is asked. The handle is copied, because a ticket outlives the record.
func request(p peer, l *nlm.Lock, exclusive bool) lock.LockRequest {
	return lock.LockRequest{FH: bytes.Clone(l.FH), By: p.by, Owner: owner(p, l.CallerName, l.SVID, l.OH), Offset: l.Offset, Length: l.Length, Exclusive: exclusive}
}

// bounded reports whether the range ends within 2^64.
func bounded(l *nlm.Lock) bool { return l.Length == 0 || l.Offset+(l.Length-1) >= l.Offset }

// holderOf tells who stands in the way. One that did not come by NLM has no svid and an oh that people can read.
func holderOf(h *lock.Holder) nlm.Holder {
	if h == nil {
		return nlm.Holder{Exclusive: true}
	}
	n := nlm.Holder{Exclusive: h.Exclusive, Offset: h.Offset, Length: h.Length}
	if h.Owner.Client.Door == lock.NLM {
		n.SVID, n.OH = h.Owner.PID, []byte(h.Owner.OH)
	} else {
		n.OH = []byte(h.Owner.String())
	}
	n.OH = n.OH[:min(len(n.OH), nlm.MaxObject)]
	return n
}

// ask puts a question to the counter, again where it had no answer: the gateway may have been started anew in between. Everything that a
// client of NLM can ask may be asked twice, because an owner never conflicts with itself.
func ask[T any](ctx context.Context, f func() (T, error)) (T, error) {
	for {
		r, err := f()
		if err == nil || !pause(ctx, 100*time.Millisecond) {
			return r, err
		}
	}
}
