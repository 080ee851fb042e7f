// Package lock is the law: who may hold what on a file, whatever door they came through.
//
// The package decides and returns effects; it knows no clock, disk, socket or goroutine. Time enters as an event. The counter
// (gateway/internal/lockmgr) performs the effects.
//
// How to read: file.go says what makes two names one file, owner.go who holds, access.go the bits, byterange.go, sharemode.go and
// lease.go the three questions, table.go one file's state, manager.go the counter's verbs as every door sees them.
//
// No locks.
package lock
