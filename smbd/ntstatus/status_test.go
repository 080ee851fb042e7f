package ntstatus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"testing"
)

func TestString(t *testing.T) {
	for s, want := range map[Status]string{
		0:          "STATUS_SUCCESS",
		0x103:      "STATUS_PENDING",
		0x80000005: "STATUS_BUFFER_OVERFLOW",
		0xC0000022: "STATUS_ACCESS_DENIED",
		0xC0000016: "STATUS_MORE_PROCESSING_REQUIRED",
		0xC00000D0: "STATUS_REQUEST_NOT_ACCEPTED",
		0xC0000280: "STATUS_REPARSE_POINT_NOT_RESOLVED",
		0xDEADBEEF: "NTSTATUS(0xDEADBEEF)",
	} {
		if s.String() != want || s.Error() != want {
			t.Errorf("%08X is %s, want %s", uint32(s), s, want)
		}
	}
	if !AccessDenied.IsError() || BufferOverflow.IsError() || Pending.IsError() {
		t.Error("severity")
	}
}

func TestOf(t *testing.T) {
	for _, x := range []struct {
		err  error
		want Status
	}{
		{nil, Success},
		{SharingViolation, SharingViolation},
		{fmt.Errorf("open: %w", DeletePending), DeletePending},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOSPC}, DiskFull},
		{os.NewSyscallError("renameat", syscall.ENOTEMPTY), DirectoryNotEmpty},
		{fs.ErrNotExist, ObjectNameNotFound},
		{fs.ErrClosed, FileClosed},
		{io.EOF, EndOfFile},
		{context.Canceled, Cancelled},
		{context.DeadlineExceeded, IoTimeout},
		{syscall.Errno(4095), Unsuccessful},
		{errors.New("else"), Unsuccessful},
	} {
		if got := Of(x.err); got != x.want {
			t.Errorf("Of(%v) = %v, want %v", x.err, got, x.want)
		}
	}
}
