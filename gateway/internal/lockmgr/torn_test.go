package lockmgr_test

import (
	"fmt"
	"testing"
	"time"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/lock"
)

// tornBoot begins a run after a crash of the host, on what it left.
func (d *disk) tornBoot(t *testing.T, boot string) *run {
	t.Helper()
	v, start, err := lockdb.Begin(lockdb.Config{Store: d.store, Log: quiet, Lag: time.Hour, Boot: boot})
	if err != nil {
		t.Fatal(err)
	}
	return &run{t: t, vault: v, start: start, stop: func() {}, Manager: lockmgr.New(lockmgr.Config{Grace: 45 * time.Second}, start, v, quiet, nil)}
}

// After a crash of the host a client on record is believed, as far as it contradicts nobody who was heard before: locks whose record is lost come back, and records
// whose unlock is lost are in nobody's way.
func TestReclaimAfterHostCrash(t *testing.T) {
	d := newDisk(t)
	a := d.tornBoot(t, "1")
	s := a.seat(lock.NLM, "lockd")
	a.want("one", s.lock(nlm("one", 1, 0, 10)), lock.Granted)
	a.want("three", s.lock(nlm("three", 1, 40, 10)), lock.Granted)
	two := nlm("two", 1, 100, 1)
	two.Watch = "192.0.2.2"
	a.want("two", s.lock(two), lock.Granted)
	me := lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}, Handle: 4}
	smb := a.seat(lock.SMB, "smbd")
	res, err := smb.Open(ctx, lock.OpenRequest{Open: 4, Key: file, Owner: me, Access: lock.Read, Share: lock.ShareAll, Kind: lock.LeaseV2, LeaseKey: lock.GUID{1},
		Rights: lock.R | lock.H, Durable: time.Minute, CreateGuid: lock.GUID{1}})
	a.want("a durable open", fmt.Sprint(res.Outcome, err), "granted <nil>")
	a.want("its range", smb.lock(lock.LockRequest{Key: file, Owner: me, Open: 4, Offset: 70, Length: 10, Exclusive: true}), lock.Granted)
	a.stop()

	b := d.tornBoot(t, "2")
	s = b.seat(lock.NLM, "lockd")
	b.want("torn", b.start.Torn, true)
	b.want("new", s.lock(nlm("one", 1, 200, 10)), lock.Grace)
	b.want("who is not on record", s.lock(reclaim(nlm("four", 1, 300, 10))), lock.Denied)
	at := two
	at.Watch = "192.0.2.9"
	at.Offset = 300
	b.want("who is on record, from elsewhere", s.lock(reclaim(at)), lock.Denied)
	two.Offset, two.Length = 5, 10
	b.want("what is on record for one, who was not heard yet", s.lock(reclaim(two)), lock.Granted)
	b.want("one, against what two reclaimed", s.lock(reclaim(nlm("one", 1, 0, 10))), lock.Denied)
	b.want("one, what two left of it", s.lock(reclaim(nlm("one", 1, 0, 5))), lock.Granted)
	b.want("three", s.lock(reclaim(nlm("three", 1, 40, 10))), lock.Granted)
	two.Offset = 45
	b.want("what three has reclaimed", s.lock(reclaim(two)), lock.Denied)
	two.Offset = 70
	b.want("what a durable open has on record", s.lock(reclaim(two)), lock.Granted)
	b.want("the open is gone", opens(b), 0)
	b.want("grace goes on, though all on record was heard of", b.GraceLeft() > 0, true)
	b.EndGrace()
	n, unclaimed := b.held()
	b.want("held", []int{n, unclaimed}, []int{4, 0})
	b.want("new", s.lock(nlm("one", 1, 200, 10)), lock.Granted)
	b.stop()

	// On the same boot the record is exact.
	c := d.tornBoot(t, "2")
	s = c.seat(lock.NLM, "lockd")
	c.want("torn", c.start.Torn, false)
	c.want("more than on record", s.lock(reclaim(nlm("one", 1, 0, 6))), lock.Denied)
	c.want("what is on record", s.lock(reclaim(nlm("one", 1, 0, 5))), lock.Granted)
	c.vault.Close()

	// So it is after a clean stop, and without a grace.
	e := d.tornBoot(t, "3")
	e.want("torn, grace", fmt.Sprint(e.start.Torn, e.GraceLeft()), "false 0s")
	e.vault.Close()
}

// A host whose every lock is lost is on record all the same, and may reclaim; when all of them were heard to have been started anew, grace is over.
func TestHostsReturn(t *testing.T) {
	d := newDisk(t)
	a := d.tornBoot(t, "1")
	s := a.seat(lock.NLM, "lockd")
	a.want("one", s.lock(nlm("one", 1, 0, 10)), lock.Granted)
	_, err := s.Unlock(ctx, nlm("one", 1, 0, 10))
	a.want("unlock", err, nil)
	a.stop()

	b := d.tornBoot(t, "2")
	s = b.seat(lock.NLM, "lockd")
	b.want("grace", b.GraceLeft() > 0, true)
	b.want("one", s.lock(reclaim(nlm("one", 1, 20, 10))), lock.Granted)
	b.want("its reboot", b.Notified("one", "192.0.2.1", 5), true)
	b.want("grace", b.GraceLeft(), time.Duration(0))
	n, _ := b.held()
	b.want("held", n, 0)
}

func opens(r *run) (n int) {
	for _, f := range r.List(lock.Filter{}).Files {
		n += len(f.Opens)
	}
	return n
}
