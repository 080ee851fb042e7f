package lock

import (
	"fmt"
	"strings"
	"testing"
)

// file is one table and a script of what it was asked and what it said.
type file struct {
	Table
	t    *testing.T
	next uint64
}

func newFile(t *testing.T) *file { return &file{Table: Table{Verb: &Verb{}}, t: t} }

func (f *file) num() uint64 { f.next++; f.Turn++; return f.next }

// open asks for an open of SMB client c, and returns its number.
func (f *file) open(c byte, access Access, kind CacheKind, rights Rights, change func(*OpenRequest)) (uint64, OpenResult) {
	n := f.num()
	r := OpenRequest{Owner: Owner{Client: Client{Door: SMB, GUID: GUID{c}}, Handle: n}, Access: access, Share: ShareAll, Kind: kind, Rights: rights, Epoch: 0x10, LeaseKey: GUID{c, 1}}
	if change != nil {
		change(&r)
	}
	return n, f.Table.Open(ID{1, n}, ID{1, n}, &r)
}

// said returns the events since the last call: breaks as "RWH>RH!", answers as "granted RH".
func (f *file) said() string {
	var out []string
	for _, e := range f.Effects {
		switch {
		case e.Kind != Tell:
		case e.Event.Break != nil:
			b := e.Event.Break
			s := fmt.Sprintf("%v>%v", b.From, b.To)
			if b.AckRequired {
				s += "!"
			}
			out = append(out, s)
		case e.Event.Answer != nil:
			out = append(out, e.Event.Answer.Outcome.String())
		}
	}
	f.Effects = f.Effects[:0]
	return strings.Join(out, " ")
}

func (f *file) expect(what string, want ...any) {
	f.t.Helper()
	if got := fmt.Sprint(want[0]); got != fmt.Sprint(want[1]) {
		f.t.Fatalf("%s: got %v, want %v", what, want[0], want[1])
	}
}

func (f *file) ack(c byte, keep Rights) Outcome {
	return f.Acknowledge(1, &Ack{Client: GUID{c}, LeaseKey: GUID{c, 1}, Keep: keep})
}

// What is granted is a legal state: all else is none.
func TestLegalRights(t *testing.T) {
	for _, c := range []struct {
		ask  Rights
		kind CacheKind
		dir  bool
		want Rights
	}{
		{0, LeaseV2, false, 0}, {R, LeaseV2, false, R}, {H, LeaseV2, false, 0}, {W, LeaseV2, false, 0}, {R | H, LeaseV1, false, R | H},
		{R | W, LeaseV1, false, R | W}, {W | H, LeaseV1, false, 0}, {R | W | H, LeaseV1, false, R | W | H},
		{R | W | H, LeaseV2, true, R | H}, {R | W, LeaseV2, true, R}, {R | W | H, Oplock, false, R | W | H}, {R | H, Oplock, false, R}, {R, Oplock, true, 0},
	} {
		if got := legal(c.ask, c.kind, c.dir); got != c.want {
			t.Errorf("legal(%v, %v, %v) = %v, want %v", c.ask, c.kind, c.dir, got, c.want)
		}
	}
}

// Two openers meet an RWH lease, the second one overwrites: breaks go RWH>RH, RH>R, R>none, both wait to the end, and the epoch rises once.
func TestStagedBreak(t *testing.T) {
	f := newFile(t)
	_, res := f.open(1, Read|Write, LeaseV2, allRights, nil)
	f.expect("first open", res, OpenResult{Outcome: Granted, Rights: allRights, Epoch: 0x11, Kind: LeaseV2})
	f.said()
	_, res = f.open(2, Read, NoCache, 0, nil)
	f.expect("second open", res.Outcome, Blocked)
	f.expect("break", f.said(), "RWH>RH!")
	_, res = f.open(1, Read, LeaseV2, allRights, nil)
	f.expect("same key", res, OpenResult{Outcome: Granted, Rights: allRights, Epoch: 0x12, Kind: LeaseV2, Breaking: true})
	_, res = f.open(3, Write, NoCache, 0, func(r *OpenRequest) { r.Overwrite = true })
	f.expect("third open", res.Outcome, Blocked)
	f.expect("no second break before the first is answered", f.said(), "")
	f.expect("too much", f.ack(1, allRights), Invalid)
	f.expect("ack RH", f.ack(1, R|H), Granted)
	f.expect("next stage", f.said(), "RH>R!")
	f.expect("ack R", f.ack(1, R), Granted)
	f.expect("last stage and answers", f.said(), "R>- granted granted")
	f.expect("nothing to acknowledge", f.ack(1, 0), Late)
	f.expect("epoch", f.leases[0].epoch, 0x12)
}

// A clock that was set for a lease of a table's earlier life is not the clock of a later one's.
func TestOldClock(t *testing.T) {
	f := newFile(t)
	breaks := func() *lease {
		f.open(1, Read|Write, LeaseV2, allRights, nil)
		_, res := f.open(2, Read, NoCache, 0, nil)
		f.expect("another open", res.Outcome, Blocked)
		return f.leases[0]
	}
	old := breaks()
	f.Forget(Client{Door: SMB, GUID: GUID{1}})
	f.Forget(Client{Door: SMB, GUID: GUID{2}})
	f.expect("empty", f.Empty(), true)
	turn := f.Turn
	f.Reset(Key{Ino: 1})
	f.Turn = turn + 1
	l := breaks()
	f.expect("the old clock", f.AckTimeout(old.n, old.stage), false)
	f.expect("its own", f.AckTimeout(l.n, l.stage), true)
}

// Who caches writes and presents that beside what came on record just before, and was not heard of, has them called back.
func TestPresentedBesideTheUntold(t *testing.T) {
	f := newFile(t)
	f.Restore(OpenRecord{Request: OpenRequest{Open: 7, Owner: Owner{Client: Client{Door: SMB, GUID: GUID{2}}, Handle: 7}, Access: Read, Share: ShareAll, Kind: LeaseV2, LeaseKey: GUID{2, 1}, Durable: 1, CreateGuid: GUID{7}}, Rights: R | H})
	n := f.num()
	r := OpenRequest{Owner: Owner{Client: Client{Door: SMB, GUID: GUID{1}}, Handle: n}, Access: Read, Share: ShareAll, Kind: LeaseV2, LeaseKey: GUID{1, 1}, Rights: allRights}
	f.expect("presented", f.Present(ID{1, n}, &r, false).Rights, allRights)
	f.Mustered(1)
	f.expect("then", f.said(), "RWH>RH!")
}

// Who waited for one break does not wait for the next one of the same lease, which is another's.
func TestOneBreakIsNotTheNext(t *testing.T) {
	f := newFile(t)
	nfs := Owner{Client: Client{Door: NFS}}
	f.open(1, Write, LeaseV2, allRights, nil)
	read := f.num()
	f.expect("a READ", f.Access(ID{2, read}, ID{2, read}, &AccessRequest{Owner: nfs, Op: OpRead, Length: 1}).Outcome, Blocked)
	_, res := f.open(2, Read, NoCache, 0, func(r *OpenRequest) { r.Share = ShareWrite | ShareDelete })
	f.expect("an open that lets nobody read", res.Outcome, Blocked)
	f.expect("one break for both", f.said(), "RWH>RH!")
	f.expect("ack", f.ack(1, R|H), Granted)
	f.expect("the READ is under way, so that the open waits", f.said(), "granted")
	rename := f.num()
	f.expect("a RENAME", f.Access(ID{2, rename}, ID{2, rename}, &AccessRequest{Owner: nfs, Op: OpRename}).Outcome, Blocked)
	f.expect("another break", f.said(), "RH>R!")
	f.Done(ID{2, read})
	f.expect("the open needs no cached handle back", f.said(), "granted")
}

// Handle caching alone is called back from under an overwriting open, a write or a byte-range lock without waiting: [MS-FSA] 2.1.4.12.
func TestOverwriteDoesNotWaitForHandles(t *testing.T) {
	f := newFile(t)
	f.open(1, Read, LeaseV1, R|H, nil)
	n, res := f.open(2, Write, NoCache, 0, func(r *OpenRequest) { r.Overwrite = true })
	f.expect("overwrite", res.Outcome, Granted)
	f.expect("break", f.said(), "RH>-!")
	f.Close(ID{1, n}, false)
	_, res = f.open(2, Write, NoCache, 0, func(r *OpenRequest) { r.Overwrite = true })
	f.expect("again while breaking", res.Outcome, Granted)
	_, res = f.open(1, Read, LeaseV1, 0, nil)
	f.expect("state", res.Rights, R|H)
	f.expect("ack", f.ack(1, 0), Granted)
	f.expect("quiet", f.said(), "")
}

// Nobody acknowledges: the clock forces the break, the waiter goes on, the lease is a tombstone until its last close, the answer is late.
func TestForcedBreak(t *testing.T) {
	f := newFile(t)
	n, _ := f.open(1, Read|Write, LeaseV2, allRights, nil)
	_, res := f.open(2, Read, LeaseV2, R, nil)
	f.expect("second open", res.Outcome, Blocked)
	l := f.leases[0]
	f.expect("another stage's clock", f.AckTimeout(l.n, l.stage+1), false)
	f.expect("the clock", f.AckTimeout(l.n, l.stage), true)
	f.expect("then", f.said(), "RWH>RH! granted")
	f.expect("late", f.ack(1, R|H), Late)
	m, res := f.open(1, Read, LeaseV2, allRights, nil)
	f.expect("tombstone", res.Rights, Rights(0))
	f.Close(ID{1, n}, false)
	f.Close(ID{1, m}, false)
	_, res = f.open(1, Read, LeaseV2, R|H, nil)
	f.expect("after the last close", res.Rights, R|H)
}

// A sharing violation first calls cached handles back, and looks again: closed, it is admitted; kept, it is refused.
func TestSharingViolationBreaksHandles(t *testing.T) {
	for _, closes := range []bool{true, false} {
		f := newFile(t)
		n, _ := f.open(1, Read, LeaseV2, R|H, func(r *OpenRequest) { r.Share = ShareRead })
		_, res := f.open(2, Write, NoCache, 0, nil)
		f.expect("second open", res.Outcome, Blocked)
		f.expect("break", f.said(), "RH>R!")
		if closes {
			f.Close(ID{1, n}, false)
			f.expect("closed", f.said(), "granted")
		} else {
			f.ack(1, R)
			f.expect("kept", f.said(), "sharing")
		}
	}
}

// Oplocks: batch goes to level II for an opener, to none for a rename; level II goes without an answer.
func TestOplocks(t *testing.T) {
	f := newFile(t)
	n, res := f.open(1, Read|Write, Oplock, allRights, nil)
	f.expect("batch", res.Rights, allRights)
	m, res := f.open(2, Read|Write, Oplock, allRights, nil)
	f.expect("second", res.Outcome, Blocked)
	f.expect("break", f.said(), "RWH>R!")
	f.expect("ack", f.Acknowledge(1, &Ack{Open: n, Keep: R}), Granted)
	f.expect("answer", f.said(), "granted")
	f.expect("write by the first", f.Access(ID{1, f.num()}, ID{1, f.next}, &AccessRequest{Owner: Owner{Client: Client{Door: SMB}}, Open: n, Op: OpWrite, Length: 1}).Outcome, Granted)
	f.expect("level II of both goes", f.said(), "R>- R>-")
	f.Close(ID{1, m}, false)
	f.Close(ID{1, n}, false)

	f = newFile(t)
	f.open(1, Read|Write, Oplock, allRights, nil)
	f.expect("rename", f.Access(ID{2, 1}, ID{2, 1}, &AccessRequest{Owner: Owner{Client: Client{Door: NFS}}, Op: OpRename}).Outcome, Blocked)
	f.expect("batch goes whole", f.said(), "RWH>-!")
}

// A disconnected open whose client would have to give rights back ends; one of which nothing is needed stays and can be taken over.
func TestDisconnectedOpen(t *testing.T) {
	durable := func(r *OpenRequest) { r.Durable, r.CreateGuid = 1, GUID{9} }
	f := newFile(t)
	n, _ := f.open(1, Read|Write, LeaseV2, allRights, durable)
	f.Close(ID{1, n}, true)
	_, res := f.open(2, 0, NoCache, 0, nil)
	f.expect("attributes do not disturb it", res.Outcome, Granted)
	f.expect("it stays", len(f.opens), 2)
	f = newFile(t)
	n, _ = f.open(1, Read|Write, LeaseV2, allRights, durable)
	f.Lock(1, ID{}, &LockRequest{Owner: f.opens[0].r.Owner, Open: n, Length: 5, Exclusive: true})
	f.Close(ID{1, n}, true)
	me := f.opens[0].r.Owner
	me.Session = 5
	again := ReconnectRequest{Open: n, Owner: me, V2: true, CreateGuid: GUID{9}, Lease: true, LeaseKey: GUID{1, 1}}
	for _, c := range []struct {
		what   string
		change func(*ReconnectRequest)
		want   Outcome
	}{
		{"another number", func(r *ReconnectRequest) { r.Open++ }, Stale},
		{"another CreateGuid", func(r *ReconnectRequest) { r.CreateGuid[0]++ }, Stale},
		{"no lease", func(r *ReconnectRequest) { r.Lease = false }, Stale},
		{"another lease", func(r *ReconnectRequest) { r.LeaseKey[0]++ }, Stale},
		{"another client", func(r *ReconnectRequest) { r.Owner.Client.GUID[0]++ }, Stale},
		{"another user", func(r *ReconnectRequest) { r.User = "eve" }, Denied},
		{"another file", func(r *ReconnectRequest) { r.Key.Ino++ }, Invalid},
	} {
		r := again
		c.change(&r)
		f.expect(c.what, f.Reconnect(ID{3, r.Open}, &r).Outcome, c.want)
	}
	got := f.Reconnect(ID{3, n}, &again)
	f.expect("take over", []any{got.Outcome, got.Open.Owner, got.Open.Rights, got.Open.Epoch, got.Open.Access, got.Open.Kind},
		[]any{Granted, me, allRights, 0x11, Read | Write, LeaseV2})
	f.expect("its range came along", f.Unlock(3, &LockRequest{Owner: me, Open: n, Length: 5}).Outcome, Granted)
	f.expect("only once", f.Reconnect(ID{4, n}, &again).Outcome, Stale)
	f.expect("lost again", f.Close(ID{3, n}, true).Kept, true)
	f.said()
	_, res = f.open(2, Read, NoCache, 0, nil)
	f.expect("a reader would need its writes", res.Outcome, Granted)
	f.expect("nobody is asked", f.said(), "")
	f.expect("it is gone", f.Reconnect(ID{3, n}, &again).Outcome, Stale)
	f.expect("clock", len(f.opens), 1)
}

// Durable is only what caches handles, and it is kept only as long as it does. [MS-SMB2] 3.3.5.9.10, 3.3.7.1.
func TestDurableWithHandleCachingOnly(t *testing.T) {
	durable := func(r *OpenRequest) { r.Durable, r.CreateGuid = 1, GUID{9} }
	for _, c := range []struct {
		kind   CacheKind
		rights Rights
		want   bool
	}{
		{NoCache, 0, false}, {Oplock, R, false}, {Oplock, R | W, false}, {Oplock, allRights, true},
		{LeaseV1, R, false}, {LeaseV2, R | W, false}, {LeaseV2, R | H, true}, {LeaseV1, allRights, true},
	} {
		f := newFile(t)
		n, res := f.open(1, Read, c.kind, c.rights, durable)
		f.expect(fmt.Sprint(c, " is durable"), res.Durable, c.want)
		f.expect(fmt.Sprint(c, " is kept"), f.Close(ID{1, n}, true).Kept, c.want)
	}
	f := newFile(t)
	n, _ := f.open(1, Read, LeaseV2, R|H, durable)
	f.open(2, Write, NoCache, 0, func(r *OpenRequest) { r.Overwrite = true })
	f.expect("acknowledged", f.ack(1, 0), Granted)
	f.expect("it caches nothing", f.Close(ID{1, n}, true).Kept, false)
}

// An open with an oplock is given back by its number, to another ClientGuid too, and to version 1 whatever its CreateGuid was.
func TestReconnectOplock(t *testing.T) {
	f := newFile(t)
	n, _ := f.open(1, Read, Oplock, allRights, func(r *OpenRequest) { r.Durable, r.CreateGuid = 1, GUID{9} })
	f.Close(ID{1, n}, true)
	other := Owner{Client: Client{Door: SMB, GUID: GUID{2}}, Handle: n}
	f.expect("no CreateGuid", f.Reconnect(ID{3, n}, &ReconnectRequest{Open: n, Owner: other, V2: true}).Outcome, Stale)
	f.expect("a lease", f.Reconnect(ID{3, n}, &ReconnectRequest{Open: n, Owner: other, Lease: true}).Outcome, Stale)
	f.expect("version 1", f.Reconnect(ID{3, n}, &ReconnectRequest{Open: n, Owner: other, Key: Key{Ino: 7}}).Outcome, Granted)
	f.Table.Open(ID{1, 50}, ID{1, 50}, &OpenRequest{Owner: Owner{Client: Client{Door: NFS}}, Access: Read, Share: ShareAll})
	f.expect("the break goes to whoever has it now", f.Effects[len(f.Effects)-2].Event.Break.Client, GUID{2})
}

// Beside another lease an upgrade is given whole or not at all.
func TestUpgradeWholeOrNothing(t *testing.T) {
	for _, c := range []struct{ held, other, ask, want Rights }{
		{R, R, R | H, R | H}, {R, R, R | W, R}, {R, R, R | W | H, R}, {R | H, R | H, R | W | H, R | H},
	} {
		f := newFile(t)
		f.open('a', Read, LeaseV2, c.held, nil)
		f.open('b', Read, LeaseV2, c.other, nil)
		if _, res := f.open('a', Read, LeaseV2, c.ask, nil); res.Rights != c.want {
			t.Errorf("%v beside %v asks for %v: %v, want %v", c.held, c.other, c.ask, res.Rights, c.want)
		}
	}
}

// A level II oplock goes by its own open's writing and locking too, [MS-FSA] 2.1.4.12; a lease does not.
func TestLevelIIBreaksItself(t *testing.T) {
	for _, c := range []struct {
		kind   CacheKind
		rights Rights
		want   string
	}{
		{Oplock, R, "R>-"}, {Oplock, R | W, ""}, {Oplock, allRights, ""}, {LeaseV1, R, ""},
	} {
		f := newFile(t)
		n, _ := f.open(1, Read|Write, c.kind, c.rights, nil)
		me := f.opens[0].r.Owner
		f.Access(ID{1, 100}, ID{}, &AccessRequest{ID: 100, Owner: me, Open: n, Op: OpWrite, Length: 1})
		f.expect(fmt.Sprint(c, " writes"), f.said(), c.want)
		f.Done(ID{1, 100})
		f = newFile(t)
		n, _ = f.open(1, Read|Write, c.kind, c.rights, nil)
		f.Lock(1, ID{}, &LockRequest{Owner: me, Open: n, Length: 1, Try: true})
		f.expect(fmt.Sprint(c, " locks"), f.said(), c.want)
	}
}

// Reading the security descriptor calls an oplock back, and no lease.
func TestInspect(t *testing.T) {
	for _, c := range []struct {
		kind CacheKind
		want string
	}{{Oplock, "RWH>R!"}, {LeaseV2, ""}} {
		f := newFile(t)
		f.open(1, Read, c.kind, allRights, nil)
		f.open(2, Inspect, NoCache, 0, nil)
		f.expect(fmt.Sprint(c), f.said(), c.want)
	}
}

// Who renames a name over SMB opens its directory, and does not let others delete that. [MS-FSA] 2.1.5.15.11.
func TestMoveName(t *testing.T) {
	smb := Owner{Client: Client{Door: SMB, GUID: GUID{2}}}
	for _, c := range []struct {
		access Access
		op     Op
		want   Outcome
	}{{Delete, OpMoveName, SharingDenied}, {Delete, OpChangeDir, Granted}, {Read, OpMoveName, Granted}} {
		f := newFile(t)
		f.open(1, c.access, NoCache, 0, func(r *OpenRequest) { r.Directory = true })
		f.expect(fmt.Sprint(c), f.Access(ID{1, 100}, ID{}, &AccessRequest{ID: 100, Owner: smb, Op: c.op}).Outcome, c.want)
	}
}

// A level II oplock and handle caching do not live together.
func TestLevelIIBesideHandleCaching(t *testing.T) {
	for _, c := range []struct {
		first  CacheKind
		held   Rights
		second CacheKind
		ask    Rights
		want   Rights
	}{
		{LeaseV2, R, Oplock, R | W | H, R}, {LeaseV2, R | H, Oplock, R, 0}, {Oplock, R, LeaseV2, R | H, R}, {Oplock, R, LeaseV2, R | W | H, R},
	} {
		f := newFile(t)
		f.open('a', Read, c.first, c.held, nil)
		if _, res := f.open('b', Read, c.second, c.ask, nil); res.Outcome != Granted || res.Rights != c.want {
			t.Errorf("%v %v, then %v %v: %v, want %v", c.first, c.held, c.second, c.ask, res.Rights, c.want)
		}
	}
}

// An open for nothing but the security descriptor or extended attributes meets no share mode, and breaks write caching.
func TestOtherAccess(t *testing.T) {
	f := newFile(t)
	f.open('a', Read|Write, LeaseV2, R|W|H, func(r *OpenRequest) { r.Share = 0 })
	_, res := f.open('b', Other, NoCache, 0, nil)
	f.expect("an open for the security descriptor", res.Outcome, Blocked)
	f.expect("break", f.said(), "RWH>RH!")
	_, res = f.open('c', 0, NoCache, 0, nil)
	f.expect("an open for attributes", res.Outcome, Granted)
}

// The last open that could answer a break ends: the break is over, with the disconnected opens of the lease.
func TestNobodyIsLeftToAnswer(t *testing.T) {
	f := newFile(t)
	durable := func(r *OpenRequest) { r.Durable = 1 }
	n, _ := f.open(1, Read|Write, LeaseV2, allRights, durable)
	m, _ := f.open(1, Read, LeaseV2, allRights, nil)
	f.Close(ID{1, n}, true)
	_, res := f.open(2, Read, NoCache, 0, nil)
	f.expect("another's open", res.Outcome, Blocked)
	f.expect("break", f.said(), "RWH>RH!")
	f.Close(ID{1, m}, false)
	f.expect("it goes on", f.said(), "granted")
	f.expect("opens", len(f.opens), 1)
}
