package lock

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// row is one thing that is held, waits, was said or is on record; a view is all of them, sorted, so that the model's and the table's can
// be compared.
type row [8]uint64

type view []row

var rowNames = []string{"open", "cells", "runs", "smb range", "flock", "lease", "waits", "said", "delete pending", "unlinks", "doing", "count", "range on record", "open on record"}

const (
	rowOpen = iota
	rowCells
	rowRuns
	rowSMB
	rowFlock
	rowLease
	rowWaits
	rowSaid
	rowPending
	rowUnlinks
	rowDoing
	rowCount
	rowRange
	rowRecord
)

func (v *view) add(kind uint64, values ...uint64) {
	r := row{kind}
	copy(r[1:], values)
	*v = append(*v, r)
}

func (v view) sorted() view {
	slices.SortFunc(v, func(a, b row) int { return slices.Compare(a[:], b[:]) })
	return v
}

func (v view) String() string {
	var b strings.Builder
	for _, r := range v {
		fmt.Fprintf(&b, "%s %x\n", rowNames[r[0]], r[1:])
	}
	return b.String()
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// modelClients are those whose ranges are counted.
var modelClients = [...]Client{{Door: NLM, Name: "a"}, {Door: NLM, Name: "b"}, {Door: Local}, {Door: SMB, GUID: GUID{1}}, {Door: SMB, GUID: GUID{2}}}

func clientIndex(c Client) int { return slices.Index(modelClients[:], c) }

func ownerIndex(o Owner) uint64 {
	if o.Client.Door == NLM {
		return uint64(o.Client.Name[0]-'a')*2 + uint64(o.PID)
	}
	return o.Handle - 1e6
}

func (m *model) view(v view) view {
	for i, o := range m.opens {
		v.add(rowOpen, uint64(i), o.id.Seat, o.id.N, bit(o.lost), o.spell, uint64(o.access), uint64(o.share))
		if o.durable {
			rights := Rights(0)
			if o.lease != nil {
				rights = o.lease.rights
			}
			v.add(rowRecord, o.id.N, uint64(rights), bit(o.onClose), bit(m.pending), o.owner.Session)
		}
	}
	for i := range posixOwners {
		var held [8]uint64
		for c := range cells {
			held[m.posix[c][i]&^seam] |= 1 << c
		}
		for mode, bits := range held {
			if mode != 0 && bits != 0 {
				v.add(rowCells, uint64(i), uint64(mode), bits)
			}
		}
		if n := m.runs(i); n > 0 {
			v.add(rowRuns, uint64(i), uint64(n))
		}
		for c := 0; i < 4 && c < cells; c++ {
			from, mode := c, m.posix[c][i]
			for mode != 0 && c+1 < cells && m.posix[c+1][i] == mode {
				c++
			}
			if mode != 0 {
				offset, length := modelRange{from: from, to: c}.request(false)
				v.add(rowRange, uint64(i), 0, offset, length, bit(mode&exclusive != 0))
			}
		}
	}
	var recorded []row
	for _, h := range m.smb {
		offset, length := h.r.request(true)
		v.add(rowSMB, h.open.Seat, h.open.N, offset, length, bit(h.excl))
		if o := m.find(h.open); o != nil && o.durable {
			if r := (row{rowRange, 100, h.open.N, offset, length, bit(h.excl)}); !slices.Contains(recorded, r) {
				recorded = append(recorded, r)
			}
		}
	}
	v = append(v, recorded...)
	for i, mode := range m.flocks {
		if mode != 0 {
			v.add(rowFlock, uint64(i), uint64(mode))
		}
	}
	for _, l := range m.leases {
		if !l.oplock || l.rights != 0 {
			v.add(rowLease, uint64(l.client[0]), uint64(l.key[0]), l.open.N, uint64(l.rights))
		}
	}
	for i, q := range m.line {
		v.add(rowWaits, uint64(i), q.ticket.Seat, q.ticket.N)
	}
	for t, out := range m.said {
		v.add(rowSaid, t.Seat, t.N, uint64(out))
	}
	v.add(rowPending, bit(m.pending))
	v.add(rowUnlinks, uint64(m.unlinks))
	for _, d := range m.doing {
		v.add(rowDoing, d.id.Seat, d.id.N)
	}
	for i := range modelClients {
		v.add(rowCount, uint64(i), uint64(m.ranges(&modelClients[i])))
	}
	return v.sorted()
}

// modelled is the table under test, whose holders answer at once, with what its effects add up to.
type modelled struct {
	Table
	said     map[ID]Answer
	count    [len(modelClients)]int
	perUser  int // the limit of ranges for each client
	unlinks  int
	clocks   []Effect // AwaitClient
	ranges   map[row]RangeRecord
	opened   map[uint64]OpenRecord
	requests map[uint64]OpenRequest // by the open's number: what its door remembers
}

func newModelled() *modelled {
	f := &modelled{Table: Table{Verb: &Verb{}}, said: map[ID]Answer{}, ranges: map[row]RangeRecord{}, opened: map[uint64]OpenRecord{}, requests: map[uint64]OpenRequest{}}
	f.Rules.Full = func(c Client, client, _ int) bool {
		return f.perUser > 0 && f.count[clientIndex(c)]+client >= f.perUser
	}
	return f
}

func recordRow(r *RangeRecord) row {
	who := uint64(100)
	if r.Owner.Client.Door == NLM {
		who = ownerIndex(r.Owner)
	}
	return row{rowRange, who, r.Open, r.Offset, r.Length, bit(r.Exclusive)}
}

// quiet performs effects until there are none: counts and records first, as the counter does, then the holders answer.
func (f *modelled) quiet() {
	for len(f.Effects) > 0 {
		list := slices.Clone(f.Effects)
		f.Effects = f.Effects[:0]
		for i := range list {
			switch e := &list[i]; e.Kind {
			case CountRanges:
				f.count[clientIndex(e.Client)] += e.N
			case PutRange:
				f.ranges[recordRow(&e.Range)] = e.Range
			case DropRange:
				delete(f.ranges, recordRow(&e.Range))
			case PutOpen:
				f.opened[e.Open.Request.Open] = e.Open
			case DropOpen:
				delete(f.opened, e.Open.Request.Open)
			case AwaitClient:
				f.clocks = append(f.clocks, *e)
			case Unlink:
				f.unlinks++
			case Tell:
				if a := e.Event.Answer; a != nil {
					f.said[ID{e.Seat, a.Ticket}] = *a
				}
			}
		}
		for i := range list {
			if b := list[i].Event.Break; b != nil && b.AckRequired {
				a := Ack{Client: b.Client, LeaseKey: b.LeaseKey, Keep: b.To}
				if b.Kind == Oplock {
					a.Open = b.Open
				}
				f.Acknowledge(list[i].Seat, &a)
			}
		}
	}
}

func (f *modelled) view(v view) view {
	for i, o := range f.opens {
		v.add(rowOpen, uint64(i), o.id.Seat, o.id.N, bit(o.lost), o.spell, uint64(o.r.Access), uint64(o.r.Share))
	}
	var runs [posixOwners]uint64
	var held [posixOwners][8]uint64
	for i := range f.posix {
		h := &f.posix[i]
		who, kind := ownerIndex(h.owner), mode(h.exclusive)
		if h.unclaimed {
			kind |= unclaimed
		}
		for c := range cells {
			if h.span.First <= cellFirst(c) && cellEnd(c) <= h.span.Last {
				held[who][kind] |= 1 << c
			}
		}
		runs[who]++
	}
	for i := range posixOwners {
		for mode, bits := range held[i] {
			if bits != 0 {
				v.add(rowCells, uint64(i), uint64(mode), bits)
			}
		}
		if runs[i] > 0 {
			v.add(rowRuns, uint64(i), runs[i])
		}
	}
	for i := range f.smb {
		h := &f.smb[i]
		v.add(rowSMB, h.id.Seat, h.id.N, h.span.First, h.length, bit(h.exclusive))
	}
	for i := range f.flocks {
		v.add(rowFlock, ownerIndex(f.flocks[i].owner)-4, uint64(mode(f.flocks[i].exclusive)))
	}
	for _, l := range f.leases {
		if l.kind != Oplock || l.rights != 0 {
			v.add(rowLease, uint64(l.client[0]), uint64(l.key[0]), l.open.N, uint64(l.rights), bit(l.breaking))
		}
	}
	for i, w := range f.line {
		v.add(rowWaits, uint64(i), w.ticket.Seat, w.ticket.N)
	}
	for t, a := range f.said {
		v.add(rowSaid, t.Seat, t.N, uint64(a.Outcome))
	}
	v.add(rowPending, bit(f.pending))
	v.add(rowUnlinks, uint64(f.unlinks))
	for i := range f.doing {
		v.add(rowDoing, f.doing[i].id.Seat, f.doing[i].id.N)
	}
	for i, n := range f.count {
		v.add(rowCount, uint64(i), uint64(n))
	}
	for r := range f.ranges {
		v = append(v, r)
	}
	for n, o := range f.opened {
		v.add(rowRecord, n, uint64(o.Rights), bit(o.Request.DeleteOnClose), bit(o.Pending), o.Request.Owner.Session)
	}
	return v.sorted()
}

// restart makes a new table of what is on record and lets the doors that live present what they hold, in the order of ipc's ledger. twice:
// SMB's connection breaks when it has presented, and it begins again.
func (f *modelled) restart(seat func(Door) uint64, lives func(Door) bool, twice bool) {
	old := f.Table
	f.Table = Table{Verb: old.Verb}
	f.count, f.clocks, f.unlinks = [len(modelClients)]int{}, nil, 0
	for _, o := range old.opens {
		if o.r.Durable > 0 {
			f.Restore(f.opened[o.id.N])
		}
	}
	records := slices.SortedFunc(maps.Keys(f.ranges), func(a, b row) int { return slices.Compare(a[:], b[:]) })
	for _, r := range records {
		f.RestoreRange(f.ranges[r], "", r[1] < 4)
	}
	f.quiet()
	for _, d := range []Door{NLM, SMB, Local} {
		if !lives(d) {
			continue
		}
		if d == SMB && twice {
			f.present(&old, d, seat(d)+5)
			f.Detach(seat(d) + 5)
			f.quiet()
		}
		f.present(&old, d, seat(d))
		if d == SMB {
			f.Mustered(seat(d))
		}
		f.quiet()
	}
}

func (f *modelled) present(old *Table, d Door, seat uint64) {
	pending := old.pending
	for _, o := range old.opens {
		if o.r.Owner.Client.Door != d || o.lost {
			continue
		}
		r := f.requests[o.id.N]
		r.Reclaim, r.Overwrite, r.Rights, r.Durable, r.Kind = true, false, 0, o.r.Durable, o.r.Kind
		if o.lease != nil {
			r.Rights, r.Epoch = o.lease.rights, o.lease.epoch
		}
		f.Present(ID{seat, o.id.N}, &r, false)
		if d == SMB && pending {
			f.Disposition(ID{seat, o.id.N}, true)
			pending = false
		}
	}
	for i := range old.smb {
		if h := &old.smb[i]; d == SMB && !old.open(h.id).lost {
			f.PresentRange(seat, &LockRequest{Owner: h.owner, Open: h.id.N, Offset: h.span.First, Length: h.length, Exclusive: h.exclusive, Reclaim: true}, false)
		}
	}
	for space, set := range [][]held{old.posix, old.flocks} {
		for i := range set {
			if h := &set[i]; d == Local && h.owner.Client.Door == Local {
				f.PresentRange(seat, &LockRequest{Owner: h.owner, Offset: h.span.First, Length: h.length, Exclusive: h.exclusive, Flock: space == 1}, false)
			}
		}
	}
	f.quiet()
}
