package lock

import (
	"context"
	"time"
)

// Manager is a seat at the counter: the verbs that each door asks. The gateway's own lockmgr implements it in the same process,
// gateway/ipc.Client over a daemon's hatch; neither door nor test can tell them apart.
//
// No verb waits for other holders. A request that may wait carries a Ticket, a number that the door chooses (unique among the seat's
// waiting tickets, never 0); the answer is then Blocked, and one Event{Answer} with that ticket ends it. Ticket 0 means: do not wait.
// The event may arrive before the verb's own return. Package gateway/lock/seat turns tickets into calls that block.
//
// A returned error means that the counter could not be asked (connection lost, context ended) and that nothing is known; every
// decision is an Outcome. What was Granted is durable, where it must be, before it is returned.
type Manager interface {
	// Open admits an open: share modes first, then caching rights. [MS-FSA] 2.1.5.1.2.
	Open(ctx context.Context, r OpenRequest) (OpenResult, error)
	// Reconnect gives a disconnected durable open, with its ranges and its lease, back to its client. [MS-SMB2] 3.3.5.9.7 and 3.3.5.9.12.
	Reconnect(ctx context.Context, r ReconnectRequest) (ReconnectResult, error)
	// Close ends an open with its ranges, its waiting tickets and, with the last open of its key, its lease.
	Close(ctx context.Context, r CloseRequest) (CloseResult, error)

	// Access admits one operation and, once Granted, holds back whatever that operation would have broken until Done(r.ID).
	Access(ctx context.Context, r AccessRequest) (Result, error)
	// Done ends an Access. changed tells the counter that the file or directory did change, so that caches elsewhere are told.
	Done(ctx context.Context, id uint64, changed bool) error

	// Lock asks for a byte range; an NLM or local request replaces what its owner held there.
	Lock(ctx context.Context, r LockRequest) (Result, error)
	// Unlock frees a range: exactly (SMB) or whatever the owner holds within (NLM, local). It frees nothing of others and never waits.
	Unlock(ctx context.Context, r LockRequest) (Result, error)
	// Test answers what Lock without a ticket would answer, and changes nothing.
	Test(ctx context.Context, r LockRequest) (Result, error)
	// Cancel withdraws a waiting ticket. Granted means it had been granted already and stays so; NLM's CANCEL then unlocks.
	Cancel(ctx context.Context, ticket uint64) (Outcome, error)
	// CancelLock withdraws the waiting lock that NLM's CANCEL describes by its arguments.
	CancelLock(ctx context.Context, r LockRequest) (Outcome, error)

	// Acknowledge answers a break with the rights that are kept. [MS-SMB2] 3.3.5.22.
	Acknowledge(ctx context.Context, a Ack) (Outcome, error)
	// Disposition marks or unmarks the file as delete pending, [MS-FSA] 2.1.5.15.3, without a question: a client that wants to delete asks by
	// OpDelete.
	Disposition(ctx context.Context, open uint64, pending bool) (Outcome, error)

	// Forget ends everything that a client holds: FREE_ALL, SM_NOTIFY from a rebooted host, an SMB client that logged off.
	Forget(ctx context.Context, c Client) error
	// Changed tells the other doors that a name or a file changed, for their caches and for CHANGE_NOTIFY.
	Changed(ctx context.Context, c Change) error
	// List returns what is held, for people.
	List(ctx context.Context, f Filter) (Snapshot, error)
}

// OpenRequest asks for an open. Open is chosen by the door: unique in its seat for as long as the open lives, never 0.
type OpenRequest struct {
	Open          uint64
	Ticket        uint64 // 0: refuse instead of waiting for a break
	Key           Key
	FH            []byte  // instead of Key, from a door that cannot resolve handles: an NFS file handle
	By            *Caller // with FH: who must be let in by the file's export and may read or write the file; nil: nobody asks
	Owner         Owner
	Directory     bool
	Access        Access
	Share         Share
	Overwrite     bool // SUPERSEDE, OVERWRITE, O_TRUNC: breaks to none
	DeleteOnClose bool

	Kind      CacheKind
	LeaseKey  GUID
	ParentKey GUID // V2: the parent directory's lease key, whose lease this open's change of the directory does not break; zero: none
	Rights    Rights
	Epoch     uint16 // V2: the client's epoch

	Durable    time.Duration // how long the open outlives its connection; 0: not durable
	CreateGuid GUID          // V2 durable
	Private    []byte        // what the door needs to bring a durable open back; at most 4 KiB, stored as it is
	Path       string        // for people: relative to the export
	User       string        // for people, and whose a durable open is
	Reclaim    bool          // the door held this before the gateway restarted
	Made       *Change       // the door has made the file: whatever becomes of the open, this is told first
}

// Caller is a client of a door that knows no exports, and as whom it calls.
type Caller struct {
	Address  string // and port
	Known    bool   // false: AUTH_NONE
	UID, GID uint32
	GIDs     []uint32
}

// OpenResult answers Open.
type OpenResult struct {
	Outcome  Outcome
	Rights   Rights // what was granted; at most what was asked
	Epoch    uint16
	Kind     CacheKind // the lease's version, which is that of its first open
	Breaking bool      // the lease is already breaking: LEASE_BREAK_IN_PROGRESS, [MS-SMB2] 2.2.14.2.10
	Durable  bool      // the open is durable as it was asked to be: it may cache handles
	Holder   *Holder   // who stood in the way
	Ease     Ease      // what it may do without asking, from now on
}

// ReconnectRequest asks for a disconnected durable open. It keeps its number.
type ReconnectRequest struct {
	Open       uint64
	Owner      Owner
	User       string
	V2         bool // CreateGuid must fit
	CreateGuid GUID
	Lease      bool // the client names a lease, by LeaseKey and by the file Key that its name leads to (zero: to none)
	LeaseKey   GUID
	Key        Key
}

// ReconnectResult answers Reconnect: Stale, there is none such; Denied, it is another user's; Invalid, the lease is another file's.
type ReconnectResult struct {
	Outcome  Outcome
	Open     OpenRequest // as it was granted, and what is left of that: Rights, Epoch
	Breaking bool
	Ranges   []LockRequest // that it holds
}

// CloseRequest ends an open. Keep leaves a durable open to its timeout instead.
type CloseRequest struct {
	Open uint64
	Keep bool

	Dir       Key  // the directory of a file that was modified under the open, whose leases go; zero: none
	ParentKey GUID // but for the client's own lease with this key
}

// CloseResult answers Close. Delete tells the door that this was the last open of a file that is delete pending: it removes the name now.
// Kept: the open waits for its client.
type CloseResult struct {
	Outcome Outcome
	Delete  bool
	Kept    bool
}

// AccessRequest announces one operation. ID is chosen by the door like an open's number.
type AccessRequest struct {
	ID        uint64
	Ticket    uint64
	Key       Key
	FH        []byte
	Owner     Owner
	Open      uint64 // the open that it happens under, whose lease key it never breaks; 0: none
	ParentKey GUID   // OpChangeDir: a directory lease with this key (and the owner's ClientGuid) stays
	Op        Op
	Offset    uint64
	Length    uint64
}

// LockRequest asks for, tests, frees or cancels a range. Length 0 is to the end of file for NLM and local, a zero-byte lock for SMB.
type LockRequest struct {
	Ticket    uint64
	Try       bool // with a ticket: wait for breaks of leases only; a range that conflicts is Denied at once
	Key       Key
	FH        []byte
	By        *Caller // with FH
	Owner     Owner
	Open      uint64 // SMB: the open, whose end frees the range
	Offset    uint64
	Length    uint64
	Exclusive bool
	Reclaim   bool
	Flock     bool   // local flock(2): a whole-file lock in a space of its own
	Watch     string // NLM: the client's address, to be monitored by NSM from the first lock on
	NSMState  int32  // NLM: the client's NSM state
	Path      string // for people
	User      string
}

// Result answers Access, Lock, Unlock and Test.
type Result struct {
	Outcome Outcome
	Holder  *Holder // who stood in the way, where known
	Quiet   bool    // an Access that was granted without asking: its Done costs nothing
}

// Holder is who stands in the way, and with what.
type Holder struct {
	Owner     Owner
	Exclusive bool
	Offset    uint64
	Length    uint64 // 0: to the end of file
	Access    Access // an open's
	Share     Share
	Rights    Rights
}

// Ack is a lease or oplock break acknowledgement.
type Ack struct {
	Client   GUID   // ClientGuid
	LeaseKey GUID   // a lease's
	Open     uint64 // an oplock's; 0 for a lease
	Keep     Rights
}

// Event comes from the counter to a door; exactly one field is set.
type Event struct {
	Answer *Answer
	Break  *Break
	Change *Change
	Watch  *Watch
	Gone   *Gone
	Mark   *MarkEvent
}

// Answer ends a ticket. An NLM ticket that was Granted is released again unless the door confirms it with Cancel's opposite, Lock's own
// retransmission, or keeps silent; a door that cannot deliver it calls Unlock.
type Answer struct {
	Ticket   uint64
	Outcome  Outcome
	Rights   Rights // an Open's, as the four below
	Epoch    uint16
	Kind     CacheKind
	Breaking bool
	Durable  bool
	Holder   *Holder
}

// Result is an Open's, from its Answer.
func (a *Answer) Result() OpenResult {
	return OpenResult{Outcome: a.Outcome, Rights: a.Rights, Epoch: a.Epoch, Kind: a.Kind, Breaking: a.Breaking, Durable: a.Durable, Holder: a.Holder}
}

// Answer is the end of the ticket of the Open that r answers.
func (r *OpenResult) Answer(ticket uint64) Answer {
	return Answer{Ticket: ticket, Outcome: r.Outcome, Rights: r.Rights, Epoch: r.Epoch, Kind: r.Kind, Breaking: r.Breaking, Durable: r.Durable, Holder: r.Holder}
}

// Break tells a holder that caching rights go. [MS-SMB2] 3.3.4.6, 3.3.4.7.
type Break struct {
	Key         Key
	Client      GUID
	LeaseKey    GUID
	Kind        CacheKind
	Open        uint64 // an oplock's open, or some open of the lease
	From, To    Rights
	Epoch       uint16 // V2: the new epoch
	AckRequired bool
}

// Action is what happened to a name, [MS-FSCC] 2.7.1.
type Action uint8

// Actions, with the wire's values as far as the wire has them.
const (
	Added Action = iota + 1
	Removed
	Modified
	RenamedOld // the next change is RenamedNew
	RenamedNew
	AddedStream    // Name is FILE:STREAM:$DATA
	RemovedStream  // likewise
	ModifiedStream // likewise
	MovedAway      // to another directory; the next change is MovedHere
	MovedHere
)

// Renamed are the two actions of giving a name in one directory up for one in another, or in the same.
func Renamed(from, to Key) (Action, Action) {
	if from == to {
		return RenamedOld, RenamedNew
	}
	return MovedAway, MovedHere
}

// Change tells that a file, or a name in a directory, changed. [MS-SMB2] 2.2.35 names the filter bits.
type Change struct {
	Key    Key    // the file; zero when not known
	Dir    Key    // the directory that holds the name; zero when not known
	Name   string // in Dir; of a name that changes, the old one and then the new one
	Action Action
	Filter uint32 // FILE_NOTIFY_CHANGE_* that it counts as
	By     Door   // the door that made it, which is not told
	Data   bool   // the file's contents changed, not only attributes or names

	// Sudden: no OpChangeDir announced it. The leases on Dir go now, but for Client's with the key ParentKey.
	Sudden            bool
	Client, ParentKey GUID
}

// Modified is what an operation that changed file k is to the doors but by; its Filter is 0 where nobody need hear. Names are told by Changed.
func (o Op) Modified(k Key, by Door) Change {
	c := Change{Key: k, Action: Modified, By: by}
	switch o {
	case OpWrite, OpSetSize:
		c.Filter, c.Data = 0x08|0x10, true // SIZE, LAST_WRITE
	case OpSetAttr:
		c.Filter = 0x04 | 0x100 // ATTRIBUTES, SECURITY
	}
	return c
}

// Watch tells statd to monitor a host, or to stop.
type Watch struct {
	Host    string // caller_name
	Address string
	Stop    bool
}

// Gone tells a door that the administrator took away what it held: an open with all that hangs on it, or one range.
type Gone struct {
	Key            Key
	Open           uint64 // the open, or the open that the range belonged to
	Range          bool
	Owner          Owner
	Offset, Length uint64
	Exclusive      bool
	Flock          bool
}

// Kind is a set of kinds of things that List tells.
type Kind uint8

// Kinds.
const (
	KindRange Kind = 1 << iota
	KindFlock
	KindOpen
	KindLease
	KindOplock
	KindWaiter
)

var kindNames = [...]string{"range", "flock", "open", "lease", "oplock", "waiter"}

// String names one kind.
func (k Kind) String() string {
	for i, n := range kindNames {
		if k == 1<<i {
			return n
		}
	}
	return "kind"
}

// KindOf finds a kind by its name; 0: none.
func KindOf(name string) Kind {
	for i, n := range kindNames {
		if n == name {
			return 1 << i
		}
	}
	return 0
}

// Kind is KindRange or KindFlock.
func (r *RangeState) Kind() Kind {
	if r.Flock {
		return KindFlock
	}
	return KindRange
}

// What is KindLease or KindOplock.
func (l *LeaseState) What() Kind {
	if l.Kind == Oplock {
		return KindOplock
	}
	return KindLease
}

// Filter selects what List returns; zero values select all.
type Filter struct {
	Path   string
	Client string
	User   string
	Door   Door
	Key    Key
	ID     string
	Kind   Kind
}

// Snapshot is what is held at one moment, for people: each file by itself is consistent.
type Snapshot struct {
	Files []FileState
	Grace time.Duration // how long grace still runs; 0: no grace
	Epoch uint64
}

// Denial is a request that was refused, or that its door gave up waiting for.
type Denial struct {
	At      time.Time // the latest
	Times   uint64    // that the same was asked and refused
	Key     Key
	Path    string
	Owner   Owner
	User    string
	What    string // as WaiterState says it
	Outcome Outcome
	Limit   string        // the setting, where Outcome is Limit
	Waited  time.Duration // before it was refused or given up
	Holder  *Holder       // who stood in the way, where known
}

// FileState is one file's holders. IDs are for the admin commands: an ID names one thing for as long as it is what it is.
type FileState struct {
	Key           Key
	Path          string
	Opens         []OpenState
	Ranges        []RangeState
	Leases        []LeaseState
	Waiters       []WaiterState
	DeletePending bool
}

// OpenState is one open.
type OpenState struct {
	ID           string
	Open         uint64
	Owner        Owner
	User         string
	Access       Access
	Share        Share
	Durable      bool
	Disconnected bool
	Since        time.Time
}

// RangeState is one byte range that is held. Length 0 is to the end of file, but for SMB, where it is a zero-byte lock.
type RangeState struct {
	ID        string
	Owner     Owner
	User      string
	Offset    uint64
	Length    uint64
	Exclusive bool
	Flock     bool
	Unclaimed bool // restored, and not yet reclaimed in this grace period
	Since     time.Time
}

// LeaseState is one lease or oplock.
type LeaseState struct {
	ID       string
	Client   GUID
	LeaseKey GUID
	Kind     CacheKind
	User     string // of one of its opens
	Rights   Rights
	Breaking bool
	To       Rights
	Epoch    uint16
	Since    time.Time
}

// WaiterState is one who waits, and for whom.
type WaiterState struct {
	ID     string
	Ticket uint64
	Owner  Owner
	User   string
	What   string // "lock 0-9 exclusive", "open", "write"
	For    []Owner
	Since  time.Time
}
