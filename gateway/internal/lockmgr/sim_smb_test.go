package lockmgr_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"dittofs/gateway/lock"
)

// The SMB side of the simulated world: two clients with opens, durable ones among them, leases and ranges, and NFS I/O that breaks leases.

// simOpen is an open that was granted. unsure: the machine stopped while it or what hangs on it came or went, and it may be on record or
// not; untold: nobody was told of it, and a client that comes back for it all the same knows better than a client may.
type simOpen struct {
	lock.OpenRequest
	lost, unsure, untold bool
}

type simLease struct {
	file   lock.Key
	rights lock.Rights // what the holder may use
	forced bool        // it did not answer in time
}

type simKey struct{ client, key lock.GUID }

func keyOf(o *lock.OpenRequest) simKey { return simKey{o.Owner.Client.GUID, o.LeaseKey} }

type simRange struct {
	open           uint64
	offset, length uint64
	exclusive      bool
}

type owed struct {
	lock.Break
	since time.Time
}

type simSMB struct {
	number  uint64
	opens   map[uint64]*simOpen
	leases  map[simKey]*simLease
	ranges  []simRange
	opening map[uint64]lock.OpenRequest // by ticket
	locking map[uint64]simRange
	doing   map[uint64]uint64 // NFS I/O that waits: its number, by ticket
	under   []uint64          // NFS I/O under way
	broken  []lock.Break      // guarded by sim.mu: heard
	owed    []owed            // to be acknowledged
	fresh   bool              // nothing was asked since the crash
}

func newSimSMB() simSMB {
	return simSMB{opens: map[uint64]*simOpen{}, leases: map[simKey]*simLease{}, opening: map[uint64]lock.OpenRequest{}, locking: map[uint64]simRange{}, doing: map[uint64]uint64{}}
}

func (s *sim) next() uint64 { s.smb.number++; return 1<<20 + s.smb.number }

// pickOpen picks an open in a stable order; nil: there is none.
func (s *sim) pickOpen(lost bool) *simOpen {
	var list []*simOpen
	for _, n := range slices.Sorted(maps.Keys(s.smb.opens)) {
		if o := s.smb.opens[n]; o.lost == lost {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[s.rnd.IntN(len(list))]
}

// granted notes an open, and the rights that its lease has now.
func (s *sim) granted(r lock.OpenRequest, rights lock.Rights, durable bool) {
	if !durable {
		r.Durable = 0
	}
	s.smb.opens[r.Open] = &simOpen{OpenRequest: r}
	if r.Kind == lock.NoCache {
		return
	}
	l := s.smb.leases[keyOf(&r)]
	if l == nil {
		l = &simLease{file: r.Key}
		s.smb.leases[keyOf(&r)] = l
	}
	l.rights = rights
}

// gone forgets an open with what hangs on it.
func (s *sim) gone(n uint64) {
	o := s.smb.opens[n]
	if o == nil {
		return
	}
	delete(s.smb.opens, n)
	s.smb.ranges = slices.DeleteFunc(s.smb.ranges, func(r simRange) bool { return r.open == n })
	maps.DeleteFunc(s.smb.locking, func(_ uint64, r simRange) bool { return r.open == n })
	for _, x := range s.smb.opens {
		if x.Kind != lock.NoCache && keyOf(&x.OpenRequest) == keyOf(&o.OpenRequest) {
			return
		}
	}
	delete(s.smb.leases, keyOf(&o.OpenRequest))
	s.smb.owed = slices.DeleteFunc(s.smb.owed, func(b owed) bool { return simKey{b.Client, b.LeaseKey} == keyOf(&o.OpenRequest) })
}

// answered takes an answer to SMB or NFS.
func (s *sim) answered(a lock.Answer) bool {
	if r, ok := s.smb.opening[a.Ticket]; ok {
		delete(s.smb.opening, a.Ticket)
		switch a.Outcome {
		case lock.Granted:
			s.granted(r, a.Rights, a.Durable)
		case lock.Failed:
			s.unsure(r)
		}
		return true
	}
	if r, ok := s.smb.locking[a.Ticket]; ok {
		delete(s.smb.locking, a.Ticket)
		switch a.Outcome {
		case lock.Granted:
			s.smb.ranges = append(s.smb.ranges, r)
		case lock.Failed:
			s.smb.opens[r.open].unsure = true
		}
		return true
	}
	if n, ok := s.smb.doing[a.Ticket]; ok {
		if delete(s.smb.doing, a.Ticket); a.Outcome == lock.Granted {
			s.smb.under = append(s.smb.under, n)
		}
		return true
	}
	return a.Ticket > 1<<20
}

// breaks takes the breaks that were heard: some are acknowledged later.
func (s *sim) breaks() {
	s.mu.Lock()
	list := s.smb.broken
	s.smb.broken = nil
	s.mu.Unlock()
	for _, b := range list {
		s.say("  break %v to %v of %v/%v, ack %v", b.From, b.To, b.Client[0], b.LeaseKey[0], b.AckRequired)
		if l := s.smb.leases[simKey{b.Client, b.LeaseKey}]; b.AckRequired {
			s.smb.owed = append(s.smb.owed, owed{b, time.Now()})
		} else if l != nil {
			l.rights = b.To
		}
	}
}

func (s *sim) stepSMB() {
	door := s.doors[lock.SMB]
	switch s.rnd.IntN(16) {
	case 0, 1, 2, 3:
		n, f := s.next(), s.rnd.IntN(len(simFiles))
		r := lock.OpenRequest{Open: n, Ticket: n, Key: simFiles[f], Access: []lock.Access{lock.Read, lock.Read | lock.Write, lock.Read, 0}[s.rnd.IntN(4)], Share: lock.ShareAll}
		r.Owner = lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{byte(1 + s.rnd.IntN(2))}}, Handle: n}
		if s.rnd.IntN(6) == 0 {
			r.Share = lock.ShareRead
		}
		if s.rnd.IntN(3) > 0 {
			r.Kind, r.LeaseKey = lock.LeaseV2, lock.GUID{byte(2*f + s.rnd.IntN(2) + 1)}
			r.Rights = []lock.Rights{lock.R, lock.R | lock.H, lock.R | lock.W, lock.R | lock.W | lock.H}[s.rnd.IntN(4)]
		}
		if s.rnd.IntN(2) == 0 {
			r.Durable, r.CreateGuid = time.Minute, lock.GUID{byte(n), byte(n >> 8), 7}
		}
		s.smb.opening[n] = r
		res, _ := door.Open(ctx, r)
		s.say("open %d of %v on %d: access %d share %d lease %d %v durable %v: %v %v", n, r.Owner.Client.GUID[0], r.Key.Ino, r.Access, r.Share, r.LeaseKey[0], r.Rights, r.Durable, res.Outcome, res.Rights)
		if s.store.left.Load() <= 0 {
			s.unsure(r)
		} else if res.Outcome != lock.Blocked {
			if delete(s.smb.opening, n); res.Outcome == lock.Granted {
				s.granted(r, res.Rights, res.Durable)
			}
		}
	case 4, 5:
		o := s.pickOpen(false)
		if o == nil {
			return
		}
		keep := s.rnd.IntN(2) == 0
		res, _ := door.Close(ctx, lock.CloseRequest{Open: o.Open, Keep: keep})
		s.say("close %d keep %v: %v, kept %v", o.Open, keep, res.Outcome, res.Kept)
		if res.Kept {
			o.lost = true
			maps.DeleteFunc(s.smb.locking, func(_ uint64, r simRange) bool { return r.open == o.Open })
		} else if s.gone(o.Open); s.store.left.Load() <= 0 && o.Durable > 0 {
			s.unsure(o.OpenRequest)
		}
	case 6, 7, 8:
		o := s.pickOpen(false)
		if o == nil {
			return
		}
		n := s.next()
		r := simRange{o.Open, uint64(s.rnd.IntN(5)), 1 + uint64(s.rnd.IntN(3)), s.rnd.IntN(2) == 0}
		q := lock.LockRequest{Ticket: n, Try: s.rnd.IntN(2) == 0, Key: o.Key, Owner: o.Owner, Open: o.Open, Offset: r.offset, Length: r.length, Exclusive: r.exclusive}
		s.smb.locking[n] = r
		res, _ := door.Lock(ctx, q)
		s.say("smb lock %+v ticket %d: %v", r, n, res.Outcome)
		if res.Outcome != lock.Blocked {
			if delete(s.smb.locking, n); res.Outcome == lock.Granted {
				s.smb.ranges = append(s.smb.ranges, r)
			}
		}
		if s.store.left.Load() <= 0 {
			o.unsure = true
		}
	case 9:
		if len(s.smb.ranges) == 0 {
			return
		}
		i := s.rnd.IntN(len(s.smb.ranges))
		r := s.smb.ranges[i]
		o := s.smb.opens[r.open]
		if o.lost {
			return
		}
		res, _ := door.Unlock(ctx, lock.LockRequest{Key: o.Key, Owner: o.Owner, Open: o.Open, Offset: r.offset, Length: r.length, Exclusive: r.exclusive})
		s.say("smb unlock %+v: %v", r, res.Outcome)
		if res.Outcome == lock.Granted {
			// The exclusive one of two goes first.
			for j, x := range s.smb.ranges {
				if x.open == r.open && x.offset == r.offset && x.length == r.length && x.exclusive {
					i = j
				}
			}
			s.smb.ranges = slices.Delete(s.smb.ranges, i, i+1)
		}
		if s.store.left.Load() <= 0 {
			o.unsure = true
		}
	case 10, 11:
		if len(s.smb.owed) == 0 {
			return
		}
		i := s.rnd.IntN(len(s.smb.owed))
		b := s.smb.owed[i]
		s.smb.owed = slices.Delete(s.smb.owed, i, i+1)
		out, _ := door.Acknowledge(ctx, lock.Ack{Client: b.Client, LeaseKey: b.LeaseKey, Keep: b.To})
		s.say("ack %v of %v/%v: %v", b.To, b.Client[0], b.LeaseKey[0], out)
		if s.store.left.Load() <= 0 {
			s.unsureLease(simKey{b.Client, b.LeaseKey})
		}
		if l := s.smb.leases[simKey{b.Client, b.LeaseKey}]; l != nil {
			switch out {
			case lock.Granted:
				l.rights &= b.To
			case lock.Late:
				l.rights = 0
			}
		}
	case 12:
		o := s.pickOpen(true)
		if o == nil {
			return
		}
		owner := o.Owner
		owner.Session = s.next()
		res, _ := s.doors[lock.SMB].Reconnect(ctx, lock.ReconnectRequest{Open: o.Open, Owner: owner, V2: true, CreateGuid: o.CreateGuid, Lease: true, LeaseKey: o.LeaseKey, Key: o.Key})
		s.say("reconnect %d: %v %v", o.Open, res.Outcome, res.Open.Rights)
		switch {
		case s.store.left.Load() <= 0:
			o.unsure = true
		case res.Outcome == lock.Granted:
			o.lost, o.Owner = false, owner
			s.smb.leases[keyOf(&o.OpenRequest)].rights = res.Open.Rights
		case res.Outcome == lock.Stale:
			s.gone(o.Open)
		default:
			s.t.Errorf("reconnect: %v", res.Outcome)
		}
	case 13:
		d := time.Duration(s.rnd.IntN(50)) * time.Second
		s.say("%v go by", d)
		time.Sleep(d)
		s.smb.owed = slices.DeleteFunc(s.smb.owed, func(b owed) bool {
			late := time.Since(b.since) >= 35*time.Second
			if l := s.smb.leases[simKey{b.Client, b.LeaseKey}]; l != nil && late {
				l.forced = true
			}
			return late
		})
	case 14:
		if s.rnd.IntN(3) > 0 {
			return
		}
		s.say("smbd dies")
		s.doors[lock.SMB].Detach()
		s.widowed()
		s.attach(lock.SMB)
	default:
		if k := len(s.smb.under); k > 0 {
			s.doors[lock.NFS].Done(ctx, s.smb.under[k-1], false)
			s.smb.under = s.smb.under[:k-1]
			return
		}
		n := s.next()
		r := lock.AccessRequest{ID: n, Ticket: n, Key: simFiles[s.rnd.IntN(len(simFiles))], Owner: lock.Owner{Client: lock.Client{Door: lock.NFS, Name: "x"}},
			Op: []lock.Op{lock.OpRead, lock.OpWrite, lock.OpRename}[s.rnd.IntN(3)], Length: 1}
		s.smb.doing[n] = n
		res, _ := s.doors[lock.NFS].Access(ctx, r)
		s.say("nfs %v on %d: %v", r.Op, r.Key.Ino, res.Outcome)
		if res.Outcome != lock.Blocked {
			if delete(s.smb.doing, n); res.Outcome == lock.Granted {
				s.smb.under = append(s.smb.under, n)
			}
		}
	}
}

// unsureLease: what the machine knows of a lease when it stops may be more or less than its holder does.
func (s *sim) unsureLease(k simKey) {
	for _, o := range s.smb.opens {
		if o.Kind != lock.NoCache && keyOf(&o.OpenRequest) == k {
			o.unsure = true
		}
	}
}

// unsure notes a durable open that may be on record: its answer did not come.
func (s *sim) unsure(r lock.OpenRequest) {
	delete(s.smb.opening, r.Open)
	if r.Durable > 0 && r.Kind != lock.NoCache {
		r.Ticket = 0
		s.smb.opens[r.Open] = &simOpen{OpenRequest: r, lost: true, unsure: true, untold: true}
		if k := keyOf(&r); r.Kind != lock.NoCache && s.smb.leases[k] == nil {
			s.smb.leases[k] = &simLease{file: r.Key}
		}
	}
}

// widowed is smbd's death: plain opens are gone, durable ones wait for their clients.
func (s *sim) widowed() {
	for _, n := range slices.Sorted(maps.Keys(s.smb.opens)) {
		o := s.smb.opens[n]
		if l := s.smb.leases[keyOf(&o.OpenRequest)]; o.Durable > 0 && (o.lost || l.rights&lock.H != 0) {
			o.lost = true
		} else {
			s.gone(n)
		}
	}
	clear(s.smb.opening)
	clear(s.smb.locking)
	s.smb.owed = nil
	s.mu.Lock()
	s.smb.broken = nil
	s.mu.Unlock()
}

// crashed is the gateway's death, and perhaps smbd's: who waits is not remembered.
func (s *sim) crashed() {
	for _, r := range s.smb.opening {
		s.unsure(r)
	}
	for _, r := range s.smb.locking {
		if o := s.smb.opens[r.open]; o != nil {
			o.unsure = true
		}
	}
	for _, b := range s.smb.owed {
		s.unsureLease(simKey{b.Client, b.LeaseKey})
	}
	for k, l := range s.smb.leases {
		if l.forced {
			s.unsureLease(k)
		}
	}
	for _, o := range s.smb.opens {
		o.unsure = o.unsure || o.lost // it may have given way to what was asked last
	}
	clear(s.smb.locking)
	clear(s.smb.doing)
	s.smb.under, s.smb.owed, s.smb.broken = nil, nil, nil
	if s.smb.fresh = true; s.rnd.IntN(2) == 0 {
		s.say("smbd dies too")
		s.widowed()
	}
	// Records know no stacks.
	var ranges []simRange
	for _, r := range s.smb.ranges {
		if !s.smb.opens[r.open].lost || !slices.Contains(ranges, r) {
			ranges = append(ranges, r)
		}
	}
	s.smb.ranges = ranges
}

// present is what smbd does when it comes back to the counter: opens with the rights that they have, then ranges.
func (s *sim) present() {
	for _, n := range slices.Sorted(maps.Keys(s.smb.opens)) {
		o := s.smb.opens[n]
		if o.lost {
			continue
		}
		r := o.OpenRequest
		r.Ticket, r.Reclaim, r.Rights = 0, true, 0
		if l := s.smb.leases[keyOf(&r)]; l != nil && r.Kind != lock.NoCache {
			r.Rights = l.rights
		}
		res, err := s.doors[lock.SMB].Open(ctx, r)
		if err != nil || res.Outcome != lock.Granted {
			s.t.Errorf("open %d is not taken back: %v %v", n, res.Outcome, err)
		}
		if o.unsure = false; r.Kind != lock.NoCache {
			s.smb.leases[keyOf(&r)].rights = res.Rights
		}
	}
	for _, r := range s.smb.ranges {
		o := s.smb.opens[r.open]
		if o.lost {
			continue
		}
		res, err := s.doors[lock.SMB].Lock(ctx, lock.LockRequest{Key: o.Key, Owner: o.Owner, Open: o.Open, Offset: r.offset, Length: r.length, Exclusive: r.exclusive, Reclaim: true})
		if err != nil || res.Outcome != lock.Granted {
			s.t.Errorf("range %+v is not taken back: %v %v", r, res.Outcome, err)
		}
	}
}

// snapshot is all that is held, with an entry for each file of the world. Opens that their clients left may have given way to others.
func (s *sim) snapshot() []lock.FileState {
	files := s.m.List(lock.Filter{}).Files
	there := map[uint64]bool{}
	for _, f := range files {
		for _, o := range f.Opens {
			there[o.Open] = true
		}
	}
	for _, n := range slices.Sorted(maps.Keys(s.smb.opens)) {
		switch o := s.smb.opens[n]; {
		case there[n]:
		case o.lost && (o.unsure || !s.smb.fresh):
			s.gone(n)
		default:
			s.t.Errorf("open %d is lost", n)
		}
	}
	return files
}

func needsOf(a lock.Access) (sh lock.Share) {
	if a&lock.Read != 0 {
		sh |= lock.ShareRead
	}
	if a&lock.Write != 0 {
		sh |= lock.ShareWrite
	}
	return sh
}

// checkSMB compares one file's opens, ranges and leases with what was told, and what was told with itself.
func (s *sim) checkSMB(f *lock.FileState) {
	mine := map[uint64]*simOpen{}
	for _, o := range f.Opens {
		x := s.smb.opens[o.Open]
		if x == nil || x.lost != o.Disconnected {
			s.t.Errorf("open %d: held %+v, told %+v", o.Open, o, x)
			return
		}
		mine[o.Open] = x
	}
	count := map[simRange]int{}
	for _, r := range f.Ranges {
		if r.Owner.Client.Door == lock.SMB {
			count[simRange{r.Owner.Handle, r.Offset, r.Length, r.Exclusive}]++
		}
	}
	for _, r := range s.smb.ranges {
		if mine[r.open] == nil {
			continue
		}
		if count[r]--; count[r] < 0 && !mine[r.open].unsure {
			s.t.Errorf("range %+v is lost", r)
		}
	}
	for r, n := range count {
		if n > 0 && !mine[r.open].unsure {
			s.t.Errorf("range %+v is held and was not told", r)
		}
	}
	for _, l := range f.Leases {
		told := s.smb.leases[simKey{l.Client, l.LeaseKey}]
		live := false
		for _, o := range mine {
			live = live || !o.lost && keyOf(&o.OpenRequest) == (simKey{l.Client, l.LeaseKey}) && o.Kind != lock.NoCache
		}
		switch {
		case told == nil:
			s.t.Errorf("lease %v/%v is nobody's", l.Client[0], l.LeaseKey[0])
		case !live:
			continue
		case told.forced:
			told.rights = l.Rights
		case told.rights != l.Rights:
			s.t.Errorf("lease %v/%v has %v, told %v", l.Client[0], l.LeaseKey[0], l.Rights, told.rights)
		}
		if l.Rights&lock.W == 0 {
			continue
		}
		// Who caches writes is alone.
		for n, o := range mine {
			if !o.lost && !o.untold && o.Access != 0 && (o.Kind == lock.NoCache || keyOf(&o.OpenRequest) != simKey{l.Client, l.LeaseKey}) {
				s.t.Errorf("lease %v/%v has %v beside open %d", l.Client[0], l.LeaseKey[0], l.Rights, n)
			}
		}
		for _, r := range f.Ranges {
			if o := mine[r.Owner.Handle]; o == nil || !o.untold && (o.Kind == lock.NoCache || keyOf(&o.OpenRequest) != (simKey{l.Client, l.LeaseKey})) {
				s.t.Errorf("lease %v/%v has %v beside a range of %v", l.Client[0], l.LeaseKey[0], l.Rights, r.Owner)
			}
		}
	}
	for n, a := range mine {
		for k, b := range mine {
			if n != k && !a.lost && !b.lost && !a.untold && !b.untold && a.Access != 0 && b.Access != 0 && needsOf(a.Access)&^b.Share != 0 {
				s.t.Errorf("opens %d and %d exclude each other", n, k)
			}
		}
	}
	s.exclude(f.Ranges)
}

// exclude finds bytes that two hold of whom one is exclusive.
func (s *sim) exclude(list []lock.RangeState) {
	for i, a := range list {
		for _, b := range list[i+1:] {
			smb := a.Owner.Client.Door == lock.SMB || b.Owner.Client.Door == lock.SMB
			if smb && a.Owner != b.Owner && (a.Exclusive || b.Exclusive) && a.Offset < b.Offset+b.Length && b.Offset < a.Offset+a.Length {
				s.t.Error(fmt.Sprint("both are granted: ", a, b))
			}
		}
	}
}
