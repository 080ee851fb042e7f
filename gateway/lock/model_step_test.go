package lock

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawer draws the next choice; the generators are made once.
type drawer struct {
	t *rapid.T
}

var upTo [64]*rapid.Generator[int]

func init() {
	for i := range upTo {
		upTo[i] = rapid.IntRange(0, i)
	}
}

func (d drawer) pick(name string, n int) int   { return upTo[n-1].Draw(d.t, name) }
func (d drawer) once(name string, in int) bool { return d.pick(name, in) == 0 }

// stepped is what was asked, and what the table and the model said to it.
type stepped struct {
	what      func() string
	got, want uint64
}

func said(what func() string, got, want Outcome) *stepped {
	return &stepped{what, uint64(got), uint64(want)}
}

func (d drawer) ranged() modelRange {
	from := d.pick("from", cells)
	return modelRange{from: from, to: from + d.pick("len", cells-from)}
}

// of picks one of the opens that fit; nil: there is none.
func (d drawer) of(m *model, fits func(*modelOpen) bool) *modelOpen {
	var list []*modelOpen
	for _, o := range m.opens {
		if fits(o) {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[d.pick("open", len(list))]
}

// answered is an outcome, or the one that came at once by event.
func (f *modelled) answered(ticket ID, out Outcome) Outcome {
	f.quiet()
	if a, ok := f.said[ticket]; ok && out == Blocked {
		delete(f.said, ticket)
		return a.Outcome
	}
	return out
}

func (d drawer) open(f *modelled, m *model, n uint64) *stepped {
	o := &modelOpen{share: ShareAll}
	r := OpenRequest{Open: n, Directory: m.dir}
	choose := func(list ...Access) { o.access = list[d.pick("access", len(list))] }
	switch who := d.pick("client", 10); {
	case who == 0:
		o.owner = Owner{Client: Client{Door: Local}, Handle: n}
		if choose(Read, Read|Write, Read|Execute); m.dir {
			o.access = Read
		}
	case who == 1 && !m.dir:
		o.owner = Owner{Client: modelClients[0], PID: 7, OH: "share"}
		choose(Read, Write, Read|Write)
	default:
		o.owner = Owner{Client: modelClients[3+who%2], Session: n, Handle: n}
		if choose(Read, Read|Delete, 0, Other, Inspect, Read|Write, Write, Stream); m.dir {
			o.access &^= Write | Stream
		}
		r.Overwrite = o.access&Write != 0 && d.once("overwrite", 4)
		r.DeleteOnClose = d.once("delete on close", 8)
		if r.Durable = time.Minute * time.Duration(d.pick("durable", 2)); r.Durable > 0 && d.once("version 2", 2) {
			r.CreateGuid = GUID{byte(n), 9}
		}
		if k := d.pick("cache", 5); k > 0 {
			r.Kind, r.Rights = []CacheKind{LeaseV2, LeaseV1, LeaseV2, Oplock}[k-1], Rights(d.pick("rights", 8))
			if r.Kind != Oplock {
				r.LeaseKey = GUID{byte(k%2 + 1)}
				if r.Kind = LeaseV2; k == 2 {
					r.Kind = LeaseV1
				}
			}
		}
	}
	door := o.door()
	if s := d.pick("share", 12); s < 8 && door != Local {
		o.share = Share(s)
	}
	o.id = ID{m.seat[door], n}
	ticket := ID{m.seat[door], n}
	if d.once("no ticket", 8) {
		ticket = ID{}
	}
	r.Owner, r.Access, r.Share = o.owner, o.access, o.share
	o.kind, o.key, o.guid, o.durable, o.onClose, o.replaces = r.Kind, r.LeaseKey, r.CreateGuid, r.Durable > 0, r.DeleteOnClose, r.Overwrite
	f.requests[n] = r
	asked := *o
	res := f.Open(o.id, ticket, &r)
	f.quiet()
	if a, ok := f.said[ticket]; ok && res.Outcome == Blocked {
		delete(f.said, ticket)
		res.Outcome, res.Rights = a.Outcome, a.Rights
	}
	if res.Outcome != Granted {
		res.Rights = 0
	}
	out := m.ask(&modelWait{ticket: ticket, turn: f.Turn, open: o, want: r.Rights, owner: o.owner})
	rights := m.rights
	if out != Granted {
		rights = 0
	}
	return &stepped{func() string {
		return fmt.Sprintf("open %v access %d share %d kind %d key %d durable %v guid %v on close %v overwrites %v wants %v, ticket %v", asked.owner, asked.access, asked.share, asked.kind, asked.key[0], asked.durable, !asked.guid.IsZero(), asked.onClose, asked.replaces, r.Rights, ticket)
	},
		uint64(res.Outcome) | uint64(res.Rights)<<8, uint64(out) | uint64(rights)<<8}
}

func (d drawer) close(f *modelled, m *model) *stepped {
	o := d.of(m, func(o *modelOpen) bool { return !o.lost })
	if o == nil {
		return nil
	}
	keep := d.once("keep", 2)
	res := f.Close(o.id, keep)
	f.quiet()
	remove := m.close(o, keep)
	m.settle()
	return &stepped{func() string { return fmt.Sprintf("close %v keep %v", o.id, keep) },
		uint64(res.Outcome) | bit(res.Delete)<<8, uint64(Granted) | bit(remove)<<8}
}

// lock draws a range and its owner, and asks for it, frees it or reclaims it.
func (d drawer) lock(f *modelled, m *model, n uint64, unlock, reclaim bool) *stepped {
	q := &modelWait{turn: f.Turn, r: d.ranged(), excl: d.once("exclusive", 2)}
	door := Local
	switch who := d.pick("door", 8); {
	case reclaim || who < 3:
		q.who = d.pick("owner", 4)
		q.owner, door = posixOwner(q.who), NLM
	case who == 3:
		q.who = 4 + d.pick("owner", 2)
		q.owner = posixOwner(q.who)
	case who == 4:
		q.who = d.pick("owner", flockOwners)
		q.owner, q.flock, q.r = flockOwner(q.who), true, modelRange{to: cells - 1}
	default:
		o := d.of(m, func(o *modelOpen) bool { return o.door() == SMB && !o.lost })
		if o == nil {
			return nil
		}
		q.under, q.owner, door = o.id, o.owner, SMB
		if q.r.none = d.once("zero", 6); q.r.none {
			q.r.to = q.r.from
		} else if q.r.from == 0 && q.r.to == cells-1 {
			q.r.to--
		}
	}
	if unlock && door == SMB && len(m.smb) > 0 && !d.once("inexact", 3) {
		h := m.smb[d.pick("held", len(m.smb))]
		if o := m.find(h.open); !o.lost {
			q.under, q.owner, q.r = h.open, o.owner, h.r
		}
	}
	r := LockRequest{Owner: q.owner, Open: q.under.N, Exclusive: q.excl, Flock: q.flock}
	r.Offset, r.Length = q.r.request(door == SMB)
	what := func(verb string) func() string {
		return func() string {
			return fmt.Sprintf("%s %v under %v: %+v exclusive %v flock %v try %v ticket %v", verb, q.owner, q.under, q.r, q.excl, q.flock, q.try, q.ticket)
		}
	}
	switch {
	case reclaim:
		// Who reclaims asks for what is on record, now and then under another process number.
		if d.once("as recorded", 2) {
			return nil
		}
		out, ambiguous := Outcome(0), false
		if out, ambiguous = m.reclaim(q); ambiguous {
			return nil
		}
		got := f.Reclaim(&r)
		f.quiet()
		return said(what("reclaim"), got, out)
	case unlock:
		out := f.Unlock(m.seat[door], &r).Outcome
		f.quiet()
		return said(what("unlock"), out, m.unlock(q))
	}
	if door == NLM && m.grace() {
		// The counter refuses it, unless it is held.
		if got, want := f.Holds(&r), m.holdsAll(q); !want || got != want {
			return &stepped{what("is held"), bit(got), bit(want)}
		}
	}
	if !d.once("no ticket", 8) {
		q.ticket, q.try = ID{m.seat[door], n}, d.once("try", 3)
	}
	r.Ticket, r.Try = q.ticket.N, q.try
	out := f.answered(q.ticket, f.Lock(m.seat[door], q.ticket, &r).Outcome)
	return said(what("lock"), out, m.ask(q))
}

func (m *model) grace() bool {
	for c := range cells {
		for _, mode := range m.posix[c] {
			if mode&unclaimed != 0 {
				return true
			}
		}
	}
	return false
}

func (d drawer) access(f *modelled, m *model, n uint64) *stepped {
	op := &modelOp{r: modelRange{from: 1, to: 0}}
	r := AccessRequest{ID: n}
	r.Owner.Client = []Client{{Door: NFS}, {Door: Local}, modelClients[3]}[d.pick("door", 3)]
	var under *modelOpen
	if d.once("under", 2) {
		under = d.of(m, func(o *modelOpen) bool { return !o.lost && o.door() != NLM })
	}
	choose := func(list ...Op) { r.Op = list[d.pick("op", len(list))] }
	switch {
	case under != nil && m.dir:
		r.Op = OpSetAttr
	case under != nil && under.door() == SMB:
		choose(OpRead, OpWrite, OpSetSize, OpSetAttr, OpRename, OpLink, OpDelete)
	case under != nil:
		choose(OpRead, OpWrite, OpSetSize, OpSetAttr)
	case r.Owner.Client.Door == SMB && m.dir:
		choose(OpRemove, OpChangeDir)
	case r.Owner.Client.Door == SMB:
		r.Op = OpRemove
	case m.dir:
		choose(OpSetAttr, OpRemove, OpRename, OpChangeDir)
	default:
		choose(OpRead, OpWrite, OpSetSize, OpSetAttr, OpRemove, OpRename, OpLink)
	}
	if under != nil {
		r.Owner, r.Open = under.owner, under.id.N
		op.open = under.id
	}
	door := r.Owner.Client.Door
	op.door, op.op, op.id = door, r.Op, ID{m.seat[door], n}
	switch r.Op {
	case OpRead, OpWrite, OpSetSize:
		if r.Op == OpSetSize || !d.once("nothing", 8) {
			if op.r = d.ranged(); op.r.from == 0 && op.r.to == cells-1 {
				op.r.to--
			}
			r.Offset, r.Length = op.r.request(true)
		}
	case OpChangeDir:
		if op.r.none = door == SMB && d.once("own parent", 2); op.r.none {
			r.ParentKey = GUID{1}
		}
	}
	ticket := ID{m.seat[door], n}
	if d.once("no ticket", 8) {
		ticket = ID{}
	}
	out := f.answered(ticket, f.Access(op.id, ticket, &r).Outcome)
	want := m.ask(&modelWait{ticket: ticket, turn: f.Turn, op: op, owner: r.Owner})
	if op.open == (ID{}) || !d.once("goes on", 3) {
		m.done(f, op.id)
	}
	return said(func() string { return fmt.Sprintf("%v %+v, ticket %v", door, *op, ticket) }, out, want)
}

// done ends an operation for both.
func (m *model) done(f *modelled, id ID) {
	f.Done(id)
	f.quiet()
	m.doing = slices.DeleteFunc(m.doing, func(x *modelOp) bool { return x.id == id })
	m.settle()
}

// reconnect is a client that comes back for an open that it lost, or somebody who is not that client.
func (d drawer) reconnect(f *modelled, m *model, n uint64) *stepped {
	o := d.of(m, func(o *modelOpen) bool { return o.lost })
	if o == nil {
		return nil
	}
	owner := Owner{Client: o.owner.Client, Session: n, Handle: o.id.N}
	r := ReconnectRequest{Open: o.id.N, Owner: owner, V2: !o.guid.IsZero(), CreateGuid: o.guid, Lease: o.kind != Oplock, LeaseKey: o.key, Key: f.Key}
	want := Granted
	switch who := d.pick("who", 8); {
	case who == 0 && r.Lease:
		r.Owner.Client.GUID, want = GUID{3}, Stale
	case who == 1:
		r.V2, r.CreateGuid, want = true, GUID{0xff}, Stale
	case who == 2:
		r.User, want = "another", Denied
	case who == 3 && r.Lease:
		r.Key, want = Key{Ino: 99}, Invalid
	case who == 4:
		r.Lease, want = !r.Lease, Stale
	}
	if !o.outlives() {
		want = Stale
	}
	id := ID{m.seat[SMB], o.id.N}
	res := f.Reconnect(id, &r)
	f.quiet()
	rights := Rights(0)
	if want == Granted {
		old := o.id
		o.id, o.owner, o.lost = id, r.Owner, false
		for i := range m.smb {
			if m.smb[i].open == old {
				m.smb[i].open = id
			}
		}
		if o.lease != nil {
			if rights = o.lease.rights; o.lease.oplock {
				o.lease.open = id
			}
		}
		was := f.requests[old.N]
		was.Owner = r.Owner
		f.requests[old.N] = was
		m.settle()
	}
	return &stepped{func() string { return fmt.Sprintf("reconnect %v as %v of %v", o.id, id, r.Owner) },
		uint64(res.Outcome) | uint64(res.Open.Rights)<<8, uint64(want) | uint64(rights)<<8}
}

// clock is the word that a client did not come back in time, perhaps one that is out of date.
func (d drawer) clock(f *modelled, m *model) *stepped {
	if len(f.clocks) == 0 {
		return nil
	}
	e := f.clocks[len(f.clocks)-1-d.pick("clock", min(3, len(f.clocks)))]
	f.ClientTimeout(e.ID, e.Spell)
	f.quiet()
	if o := m.find(e.ID); o != nil && o.lost && o.spell == e.Spell {
		m.die(o)
	}
	m.settle()
	return said(func() string { return fmt.Sprintf("clock of %v, spell %d", e.ID, e.Spell) }, 0, 0)
}

func (d drawer) disposition(f *modelled, m *model) *stepped {
	o := d.of(m, func(o *modelOpen) bool { return o.door() == SMB && !o.lost })
	if o == nil {
		return nil
	}
	pending := !d.once("back", 3)
	got := f.Disposition(o.id, pending)
	f.quiet()
	m.pending = pending
	m.settle()
	return said(func() string { return fmt.Sprintf("disposition %v of %v", pending, o.id) }, got, Granted)
}

// end is a ticket that is withdrawn, a client that goes, a door that dies, a gateway that dies, or grace that ends.
func (d drawer) end(f *modelled, m *model) *stepped {
	switch verb := d.pick("end", 10); {
	case verb < 5:
		if len(m.line) == 0 {
			return nil
		}
		q := m.line[d.pick("waiter", len(m.line))]
		got := f.Cancel(q.ticket)
		f.quiet()
		m.drop(func(x *modelWait) bool { return x == q }, false)
		m.settle()
		return &stepped{func() string { return fmt.Sprint("cancel ", q.ticket) }, bit(got), 1}
	case verb < 7:
		c := modelClients[[]int{0, 1, 3, 4}[d.pick("client", 4)]]
		f.Forget(c)
		f.settle()
		f.quiet()
		m.forget(c)
		return said(func() string { return fmt.Sprint("forget ", c) }, 0, 0)
	case verb == 7:
		door := []Door{SMB, Local}[d.pick("door", 2)]
		f.Detach(m.seat[door])
		f.quiet()
		m.detach(door)
		return said(func() string { return fmt.Sprint("death of ", door) }, 0, 0)
	case verb == 8:
		smb, local := d.once("smb lives", 2), d.once("local lives", 2)
		lives := func(door Door) bool { return door == NLM || door == SMB && smb || door == Local && local }
		// A connection that breaks takes delete pending files with it.
		twice := smb && d.once("twice", 2) && !m.pending && !slices.ContainsFunc(m.opens, func(o *modelOpen) bool { return o.onClose || o.durable && !o.outlives() })
		m.restart(lives)
		if twice {
			for _, o := range m.opens {
				if o.durable && !o.lost {
					o.spell++
				}
			}
		}
		f.restart(func(door Door) uint64 { return m.seat[door] }, lives, twice)
		m.settle()
		return said(func() string {
			return fmt.Sprintf("restart; smb lives %v, local lives %v, twice %v", smb, local, twice)
		}, 0, 0)
	}
	f.DropUnclaimed()
	f.quiet()
	m.clearCells(func(_ int, mode byte) bool { return mode&unclaimed != 0 })
	m.settle()
	return said(func() string { return "grace ends" }, 0, 0)
}

// step draws one request and puts it to both; nil: there was nothing that it could be about.
func (d drawer) step(f *modelled, m *model, n uint64) *stepped {
	f.Turn++
	clear(f.said)
	clear(m.said)
	verb := d.pick("verb", 24)
	if m.dir && (verb >= 7 && verb < 13) {
		verb = 13
	}
	switch {
	case verb < 5:
		return d.open(f, m, n)
	case verb < 7:
		return d.close(f, m)
	case verb < 11:
		return d.lock(f, m, n, false, false)
	case verb < 13:
		return d.lock(f, m, n, true, false)
	case verb < 16:
		return d.access(f, m, n)
	case verb == 16:
		if len(m.doing) == 0 {
			return nil
		}
		id := m.doing[d.pick("op", len(m.doing))].id
		m.done(f, id)
		return said(func() string { return fmt.Sprint("done ", id) }, 0, 0)
	case verb == 17:
		return d.disposition(f, m)
	case verb == 18:
		return d.clock(f, m)
	case verb < 21:
		return d.reconnect(f, m, n)
	case verb < 23:
		return d.end(f, m)
	}
	if m.dir || !m.grace() {
		return nil
	}
	return d.lock(f, m, n, false, true)
}

// Whatever is asked in whatever order, by NLM, SMB, local and flock owners and by NFS, through deaths and restarts: every answer, every
// holder of every byte, every lease, the line and what is on record are the model's. DITTOFS_MODEL is the number of sequences, new ones in
// each run; without it the same 20,000 are run again.
func TestModel(t *testing.T) {
	count := os.Getenv("DITTOFS_MODEL")
	if seed := flag.Lookup("rapid.seed"); count == "" {
		count = "20000"
		if old := seed.Value.String(); old == "0" {
			defer seed.Value.Set(old)
			seed.Value.Set("1")
		}
	}
	checks := flag.Lookup("rapid.checks")
	old := checks.Value.String()
	defer checks.Value.Set(old)
	checks.Value.Set(count)
	var is, want view
	rapid.Check(t, func(t *rapid.T) {
		d, f, m := drawer{t}, newModelled(), &model{said: map[ID]Outcome{}}
		for door := range m.seat {
			m.seat[door] = uint64(10 + door)
		}
		m.dir = d.once("directory", 8)
		f.Rules.UnlinkUnix, f.Rules.ReadUnix = d.once("unlink_open", 2), d.once("brl_read", 2)
		f.Rules.RangesPerFile, f.Rules.WaitersPerFile, f.perUser = []int{0, 0, 5}[d.pick("per file", 3)], []int{0, 0, 2}[d.pick("waiters", 3)], []int{0, 0, 3}[d.pick("per client", 3)]
		m.rules.unlinkUnix, m.rules.readUnix = f.Rules.UnlinkUnix, f.Rules.ReadUnix
		m.rules.perFile, m.rules.queue, m.rules.perClient = f.Rules.RangesPerFile, f.Rules.WaitersPerFile, f.perUser
		var script []*stepped
		for n := range uint64(50) {
			s := d.step(f, m, n+1)
			if s == nil {
				continue
			}
			script = append(script, s)
			is, want = f.view(is[:0]), m.view(want[:0])
			if s.got != s.want || !slices.Equal(is, want) {
				var b strings.Builder
				for _, s := range script {
					fmt.Fprintln(&b, s.what())
				}
				t.Fatalf("%ssaid %x, want %x\n--- is, and should not be\n%s--- is not, and should be\n%s", b.String(), s.got, s.want, is.without(want), want.without(is))
			}
		}
	})
}

func (v view) without(w view) (list view) {
	for _, r := range v {
		if !slices.Contains(w, r) {
			list = append(list, r)
		}
	}
	return list
}
