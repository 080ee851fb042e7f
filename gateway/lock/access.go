package lock

// Access is what an open may do with the file, [MS-FSA] 2.1.5.1.2.2. Doors map their own masks onto these six bits; an open that has none
// of them (attributes, SYNCHRONIZE) meets neither share modes nor leases, one that has only Other or Inspect meets no share mode.
//
// A named stream has a key of its own. Whoever opens one holds the file that it belongs to by a second open, with Stream alone: it keeps
// the file from being removed for good, may deny that it is opened for deletion, and touches neither its data nor its leases.
type Access uint8

// Access bits.
const (
	Read Access = 1 << iota
	Write
	Append
	Execute
	Delete
	Other   // extended attributes, children's names, changing the security descriptor
	Stream  // holds the file for one of its named streams
	Inspect // reads the security descriptor and no more: oplocks mind, leases do not

	touches = Read | Write | Append | Execute | Delete | Stream // what share modes look at
)

// String prints a as "read+write", or "attributes" where no bit is set.
func (a Access) String() string {
	return bits(uint8(a), "attributes", "read", "write", "append", "execute", "delete", "other", "stream", "inspect")
}

// String prints s as "read+delete", or "nothing".
func (s Share) String() string { return bits(uint8(s), "nothing", "read", "write", "delete") }

func bits(b uint8, none string, names ...string) string {
	s := ""
	for i, n := range names {
		if b&(1<<i) != 0 {
			s += "+" + n
		}
	}
	if s == "" {
		return none
	}
	return s[1:]
}

// Share says what an open lets others do, [MS-FSA] Open.Mode's ShareAccess.
type Share uint8

// Share bits.
const (
	ShareRead Share = 1 << iota
	ShareWrite
	ShareDelete

	ShareAll = ShareRead | ShareWrite | ShareDelete
)

// Rights are caching rights, [MS-SMB2] 2.2.13.2.8 LeaseState: R read, H handle, W write caching.
// Legal for files: 0, R, RH, RW, RWH; for directories: 0, R, RH.
type Rights uint8

// Caching rights, with the wire's values.
const (
	R Rights = 1
	H Rights = 2
	W Rights = 4
)

// String prints r as "RWH", "RH", "R" or "-".
func (r Rights) String() string {
	s := ""
	if r&R != 0 {
		s += "R"
	}
	if r&W != 0 {
		s += "W"
	}
	if r&H != 0 {
		s += "H"
	}
	if s == "" {
		return "-"
	}
	return s
}

// CacheKind is the form in which caching rights were asked for and are broken.
type CacheKind uint8

// Cache kinds. An oplock belongs to one open: level II is R, exclusive is RW, batch is RWH.
const (
	NoCache CacheKind = iota
	Oplock
	LeaseV1
	LeaseV2
)

// Op is what an Access (I/O without an open of its own, or under one) is about to do; the law's row, SEMANTICS A and [MS-FSA] 2.1.4.12.
type Op uint8

// Operations.
const (
	OpRead      Op = iota + 1 // READ
	OpWrite                   // WRITE, COMMIT's data, SET_ZERO_DATA
	OpSetSize                 // SETATTR size, EndOfFile, Allocation, truncate
	OpSetAttr                 // mode, owner, times
	OpRemove                  // REMOVE, RMDIR, unlink, the target that a RENAME replaces
	OpRename                  // RENAME of this file or directory
	OpLink                    // LINK to this file
	OpChangeDir               // a name in this directory is added, removed or renamed
	OpDelete                  // set Disposition(delete = true), under an open: once admitted, the file is delete pending
	OpMoveName                // OpChangeDir by a rename over SMB, which opens the directory without letting others delete it
)

// String names the operation.
func (o Op) String() string {
	names := [...]string{"", "read", "write", "setsize", "setattr", "remove", "rename", "link", "changedir", "delete", "movename"}
	if int(o) < len(names) {
		return names[o]
	}
	return "op"
}

// Lasts reports whether an operation goes on from its admission until its Done.
func (o Op) Lasts() bool { return o != OpDelete }

// Outcome is the counter's answer. A refused lock is an answer, not an error.
type Outcome uint8

// Outcomes.
const (
	Granted       Outcome = iota + 1
	Blocked               // the ticket waits; Event.Answer brings the end
	Denied                // a byte range conflicts
	SharingDenied         // a share mode conflicts
	DeletePending         // the file goes when its last open closes
	Grace                 // a new lock while locks are being reclaimed
	Deadlock              // waiting would close a cycle
	Limit                 // too many ranges, opens or waiters
	Stale                 // no such file, open, lease or ticket
	NotLocked             // an SMB unlock that matches no range exactly
	Failed                // the vault refused; nothing was granted
	Cancelled             // the ticket was cancelled or its owner went away
	TimedOut              // held back as long as the door allows (nfs_hold); try again
	Invalid               // a range beyond 2^64, a rights combination that is not legal, an acknowledgement that keeps too much
	Late                  // an acknowledgement after the break was forced
)

// String names the outcome in one word for logs and metrics.
func (o Outcome) String() string {
	names := [...]string{"none", "granted", "blocked", "denied", "sharing", "delete-pending", "grace", "deadlock", "limit", "stale",
		"not-locked", "failed", "cancelled", "timed-out", "invalid", "late"}
	if int(o) < len(names) {
		return names[o]
	}
	return "outcome"
}
