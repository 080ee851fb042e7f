package lock

import "slices"

// The model is the law said once more, as slowly as possible: who holds each cell of the file, a list of opens, rights by lease. Holders
// answer every break before anything else is asked. model_view_test.go compares it with the table,
// model_step_test.go draws what is asked.
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

// Whoever holds ranges by process: four of two NLM hosts, two local ones; flocks are the local ones' and a third's.
const (
	posixOwners = 6
	flockOwners = 3
)

func posixOwner(i int) Owner {
	if i < 4 {
		return Owner{Client: Client{Door: NLM, Name: []string{"a", "b"}[i/2]}, PID: int32(i % 2), OH: "oh"}
	}
	return Owner{Client: Client{Door: Local}, Handle: uint64(1e6 + i)}
}

func flockOwner(i int) Owner { return Owner{Client: Client{Door: Local}, Handle: uint64(1e6 + 4 + i)} }

// byte modes of a cell; unclaimed is a mark beside them.
const (
	shared, exclusive = 1, 2
	unclaimed         = 4
	seam              = 8 // beside unclaimed: it is a range of its own, though its neighbour has the same mode
)

type modelLease struct {
	client, key GUID
	oplock      bool
	open        ID // an oplock's
	rights      Rights
	had         Rights // until the holder has answered: what it had before
}

type modelOpen struct {
	id       ID
	owner    Owner
	access   Access
	share    Share
	kind     CacheKind
	key      GUID
	lease    *modelLease
	guid     GUID // V2 durable
	durable  bool
	lost     bool
	spell    uint64
	onClose  bool // FILE_DELETE_ON_CLOSE
	replaces bool // asks to overwrite
}

func (o *modelOpen) door() Door { return o.owner.Client.Door }
func (o *modelOpen) outlives() bool {
	return o.durable && o.lease != nil && (o.lease.rights|o.lease.had)&H != 0
}
func (o *modelOpen) writer() bool  { return o.access&(Write|Append) != 0 }
func (o *modelOpen) touches() bool { return o.access&^(Other|Inspect) != 0 }

// lets is what o lets others do: nobody writes to a program that runs.
func (o *modelOpen) lets() Share {
	if o.door() == Local && o.access&Execute != 0 {
		return o.share &^ ShareWrite
	}
	return o.share
}

type modelHeld struct {
	open ID
	r    modelRange
	excl bool
}

// modelOp is an operation: on its own, or under an open.
type modelOp struct {
	id   ID
	open ID
	door Door
	op   Op
	r    modelRange // from > to: no bytes
}

// modelWait is a request: exactly one of open, op and the range.
type modelWait struct {
	ticket ID
	turn   uint64
	open   *modelOpen
	want   Rights
	op     *modelOp
	under  ID // a lock's open
	owner  Owner
	who    int // in the cells or among the flocks
	r      modelRange
	excl   bool
	flock  bool
	try    bool
	inLine bool
}

func (q *modelWait) isLock() bool { return q.open == nil && q.op == nil }
func (q *modelWait) smb() bool    { return q.isLock() && q.owner.Client.Door == SMB }

type model struct {
	rules struct {
		unlinkUnix, readUnix      bool
		perFile, perClient, queue int
	}
	dir     bool
	seat    [NFS + 1]uint64
	opens   []*modelOpen
	posix   [cells][posixOwners]byte
	smb     []modelHeld
	flocks  [flockOwners]byte
	leases  []*modelLease
	line    []*modelWait
	doing   []*modelOp
	pending bool
	unlinks int
	said    map[ID]Outcome // tickets that were answered
	rights  Rights         // what the last open got
	asked   bool           // holders have something to answer
}

func (m *model) find(id ID) *modelOpen {
	for _, o := range m.opens {
		if o.id == id && id.N != 0 {
			return o
		}
	}
	return nil
}

func (m *model) leaseOf(id ID) *modelLease {
	if o := m.find(id); o != nil {
		return o.lease
	}
	return nil
}

func (m *model) leaseKeyed(o *modelOpen) *modelLease {
	for _, l := range m.leases {
		if o.kind >= LeaseV1 && !l.oplock && l.client == o.owner.Client.GUID && l.key == o.key {
			return l
		}
	}
	return nil
}

func (m *model) live(l *modelLease) bool {
	return slices.ContainsFunc(m.opens, func(o *modelOpen) bool { return o.lease == l && !o.lost })
}

func (m *model) own(q *modelWait) *modelLease {
	switch {
	case q.open != nil:
		return m.leaseKeyed(q.open)
	case q.op != nil:
		return m.leaseOf(q.op.open)
	}
	return m.leaseOf(q.under)
}

// legalFor is what can be granted of r: without R there is nothing, oplocks know no RH, directories no W and no oplock.
func (m *model) legalFor(r Rights, oplock bool) Rights {
	switch {
	case r&R == 0, m.dir && oplock:
		return 0
	case m.dir:
		return r &^ W
	case oplock && r&W == 0:
		return R
	}
	return r
}

// cut takes rights away from a lease; waits: the holder had to answer, and had some of gone. Rights that only a client that is away
// could give back end its opens.
func (m *model) cut(l *modelLease, left, gone Rights) (waits bool) {
	keep := m.legalFor(l.rights&left, l.oplock)
	if l.oplock && keep != l.rights {
		keep &= R
	}
	switch {
	case l.had != 0:
		l.rights = keep
		return l.had&gone != 0
	case keep == l.rights:
		return false
	case l.rights != R && !m.live(l):
		for _, o := range slices.Clone(m.opens) {
			if o.lease == l {
				m.die(o)
			}
		}
		return false
	}
	if l.rights != R {
		l.had, m.asked = l.rights, true
	}
	l.rights = keep
	m.dieLost(l)
	return l.had&gone != 0
}

// dieLost ends the opens that no client can have back.
func (m *model) dieLost(l *modelLease) {
	for _, o := range slices.Clone(m.opens) {
		if o.lease == l && o.lost && !o.outlives() {
			m.die(o)
		}
	}
}

// answered: the holders have given back what they were asked for.
func (m *model) answered() {
	m.asked = false
	for _, l := range slices.Clone(m.leases) {
		if l.had != 0 {
			l.had = 0
			m.dieLost(l)
		}
	}
}

// leave cuts every lease but own.
func (m *model) leave(own *modelLease, left, gone Rights) bool {
	return m.leaveEach(own, gone, func(*modelLease) Rights { return left })
}

func (m *model) leaveEach(own *modelLease, gone Rights, left func(*modelLease) Rights) (waits bool) {
	for _, l := range slices.Clone(m.leases) {
		if l != own || l.oplock && l.rights == R { // level II goes by its own open's writing too
			waits = m.cut(l, left(l), gone) || waits
		}
	}
	return waits
}

// die ends an open whose door does not remove the name.
func (m *model) die(o *modelOpen) {
	if m.end(o) {
		m.unlinks++
	}
}

func (m *model) end(o *modelOpen) (remove bool) {
	m.smb = slices.DeleteFunc(m.smb, func(h modelHeld) bool { return h.open == o.id })
	m.cancelUnder(o.id)
	m.opens = slices.DeleteFunc(m.opens, func(x *modelOpen) bool { return x == o })
	if o.lease != nil && !slices.ContainsFunc(m.opens, func(x *modelOpen) bool { return x.lease == o.lease }) {
		m.leases = slices.DeleteFunc(m.leases, func(l *modelLease) bool { return l == o.lease })
	}
	m.pending = m.pending || o.onClose
	network := slices.ContainsFunc(m.opens, func(x *modelOpen) bool { return x.door() != Local })
	if m.pending && !network {
		m.pending, remove = false, true
	}
	return remove
}

func (m *model) drop(which func(*modelWait) bool, tell bool) {
	m.line = slices.DeleteFunc(m.line, func(q *modelWait) bool {
		if which(q) && tell {
			m.said[q.ticket] = Cancelled
		}
		return which(q)
	})
}

func (m *model) cancelUnder(id ID) {
	m.drop(func(q *modelWait) bool { return q.isLock() && q.under == id && id.N != 0 }, true)
}

func (m *model) lose(o *modelOpen) {
	o.lost = true
	o.spell++
}

// close ends an open or leaves it to its client; remove: the door removes the name.
func (m *model) close(o *modelOpen, keep bool) (remove bool) {
	if keep && o.outlives() {
		m.cancelUnder(o.id)
		m.lose(o)
		return false
	}
	newly := !m.pending && o.onClose
	if remove = m.end(o); remove && o.door() == NLM {
		m.unlinks++
		remove = false
	}
	if newly && m.pending {
		m.leave(o.lease, R|W, H)
	}
	return remove
}

// inTheWay are the owners whose ranges conflict with q; own says that q's own SMB ranges do so too.
func (m *model) inTheWay(q *modelWait) (list []Owner, own bool) {
	if q.flock {
		for i, mode := range m.flocks {
			if i != q.who && (mode == exclusive || mode != 0 && q.excl) {
				list = append(list, flockOwner(i))
			}
		}
		return list, false
	}
	for i := range posixOwners {
		if !q.smb() && i == q.who {
			continue
		}
		for c := q.r.from; c <= q.r.to; c++ {
			mode := m.posix[c][i]
			// A zero-byte lock meets what goes on on both of its sides.
			if q.r.none && (c == 0 || m.posix[c-1][i] != mode) {
				continue
			}
			if mode&exclusive != 0 || mode != 0 && q.excl {
				list = append(list, posixOwner(i))
				break
			}
		}
	}
	for _, h := range m.smb {
		switch {
		case !h.r.meets(q.r):
		case q.smb() && h.open == q.under:
			own = own || q.excl // an exclusive lock conflicts with its own open's, a shared one stacks
		case h.excl || q.excl:
			if o := m.find(h.open); o != nil {
				list = append(list, o.owner)
			}
		}
	}
	return list, own
}

// holdsAll: a request that changes nothing, or nothing but a flock's mode.
func (m *model) holdsAll(q *modelWait) bool {
	if q.smb() || q.flock {
		return q.flock && m.flocks[q.who] != 0
	}
	for c := q.r.from; c <= q.r.to; c++ {
		if mode := m.posix[c][q.who]; mode == 0 || q.excl && mode&exclusive == 0 {
			return false
		}
	}
	return true
}

// runs counts an owner's ranges: cells side by side in one mode are one.
func (m *model) runs(who int) (n int) {
	last := byte(0)
	for c := range cells {
		if mode := m.posix[c][who]; mode != last {
			if last = mode; mode != 0 {
				n++
			}
		}
	}
	return n
}

// ranges counts a client's ranges; nil: everybody's.
func (m *model) ranges(c *Client) (n int) {
	for i := range posixOwners {
		if c == nil || posixOwner(i).Client == *c {
			n += m.runs(i)
		}
	}
	for i, mode := range m.flocks {
		if mode != 0 && (c == nil || flockOwner(i).Client == *c) {
			n++
		}
	}
	for _, h := range m.smb {
		if o := m.find(h.open); c == nil || o != nil && o.owner.Client == *c {
			n++
		}
	}
	return n
}

func (m *model) judge(q *modelWait) Outcome {
	switch {
	case q.open != nil:
		return m.judgeOpen(q)
	case q.op != nil:
		return m.judgeOp(q)
	}
	return m.judgeLock(q)
}

func (m *model) judgeLock(q *modelWait) Outcome {
	q.inLine = false
	over := func(n, limit int) bool { return limit > 0 && n >= limit }
	list, own := m.inTheWay(q)
	switch {
	case m.pending && q.owner.Client.Door == NLM:
		return Stale
	case (over(m.ranges(nil), m.rules.perFile) || over(m.ranges(&q.owner.Client), m.rules.perClient)) && !m.holdsAll(q):
		return Limit
	case len(list) > 0 || own:
		q.inLine = true
		return Blocked
	case q.flock:
		return Granted
	}
	if q.ticket.N != 0 && !q.try && !m.holdsAll(q) {
		// Nobody who came earlier waits for a conflicting range, unless that one waits for q itself.
		for _, x := range m.line {
			if !x.isLock() || x.flock || x.turn >= q.turn || x.owner == q.owner || !x.excl && !q.excl || !x.r.meets(q.r) {
				continue
			}
			if list, _ := m.inTheWay(x); !slices.Contains(list, q.owner) {
				q.inLine = true
				return Blocked
			}
		}
	}
	for _, d := range m.doing {
		foreign := d.door == SMB
		if q.smb() {
			foreign = d.open != q.under
		}
		if q.ticket.N != 0 && foreign && d.r.from <= d.r.to && d.r.meets(q.r) && (q.excl || d.op != OpRead) {
			return Blocked
		}
	}
	if m.leave(m.own(q), 0, W) {
		return Blocked
	}
	return Granted
}

// sharing denies where an open clashes. Cached handles are called back first; opens that their clients left behind give way.
func (m *model) sharing(own *modelLease, clashes func(*modelOpen) bool) Outcome {
	waits := false
	for _, o := range slices.Clone(m.opens) {
		if !slices.Contains(m.opens, o) || !clashes(o) {
			continue
		}
		if l := o.lease; l != nil && l != own && (l.rights|l.had)&H != 0 {
			if m.cut(l, R|W, H) {
				waits = true
			}
			if slices.Contains(m.opens, o) {
				continue
			}
		}
		if !slices.Contains(m.opens, o) {
			continue
		}
		if !o.lost {
			return SharingDenied
		}
		m.die(o)
	}
	if waits {
		return Blocked
	}
	return Granted
}

func needs(a Access) (s Share) {
	for _, x := range []struct {
		of Access
		s  Share
	}{{Read | Execute, ShareRead}, {Write | Append, ShareWrite}, {Delete, ShareDelete}} {
		if a&x.of != 0 {
			s |= x.s
		}
	}
	return s
}

func (m *model) judgeOpen(q *modelWait) Outcome {
	o, own := q.open, m.leaseKeyed(q.open)
	if m.pending {
		return DeletePending
	}
	if out := m.sharing(own, func(x *modelOpen) bool {
		return o.touches() && x.touches() && !(o.door() == Local && x.door() == Local) && (needs(o.access)&^x.lets() != 0 || needs(x.access)&^o.lets() != 0)
	}); out != Granted {
		return out
	}
	waits := false
	switch data := o.access &^ Stream; {
	case o.replaces || o.door() == Local && o.writer():
		waits = m.leave(own, 0, W)
	case data == Inspect: // oplocks alone mind
		waits = m.leaveEach(own, W, func(l *modelLease) Rights {
			if l.oplock {
				return R | H
			}
			return R | W | H
		})
	case data != 0:
		waits = m.leave(own, R|H, W)
	}
	if waits {
		return Blocked
	}
	return Granted
}

func (m *model) judgeOp(q *modelWait) Outcome {
	d := q.op
	own := m.leaseOf(d.open)
	alone := d.open == (ID{})
	if d.op == OpRename && d.door == SMB && slices.ContainsFunc(m.opens, func(o *modelOpen) bool { return o.access&Stream != 0 && o.id != d.open }) {
		return SharingDenied // the file of an open stream keeps its name
	}
	need := needs(map[Op]Access{OpRead: Read, OpWrite: Write, OpSetSize: Write, OpRemove: Delete, OpRename: Delete}[d.op])
	if m.pending && alone && (d.op == OpRename || d.op == OpLink) {
		return DeletePending
	}
	if alone && need != 0 && !(need == ShareDelete && m.rules.unlinkUnix && d.door != SMB) {
		if out := m.sharing(nil, func(o *modelOpen) bool {
			return o.touches() && !(d.door == Local && o.door() == Local) && (need&^o.lets() != 0 || d.op == OpRemove && d.door == SMB && o.door() == SMB)
		}); out != Granted {
			return out
		}
	}
	write := d.op != OpRead
	for _, h := range m.smb {
		if d.r.from <= d.r.to && h.r.meets(d.r) && (write || h.excl && !(m.rules.readUnix && d.door == NFS)) && !(h.excl && h.open == d.open) {
			return Denied
		}
	}
	for c := d.r.from; d.door == SMB && c <= d.r.to; c++ {
		for _, mode := range m.posix[c] {
			if mode&exclusive != 0 || mode != 0 && write {
				return Denied
			}
		}
	}
	if m.leaveEach(own, d.gone(), func(l *modelLease) Rights {
		switch {
		case (d.op == OpRename || d.op == OpLink) && l.oplock && l.rights&H != 0:
			return 0 // a batch oplock goes whole
		case d.op == OpChangeDir && d.r.none && !l.oplock && l.client == (GUID{1}) && l.key == (GUID{1}):
			return R | W | H // the changer's own, in this model
		}
		return d.leaves()
	}) {
		return Blocked
	}
	return Granted
}

// leaves is what an operation leaves of others' leases, gone what must be back before it goes on.
func (d *modelOp) leaves() Rights {
	switch {
	case d.op == OpRead, d.op == OpSetAttr && d.door != SMB:
		return R | H
	case d.op == OpRename, d.op == OpLink, d.op == OpDelete:
		return R | W
	case d.op == OpSetAttr:
		return R | W | H
	}
	return 0
}

func (d *modelOp) gone() Rights {
	switch d.op {
	case OpRename, OpLink, OpDelete:
		return H
	case OpRemove:
		return W | H
	case OpChangeDir:
		return 0
	}
	return W
}

// may is the largest lease beside everybody else.
func (m *model) may(o *modelOpen, own *modelLease) Rights {
	c := R | W | H
	for _, x := range m.opens {
		switch {
		case x == o || own != nil && x.lease == own || x.access&^(Stream|Inspect) == 0:
		case x.door() == Local && x.writer():
			return 0
		default:
			c &^= W
		}
	}
	oplock := o.kind == Oplock
	for _, l := range m.leases {
		switch {
		case l == own:
		case l.rights&W != 0, oplock && !l.oplock && l.rights&H != 0:
			return 0
		case !oplock && l.oplock && l.rights != 0:
			c &= R
		case l.rights != 0:
			c &^= W
		}
	}
	for _, h := range m.smb {
		if h.open != o.id && (own == nil || m.leaseOf(h.open) != own) {
			return 0
		}
	}
	for c2 := range cells {
		for _, mode := range m.posix[c2] {
			switch {
			case mode&exclusive != 0:
				return 0
			case mode != 0:
				c &= R
			}
		}
	}
	if m.flocks != [flockOwners]byte{} {
		c &= R
	}
	for _, d := range m.doing {
		if d.open == (ID{}) || d.open != o.id && (own == nil || m.leaseOf(d.open) != own) {
			c &= d.leaves()
		}
	}
	for _, q := range m.line {
		if q.isLock() && !q.flock && (own == nil || m.own(q) != own) {
			return 0
		}
	}
	return c
}

func (m *model) admit(q *modelWait) {
	switch {
	case q.open != nil:
		m.admitOpen(q.open, q.want)
	case q.op != nil && q.op.op == OpDelete:
		m.pending = true
	case q.op != nil:
		m.doing = append(m.doing, q.op)
	case q.flock:
		m.flocks[q.who] = mode(q.excl)
	case q.smb():
		m.smb = append(m.smb, modelHeld{q.under, q.r, q.excl})
	default:
		for c := q.r.from; c <= q.r.to; c++ {
			m.posix[c][q.who] = mode(q.excl)
		}
	}
}

func mode(excl bool) byte {
	if excl {
		return exclusive
	}
	return shared
}

func (m *model) admitOpen(o *modelOpen, want Rights) {
	m.opens = append(m.opens, o)
	asked := o.durable
	o.durable = false
	if m.rights = 0; o.kind == NoCache {
		return
	}
	oplock := o.kind == Oplock
	l := m.leaseKeyed(o)
	want = m.legalFor(want, oplock)
	may := m.legalFor(want&m.may(o, l), oplock)
	switch {
	case l != nil:
		// An upgrade is given whole or not at all.
		if may == want && l.rights&^may == 0 {
			l.rights = may
		}
	case oplock && may == 0:
		return
	default:
		l = &modelLease{client: o.owner.Client.GUID, key: o.key, oplock: oplock, rights: may}
		if oplock {
			l.open, l.key = o.id, GUID{}
		}
		m.leases = append(m.leases, l)
	}
	o.lease, m.rights = l, l.rights
	o.durable = asked && l.rights&H != 0
}

// settle looks at the line, first come first served, until nobody who waits can go on.
func (m *model) settle() {
	for again := true; again; {
		again = false
		for i, q := range m.line {
			out := m.judge(q)
			if out == Blocked && q.inLine && q.try {
				out = Denied
			}
			if out == Blocked {
				continue
			}
			again = true
			if i = slices.Index(m.line, q); i < 0 {
				break // judging it ended an open, and it with that
			}
			if m.line = slices.Delete(m.line, i, i+1); out == Granted {
				m.admit(q)
			}
			m.said[q.ticket] = out
			break
		}
		if !again && m.asked {
			m.answered()
			again = true
		}
	}
}

// ask puts a request: it is answered, or waits where it has a ticket.
func (m *model) ask(q *modelWait) Outcome {
	out := m.judge(q)
	repeated := -1
	if q.isLock() && q.owner.Client.Door == NLM && (out == Granted || out == Blocked && !(q.inLine && (q.ticket.N == 0 || q.try))) {
		repeated = slices.IndexFunc(m.line, func(x *modelWait) bool { return x.isLock() && x.owner == q.owner && x.r == q.r })
	}
	if repeated >= 0 { // a repeated request keeps its place
		x := m.line[repeated]
		m.said[x.ticket] = Cancelled
		q.turn = x.turn
		m.line = slices.Delete(m.line, repeated, repeated+1)
	}
	switch {
	case out == Granted:
		m.admit(q)
	case out != Blocked:
	case q.ticket.N == 0 && !q.isLock():
		out = TimedOut
	case q.ticket.N == 0, q.inLine && q.try:
		out = Denied
	case m.rules.queue > 0 && len(m.line) >= m.rules.queue:
		out = Limit
	default:
		at := len(m.line)
		if repeated >= 0 {
			at = repeated
		}
		m.line = slices.Insert(m.line, at, q)
	}
	m.settle()
	if a, ok := m.said[q.ticket]; ok && out == Blocked {
		delete(m.said, q.ticket)
		out = a
	}
	return out
}

func (m *model) unlock(q *modelWait) Outcome {
	switch {
	case q.flock:
		m.flocks[q.who] = 0
	case q.smb():
		at := -1
		for i, h := range m.smb {
			if h.open == q.under && h.r == q.r && (at < 0 || h.excl && !m.smb[at].excl) {
				at = i
			}
		}
		if at < 0 {
			return NotLocked
		}
		m.smb = slices.Delete(m.smb, at, at+1)
	default:
		for c := q.r.from; c <= q.r.to; c++ {
			m.posix[c][q.who] = 0
		}
	}
	m.settle()
	return Granted
}

// forget ends what a client holds.
func (m *model) forget(c Client) {
	m.drop(func(q *modelWait) bool { return q.owner.Client == c }, true)
	for _, o := range slices.Clone(m.opens) {
		if o.owner.Client == c && slices.Contains(m.opens, o) {
			m.die(o)
		}
	}
	m.clearCells(func(who int, _ byte) bool { return posixOwner(who).Client == c })
	if c.Door == Local {
		clear(m.flocks[:])
	}
	m.settle()
}

func (m *model) clearCells(which func(who int, mode byte) bool) {
	for c := range cells {
		for i, mode := range m.posix[c] {
			if which(i, mode) {
				m.posix[c][i] = 0
			}
		}
	}
}

// detach is a door's death.
func (m *model) detach(d Door) {
	m.drop(func(q *modelWait) bool { return q.ticket.Seat == m.seat[d] }, false)
	for _, o := range slices.Clone(m.opens) {
		switch {
		case o.door() != d || o.lost || !slices.Contains(m.opens, o):
		case o.outlives():
			m.lose(o)
		default:
			m.die(o)
		}
	}
	m.doing = slices.DeleteFunc(m.doing, func(x *modelOp) bool { return x.id.Seat == m.seat[d] })
	if d == Local {
		m.clearCells(func(who int, _ byte) bool { return who >= 4 })
		clear(m.flocks[:])
	}
	m.seat[d] += 10
	m.settle()
}

// reclaim takes back what is on record for the client: q's own, or all that is unclaimed. ambiguous: more than one process could be meant.
func (m *model) reclaim(q *modelWait) (out Outcome, ambiguous bool) {
	strong := func(mode byte) bool { return mode&exclusive != 0 || mode != 0 && !q.excl }
	all := true
	for c := q.r.from; c <= q.r.to; c++ {
		all = all && strong(m.posix[c][q.who])
	}
	took := map[int]bool{}
	for c := q.r.from; c <= q.r.to && !all; c++ {
		var who []int
		for i, mode := range m.posix[c] {
			if posixOwner(i).Client == q.owner.Client && strong(mode) && (i == q.who || mode&unclaimed != 0) {
				who = append(who, i)
			}
		}
		switch len(who) {
		case 0:
			return Denied, false
		case 1:
			took[who[0]] = true
		default:
			return 0, true
		}
	}
	for c := q.r.from; c <= q.r.to; c++ {
		for i := range took {
			m.posix[c][i] = 0
		}
		m.posix[c][q.who] = mode(q.excl)
	}
	m.settle()
	return Granted, false
}

// restart is the gateway's death: what is on record comes back, and what a door that lives on presents. The others' is gone.
func (m *model) restart(lives func(Door) bool) {
	pending := m.pending
	m.line, m.doing, m.pending, m.unlinks = nil, nil, false, 0
	if !lives(Local) {
		m.clearCells(func(who int, _ byte) bool { return who >= 4 })
		clear(m.flocks[:])
	}
	for i := range 4 {
		was, is := byte(0), byte(0)
		for c := range cells {
			now := m.posix[c][i]
			if now != was {
				next := now&(shared|exclusive) | unclaimed
				if now == 0 {
					next = 0
				} else if next == is {
					next |= seam
				}
				was, is = now, next
			}
			m.posix[c][i] = is
		}
	}
	var opens, plain []*modelOpen
	for _, o := range m.opens {
		alive := lives(o.door()) && !o.lost
		switch {
		case o.durable:
			opens = append(opens, o)
			if o.spell, m.pending = 1, pending; !alive {
				o.lost = true
				o.id.Seat = 0
			}
		case alive:
			plain = append(plain, o)
		}
	}
	for _, d := range []Door{NLM, SMB, Local} {
		for _, o := range plain {
			if o.door() == d {
				opens = append(opens, o)
			}
		}
	}
	m.opens = opens
	for d := range m.seat {
		m.seat[d] += 10
	}
	var smb []modelHeld
	for _, h := range m.smb {
		o := m.find(ID{0, h.open.N})
		for _, x := range opens {
			if x.id.N == h.open.N {
				o = x
			}
		}
		// Records know no stacks.
		if h.open = (ID{0, h.open.N}); o != nil && !(o.lost && slices.Contains(smb, h)) {
			smb = append(smb, h)
		}
	}
	m.smb = smb
	for _, o := range opens {
		if !o.lost {
			o.id.Seat = m.seat[o.door()]
		}
		for i := range m.smb {
			if m.smb[i].open.N == o.id.N {
				m.smb[i].open = o.id
			}
		}
		if o.lease != nil && o.lease.oplock {
			if o.lease.open = o.id; o.lease.rights == 0 {
				o.lease = nil
			}
		}
		if !o.lost && o.door() == SMB {
			m.pending = m.pending || pending
		}
	}
	m.leases = slices.DeleteFunc(m.leases, func(l *modelLease) bool {
		return !slices.ContainsFunc(opens, func(o *modelOpen) bool { return o.lease == l })
	})
	for _, o := range slices.Clone(opens) {
		if lives(SMB) && o.lost && !o.outlives() && slices.Contains(m.opens, o) {
			m.die(o)
		}
	}
}
