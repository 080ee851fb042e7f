package server

import (
	"context"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// Times and attributes, FileBasicInformation.

// setBasic sets times and attributes, [MS-FSA] 2.1.5.15.2.
func setBasic(ctx context.Context, r *request, o *open, b *fscc.FileBasicInformation) error {
	if o.access&smb2.FileWriteAttributes == 0 {
		return ntstatus.AccessDenied
	}
	if b.FileAttributes&smb2.FileAttributeDirectory != 0 && !o.directory || b.FileAttributes&smb2.FileAttributeTemporary != 0 && o.directory {
		return ntstatus.InvalidParameter
	}
	var c export.Changes
	for _, x := range []struct {
		to *export.SetTime
		f  wire.Filetime
	}{{&c.Atime, b.LastAccessTime}, {&c.Mtime, b.LastWriteTime}, {new(export.SetTime), b.CreationTime}, {new(export.SetTime), b.ChangeTime}} {
		t, set, valid := fscc.SetTime(x.f)
		if !valid {
			return ntstatus.InvalidParameter
		}
		if set {
			*x.to = export.SetTime{Set: true, To: export.TimeOf(t)}
		}
	}
	done, err := o.admit(ctx, r, lock.OpSetAttr, 0, 0)
	if err != nil {
		return err
	}
	change := b.ChangeTime
	if o.holdsChangeTime.Load() && change == fscc.TimeKeep {
		if i, err := statFile(o.file, o.called()); err == nil {
			change = wire.FiletimeOf(i.change)
		}
	}
	// FILE_WRITE_ATTRIBUTES was checked when the file was opened.
	if b.FileAttributes != 0 || b.CreationTime > 0 {
		err = setAttributes(o.file, o.called(), b.FileAttributes, b.CreationTime)
	}
	if err == nil {
		err = export.Change(int(o.file.Fd()), &c)
	}
	if err == nil && change > 0 {
		err = setChangeTime(o.file, o.called(), change)
	}
	// Who sets a time does not change it by what he does. UserSetModificationTime, UserSetChangeTime
	for _, h := range []struct {
		held *atomic.Bool
		to   wire.Filetime
	}{{&o.holdsWriteTime, b.LastWriteTime}, {&o.holdsChangeTime, b.ChangeTime}} {
		if err == nil && h.to != fscc.TimeKeep {
			h.held.Store(h.to != fscc.TimeThaw)
		}
	}
	done(err == nil)
	if err == nil {
		o.modified(ctx, smb2.NotifyChangeAttributes|smb2.NotifyChangeLastWrite|smb2.NotifyChangeCreation, false)
	}
	return err
}

// setAttributes stores what Unix has a place for in the mode (READONLY: no write permission), the rest and the creation time in the
// extended attribute. Attributes of 0 and a birth of 0 stay as they are.
func setAttributes(f *os.File, name string, a smb2.FileAttributes, birth wire.Filetime) error {
	i, err := statFile(f, name)
	if err != nil {
		return err
	}
	var buf [128]byte
	n, _ := export.GetXattr(int(f.Fd()), dosAttrib, buf[:])
	_, flags, old := parseDOSAttrib(buf[:max(n, 0)])
	var created time.Time
	if flags&dosHasCreateTime != 0 && old > 0 {
		created = old.Time()
	}
	if birth > 0 {
		created = birth.Time()
	}
	if a == 0 {
		a = i.attributes
	}
	a = a&^smb2.FileAttributeSparseFile | i.attributes&smb2.FileAttributeSparseFile // FSCTL_SET_SPARSE sets it
	readonly := a&smb2.FileAttributeReadonly != 0
	d, mode := kept(f, i), i.mode&0o7777
	if !i.isDir() && d == nil {
		switch {
		case readonly && mode&0o222 != 0:
			d = posixOf(f, i).descriptor() // kept until the attribute goes again
		case !readonly && mode&0o222 == 0:
			mode |= 0o200
			if err := export.Change(int(f.Fd()), &export.Changes{Mode: &mode}); err != nil {
				return err
			}
		}
	}
	if d == nil && a&stored == i.defaultAttributes(name)&stored && created.IsZero() && n <= 0 {
		return nil
	}
	b := appendDOSAttrib(nil, uint32(a&(stored|smb2.FileAttributeDirectory|smb2.FileAttributeReadonly)), created)
	if err := export.SetXattr(int(f.Fd()), dosAttrib, b, 0); err != nil && !readonly || d == nil {
		return err
	}
	i.attributes, i.marked = a, readonly
	err = describe(f, i, d) // which knows what READONLY does to the mode
	if err == unix.EOPNOTSUPP && readonly {
		mode &^= 0o222
		err = export.Change(int(f.Fd()), &export.Changes{Mode: &mode})
	}
	return err
}

// setChangeTime remembers the ChangeTime that a client sets, which no system call sets, together with the time at which it did: it holds as
// long as the file system's own says that nothing was changed since.
func setChangeTime(f *os.File, name string, change wire.Filetime) error {
	i, err := statFile(f, name)
	if err != nil {
		return err
	}
	var buf [128]byte
	n, _ := export.GetXattr(int(f.Fd()), dosAttrib, buf[:])
	_, flags, old := parseDOSAttrib(buf[:max(n, 0)])
	var created time.Time
	if flags&dosHasCreateTime != 0 && old > 0 {
		created = old.Time()
	}
	b := appendDOSAttrib(nil, uint32(i.attributes&(stored|smb2.FileAttributeDirectory|smb2.FileAttributeReadonly)), created)
	for range 5 {
		at := wire.FiletimeOf(time.Now())
		if err := export.SetXattr(int(f.Fd()), dosAttrib, appendDOSChange(b, change, at), 0); err != nil {
			return err
		}
		if a, err := export.Stat(int(f.Fd())); err != nil || unchanged(at, a.Ctime.Time()) {
			return err
		}
	}
	return nil
}

// holdTimes returns what puts the times that o holds back to what they are now.
func (o *open) holdTimes() (restore func()) {
	i, err := statFile(o.file, o.called())
	if err != nil {
		return func() {}
	}
	return func() {
		if o.holdsWriteTime.Load() {
			export.Change(int(o.file.Fd()), &export.Changes{Mtime: export.SetTime{Set: true, To: export.TimeOf(i.write)}})
		}
		if o.holdsChangeTime.Load() {
			setChangeTime(o.file, o.called(), wire.FiletimeOf(i.change))
		}
	}
}
