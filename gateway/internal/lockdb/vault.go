// Package lockdb is the vault: what must outlive a crash, on record before anybody is told.
//
// What was told is written: it outlives the death of every daemon, since the kernel has it. It is also synced, before it is told or soon after
// (Config.Lag); then a crash of the host may take what was told last, and the next run knows that it may have (Start.Torn). Which
// hosts have locks at all, the epoch, the NSM state and the clean-stop mark are synced before anything depends on them.
//
// How to read: vault.go is what the counter sees, begin.go how a run begins, journal.go how many appends share one commit, codec.go the
// records, ledger.go and highwater.go how damage shows, store.go what an engine must do, log.go the file before one. Engines: Memory, and package badger.
//
// Lock order: journal.turn, then journal.syncing, then Log.handing, then Log.mu; journal.mu and Memory.mu, each alone.
package lockdb

import (
	"context"
	"time"

	"dittofs/gateway/lock"
)

// Range is an NLM lock on record, or a byte range of a durable open.
type Range struct {
	Key       lock.Key
	Owner     lock.Owner
	Open      uint64 // SMB: the durable open it belongs to
	Offset    uint64
	Length    uint64
	Exclusive bool
	Path      string
	User      string
	Since     time.Time
}

// Open is a durable open on record, with the lease it holds.
type Open struct {
	Request lock.OpenRequest
	Rights  lock.Rights
	Epoch   uint16
	Pending bool // the file is delete pending
	Since   time.Time
}

// Host is an NSM registration: a client whose reboot frees its locks, and who is told of ours.
type Host struct {
	Name    string // caller_name
	Address string
	State   int32 // the client's state, as it told us
	Since   time.Time
}

// Start is what the last run left.
type Start struct {
	Epoch  uint64 // this run's, one higher than the last
	Clean  bool   // the last run ended with Close
	Torn   bool   // the host crashed: what was told last may be missing, and what stands here may have been told to be gone
	NSM    int32  // this run's NSM state number: odd, higher than any before
	Ranges []Range
	Opens  []Open
	Hosts  []Host
}

// Vault is the record as the counter writes it. Append fixes the order; Wait returns when everything up to seq may be told. Many
// appends share one commit. After an error nothing more is accepted: the counter refuses from then on.
type Vault interface {
	Append(ops ...Op) (seq uint64)
	Wait(ctx context.Context, seq uint64) error
	// Close writes the clean-stop mark.
	Close() error
}

// Op puts or deletes one record; exactly one of Range, Open and Host is set. Ranges are identified by key, owner, open, offset,
// length and kind; opens by owner and number; hosts by name.
type Op struct {
	Delete bool
	Range  *Range
	Open   *Open
	Host   *Host
}
