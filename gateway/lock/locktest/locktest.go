// Package locktest is the law as scenarios: what happens when two holders meet, whatever doors they came through. They run against any
// counter: the one in memory, one whose vault was closed and opened again, or one behind a socket.
//
// No locks.
package locktest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dittofs/gateway/lock"
)

// Attach gives a door a new seat at the counter under test; stop is its death.
type Attach func(door lock.Door, name string, sink func(lock.Event)) (m lock.Manager, stop func())

// Settings are those that scenarios need to differ.
type Settings struct {
	UnlinkOpen, BrlRead string // "deny" or "unix"
	WaitersPerFile      int
	RangesPerFile       int
}

// Counter makes a fresh counter.
type Counter func(t *testing.T, s Settings) Attach

// Run runs every scenario against counters that new makes.
func Run(t *testing.T, new Counter) {
	for _, group := range []struct {
		name string
		run  func(*testing.T, Counter)
	}{
		{"leases", leases}, {"share modes", shareModes}, {"ranges", ranges}, {"mandatory", mandatory}, {"lease caps", caps},
		{"waiting", waiting}, {"deadlock", deadlock}, {"delete", deletes}, {"directories", directories}, {"deaths", deaths}, {"changes", changes}, {"limits", limits},
	} {
		t.Run(group.name, func(t *testing.T) { group.run(t, new) })
	}
}

var key = lock.Key{FSID: 1, Ino: 100, Gen: 7}

// house is a counter with one door of each kind, and a second SMB client behind the SMB door.
type house struct {
	t                    *testing.T
	attach               Attach
	nlm, smb, local, nfs *door
}

// door numbers what it asks for and keeps what it is told.
type door struct {
	h *house
	lock.Manager
	kind   lock.Door
	stop   func()
	n      uint64
	events chan lock.Event
}

func enter(t *testing.T, new Counter, s Settings) *house {
	if s.UnlinkOpen == "" {
		s.UnlinkOpen = "deny"
	}
	if s.BrlRead == "" {
		s.BrlRead = "deny"
	}
	h := &house{t: t, attach: new(t, s)}
	h.nlm, h.smb, h.local, h.nfs = h.door(lock.NLM, "lockd"), h.door(lock.SMB, "smbd"), h.door(lock.Local, "fusefs"), h.door(lock.NFS, "nfs")
	return h
}

func (h *house) door(kind lock.Door, name string) *door {
	d := &door{h: h, kind: kind, events: make(chan lock.Event, 1000)}
	d.Manager, d.stop = h.attach(kind, name, func(e lock.Event) { d.events <- e })
	h.t.Cleanup(d.stop)
	return d
}

func (d *door) num() uint64 { d.n++; return d.n }

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) want(what string, got, want any) {
	h.t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		h.t.Fatalf("%s: got %s, want %s", what, g, w)
	}
}

// next waits for one event and says it: "RWH>RH!" for a break, "granted" for an answer.
func (d *door) next() string { d.h.t.Helper(); return say(d.event()) }

// event waits for one event, and passes over marks.
func (d *door) event() lock.Event {
	d.h.t.Helper()
	for {
		if e := d.any(); e.Change == nil || !strings.HasPrefix(e.Change.Name, "mark ") {
			return e
		}
	}
}

func (d *door) any() lock.Event {
	d.h.t.Helper()
	select {
	case e := <-d.events:
		return e
	case <-time.After(10 * time.Second):
		d.h.t.Fatalf("%v is told nothing", d.kind)
	}
	return lock.Event{}
}

func say(e lock.Event) string {
	switch {
	case e.Break != nil:
		s := fmt.Sprintf("%v>%v", e.Break.From, e.Break.To)
		if e.Break.AckRequired {
			s += "!"
		}
		return s
	case e.Answer != nil:
		return e.Answer.Outcome.String()
	case e.Change != nil:
		return fmt.Sprintf("change %d %s", e.Change.Action, e.Change.Name)
	}
	return "watch"
}

// told returns what the SMB or local door has been told so far: a change that another door makes now comes last.
func (d *door) told() string {
	d.h.t.Helper()
	mark := lock.Change{Dir: key, Name: fmt.Sprintf("mark %v %d", d.kind, d.num()), Action: lock.Added, Filter: 1}
	d.h.must(d.h.nlm.Changed(context.Background(), mark))
	var out []string
	for {
		switch e := d.any(); {
		case e.Change != nil && e.Change.Name == mark.Name:
			return strings.Join(out, " ")
		case e.Change == nil || !strings.HasPrefix(e.Change.Name, "mark "):
			out = append(out, say(e))
		}
	}
}

// opened is an open and what was said to the request.
type opened struct {
	d     *door
	n     uint64
	owner lock.Owner
	lock.OpenResult
	ticket uint64
}

// with changes a request before it is sent.
type with func(*lock.OpenRequest)

func share(s lock.Share) with { return func(r *lock.OpenRequest) { r.Share = s } }

func lease(rights lock.Rights) with {
	return func(r *lock.OpenRequest) {
		r.Kind, r.Rights, r.LeaseKey = lock.LeaseV2, rights, lock.GUID{r.Owner.Client.GUID[0], 0xee}
	}
}

func overwrite(r *lock.OpenRequest) { r.Overwrite = true }

// open asks in the name of client c: an SMB client's number, a local process.
func (d *door) open(c byte, access lock.Access, opts ...with) *opened {
	d.h.t.Helper()
	o := &opened{d: d, n: d.num()}
	o.owner = lock.Owner{Client: lock.Client{Door: d.kind}, Handle: o.n, PID: int32(c)}
	if d.kind == lock.SMB {
		o.owner.Client.GUID, o.owner.PID = lock.GUID{c}, 0
	}
	o.ticket = d.num()
	r := lock.OpenRequest{Open: o.n, Ticket: o.ticket, Key: key, Owner: o.owner, Access: access, Share: lock.ShareAll}
	for _, f := range opts {
		f(&r)
	}
	res, err := d.Open(context.Background(), r)
	d.h.must(err)
	o.OpenResult = res
	return o
}

func (o *opened) close() lock.CloseResult {
	o.d.h.t.Helper()
	res, err := o.d.Close(context.Background(), lock.CloseRequest{Open: o.n})
	o.d.h.must(err)
	return res
}

func (o *opened) ack(keep lock.Rights) lock.Outcome {
	o.d.h.t.Helper()
	out, err := o.d.Acknowledge(context.Background(), lock.Ack{Client: o.owner.Client.GUID, LeaseKey: lock.GUID{o.owner.Client.GUID[0], 0xee}, Keep: keep})
	o.d.h.must(err)
	return out
}

// access asks for one operation over bytes 0 to 9, under o where that is set.
func (d *door) access(op lock.Op, o *opened) (lock.Outcome, uint64) {
	d.h.t.Helper()
	r := lock.AccessRequest{ID: d.num(), Key: key, Owner: lock.Owner{Client: lock.Client{Door: d.kind, Name: "host"}}, Op: op, Length: 10}
	if d.kind != lock.NFS {
		r.Owner.Client.Name = ""
	}
	if o != nil {
		r.Owner, r.Open = o.owner, o.n
	}
	r.Ticket = r.ID
	res, err := d.Access(context.Background(), r)
	d.h.must(err)
	return res.Outcome, r.ID
}

func (d *door) done(id uint64) { d.h.must(d.Done(context.Background(), id, false)) }

// ranged is a range that somebody asks for. SMB owners are their opens.
func (d *door) ranged(who int, offset, length uint64, exclusive bool) lock.LockRequest {
	r := lock.LockRequest{Key: key, Offset: offset, Length: length, Exclusive: exclusive, Owner: lock.Owner{Client: lock.Client{Door: d.kind}}}
	switch d.kind {
	case lock.NLM:
		r.Owner.Client.Name, r.Owner.PID, r.Owner.OH = "host", int32(who), fmt.Sprint(who)
	case lock.Local:
		r.Owner.Handle, r.Owner.PID = uint64(who), int32(who)
	}
	return r
}

func (o *opened) ranged(offset, length uint64, exclusive bool) lock.LockRequest {
	return lock.LockRequest{Key: key, Owner: o.owner, Open: o.n, Offset: offset, Length: length, Exclusive: exclusive}
}

func (d *door) lock(r lock.LockRequest) lock.Outcome {
	d.h.t.Helper()
	res, err := d.Lock(context.Background(), r)
	d.h.must(err)
	return res.Outcome
}

// wait asks with a ticket.
func (d *door) wait(r lock.LockRequest) (lock.Outcome, uint64) {
	d.h.t.Helper()
	r.Ticket = d.num()
	return d.lock(r), r.Ticket
}

func (d *door) unlock(r lock.LockRequest) lock.Outcome {
	d.h.t.Helper()
	res, err := d.Unlock(context.Background(), r)
	d.h.must(err)
	return res.Outcome
}
