package server

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// FSCTL_SET_SPARSE, [MS-FSA] 2.1.5.10.38. Unix files may always have holes: the attribute says whether the client wants to see them.
// Without it every byte up to the end counts as allocated.
func setSparse(ctx context.Context, r *request, o *open, q *smb2.IOCTLRequest) ([]byte, error) {
	on := len(q.Input) == 0 || q.Input[0] != 0 // FILE_SET_SPARSE_BUFFER, [MS-FSCC] 2.3.83
	switch {
	case o.access&(writesData|smb2.FileWriteAttributes) == 0:
		return nil, ntstatus.AccessDenied
	case o.directory:
		return nil, ntstatus.InvalidParameter
	case o.stream != nil:
		return nil, ntstatus.NotSupported // its bytes lie in an attribute
	}
	done, err := o.admit(ctx, r, lock.OpSetAttr, 0, 0)
	if err != nil {
		return nil, err
	}
	err = markSparse(o.file, o.called(), on)
	if err == nil && !on {
		err = fillHoles(o.file)
	}
	done(err == nil)
	if err == nil {
		o.modified(ctx, smb2.NotifyChangeAttributes, false)
	}
	return nil, err
}

// markSparse sets or clears the attribute. The open's rights were looked at; the user need not be allowed to write the file now.
func markSparse(f *os.File, name string, on bool) error {
	i, err := statFile(f, name)
	if err != nil {
		return err
	}
	a := i.attributes &^ smb2.FileAttributeSparseFile
	if on {
		a |= smb2.FileAttributeSparseFile
	}
	if a == i.attributes {
		return nil
	}
	var buf [128]byte
	n, _ := export.GetXattr(int(f.Fd()), dosAttrib, buf[:])
	var created time.Time
	if _, flags, birth := parseDOSAttrib(buf[:max(n, 0)]); flags&dosHasCreateTime != 0 && birth > 0 {
		created = birth.Time()
	}
	return export.SetXattr(int(f.Fd()), dosAttrib, appendDOSAttrib(nil, uint32(a&(stored|smb2.FileAttributeDirectory|smb2.FileAttributeReadonly)), created), 0)
}

// fillHoles allocates what is not, as far as the file system can.
func fillHoles(f *os.File) error {
	a, err := export.Stat(int(f.Fd()))
	if err != nil || a.Size == 0 {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, int64(a.Size))
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EBADF) { // EBADF: it is open for its attributes only
		return nil
	}
	return err
}
