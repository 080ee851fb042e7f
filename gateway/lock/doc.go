// Package lock is the law: who may hold what on a file, whatever door they came through.
//
// The package decides and returns effects; it knows no clock, disk, socket or goroutine. Time enters as an event. The counter
// (gateway/internal/lockmgr) performs the effects.
//
// How to read: file.go says what makes two names one file, owner.go who holds, access.go the bits, byterange.go, sharemode.go and
// lease.go the three questions; table.go is one file's state, open.go, operation.go and ranges.go its verbs, death.go what ends with a
// client or a door, waiter.go how a request is put to the questions and how the line moves; manager.go has the counter's verbs as every
// door sees them, mark.go how the local door does without most of them. Package locktest says all of it as scenarios.
//
// What an operation leaves of another client's lease (rights R, RH, RW, RWH; "wait": it goes on when the holder has answered):
//
//	                                     R       RH           RW           RWH
//	open, READ, SETATTR not over SMB     R       RH           R, wait      RH, wait
//	open that overwrites, WRITE, set
//	size, byte-range lock, local open
//	for writing                          none    none         none, wait   none, wait
//	open that meets a share mode         R       R, wait      RW           RW, wait      then the share mode is looked at again
//	rename, link, set delete pending     R       R, wait      RW           RW, wait
//	remove, replace                      none    none, wait   none, wait   none, wait
//	a name changes in the directory      none    none
//
// Sources: [MS-FSA] 2.1.4.12 and the sections of the operations. Handle caching alone is called back by a writer without waiting, because
// BreakCacheLevel there has no HANDLE_CACHING. Implementation specific: a local open for writing counts as writing until its close,
// because the kernel passes its writes to the file and nobody hears of them; so it leaves no lease and no new one is granted beside it.
//
// What a byte range holds back (SMB ranges are mandatory, NLM and fcntl ranges are so for SMB alone):
//
//	                     NFS, local I/O      SMB I/O             a lock of any door
//	SMB shared           writing             writing, its own    an exclusive one
//	SMB exclusive        both                both, not its own   any
//	NLM, fcntl shared    nothing             writing             an exclusive one of another owner
//	NLM, fcntl exclusive nothing             both                any of another owner
//	flock                nothing             nothing             flocks alone
//
// Level II oplocks and handle caching do not live together: beside the one the other is not granted. An upgrade is given whole or not at all.
// A new lease is at most RH beside an open of another, R beside shared NLM and fcntl ranges or a flock, none beside exclusive ones, SMB ranges
// of others or a local writer; and never more than an operation under way, or one that waits, would leave.
//
// No locks.
package lock
