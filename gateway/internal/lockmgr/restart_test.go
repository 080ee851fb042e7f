package lockmgr_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/lock"
)

var file = lock.Key{FSID: 1, Ino: 5, Gen: 9}

var ctx = context.Background()

// run is one life of the gateway on a vault that outlives it.
type run struct {
	*lockmgr.Manager
	t     testing.TB
	vault lockdb.Vault
	start lockdb.Start
	stop  context.CancelFunc
}

type disk struct {
	dir   string
	store *lockdb.Memory
}

func newDisk(t testing.TB) *disk { return &disk{t.TempDir(), memory(t)} }

func (d *disk) boot(t testing.TB, cfg lockmgr.Config) *run {
	t.Helper()
	if cfg.Grace == 0 {
		cfg.Grace = 45 * time.Second
	}
	r := &run{t: t}
	r.Manager, r.vault, r.start = begin(t, d.dir, d.store, cfg)
	c, cancel := context.WithCancel(ctx)
	r.stop = cancel
	go r.Run(c)
	return r
}

// crash ends the life without the clean mark: the store is all that stays.
func (r *run) crash() { r.stop() }

func (r *run) shutdown() { r.stop(); r.vault.Close() }

func (r *run) want(what string, got, want any) {
	r.t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		r.t.Fatalf("%s: got %s, want %s", what, g, w)
	}
}

// door is a seat with what it was told.
type door struct {
	*lockmgr.Seat
	r      *run
	events chan lock.Event
}

func (r *run) seat(kind lock.Door, name string) *door {
	s := &door{r: r, events: make(chan lock.Event, 100)}
	s.Seat = r.Attach(kind, name, func(e lock.Event) { s.events <- e })
	return s
}

func nlm(host string, pid int32, offset, length uint64) lock.LockRequest {
	return lock.LockRequest{Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.NLM, Name: host}, PID: pid, OH: "oh"}, Offset: offset, Length: length,
		Exclusive: true, Watch: "192.0.2.1", NSMState: 3}
}

func (s *door) lock(r lock.LockRequest) lock.Outcome {
	s.r.t.Helper()
	res, err := s.Lock(ctx, r)
	if err != nil {
		s.r.t.Fatal(err)
	}
	return res.Outcome
}

func reclaim(r lock.LockRequest) lock.LockRequest { r.Reclaim = true; return r }

// held counts the ranges that List shows, and those of them that are unclaimed.
func (r *run) held() (n, unclaimed int) {
	for _, f := range r.List(lock.Filter{}).Files {
		for _, x := range f.Ranges {
			n++
			if x.Unclaimed {
				unclaimed++
			}
		}
	}
	return n, unclaimed
}

// After a crash every NLM lock stands; in grace new ones are refused and reclaims must fit; grace ends when all have reclaimed.
func TestGrace(t *testing.T) {
	d := newDisk(t)
	a := d.boot(t, lockmgr.Config{})
	s := a.seat(lock.NLM, "lockd")
	a.want("one", s.lock(nlm("one", 1, 0, 10)), lock.Granted)
	a.want("two", s.lock(nlm("two", 1, 20, 10)), lock.Granted)
	a.crash()

	b := d.boot(t, lockmgr.Config{})
	s = b.seat(lock.NLM, "lockd")
	n, unclaimed := b.held()
	b.want("restored", []int{n, unclaimed}, []int{2, 2})
	if left := b.GraceLeft(); left <= 0 || left > 45*time.Second {
		t.Fatalf("grace %v", left)
	}
	b.want("new", s.lock(nlm("one", 1, 100, 10)), lock.Grace)
	b.want("local, against what is restored", b.seat(lock.Local, "fusefs").lock(lock.LockRequest{Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.Local}, Handle: 1}, Offset: 5, Length: 1}), lock.Denied)
	b.want("more than on record", s.lock(reclaim(nlm("one", 1, 0, 11))), lock.Denied)
	b.want("another's", s.lock(reclaim(nlm("three", 1, 0, 10))), lock.Denied)
	b.want("one", s.lock(reclaim(nlm("one", 1, 0, 10))), lock.Granted)
	b.want("one again", s.lock(reclaim(nlm("one", 1, 0, 10))), lock.Granted)
	if b.GraceLeft() == 0 {
		t.Fatal("grace is over before all have reclaimed")
	}
	b.want("two, by another process of the client", s.lock(reclaim(nlm("two", 7, 20, 10))), lock.Granted)
	for i := 0; b.GraceLeft() > 0; i++ {
		if time.Sleep(time.Millisecond); i == 5000 {
			t.Fatal("grace does not end")
		}
	}
	b.want("new", s.lock(nlm("one", 1, 100, 10)), lock.Granted)
	n, unclaimed = b.held()
	b.want("held", []int{n, unclaimed}, []int{3, 0})
	b.want("a reclaim after grace of what is held", s.lock(reclaim(nlm("one", 1, 0, 10))), lock.Granted)
	b.want("and of what is not", s.lock(reclaim(nlm("one", 1, 50, 10))), lock.Grace)
	b.crash()

	c := d.boot(t, lockmgr.Config{})
	n, unclaimed = c.held()
	c.want("restored", []int{n, unclaimed}, []int{3, 3})
	c.want("epoch", c.Epoch(), 3)
}

// What nobody reclaims is dropped when grace ends, on disk too, and whoever waits for it goes on.
func TestGraceDropsTheUnclaimed(t *testing.T) {
	d := newDisk(t)
	a := d.boot(t, lockmgr.Config{})
	a.want("lock", a.seat(lock.NLM, "lockd").lock(nlm("one", 1, 0, 10)), lock.Granted)
	a.crash()
	b := d.boot(t, lockmgr.Config{})
	l := b.seat(lock.Local, "fusefs")
	q := lock.LockRequest{Ticket: 1, Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.Local}, Handle: 1}}
	b.want("waits", l.lock(q), lock.Blocked)
	b.EndGrace()
	b.want("goes on", (<-l.events).Answer.Outcome, lock.Granted)
	b.crash()
	c := d.boot(t, lockmgr.Config{})
	n, _ := c.held()
	c.want("on record", n, 0)
	c.want("grace", c.GraceLeft(), time.Duration(0))
}

// A clean stop keeps the locks and needs no grace.
func TestCleanStop(t *testing.T) {
	d := newDisk(t)
	a := d.boot(t, lockmgr.Config{})
	a.want("lock", a.seat(lock.NLM, "lockd").lock(nlm("one", 1, 0, 10)), lock.Granted)
	a.shutdown()
	b := d.boot(t, lockmgr.Config{})
	n, unclaimed := b.held()
	b.want("restored", []int{n, unclaimed, int(b.GraceLeft())}, []int{1, 0, 0})
}

// After a restart, new requests wait until the doors have presented what they held; what they present is admitted as it was.
func TestMuster(t *testing.T) {
	d := newDisk(t)
	d.boot(t, lockmgr.Config{}).shutdown()
	cfg := lockmgr.Config{Expect: []string{"smbd", "fusefs"}, Muster: time.Hour}
	b := d.boot(t, cfg)
	nfs, smb, local := b.seat(lock.NFS, "nfs"), b.seat(lock.SMB, "smbd"), b.seat(lock.Local, "fusefs")
	write := make(chan lock.Outcome)
	go func() {
		res, _ := nfs.Access(ctx, lock.AccessRequest{ID: 1, Ticket: 1, Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.NFS}}, Op: lock.OpWrite, Length: 1})
		write <- res.Outcome
	}()
	me := lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}, Handle: 4}
	res, _ := smb.Open(ctx, lock.OpenRequest{Open: 4, Key: file, Owner: me, Access: lock.Read | lock.Write, Share: lock.ShareRead, Kind: lock.LeaseV2, LeaseKey: lock.GUID{2},
		Rights: lock.R | lock.H, Epoch: 9, Reclaim: true})
	b.want("presented", res, lock.OpenResult{Outcome: lock.Granted, Rights: lock.R | lock.H, Epoch: 9, Kind: lock.LeaseV2})
	b.want("its range", smb.lock(lock.LockRequest{Key: file, Owner: me, Open: 4, Offset: 5, Length: 5, Exclusive: true, Reclaim: true}), lock.Granted)
	b.want("a local one", local.lock(lock.LockRequest{Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.Local}, Handle: 1}, Offset: 20, Length: 1, Reclaim: true}), lock.Granted)
	smb.Mustered()
	select {
	case out := <-write:
		t.Fatalf("a write was answered before all doors had presented: %v", out)
	default:
	}
	if len(smb.events) != 0 {
		t.Fatalf("presenting broke a lease: %+v", <-smb.events)
	}
	local.Mustered()
	// The write now meets the deny mode under a cached handle.
	b.want("the write", <-write, lock.Blocked)
	b.want("break", (<-smb.events).Break.To, lock.R)
	n, _ := b.held()
	b.want("ranges", n, 2)
}

// Durable opens outlive a crash with lease, epoch and ranges; presented again they do not stand twice, and a client can take them over.
func TestDurableOpens(t *testing.T) {
	d := newDisk(t)
	a := d.boot(t, lockmgr.Config{})
	s := a.seat(lock.SMB, "smbd")
	me := lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}, Session: 3, Handle: 4}
	ask := lock.OpenRequest{Open: 4, Key: file, Owner: me, Access: lock.Read | lock.Write, Share: lock.ShareAll, Kind: lock.LeaseV2, LeaseKey: lock.GUID{2},
		Rights: lock.R | lock.W | lock.H, Durable: time.Hour, CreateGuid: lock.GUID{7}, Private: []byte("fh"), Path: "dir/file", User: "ann"}
	res, _ := s.Open(ctx, ask)
	a.want("open", res.Rights, lock.R|lock.W|lock.H)
	r := lock.LockRequest{Key: file, Owner: me, Open: 4, Length: 5, Exclusive: true}
	a.want("range", s.lock(r), lock.Granted)
	r.Offset = 10
	a.want("range", s.lock(r), lock.Granted)
	a.crash()

	// The same smbd comes back and presents one of the ranges: it freed the other while nobody listened.
	b := d.boot(t, lockmgr.Config{Expect: []string{"smbd"}, Muster: time.Hour})
	s = b.seat(lock.SMB, "smbd")
	again := ask
	again.Reclaim, again.Epoch = true, res.Epoch
	got, _ := s.Open(ctx, again)
	b.want("presented", got, res)
	r.Reclaim = true
	b.want("its range", s.lock(r), lock.Granted)
	s.Mustered()
	n, _ := b.held()
	b.want("ranges", n, 1)
	_, err := s.Close(ctx, lock.CloseRequest{Open: 4, Keep: true})
	b.want("disconnect", err, nil)
	b.crash()

	// smbd died too; the client comes back to a new one.
	c := d.boot(t, lockmgr.Config{})
	s = c.seat(lock.SMB, "smbd")
	s.Mustered()
	owner := me
	owner.Session = 8
	back := lock.ReconnectRequest{Open: 4, Owner: owner, User: "ann", V2: true, CreateGuid: lock.GUID{7}, Lease: true, LeaseKey: lock.GUID{2}, Key: file}
	again2, _ := s.Reconnect(ctx, back)
	c.want("taken over", []any{again2.Outcome, again2.Open.Rights, again2.Open.Epoch, string(again2.Open.Private), len(again2.Ranges)},
		[]any{lock.Granted, res.Rights, res.Epoch, "fh", 1})
	f := c.List(lock.Filter{}).Files[0]
	c.want("path", f.Path, "dir/file")
	c.want("opens", []any{len(f.Opens), f.Opens[0].Owner, f.Opens[0].Disconnected, f.Opens[0].Durable}, []any{1, owner, false, true})
	c.want("ranges", []any{len(f.Ranges), f.Ranges[0].Owner, f.Ranges[0].Offset}, []any{1, owner, 10})
	again2, _ = s.Reconnect(ctx, back)
	c.want("a second time", again2.Outcome, lock.Stale)
	_, err = s.Close(ctx, lock.CloseRequest{Open: 4})
	c.want("close", err, nil)
	c.crash()
	e := d.boot(t, lockmgr.Config{})
	e.want("nothing left", []int{len(e.start.Opens), len(e.start.Ranges)}, []int{0, 0})
}

// The clocks: a break that nobody acknowledges, a durable open whose client stays away.
func TestClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		a := d.boot(t, lockmgr.Config{})
		defer a.shutdown()
		s := a.seat(lock.SMB, "smbd")
		defer s.Detach()
		nfs := a.seat(lock.NFS, "nfs")
		defer nfs.Detach()
		s.Mustered()
		me := lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}, Handle: 4}
		ask := lock.OpenRequest{Open: 4, Key: file, Owner: me, Access: lock.Read, Share: lock.ShareAll, Kind: lock.LeaseV2, LeaseKey: lock.GUID{2}, Rights: lock.R | lock.W | lock.H,
			Durable: time.Minute, CreateGuid: lock.GUID{7}}
		s.Open(ctx, ask)
		began := time.Now()
		res, _ := nfs.Access(ctx, lock.AccessRequest{ID: 1, Ticket: 2, Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.NFS}}, Op: lock.OpRead, Length: 1})
		a.want("read", res.Outcome, lock.Blocked)
		a.want("answer", (<-nfs.events).Answer.Outcome, lock.Granted)
		a.want("after", time.Since(began), 35*time.Second)
		nfs.Done(ctx, 1, false)
		out, _ := s.Acknowledge(ctx, lock.Ack{Client: me.Client.GUID, LeaseKey: lock.GUID{2}, Keep: lock.R | lock.H})
		a.want("late", out, lock.Late)
		end, _ := s.Close(ctx, lock.CloseRequest{Open: 4, Keep: true})
		a.want("who caches no handle is not kept", end.Kept, false)
		s.Open(ctx, ask)
		end, _ = s.Close(ctx, lock.CloseRequest{Open: 4, Keep: true})
		a.want("who does is", end.Kept, true)
		time.Sleep(59 * time.Second)
		a.want("waits for its client", len(a.List(lock.Filter{}).Files), 1)
		time.Sleep(2 * time.Second)
		a.want("no longer", len(a.List(lock.Filter{}).Files), 0)
	})
}

// A client is put on record with its first lock; SM_NOTIFY counts from its address with a higher state; its own first lock after a reboot
// frees what it held before.
func TestHosts(t *testing.T) {
	d := newDisk(t)
	a := d.boot(t, lockmgr.Config{})
	statd, s := a.seat(lock.NLM, "statd"), a.seat(lock.NLM, "lockd")
	a.want("lock", s.lock(nlm("one", 1, 0, 10)), lock.Granted)
	a.want("watch", *(<-statd.events).Watch, lock.Watch{Host: "one", Address: "192.0.2.1"})
	a.want("another address", a.Notified("one", "192.0.2.66", 5), false)
	a.want("not higher", a.Notified("one", "192.0.2.1", 3), false)
	a.want("another host", a.Notified("two", "192.0.2.1", 5), false)
	thief := nlm("one", 9, 50, 1)
	thief.Watch = "192.0.2.66"
	a.want("a lock from elsewhere", s.lock(thief), lock.Granted)
	a.want("moves no address", a.Notified("one", "192.0.2.66", 5), false)
	a.want("rebooted", a.Notified("one", "192.0.2.1", 5), true)
	n, _ := a.held()
	a.want("its locks", n, 0)
	a.want("once", a.Notified("one", "192.0.2.1", 5), false)
	r := nlm("one", 1, 0, 10)
	r.NSMState = 5
	a.want("lock", s.lock(r), lock.Granted)
	r = nlm("one", 2, 5, 10) // would meet the lock of the life before
	r.NSMState = 7
	a.want("the first lock after a reboot", s.lock(r), lock.Granted)
	a.want("the notify that follows", a.Notified("one", "192.0.2.1", 7), false)
	n, _ = a.held()
	a.want("frees nothing new", n, 1)
	a.crash()
	b := d.boot(t, lockmgr.Config{})
	b.want("on record", []any{len(b.start.Hosts), b.start.Hosts[0].Name, b.start.Hosts[0].Address, b.start.Hosts[0].State}, []any{1, "one", "192.0.2.1", 7})
}

// A door that comes back before its old connection is known to be dead takes over what it presents.
func TestDoorComesBackEarly(t *testing.T) {
	a := newDisk(t).boot(t, lockmgr.Config{})
	q := lock.LockRequest{Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.Local}, Handle: 1}, Length: 10, Exclusive: true}
	old, again := a.seat(lock.Local, "fusefs"), a.seat(lock.Local, "fusefs")
	a.want("lock", old.lock(q), lock.Granted)
	q.Reclaim = true
	a.want("presented", again.lock(q), lock.Granted)
	old.Detach()
	a.want("it holds", a.seat(lock.NLM, "lockd").lock(nlm("one", 1, 0, 1)), lock.Denied)
	again.Detach()
	a.want("until its door has died", a.seat(lock.NLM, "lockd").lock(nlm("one", 1, 0, 1)), lock.Granted)
}

// Ranges are limited for each client and in all; what is held already is no new range, and what is freed may be taken again.
func TestLimits(t *testing.T) {
	a := newDisk(t).boot(t, lockmgr.Config{RangesPerClient: 2, Ranges: 3})
	s := a.seat(lock.NLM, "lockd")
	var got []lock.Outcome
	for _, r := range []lock.LockRequest{nlm("one", 1, 0, 5), nlm("one", 1, 10, 5), nlm("one", 2, 20, 5), nlm("one", 1, 0, 5), nlm("two", 1, 30, 5), nlm("two", 1, 40, 5)} {
		got = append(got, s.lock(r))
	}
	s.Unlock(ctx, nlm("one", 1, 10, 5))
	got = append(got, s.lock(nlm("two", 1, 40, 5)))
	a.want("limits", got, []lock.Outcome{lock.Granted, lock.Granted, lock.Limit, lock.Granted, lock.Granted, lock.Limit, lock.Granted})
}

// The vault refuses: nothing is granted, and nothing stays held.
func TestVaultFails(t *testing.T) {
	v := &broken{}
	m := lockmgr.New(lockmgr.Config{}, lockdb.Start{Epoch: 1}, v, quiet, nil)
	s := m.Attach(lock.NLM, "lockd", nil)
	res, err := s.Lock(ctx, nlm("one", 1, 0, 10))
	if err != nil || res.Outcome != lock.Failed {
		t.Fatalf("%v %v", res, err)
	}
	if files := m.List(lock.Filter{}).Files; len(files) != 0 {
		t.Fatalf("held: %+v", files)
	}
}

type broken struct{ n uint64 }

func (b *broken) Append(...lockdb.Op) uint64         { b.n++; return b.n }
func (b *broken) Wait(context.Context, uint64) error { return fmt.Errorf("no space left on device") }
func (b *broken) Close() error                       { return nil }
