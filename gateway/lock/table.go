package lock

import "time"

// ID names an open, an access or a ticket across seats: the seat's number and the number that the seat's door chose.
type ID struct{ Seat, N uint64 }

// Rules are the settings that the law obeys.
type Rules struct {
	UnlinkUnix     bool // unlink_open = unix: others may unlink what an SMB open does not share for deleting
	ReadUnix       bool // brl_read = unix: an exclusive SMB range does not hold back READ
	RangesPerFile  int  // 0: no limit
	WaitersPerFile int  // 0: no limit
	// Full reports whether the client, or all together, have as many ranges as they may, when this verb has given the client and all so many
	// more. Nil: no limit.
	Full func(c Client, client, all int) bool
}

// Table is one file's state: opens, leases, byte ranges, operations in progress, and those who wait. A verb goes in, the outcome and
// effects come out; the effects lie in Effects until the caller has performed them. A Table is not safe for concurrent use.
type Table struct {
	*Verb
	Key  Key
	Path string // for people

	opens   []*open
	leases  []*lease
	posix   posixSet
	smb     smbSet
	flocks  []held
	doing   []doing
	line    []*waiter
	leaseN  uint64
	pending bool // delete pending
	dirty   bool // something was freed: the line must be looked at
}

// Verb is what a table needs while it is asked something, and only then: there are many tables, and few are asked at a time.
type Verb struct {
	Rules   Rules
	At      time.Time // the moment, for people
	Turn    uint64    // rises with every verb over all tables: who came first
	Effects []Effect
}

// EffectKind says what an Effect asks for.
type EffectKind uint8

// Effects.
const (
	Tell        EffectKind = iota + 1 // Event goes to Seat
	PutRange                          // Range goes on record
	DropRange                         // Range leaves the record
	PutOpen                           // Open goes on record
	DropOpen                          // Open leaves the record
	CountRanges                       // Client holds N ranges more; one that went was held for After
	AwaitAck                          // AckTimeout(Lease, Stage) when the break timeout has passed
	AwaitClient                       // ClientTimeout(ID, Spell) After that time
	LeaseGone                         // Client's lease key LeaseKey is free
	Unlink                            // the file was delete pending and its last network open ended without a door that removes the name
	BreakOver                         // a break of caching rights ended as End says, After that time
)

// BreakEnd is how a break of caching rights ended.
type BreakEnd uint8

// Ends of a break.
const (
	Acknowledged BreakEnd = iota + 1
	Forced                // nobody acknowledged in time
	Closed                // the holder's last open ended
)

// Effect is what a verb asks its caller to do, once the file is unlocked again.
type Effect struct {
	Kind     EffectKind
	Seat     uint64
	Event    Event
	Range    RangeRecord
	Open     OpenRecord
	Client   Client
	LeaseKey GUID
	N        int
	Lease    uint64
	Stage    uint64
	ID       ID
	Spell    uint64
	After    time.Duration
	End      BreakEnd
}

func (t *Table) effect(e Effect) { t.Effects = append(t.Effects, e) }

func (t *Table) tell(seat uint64, e Event) { t.effect(Effect{Kind: Tell, Seat: seat, Event: e}) }

// Empty reports whether nothing is left to remember.
func (t *Table) Empty() bool {
	return len(t.opens)+len(t.leases)+len(t.posix)+len(t.smb)+len(t.flocks)+len(t.doing)+len(t.line) == 0
}

// Reset makes an empty table another file's, and keeps its memory.
func (t *Table) Reset(key Key) {
	*t = Table{Verb: t.Verb, Key: key, doing: t.doing[:0], opens: t.opens[:0], line: t.line[:0]}
}

func (t *Table) open(id ID) *open {
	if id.N == 0 {
		return nil
	}
	for _, o := range t.opens {
		if o.id == id {
			return o
		}
	}
	return nil
}

// Client is whose an open is.
func (t *Table) Client(id ID) (c Client) {
	if o := t.open(id); o != nil {
		c = o.r.Owner.Client
	}
	return c
}

func (t *Table) leaseOf(id ID) *lease {
	if o := t.open(id); o != nil {
		return o.lease
	}
	return nil
}

// liveOpen is an open of l whose client can be asked.
func (t *Table) liveOpen(l *lease) *open {
	for _, o := range t.opens {
		if o.lease == l && !o.lost {
			return o
		}
	}
	return nil
}

// Acknowledge takes a lease's or an oplock's acknowledgement.
func (t *Table) Acknowledge(seat uint64, a *Ack) Outcome {
	for _, l := range t.leases {
		if l.kind == Oplock && a.Open != 0 && l.open == (ID{seat, a.Open}) || a.Open == 0 && l.is(a.Client, a.LeaseKey) {
			out := t.acknowledge(l, a.Keep)
			t.settle()
			return out
		}
	}
	return Stale
}
