package nfs3

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
)

// Status is nfsstat3, RFC 1813 §2.6.
type Status uint32

// Statuses.
const (
	OK             Status = 0
	ErrPerm        Status = 1
	ErrNoEnt       Status = 2
	ErrIO          Status = 5
	ErrNXIO        Status = 6
	ErrAcces       Status = 13
	ErrExist       Status = 17
	ErrXDev        Status = 18
	ErrNoDev       Status = 19
	ErrNotDir      Status = 20
	ErrIsDir       Status = 21
	ErrInval       Status = 22
	ErrFBig        Status = 27
	ErrNoSpc       Status = 28
	ErrROFS        Status = 30
	ErrMLink       Status = 31
	ErrNameTooLong Status = 63
	ErrNotEmpty    Status = 66
	ErrDQuot       Status = 69
	ErrStale       Status = 70
	ErrRemote      Status = 71
	ErrBadHandle   Status = 10001
	ErrNotSync     Status = 10002
	ErrBadCookie   Status = 10003
	ErrNotSupp     Status = 10004
	ErrTooSmall    Status = 10005
	ErrServerFault Status = 10006
	ErrBadType     Status = 10007
	ErrJukebox     Status = 10008
)

var statusNames = map[Status]string{OK: "OK", ErrPerm: "PERM", ErrNoEnt: "NOENT", ErrIO: "IO", ErrNXIO: "NXIO", ErrAcces: "ACCES",
	ErrExist: "EXIST", ErrXDev: "XDEV", ErrNoDev: "NODEV", ErrNotDir: "NOTDIR", ErrIsDir: "ISDIR", ErrInval: "INVAL", ErrFBig: "FBIG",
	ErrNoSpc: "NOSPC", ErrROFS: "ROFS", ErrMLink: "MLINK", ErrNameTooLong: "NAMETOOLONG", ErrNotEmpty: "NOTEMPTY", ErrDQuot: "DQUOT",
	ErrStale: "STALE", ErrRemote: "REMOTE", ErrBadHandle: "BADHANDLE", ErrNotSync: "NOT_SYNC", ErrBadCookie: "BAD_COOKIE",
	ErrNotSupp: "NOTSUPP", ErrTooSmall: "TOOSMALL", ErrServerFault: "SERVERFAULT", ErrBadType: "BADTYPE", ErrJukebox: "JUKEBOX"}

// String is the name without NFS3ERR_.
func (s Status) String() string {
	if n, ok := statusNames[s]; ok {
		return n
	}
	return fmt.Sprintf("%d", uint32(s))
}

// Error makes a status an error, so that what a handler refuses by itself and what the system refuses come up one way.
func (s Status) Error() string { return "NFS3ERR_" + s.String() }

var errnos = map[unix.Errno]Status{
	unix.EPERM: ErrPerm, unix.ENOENT: ErrNoEnt, unix.EIO: ErrIO, unix.ENXIO: ErrNXIO, unix.EACCES: ErrAcces, unix.EEXIST: ErrExist,
	unix.EXDEV: ErrXDev, unix.ENODEV: ErrNoDev, unix.ENOTDIR: ErrNotDir, unix.EISDIR: ErrIsDir, unix.EINVAL: ErrInval, unix.EFBIG: ErrFBig,
	unix.ENOSPC: ErrNoSpc, unix.EROFS: ErrROFS, unix.EMLINK: ErrMLink, unix.ENAMETOOLONG: ErrNameTooLong, unix.ENOTEMPTY: ErrNotEmpty,
	unix.EDQUOT: ErrDQuot, unix.ESTALE: ErrStale, unix.EOPNOTSUPP: ErrNotSupp, unix.ELOOP: ErrInval, unix.ETXTBSY: ErrAcces,
	unix.EBUSY: ErrAcces, unix.EOVERFLOW: ErrInval,
	// What passes when less is going on.
	unix.EAGAIN: ErrJukebox, unix.ENOMEM: ErrJukebox, unix.EMFILE: ErrJukebox, unix.ENFILE: ErrJukebox, unix.ETIMEDOUT: ErrJukebox,
}

// statusOf is the status for an error of this package, of export or of a system call.
func statusOf(err error) Status {
	var s Status
	var e unix.Errno
	switch {
	case err == nil:
		return OK
	case errors.As(err, &s):
		return s
	case errors.As(err, &e):
		if s, ok := errnos[e]; ok {
			return s
		}
		return ErrIO
	case errors.Is(err, export.ErrBadHandle):
		return ErrBadHandle
	case errors.Is(err, export.ErrStale):
		return ErrStale
	case errors.Is(err, export.ErrLater):
		return errLater
	case errors.Is(err, export.ErrAway):
		return ErrJukebox
	case errors.Is(err, export.ErrRefused):
		return ErrAcces
	}
	return ErrServerFault
}

// outcomes is what the counter's refusals are over NFS. A share mode is ACCES, a byte range JUKEBOX, so that the client tries again.
var outcomes = map[lock.Outcome]Status{
	lock.Granted: OK, lock.SharingDenied: ErrAcces, lock.Denied: ErrJukebox, lock.Grace: ErrJukebox, lock.Deadlock: ErrJukebox,
	lock.Limit: ErrJukebox, lock.Failed: ErrJukebox, lock.Cancelled: ErrJukebox, lock.TimedOut: ErrJukebox, lock.Stale: ErrStale,
	lock.Invalid: ErrInval,
}

// pending is what each operation says of a file that goes when its last SMB open closes. It has gone already for those who would
// change it; its name is still taken for those who want the name.
var pending = map[lock.Op]Status{
	lock.OpRead: ErrStale, lock.OpWrite: ErrStale, lock.OpSetSize: ErrStale, lock.OpSetAttr: ErrStale,
	lock.OpRename: ErrJukebox, lock.OpChangeDir: ErrJukebox, lock.OpLink: ErrNoEnt,
	lock.OpRemove: errGoing,
}

// errLater never goes out: a quick call would have to wait.
const errLater Status = 1<<31 + 2

// errGoing never goes out: REMOVE of what is going anyway is done.
const errGoing Status = 1 << 31

func outcomeOf(op lock.Op, out lock.Outcome) Status {
	if out == lock.DeletePending {
		if s, ok := pending[op]; ok {
			return s
		}
		return ErrJukebox
	}
	if s, ok := outcomes[out]; ok {
		return s
	}
	return ErrServerFault
}
