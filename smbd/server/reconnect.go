package server

import (
	"context"
	"encoding/json"
	"time"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// A client that comes back for its durable open, [MS-SMB2] 3.3.5.9.7 and 3.3.5.9.12, and the time until then, 3.3.7.1.

// parkedFor is how much longer a parked open's file is kept than the counter keeps the open: the counter's clock counts.
const parkedFor = 10 * time.Second

// park leaves a durable open to its client; false: it has to be closed.
func (t *opens) park(ctx context.Context, o *open) bool {
	t.mu.Lock()
	delete(t.by, o.number)
	t.parked[o.number] = o
	t.mu.Unlock()
	res, err := o.session.s.locks.Close(ctx, lock.CloseRequest{Open: o.number, Keep: true})
	if err == nil && res.Kept {
		time.AfterFunc(o.durable.timeout+parkedFor, func() { t.dropped(o) })
		return true
	}
	t.mu.Lock()
	delete(t.parked, o.number)
	t.mu.Unlock()
	if o.asked = err != nil; !o.asked && res.Delete {
		if err := o.remove(ctx); err != nil {
			o.session.log.Warn("delete on close", "path", o.path, "err", err)
		}
	}
	return false
}

// take is a parked open, for whoever goes on with it; nil if there is none.
func (t *opens) take(number uint64) *open {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.parked[number]
	if delete(t.parked, number); o != nil {
		t.forget(o)
		t.lookers.gone(o)
	}
	return o
}

// drop gives the file of a parked open back: the counter has ended it.
func (t *opens) drop(number uint64) {
	if o := t.take(number); o != nil {
		o.shut()
	}
}

func (t *opens) dropped(o *open) {
	t.mu.Lock()
	mine := t.parked[o.number] == o
	if mine {
		t.forget(o)
		t.lookers.gone(o)
		delete(t.parked, o.number)
	}
	t.mu.Unlock()
	if mine {
		o.shut()
	}
}

// reconnect ignores everything in the request but the reconnect context, the lease, and with a lease the name.
func reconnect(ctx context.Context, r *request, q *smb2.CreateRequest) (reply, error) {
	s, x := r.session, &q.Contexts
	ask := lock.ReconnectRequest{User: s.who()}
	if v1 := x.DurableReconnect; v1 != nil {
		ask.Open = v1.Persistent
	} else {
		ask.Open, ask.V2, ask.CreateGuid = x.DurableReconnectV2.FileID.Persistent, true, x.DurableReconnectV2.CreateGUID
	}
	ask.Owner = lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: r.chain.c.client}, Session: s.id, Handle: ask.Open}
	vol, err := r.tree.volume()
	if err != nil {
		return nil, err
	}
	if l := x.Lease; l != nil {
		ask.Lease, ask.LeaseKey, ask.Key = true, lock.GUID(l.Key), named(s, vol, q.Name)
	}
	o := newOpen(r)
	o.sequence.now = r.ChannelSequence()
	o.vol, o.number, o.owner, o.kind, o.leaseKey = vol, ask.Open, ask.Owner, lock.Oplock, ask.LeaseKey
	if ask.Lease {
		o.kind = lock.LeaseV2
	}
	if !s.s.opens.addNew(o) { // before the question: a break may come as soon as it is answered
		return nil, ntstatus.ObjectNameNotFound // its client is here
	}
	res, err := s.s.locks.Reconnect(ctx, ask)
	if err != nil {
		s.s.opens.remove(o)
		return nil, err
	}
	if res.Outcome != lock.Granted {
		s.s.opens.remove(o)
		return nil, reconnectRefused(res.Outcome)
	}
	if err = o.revive(&res); err != nil {
		s.s.opens.lookers.gone(o)
	} else {
		s.s.opens.lookers.ask(context.WithoutCancel(ctx), s.s.locks, o)
		if err = s.add(o); err != nil {
			s.s.opens.repark(o)
		}
	}
	if err != nil {
		// It stays the client's, who may have better luck on another tree.
		s.s.opens.remove(o)
		s.s.locks.Close(context.WithoutCancel(ctx), lock.CloseRequest{Open: ask.Open, Keep: true})
		s.log.Warn("durable open not given back", "path", res.Open.Path, "err", err)
		return nil, ntstatus.ObjectNameNotFound
	}
	s.s.metrics.opens.Inc()
	r.chain.open = &o.id
	i, err := o.stat()
	if err != nil {
		o.close(context.WithoutCancel(ctx))
		return nil, err
	}
	a := created(o, i)
	a.OplockLevel, a.Contexts.Lease = o.cached()
	if x.DurableRequestV2 != nil { // a CREATE that is sent again
		o.durable.answer(&a.Contexts)
	}
	r.after = append(r.after, func() { close(o.announced) })
	return a, nil
}

// repark undoes a revival that found no session.
func (t *opens) repark(o *open) {
	t.mu.Lock()
	t.parked[o.number] = o
	t.mu.Unlock()
	time.AfterFunc(o.durable.timeout+parkedFor, func() { t.dropped(o) })
}

// named is the file that a name leads to; zero if to none.
func named(s *session, vol *volume, name string) (k lock.Key) {
	parts, err := components(name)
	if err != nil {
		return k
	}
	s.as(vol, func() error {
		p, err := vol.find(parts)
		if err != nil {
			return err
		}
		defer p.close()
		if p.file != nil {
			k, err = export.KeyOf(int(p.file.Fd()))
		}
		return err
	})
	return k
}

// revive fills in the open, from what was parked or from what the counter remembers for us.
func (o *open) revive(res *lock.ReconnectResult) error {
	q, opens := &res.Open, &o.session.s.opens
	var m memory
	if err := json.Unmarshal(q.Private, &m); err != nil {
		return err
	}
	if m.Share != o.tree.share.name {
		return ntstatus.ObjectNameNotFound
	}
	opens.mu.Lock()
	o.kind = q.Kind
	opens.mu.Unlock()
	o.key, o.directory, o.parentKey = q.Key, q.Directory, q.ParentKey
	o.durable = durable{v2: !q.CreateGuid.IsZero(), guid: q.CreateGuid, timeout: q.Durable}
	o.asked, o.granted, o.epoch, o.breaking = true, q.Rights, q.Epoch, res.Breaking
	if o.createGUID = q.CreateGuid; o.durable.v2 {
		opens.made(createID{o.owner.Client.GUID, o.createGUID}, o)
	}
	opens.lookers.count(o)
	if old := opens.take(q.Open); old != nil {
		o.vol, o.file, o.access, o.options = old.vol, old.file, old.access, old.options
		o.parent, o.name, o.path, o.dirKey, o.deleting = old.parent, old.name, old.path, old.dirKey, old.deleting
		o.pos.Store(old.pos.Load())
		o.locks, o.app = old.locks, old.app
		return nil
	}
	err := recall(o, &m)
	if err != nil {
		if o.file != nil {
			o.file.Close()
		}
		if o.parent != nil {
			o.parent.Close()
		}
	}
	return err
}
