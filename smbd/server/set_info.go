package server

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// SET_INFO, [MS-SMB2] 3.3.5.21, [MS-FSA] 2.1.5.15 and 2.1.5.17.

func setInfo(ctx context.Context, r *request) (reply, error) {
	var q smb2.SetInfoRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	switch {
	case o.pipe != nil:
		err = ntstatus.NotSupported
	case q.InfoType == smb2.InfoFile:
		err = setFileInfo(ctx, r, o, fscc.FileClass(q.FileInfoClass), q.Buffer)
	case q.InfoType == smb2.InfoSecurity:
		if err = setSecurityInfo(r, o, smb2.SecurityInformation(q.AdditionalInformation), q.Buffer); err == nil {
			o.followDouble()
			o.modified(ctx, smb2.NotifyChangeSecurity, false)
		}
	case q.InfoType == smb2.InfoFileSystem, q.InfoType == smb2.InfoQuota:
		err = ntstatus.NotSupported
	default:
		err = ntstatus.InvalidParameter
	}
	if err != nil {
		return nil, err
	}
	return &smb2.SetInfoResponse{}, nil
}

// short is what a buffer is that does not hold its structure.
func short(err error) error {
	if err != nil {
		return ntstatus.InfoLengthMismatch
	}
	return nil
}

func setFileInfo(ctx context.Context, r *request, o *open, class fscc.FileClass, b []byte) error {
	switch class {
	case fscc.FileBasic:
		var i fscc.FileBasicInformation
		if err := short(i.Parse(b)); err != nil {
			return err
		}
		return setBasic(ctx, r, o, &i)
	case fscc.FileEndOfFile:
		var i fscc.FileEndOfFileInformation
		if err := short(i.Parse(b)); err != nil {
			return err
		}
		return setSize(ctx, r, o, i.EndOfFile)
	case fscc.FileAllocation:
		var i fscc.FileAllocationInformation
		if err := short(i.Parse(b)); err != nil {
			return err
		}
		return setAllocation(ctx, r, o, i.AllocationSize)
	case fscc.FilePosition:
		var i fscc.FilePositionInformation
		if err := short(i.Parse(b)); err != nil {
			return err
		}
		o.pos.Store(i.CurrentByteOffset)
		return nil
	case fscc.FileMode:
		var i fscc.FileModeInformation
		if err := short(i.Parse(b)); err != nil {
			return err
		}
		return o.setMode(i.Mode)
	case fscc.FileDisposition:
		var i fscc.FileDispositionInformation
		if err := short(i.Parse(b)); err != nil {
			return err
		}
		return setDisposition(ctx, r, o, i.DeletePending, false)
	case fscc.FileDispositionEx:
		var i fscc.FileDispositionInformationEx
		if err := short(i.Parse(b)); err != nil {
			return err
		}
		if i.Flags&fscc.FileDispositionOnClose != 0 {
			return ntstatus.NotSupported
		}
		return setDisposition(ctx, r, o, i.Flags&fscc.FileDispositionDelete != 0, i.Flags&fscc.FileDispositionIgnoreReadonlyAttribute != 0)
	case fscc.FileRename, fscc.FileRenameEx:
		var i fscc.FileRenameInformation
		parse := i.Parse
		if class == fscc.FileRenameEx {
			parse = i.ParseEx
		}
		if err := short(parse(b)); err != nil {
			return err
		}
		if i.RootDirectory != 0 {
			return ntstatus.InvalidParameter
		}
		return rename(ctx, r, o, i.FileName, i.Flags&fscc.FileRenameReplaceIfExists != 0)
	case fscc.FileLink:
		var i fscc.FileLinkInformation
		if err := short(i.Parse(b)); err != nil {
			return err
		}
		if i.RootDirectory != 0 {
			return ntstatus.InvalidParameter
		}
		return link(ctx, r, o, i.FileName, i.ReplaceIfExists)
	case fscc.FileFullEa:
		return setEAInfo(ctx, r, o, b)
	}
	return ntstatus.InvalidInfoClass
}

// modes are the options that FileModeInformation tells, those in settableModes may be changed. [MS-FSCC] 2.4.31, [MS-FSA] 2.1.5.15.10.
const (
	settableModes = smb2.FileWriteThrough | smb2.FileSequentialOnly | smb2.FileSynchronousIOAlert | smb2.FileSynchronousIONonalert
	modes         = settableModes | smb2.FileNoIntermediateBuffering | smb2.FileDeleteOnClose
)

func (o *open) setMode(m smb2.CreateOptions) error {
	if m&^settableModes != 0 || m&smb2.FileSynchronousIOAlert != 0 && m&smb2.FileSynchronousIONonalert != 0 {
		return ntstatus.InvalidParameter
	}
	o.mode.Store(uint32(m | smb2.CreateOptions(o.mode.Load())&^settableModes))
	return nil
}

// setSize is FileEndOfFileInformation, [MS-FSA] 2.1.5.15.4. It touches the bytes between the old end and the new one.
func setSize(ctx context.Context, r *request, o *open, size uint64) error {
	switch {
	case o.access&smb2.FileWriteData == 0:
		return ntstatus.AccessDenied
	case o.directory || size > 1<<63-1:
		return ntstatus.InvalidParameter
	}
	i, err := o.stat()
	if err != nil {
		return err
	}
	done, err := o.admit(ctx, r, lock.OpSetSize, min(size, i.size), max(size, i.size)-min(size, i.size))
	if err != nil {
		return err
	}
	err = o.truncate(size)
	done(err == nil)
	if err == nil {
		o.modified(ctx, smb2.NotifyChangeSize|smb2.NotifyChangeLastWrite, true)
	}
	return err
}

// setAllocation is FileAllocationInformation, [MS-FSA] 2.1.5.15.1: less than the size cuts the file, more reserves room.
func setAllocation(ctx context.Context, r *request, o *open, alloc uint64) error {
	switch {
	case o.access&smb2.FileWriteData == 0:
		return ntstatus.AccessDenied
	case o.directory || alloc > 1<<63-1:
		return ntstatus.InvalidParameter
	}
	i, err := o.stat()
	if err != nil {
		return err
	}
	if alloc < i.size {
		return setSize(ctx, r, o, alloc)
	}
	if alloc == 0 || o.stream != nil {
		return nil
	}
	// It counts as writing, of no bytes.
	done, err := o.admit(ctx, r, lock.OpWrite, 0, 0)
	if err != nil {
		return err
	}
	defer done(false)
	return reserve(o.file, int64(alloc))
}

// reserve takes room on disk for a file, which keeps its size. What cannot be reserved is taken when it is written.
func reserve(f *os.File, n int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, n)
	if err == unix.EOPNOTSUPP {
		return nil
	}
	return err
}

// setDisposition marks the file for deletion with its last close, [MS-FSA] 2.1.5.15.3.
func setDisposition(ctx context.Context, r *request, o *open, pending, ignoreReadonly bool) error {
	if o.access&smb2.Delete == 0 {
		return ntstatus.AccessDenied
	}
	i, err := o.stat()
	if err != nil {
		return err
	}
	if pending {
		switch {
		case o.parent == nil && o.stream == nil:
			return ntstatus.CannotDelete // the share's root
		case i.attributes&smb2.FileAttributeReadonly != 0 && !ignoreReadonly:
			return ntstatus.CannotDelete
		case i.isDir():
			if err := r.session.as(o.vol, func() error { return emptyDirectory(o) }); err != nil {
				return err
			}
		}
		if _, err := o.admit(ctx, r, lock.OpDelete, 0, 0); err != nil {
			return err
		}
	} else if out, err := r.session.s.locks.Disposition(ctx, o.number, false); err != nil {
		return err
	} else if out != lock.Granted {
		return refused(out)
	}
	o.mu.Lock()
	o.deleting = pending
	o.mu.Unlock()
	if pending && o.directory {
		r.session.s.watches.deleted(o.key)
	}
	return nil
}

func emptyDirectory(o *open) error {
	fd, err := export.Reopen(int(o.file.Fd()), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close()
	d, err := export.ReadDir(fd, 0, nil)
	if err != nil {
		return err
	}
	for {
		var e export.Entry
		more, err := d.Next(&e)
		if err != nil || !more {
			return err
		}
		if n := string(e.Name); n != "." && n != ".." {
			return ntstatus.DirectoryNotEmpty
		}
	}
}
