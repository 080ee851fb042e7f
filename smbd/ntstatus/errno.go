package ntstatus

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// errnos says which answer a failed system call becomes. What is not here is STATUS_UNSUCCESSFUL.
var errnos = map[syscall.Errno]Status{
	0:                    Success,
	syscall.EPERM:        AccessDenied,
	syscall.EACCES:       AccessDenied,
	syscall.ENOENT:       ObjectNameNotFound,
	syscall.ENXIO:        ObjectNameNotFound,
	syscall.ESTALE:       FileClosed,
	syscall.EBADF:        InvalidHandle,
	syscall.EEXIST:       ObjectNameCollision,
	syscall.ENOTDIR:      NotADirectory,
	syscall.EISDIR:       FileIsADirectory,
	syscall.ENOTEMPTY:    DirectoryNotEmpty,
	syscall.ELOOP:        AccessDenied, // a symlink where none is followed
	syscall.EXDEV:        NotSameDevice,
	syscall.EMLINK:       TooManyLinks,
	syscall.ENAMETOOLONG: ObjectNameInvalid, // what Windows answers for a component over 255 characters
	syscall.EINVAL:       InvalidParameter,
	syscall.EILSEQ:       ObjectNameInvalid,
	syscall.EFAULT:       InvalidParameter,
	syscall.E2BIG:        InvalidParameter,
	syscall.ERANGE:       BufferTooSmall,
	syscall.EOVERFLOW:    InvalidParameter,
	syscall.EFBIG:        FileSystemLimitation,
	syscall.ENOSPC:       DiskFull,
	syscall.EDQUOT:       QuotaExceeded, // STATUS_DISK_FULL would make clients believe statfs
	syscall.EROFS:        MediaWriteProtected,
	syscall.ETXTBSY:      SharingViolation,
	syscall.EBUSY:        SharingViolation,
	syscall.EAGAIN:       FileLockConflict,
	syscall.EDEADLK:      PossibleDeadlock,
	syscall.ENOLCK:       InsufficientResources,
	syscall.ENOMEM:       InsufficientResources,
	syscall.EMFILE:       TooManyOpenedFiles,
	syscall.ENFILE:       TooManyOpenedFiles,
	syscall.EINTR:        Cancelled,
	syscall.ECANCELED:    Cancelled,
	syscall.ETIMEDOUT:    IoTimeout,
	syscall.EIO:          UnexpectedIOError,
	syscall.ENODEV:       NoSuchDevice,
	syscall.ENODATA:      NotFound,
	syscall.EOPNOTSUPP:   NotSupported,
	syscall.ENOSYS:       NotSupported,
	syscall.ENOTTY:       InvalidDeviceRequest,
	syscall.EPIPE:        PipeDisconnected,
	syscall.ESPIPE:       InvalidDeviceRequest,
}

// FromErrno finds the answer for a failed system call.
func FromErrno(e syscall.Errno) Status {
	if s, ok := errnos[e]; ok {
		return s
	}
	return Unsuccessful
}

// Of finds the answer for an error: a Status in its chain, else an errno, else one of the standard library's. Of(nil) is Success.
func Of(err error) Status {
	if err == nil {
		return Success
	}
	var s Status
	var e syscall.Errno
	switch {
	case errors.As(err, &s):
		return s
	case errors.As(err, &e):
		return FromErrno(e)
	case errors.Is(err, io.EOF):
		return EndOfFile
	case errors.Is(err, context.Canceled):
		return Cancelled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return IoTimeout
	case errors.Is(err, fs.ErrNotExist):
		return ObjectNameNotFound
	case errors.Is(err, fs.ErrExist):
		return ObjectNameCollision
	case errors.Is(err, fs.ErrPermission):
		return AccessDenied
	case errors.Is(err, fs.ErrClosed):
		return FileClosed
	}
	return Unsuccessful
}
