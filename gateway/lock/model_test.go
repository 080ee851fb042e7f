package lock

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The model is the law said once more, as slowly as possible: who holds each cell of the file, lists of opens, and rights by lease key.
// Holders answer every break at once, so that nothing is ever between two states.
//
// A file is thirteen cells: eight single bytes, the long middle, and the last four bytes of 2^64.
const cells = 13

func cellFirst(c int) uint64 {
	if c <= 8 {
		return uint64(c)
	}
	return ^uint64(0) - uint64(cells-1-c)
}

func cellEnd(c int) uint64 { // of a span up to and with c
	if c == cells-1 {
		return ^uint64(0)
	}
	return cellFirst(c+1) - 1
}

// modelRange is cells from to to; none: SMB's zero-byte lock before cell from.
type modelRange struct {
	from, to int
	none     bool
}

// meets: a zero-byte lock meets only what it lies strictly inside of.
func (a modelRange) meets(b modelRange) bool {
	switch {
	case a.none && b.none:
		return false
	case a.none:
		return b.from < a.from && a.from <= b.to
	case b.none:
		return b.meets(a)
	}
	return a.from <= b.to && b.from <= a.to
}

func (a modelRange) request(smb bool) (offset, length uint64) {
	offset = cellFirst(a.from)
	switch {
	case a.none:
		return offset, 0
	case a.to == cells-1 && !smb:
		return offset, 0
	}
	return offset, cellEnd(a.to) - offset + 1
}

type modelOpen struct {
	n      uint64
	owner  Owner
	access Access
	share  Share
	lease  string // client and key; empty: none
}

type modelHeld struct {
	open  uint64
	owner Owner
	r     modelRange
	excl  bool
}

type modelWait struct {
	ticket uint64
	modelHeld
	flock bool
}

type model struct {
	opens  []modelOpen
	posix  [cells]map[Owner]bool // true: exclusive
	smb    []modelHeld
	flocks map[Owner]bool
	leases map[string]Rights
	line   []modelWait
	said   map[uint64]Outcome // tickets that were answered
}

func newModel() *model {
	m := &model{flocks: map[Owner]bool{}, leases: map[string]Rights{}, said: map[uint64]Outcome{}}
	for i := range m.posix {
		m.posix[i] = map[Owner]bool{}
	}
	return m
}

func (m *model) open(n uint64) *modelOpen {
	for i := range m.opens {
		if m.opens[i].n == n && n != 0 {
			return &m.opens[i]
		}
	}
	return nil
}

func (m *model) leaseOf(n uint64) string {
	if o := m.open(n); o != nil {
		return o.lease
	}
	return ""
}

// leave cuts every lease but own down to what is left of it: without R there is nothing.
func (m *model) leave(own string, left Rights) {
	for k, r := range m.leases {
		if k != own || own == "" {
			if r &= left; r&R == 0 {
				r = 0
			}
			m.leases[k] = r
		}
	}
}

// inTheWay are the owners whose ranges conflict with q; own says that q's own SMB ranges do so too.
func (m *model) inTheWay(q *modelWait) (list []Owner, own bool) {
	if q.flock {
		for o, excl := range m.flocks {
			if o != q.owner && (excl || q.excl) {
				list = append(list, o)
			}
		}
		return list, false
	}
	isSMB := q.owner.Client.Door == SMB
	for c := range m.posix {
		for o, excl := range m.posix[c] {
			inside := q.r.from <= c && c <= q.r.to
			if q.r.none {
				before, held := false, false
				if c > 0 {
					before, held = m.posix[c-1][o]
				}
				inside = c == q.r.from && held && before == excl // in the middle of one range
			}
			if o != q.owner && (excl || q.excl) && inside {
				list = append(list, o)
			}
		}
	}
	for _, h := range m.smb {
		switch {
		case !h.r.meets(q.r):
		case isSMB && h.open == q.open:
			own = own || q.excl // an exclusive lock conflicts with its own open's, a shared one stacks
		case h.excl || q.excl:
			list = append(list, h.owner)
		}
	}
	return list, own
}

func (m *model) holdsAll(q *modelWait) bool {
	if q.owner.Client.Door == SMB || q.flock {
		return false
	}
	for c := q.r.from; c <= q.r.to; c++ {
		if excl, ok := m.posix[c][q.owner]; !ok || q.excl && !excl {
			return false
		}
	}
	return true
}

// mayGo: no range conflicts, and nobody who came earlier waits for a conflicting one, unless that one waits for q itself.
func (m *model) mayGo(q *modelWait, ahead []modelWait, polite bool) bool {
	if list, own := m.inTheWay(q); len(list) > 0 || own {
		return false
	}
	if q.flock || !polite || m.holdsAll(q) {
		return true
	}
	for i := range ahead {
		x := &ahead[i]
		if x.flock || x.owner == q.owner || !x.excl && !q.excl || !x.r.meets(q.r) {
			continue
		}
		if list, _ := m.inTheWay(x); !slices.Contains(list, q.owner) {
			return false
		}
	}
	return true
}

func (m *model) take(q *modelWait) {
	switch {
	case q.flock:
		m.flocks[q.owner] = q.excl
		return
	case q.owner.Client.Door == SMB:
		m.smb = append(m.smb, q.modelHeld)
	default:
		for c := q.r.from; c <= q.r.to; c++ {
			m.posix[c][q.owner] = q.excl
		}
	}
	m.leave(m.leaseOf(q.open), 0)
}

func (m *model) settle() {
	for again := true; again; {
		again = false
		for i := range m.line {
			if q := m.line[i]; m.mayGo(&q, m.line[:i], true) {
				m.line = slices.Delete(m.line, i, i+1)
				m.take(&q)
				m.said[q.ticket] = Granted
				again = true
				break
			}
		}
	}
}

func (m *model) lock(q modelWait, try bool) Outcome {
	repeated := slices.IndexFunc(m.line, func(x modelWait) bool {
		return q.owner.Client.Door == NLM && x.owner == q.owner && x.r == q.r
	})
	if m.mayGo(&q, m.line, !try) {
		if repeated >= 0 {
			m.said[m.line[repeated].ticket] = Cancelled
			m.line = slices.Delete(m.line, repeated, repeated+1)
		}
		m.take(&q)
		return Granted
	}
	if try {
		return Denied
	}
	if repeated >= 0 { // a repeated request keeps its place
		m.said[m.line[repeated].ticket] = Cancelled
		m.line[repeated] = q
	} else {
		m.line = append(m.line, q)
	}
	return Blocked
}

func (m *model) unlock(q modelWait) Outcome {
	switch {
	case q.flock:
		delete(m.flocks, q.owner)
	case q.owner.Client.Door == SMB:
		at := -1
		for i, h := range m.smb {
			if h.open == q.open && h.r == q.r && (at < 0 || h.excl && !m.smb[at].excl) {
				at = i
			}
		}
		if at < 0 {
			return NotLocked
		}
		m.smb = slices.Delete(m.smb, at, at+1)
	default:
		for c := q.r.from; c <= q.r.to; c++ {
			delete(m.posix[c], q.owner)
		}
	}
	return Granted
}

func clash(a Access, sa Share, b Access, sb Share) bool {
	for _, x := range [][2]uint8{{uint8(Read), uint8(ShareRead)}, {uint8(Write), uint8(ShareWrite)}, {uint8(Delete), uint8(ShareDelete)}} {
		if a&Access(x[0]) != 0 && sb&Share(x[1]) == 0 || b&Access(x[0]) != 0 && sa&Share(x[1]) == 0 {
			return true
		}
	}
	return false
}

// sharing denies where an open clashes. Cached handles are called back first, in the order of the opens, up to one that has none.
func (m *model) sharing(own string, clashes func(modelOpen) bool) Outcome {
	out := Granted
	back := map[string]bool{}
	for _, o := range m.opens {
		if !clashes(o) {
			continue
		}
		out = SharingDenied
		switch r := m.leases[o.lease]; {
		case o.lease != "" && o.lease != own && (r&H != 0 || back[o.lease]):
			m.leases[o.lease], back[o.lease] = r&^H, true
			continue
		}
		break
	}
	return out
}

func (m *model) opening(o modelOpen, want Rights, overwrite bool) (Outcome, Rights) {
	local := func(o modelOpen) bool { return o.owner.Client.Door == Local }
	if out := m.sharing(o.lease, func(x modelOpen) bool {
		return o.access != 0 && x.access != 0 && !(local(o) && local(x)) && clash(o.access, o.share, x.access, x.share)
	}); out != Granted {
		return out, 0
	}
	switch {
	case overwrite || local(o) && o.access&Write != 0:
		m.leave(o.lease, 0)
	case o.access != 0:
		m.leave(o.lease, R|H)
	}
	m.opens = append(m.opens, o)
	if o.lease == "" {
		return Granted, 0
	}
	may := R | W | H
	for _, x := range m.opens[:len(m.opens)-1] {
		switch {
		case x.lease == o.lease || x.access == 0:
		case local(x) && x.access&Write != 0:
			may = 0
		default:
			may &^= W
		}
	}
	for k, r := range m.leases {
		if k != o.lease && r&W != 0 {
			may = 0
		}
	}
	for _, h := range m.smb {
		if m.leaseOf(h.open) != o.lease {
			may = 0
		}
	}
	for c := range m.posix {
		for _, excl := range m.posix[c] {
			may &= R
			if excl {
				may = 0
			}
		}
	}
	if len(m.flocks) > 0 {
		may &= R
	}
	for _, q := range m.line {
		if !q.flock && m.leaseOf(q.open) != o.lease {
			may = 0
		}
	}
	legalize := func(r Rights) Rights {
		if r&R == 0 {
			return 0
		}
		return r
	}
	want = legalize(want)
	may = legalize(want & may)
	if have, there := m.leases[o.lease]; !there || may == want && have&^may == 0 {
		m.leases[o.lease] = may
	}
	return Granted, m.leases[o.lease]
}

func (m *model) closing(n uint64) {
	key := m.leaseOf(n)
	m.opens = slices.DeleteFunc(m.opens, func(o modelOpen) bool { return o.n == n })
	m.smb = slices.DeleteFunc(m.smb, func(h modelHeld) bool { return h.open == n })
	m.line = slices.DeleteFunc(m.line, func(q modelWait) bool {
		if q.open == n {
			m.said[q.ticket] = Cancelled
		}
		return q.open == n
	})
	if !slices.ContainsFunc(m.opens, func(o modelOpen) bool { return o.lease == key }) {
		delete(m.leases, key)
	}
}

func (m *model) io(door Door, under uint64, op Op, r modelRange) Outcome {
	own := m.leaseOf(under)
	needs := map[Op]Access{OpRead: Read, OpWrite: Write, OpSetSize: Write, OpRemove: Delete, OpRename: Delete}[op]
	if under == 0 {
		if out := m.sharing("", func(o modelOpen) bool {
			return o.access != 0 && !(door == Local && o.owner.Client.Door == Local) && clash(needs, ShareAll, 0, o.share)
		}); out != Granted {
			return out
		}
	}
	if op == OpRead || op == OpWrite || op == OpSetSize {
		write := op != OpRead
		for _, h := range m.smb {
			if h.r.meets(r) && (write || h.excl) && !(h.excl && h.open == under && under != 0) {
				return Denied
			}
		}
		for c := r.from; door == SMB && c <= r.to; c++ {
			for _, excl := range m.posix[c] {
				if excl || write {
					return Denied
				}
			}
		}
	}
	switch op {
	case OpWrite, OpSetSize, OpRemove:
		m.leave(own, 0)
	case OpRename:
		m.leave(own, R|W)
	case OpRead:
		m.leave(own, R|H)
	case OpSetAttr:
		if door != SMB {
			m.leave(own, R|H)
		}
	}
	return Granted
}

func (m *model) forget(c Client) {
	for i := range m.posix {
		for o := range m.posix[i] {
			if o.Client == c {
				delete(m.posix[i], o)
			}
		}
	}
	m.line = slices.DeleteFunc(m.line, func(q modelWait) bool {
		if q.owner.Client == c {
			m.said[q.ticket] = Cancelled
		}
		return q.owner.Client == c
	})
}

// String is everything that is held, one thing a line.
func (m *model) String() string {
	var out []string
	for _, o := range m.opens {
		out = append(out, fmt.Sprint("open ", o.n))
	}
	for c := range m.posix {
		for o, excl := range m.posix[c] {
			out = append(out, fmt.Sprint("cell ", c, " ", o, " ", excl))
		}
	}
	for _, h := range m.smb {
		o, l := h.r.request(true)
		out = append(out, fmt.Sprint("smb ", h.owner, " ", o, "+", l, " ", h.excl))
	}
	for o, excl := range m.flocks {
		out = append(out, fmt.Sprint("flock ", o, " ", excl))
	}
	for k, r := range m.leases {
		out = append(out, fmt.Sprint("lease ", k, " ", r))
	}
	sort.Strings(out)
	for _, q := range m.line {
		out = append(out, fmt.Sprint("waits ", q.ticket))
	}
	for t, o := range m.said {
		out = append(out, fmt.Sprint("said ", t, " ", o))
	}
	sort.Strings(out[len(out)-len(m.said):])
	return strings.Join(out, "\n")
}

// modelled is the table under test, whose holders answer at once.
type modelled struct {
	Table
	said   map[uint64]Answer
	ranges map[string]int // what CountRanges has said, by client
}

func (f *modelled) quiet() {
	for len(f.Effects) > 0 {
		list := slices.Clone(f.Effects)
		f.Effects = f.Effects[:0]
		for _, e := range list {
			switch {
			case e.Kind == CountRanges:
				f.ranges[e.Client.String()] += e.N
			case e.Kind == Tell && e.Event.Answer != nil:
				f.said[e.Event.Answer.Ticket] = *e.Event.Answer
			case e.Kind == Tell && e.Event.Break != nil && e.Event.Break.AckRequired:
				b := e.Event.Break
				f.Acknowledge(1, &Ack{Client: b.Client, LeaseKey: b.LeaseKey, Keep: b.To})
			}
		}
	}
}

func (f *modelled) String() string {
	var out []string
	st := f.State()
	for _, o := range st.Opens {
		out = append(out, fmt.Sprint("open ", o.Open))
	}
	for _, r := range st.Ranges {
		switch {
		case r.Flock:
			out = append(out, fmt.Sprint("flock ", r.Owner, " ", r.Exclusive))
		case r.Owner.Client.Door == SMB:
			out = append(out, fmt.Sprint("smb ", r.Owner, " ", r.Offset, "+", r.Length, " ", r.Exclusive))
		default:
			for c := range cells {
				if r.Offset <= cellFirst(c) && (r.Length == 0 || cellEnd(c) <= r.Offset+(r.Length-1)) {
					out = append(out, fmt.Sprint("cell ", c, " ", r.Owner, " ", r.Exclusive))
				}
			}
		}
	}
	for _, l := range st.Leases {
		s := fmt.Sprint("lease ", leaseName(l.Client, l.LeaseKey), " ", l.Rights)
		if l.Breaking {
			s += " breaking"
		}
		out = append(out, s)
	}
	sort.Strings(out)
	for _, w := range st.Waiters {
		out = append(out, fmt.Sprint("waits ", w.Ticket))
	}
	for t, a := range f.said {
		out = append(out, fmt.Sprint("said ", t, " ", a.Outcome))
	}
	sort.Strings(out[len(out)-len(f.said):])
	return strings.Join(out, "\n")
}

func leaseName(client, key GUID) string { return fmt.Sprint(client[0], ".", key[0]) }

// step draws one request, puts it to both, and returns what it was and what each said.
func modelStep(t *rapid.T, f *modelled, m *model, n uint64) (what string, got, want any) {
	pick := func(name string, max int) int { return rapid.IntRange(0, max-1).Draw(t, name) }
	f.Turn++
	clear(f.said)
	clear(m.said)
	settled := func(out Outcome) Outcome {
		f.quiet()
		if a, ok := f.said[n]; ok && out == Blocked {
			delete(f.said, n)
			return a.Outcome
		}
		return out
	}
	from := pick("from", cells)
	r := modelRange{from: from, to: from + pick("len", cells-from)}
	switch verb := pick("verb", 12); verb {
	case 0, 1: // open
		o := modelOpen{n: n, share: ShareAll, access: []Access{Read, Read | Write, Write, Read | Delete, 0}[pick("access", 5)]}
		req := OpenRequest{Access: o.access, Open: n}
		if c := pick("client", 3); c == 2 {
			o.owner = Owner{Client: Client{Door: Local}, Handle: n}
		} else {
			o.owner = Owner{Client: Client{Door: SMB, GUID: GUID{byte(c + 1)}}, Handle: n}
			if s := pick("share", 12); s < 8 {
				o.share = Share(s)
			}
			req.Overwrite = o.access&Write != 0 && pick("overwrite", 4) == 0
			if k := pick("key", 3); k > 0 {
				req.Kind, req.LeaseKey, req.Rights = LeaseV2, GUID{byte(k)}, Rights(pick("rights", 8))
				o.lease = leaseName(o.owner.Client.GUID, req.LeaseKey)
			}
		}
		req.Owner, req.Share = o.owner, o.share
		res := f.Open(ID{1, n}, ID{1, n}, &req)
		f.quiet()
		if a, ok := f.said[n]; ok && res.Outcome == Blocked {
			delete(f.said, n)
			res.Outcome, res.Rights = a.Outcome, a.Rights
		}
		if res.Outcome != Granted {
			res.Rights = 0
		}
		out, rights := m.opening(o, req.Rights, req.Overwrite)
		m.settle()
		return fmt.Sprintf("open %+v wants %v overwrite %v", o, req.Rights, req.Overwrite), fmt.Sprint(res.Outcome, res.Rights), fmt.Sprint(out, rights)
	case 2: // close
		if len(m.opens) == 0 {
			return "", 0, 0
		}
		o := m.opens[pick("open", len(m.opens))].n
		out := f.Close(ID{1, o}, false).Outcome
		f.quiet()
		m.closing(o)
		m.settle()
		return fmt.Sprint("close ", o), out, Granted
	case 3, 4, 5, 6, 7: // lock, unlock
		q := modelWait{ticket: n, modelHeld: modelHeld{r: r, excl: pick("exclusive", 2) == 1}}
		switch d := pick("door", 7); {
		case d < 2:
			q.owner = Owner{Client: Client{Door: NLM, Name: []string{"a", "b"}[d]}, PID: int32(pick("svid", 2)), OH: "oh"}
		case d < 4:
			q.owner = Owner{Client: Client{Door: Local}, Handle: uint64(1e6 + d)}
		case d == 4:
			q.owner, q.flock, q.r = Owner{Client: Client{Door: Local}, Handle: uint64(1e6 + pick("flock", 3))}, true, modelRange{to: cells - 1}
		default:
			var mine []modelOpen
			for _, o := range m.opens {
				if o.owner.Client.Door == SMB {
					mine = append(mine, o)
				}
			}
			if len(mine) == 0 {
				return "", 0, 0
			}
			o := mine[pick("open", len(mine))]
			q.open, q.owner = o.n, o.owner
			q.r.none = pick("zero", 6) == 0
			if q.r.none {
				q.r.to = q.r.from
			}
			if q.r.from == 0 && q.r.to == cells-1 {
				q.r.to--
			}
		}
		req := LockRequest{Ticket: n, Owner: q.owner, Open: q.open, Exclusive: q.excl, Flock: q.flock}
		req.Offset, req.Length = q.r.request(q.owner.Client.Door == SMB)
		if verb >= 6 {
			if q.owner.Client.Door == SMB && len(m.smb) > 0 && pick("exact", 3) > 0 {
				h := m.smb[pick("held", len(m.smb))]
				q.modelHeld = h
				req.Owner, req.Open = h.owner, h.open
				req.Offset, req.Length = h.r.request(true)
			}
			out := settled(f.Unlock(1, &req).Outcome)
			want := m.unlock(q)
			m.settle()
			return fmt.Sprintf("unlock %+v", q), out, want
		}
		req.Try = pick("try", 3) == 0
		out := settled(f.Lock(1, ID{1, n}, &req).Outcome)
		want := m.lock(q, req.Try)
		m.settle()
		if a, ok := m.said[n]; ok && want == Blocked {
			want = a
			delete(m.said, n)
		}
		return fmt.Sprintf("lock %+v try %v", q, req.Try), out, want
	case 8, 9, 10: // I/O
		req := AccessRequest{ID: n, Ticket: n, Op: []Op{OpRead, OpWrite, OpSetSize, OpSetAttr, OpRemove, OpRename}[pick("op", 6)]}
		if r.from == 0 && r.to == cells-1 {
			r.to--
		}
		req.Offset, req.Length = r.request(true)
		req.Owner.Client = Client{Door: []Door{NFS, Local}[pick("door", 2)]}
		if len(m.opens) > 0 && req.Op < OpRemove && pick("under", 2) == 0 {
			o := m.opens[pick("open", len(m.opens))]
			req.Owner, req.Open = o.owner, o.n
		}
		out := settled(f.Access(ID{1, n}, ID{1, n}, &req).Outcome)
		f.Done(ID{1, n})
		f.quiet()
		want := m.io(req.Owner.Client.Door, req.Open, req.Op, r)
		m.settle()
		return fmt.Sprintf("%v %v under %d over %+v", req.Owner.Client.Door, req.Op, req.Open, r), out, want
	}
	// cancel a ticket, or a client's death
	if len(m.line) > 0 && pick("cancel", 4) > 0 {
		at := pick("waiter", len(m.line))
		ticket := m.line[at].ticket
		got := f.Cancel(ID{1, ticket})
		f.quiet()
		m.line = slices.Delete(m.line, at, at+1)
		m.settle()
		return fmt.Sprint("cancel ", ticket), got, true
	}
	c := Client{Door: NLM, Name: []string{"a", "b"}[pick("host", 2)]}
	f.Forget(c)
	f.settle()
	f.quiet()
	m.forget(c)
	m.settle()
	return fmt.Sprint("forget ", c), 0, 0
}

// Whatever is asked in whatever order, by NLM, SMB and local owners and by NFS: every answer, every holder of every byte, every lease and
// the line are the model's. DITTOFS_MODEL is the number of sequences, new ones in each run; without it the same 20,000 are run again.
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
	rapid.Check(t, func(t *rapid.T) {
		f, m := &modelled{said: map[uint64]Answer{}, ranges: map[string]int{}}, newModel()
		var script []string
		for n := range uint64(50) {
			what, got, want := modelStep(t, f, m, n+1)
			if what == "" {
				continue
			}
			script = append(script, what)
			if fmt.Sprint(got) != fmt.Sprint(want) || f.String() != m.String() {
				t.Fatalf("%s\nsaid %v, want %v\n--- is\n%s\n--- should be\n%s", strings.Join(script, "\n"), got, want, f, m)
			}
		}
	})
}
