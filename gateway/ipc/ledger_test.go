package ipc

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"dittofs/gateway/lock"
)

var file = lock.Key{FSID: 1, Ino: 2, Gen: 3}

func local(handle uint64) lock.Owner {
	return lock.Owner{Client: lock.Client{Door: lock.Local}, Handle: handle}
}

func smb(handle uint64) lock.Owner {
	return lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}, Handle: handle}
}

func posix(offset, length uint64, exclusive bool) lock.LockRequest {
	return lock.LockRequest{Key: file, Owner: local(1), Offset: offset, Length: length, Exclusive: exclusive}
}

// draw prints ranges as "0+10x 20+0s".
func draw(rs []lock.LockRequest) string {
	var out []string
	for _, r := range rs {
		kind := "s"
		if r.Exclusive {
			kind = "x"
		}
		out = append(out, fmt.Sprintf("%d+%d%s", r.Offset, r.Length, kind))
	}
	return strings.Join(out, " ")
}

// A POSIX range replaces what its owner held there, and an unlock frees what it covers.
func TestLocalRanges(t *testing.T) {
	type step struct {
		unlock bool
		r      lock.LockRequest
		want   string
	}
	for _, steps := range [][]step{
		//	0         10        20        30
		//	|x        |
		//	     |s        |
		{{false, posix(0, 10, true), "0+10x"}, {false, posix(5, 10, false), "0+5x 5+10s"}},
		{{false, posix(0, 30, true), "0+30x"}, {true, posix(10, 10, false), "0+10x 20+10x"}},
		{{false, posix(0, 0, true), "0+0x"}, {true, posix(10, 10, false), "0+10x 20+0x"}, {true, posix(0, 0, false), ""}},
		{{false, posix(10, 10, true), "10+10x"}, {true, posix(20, 10, false), "10+10x"}, {true, posix(0, 10, false), "10+10x"}},
		{{false, posix(1<<63, 1<<63, true), fmt.Sprintf("%d+%dx", uint64(1<<63), uint64(1<<63))}, {true, posix(1<<63, 1, false), fmt.Sprintf("%d+0x", uint64(1<<63+1))}},
	} {
		l := newLedger()
		for i, s := range steps {
			if s.unlock {
				l.unlocked(s.r)
			} else {
				l.returned(0, &ticket{lock: &s.r}, lock.Answer{Outcome: lock.Granted})
			}
			if got := draw(l.snapshot().ranges); got != s.want {
				t.Errorf("step %d of %v: got %q, want %q", i, steps, got, s.want)
			}
		}
	}
}

// SMB ranges stack, an unlock frees one that matches exactly, and the end of the open frees the rest.
func TestSMBRanges(t *testing.T) {
	l := newLedger()
	l.returned(0, &ticket{open: &lock.OpenRequest{Open: 9, Key: file, Owner: smb(9)}}, lock.Answer{Outcome: lock.Granted})
	r := lock.LockRequest{Key: file, Owner: smb(9), Open: 9, Offset: 10, Length: 10}
	for range 2 {
		l.returned(0, &ticket{lock: &r}, lock.Answer{Outcome: lock.Granted})
	}
	part := r
	part.Length = 5
	l.unlocked(part)
	if got := draw(l.snapshot().ranges); got != "10+10s 10+10s" {
		t.Error(got)
	}
	l.unlocked(r)
	if got := draw(l.snapshot().ranges); got != "10+10s" {
		t.Error(got)
	}
	l.closed(9)
	if got := l.snapshot(); !reflect.DeepEqual(got, held{}) {
		t.Errorf("%+v", got)
	}
}

func TestNLMRangesStayInTheVault(t *testing.T) {
	l := newLedger()
	r := lock.LockRequest{FH: []byte("fh"), Owner: lock.Owner{Client: lock.Client{Door: lock.NLM, Name: "host"}}}
	l.returned(0, &ticket{lock: &r}, lock.Answer{Outcome: lock.Granted})
	if got := l.snapshot(); !reflect.DeepEqual(got, held{}) {
		t.Errorf("%+v", got)
	}
}

// A ticket ends once, whichever comes first, the verb's return or the event.
func TestTickets(t *testing.T) {
	const blocked, granted, denied = lock.Blocked, lock.Granted, lock.Denied
	for name, c := range map[string]struct {
		steps    []lock.Outcome // the verb's return; a negative step (below) is the event
		event    []bool
		waiting  int
		occupied string
	}{
		"blocked waits":                  {[]lock.Outcome{blocked}, []bool{false}, 1, ""},
		"blocked, then granted":          {[]lock.Outcome{blocked, granted}, []bool{false, true}, 0, "0+10x"},
		"blocked, then denied":           {[]lock.Outcome{blocked, denied}, []bool{false, true}, 0, ""},
		"the event is faster":            {[]lock.Outcome{granted, blocked}, []bool{true, false}, 0, "0+10x"},
		"granted at once":                {[]lock.Outcome{granted}, []bool{false}, 0, "0+10x"},
		"denied at once":                 {[]lock.Outcome{denied}, []bool{false}, 0, ""},
		"an answer that comes twice":     {[]lock.Outcome{blocked, granted, granted}, []bool{false, true, true}, 0, "0+10x"},
		"an answer that nobody asked of": {[]lock.Outcome{denied, granted}, []bool{false, true}, 0, ""},
	} {
		l := newLedger()
		r := posix(0, 10, true)
		r.Ticket = 5
		tk := &ticket{lock: &r}
		l.ask(5, tk)
		for i, out := range c.steps {
			if c.event[i] {
				l.answer(lock.Answer{Ticket: 5, Outcome: out})
			} else {
				l.returned(5, tk, lock.Answer{Outcome: out})
			}
		}
		h := l.snapshot()
		if len(h.tickets) != c.waiting || draw(h.ranges) != c.occupied {
			t.Errorf("%s: %d wait, ranges %q", name, len(h.tickets), draw(h.ranges))
		}
	}
}

// Cancel tells the truth also of a ticket that was granted while the door presented itself.
func TestCancelOfALateGrant(t *testing.T) {
	l := newLedger()
	r := posix(0, 10, true)
	tk := &ticket{lock: &r}
	l.ask(5, tk)
	l.returned(5, tk, lock.Answer{Outcome: lock.Blocked})
	l.answerLate(lock.Answer{Ticket: 5, Outcome: lock.Granted})
	if got := l.cancelled(5, lock.Stale); got != lock.Granted {
		t.Error(got)
	}
	if got := l.cancelled(6, lock.Stale); got != lock.Stale {
		t.Error(got)
	}
}

// Opens with one lease key share the lease; breaks and acknowledgements change what is presented.
func TestLeases(t *testing.T) {
	const RWH = lock.R | lock.W | lock.H
	key := lock.GUID{7}
	open := func(n uint64) lock.OpenRequest {
		return lock.OpenRequest{Open: n, Key: file, Owner: smb(n), Kind: lock.LeaseV2, LeaseKey: key, Rights: RWH, Epoch: 1, Overwrite: true}
	}
	rights := func(l *ledger) (out []string) {
		for _, r := range l.snapshot().opens {
			if !r.Reclaim || r.Overwrite {
				t.Errorf("presented %+v", r)
			}
			out = append(out, fmt.Sprint(r.Open, " ", r.Rights, " ", r.Epoch))
		}
		return out
	}
	expect := func(l *ledger, want ...string) {
		t.Helper()
		if got := rights(l); !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	l := newLedger()
	first, second := open(1), open(2)
	l.returned(0, &ticket{open: &first}, lock.Answer{Outcome: lock.Granted, Rights: lock.R | lock.H, Epoch: 2})
	l.returned(0, &ticket{open: &second}, lock.Answer{Outcome: lock.Granted, Rights: RWH, Epoch: 3})
	expect(l, "1 RWH 3", "2 RWH 3")

	b := lock.Break{Client: lock.GUID{1}, LeaseKey: key, Kind: lock.LeaseV2, From: RWH, To: lock.R | lock.H, Epoch: 4, AckRequired: true}
	l.broken(b)
	expect(l, "1 RWH 4", "2 RWH 4")
	l.acknowledged(lock.Ack{Client: lock.GUID{1}, LeaseKey: key, Keep: lock.R | lock.H}, lock.Granted)
	expect(l, "1 RH 4", "2 RH 4")
	b.To, b.Epoch, b.AckRequired = lock.R, 5, false
	l.broken(b)
	expect(l, "1 R 5", "2 R 5")

	// An acknowledgement that is late for a break which is over takes nothing; for one that is out, everything is gone.
	l.acknowledged(lock.Ack{Client: lock.GUID{1}, LeaseKey: key}, lock.Late)
	expect(l, "1 R 5", "2 R 5")
	forced := newLedger()
	forced.returned(0, &ticket{open: &first}, lock.Answer{Outcome: lock.Granted, Rights: RWH, Epoch: 2})
	forced.broken(lock.Break{Client: lock.GUID{1}, LeaseKey: key, Kind: lock.LeaseV2, From: RWH, Epoch: 3, AckRequired: true})
	forced.acknowledged(lock.Ack{Client: lock.GUID{1}, LeaseKey: key}, lock.Late)
	expect(forced, "1 - 3")

	// It came back with less: that is a break.
	got := l.regranted(l.snapshot().opens[0], lock.OpenResult{Outcome: lock.Granted, Epoch: 6})
	want := &lock.Break{Key: file, Client: lock.GUID{1}, LeaseKey: key, Kind: lock.LeaseV2, Open: 1, From: lock.R, Epoch: 6}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	// One of two opens did not come back: the other has the lease still.
	if b := l.regranted(l.snapshot().opens[0], lock.OpenResult{Outcome: lock.SharingDenied}); b != nil {
		t.Errorf("%+v", b)
	}
	expect(l, "2 - 6")
	l.closed(2)
	if len(l.leases) != 0 {
		t.Errorf("%+v", l.leases)
	}
}

func TestForget(t *testing.T) {
	l := newLedger()
	for n := range uint64(2) {
		r := lock.OpenRequest{Open: n + 1, Key: file, Owner: smb(n + 1)}
		r.Owner.Client.GUID = lock.GUID{byte(n + 1)}
		l.returned(0, &ticket{open: &r}, lock.Answer{Outcome: lock.Granted})
		k := lock.LockRequest{Key: file, Owner: r.Owner, Open: n + 1, Length: 1}
		l.returned(0, &ticket{lock: &k}, lock.Answer{Outcome: lock.Granted})
		a := lock.AccessRequest{ID: n + 1, Key: file, Owner: r.Owner}
		l.returned(0, &ticket{access: &a}, lock.Answer{Outcome: lock.Granted})
		k.Ticket, k.Offset = n+1, 5
		tk := &ticket{lock: &k}
		l.ask(k.Ticket, tk)
		l.returned(k.Ticket, tk, lock.Answer{Outcome: lock.Blocked})
	}
	l.forgotten(lock.Client{Door: lock.SMB, GUID: lock.GUID{1}})
	h := l.snapshot()
	if len(h.opens) != 1 || len(h.ranges) != 1 || len(h.accesses) != 1 || len(h.tickets) != 1 || h.opens[0].Open != 2 {
		t.Errorf("%+v", h)
	}
}

// Threads and forks share a local owner: whichever of them unlocks, nothing is left to present again.
func TestLocalOwnerIsNoProcess(t *testing.T) {
	l := newLedger()
	taken, freed := posix(0, 10, true), posix(0, 0, false)
	taken.Owner.PID, freed.Owner.PID = 10, 11
	l.addRange(taken)
	l.unlocked(freed)
	if len(l.ranges) != 0 {
		t.Errorf("another thread's unlock leaves %+v", l.ranges)
	}
}

// The file is delete pending until its last open ends, whoever said so.
func TestDeletePendingIsPassedOn(t *testing.T) {
	l := newLedger()
	for n := uint64(1); n <= 4; n++ {
		r := lock.OpenRequest{Open: n, Key: file, Owner: smb(n), DeleteOnClose: n == 2}
		if n == 4 {
			r.Key.Ino++
		}
		l.returned(0, &ticket{open: &r}, lock.Answer{Outcome: lock.Granted})
	}
	for _, s := range []struct {
		what string
		do   func()
		want int
	}{
		{"marked", func() { l.disposed(1, true) }, 1},
		{"its open ends", func() { l.closed(1) }, 1},
		{"unmarked by another", func() { l.disposed(3, false) }, 0},
		{"an open ends that deletes on close", func() { l.closed(2) }, 1},
		{"the last open ends", func() { l.closed(3) }, 0},
	} {
		if s.do(); len(l.snapshot().pending) != s.want {
			t.Errorf("%s: %v say that it is pending, want %d", s.what, l.snapshot().pending, s.want)
		}
	}
}
