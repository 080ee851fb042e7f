package server

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// Renaming and linking, [MS-FSA] 2.1.5.15.12 and 2.1.5.15.9.

// target resolves the new name, and asks for the end of what stands there where it may be replaced.
func (o *open) target(ctx context.Context, r *request, name string, replace bool) (p *place, dir lock.Key, done func(bool), err error) {
	done = func(bool) {}
	parts, err := components(name)
	if err == nil && len(parts) == 0 {
		err = ntstatus.ObjectNameInvalid
	}
	if err != nil {
		return nil, dir, done, err
	}
	err = r.session.as(o.vol, func() (err error) {
		p, err = o.vol.find(parts)
		return err
	})
	if err != nil {
		return nil, dir, done, pathError(err)
	}
	fail := func(err error) (*place, lock.Key, func(bool), error) {
		p.close()
		return nil, dir, done, err
	}
	if dir, err = export.KeyOf(int(p.parent.Fd())); err != nil {
		return fail(err)
	}
	wanted := parts[len(parts)-1]
	if p.file == nil {
		return p, dir, done, nil
	}
	key, err := export.KeyOf(int(p.file.Fd()))
	if err != nil {
		return fail(err)
	}
	if key == o.key {
		p.name = wanted // only the case of the name changes, or nothing
		return p, dir, done, nil
	}
	i, err := statFile(p.file, p.name)
	switch {
	case err != nil:
		return fail(err)
	case !replace:
		return fail(ntstatus.ObjectNameCollision)
	case i.isDir(), i.attributes&smb2.FileAttributeReadonly != 0:
		return fail(ntstatus.AccessDenied)
	}
	s := r.session
	res, end, err := s.s.locks.Access(ctx, lock.AccessRequest{Key: key, Owner: lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: s.client()}, Session: s.id},
		Op: lock.OpRemove}, s.s.hold, r.pend)
	if err != nil {
		return fail(err)
	}
	if res.Outcome == lock.SharingDenied {
		return fail(ntstatus.AccessDenied) // [MS-FSA]: the target is open
	}
	if res.Outcome != lock.Granted {
		return fail(accessRefused(res.Outcome))
	}
	return p, dir, end, nil
}

func rename(ctx context.Context, r *request, o *open, name string, replace bool) error {
	if o.stream != nil {
		return o.renameStream(ctx, name, replace)
	}
	if o.access&smb2.Delete == 0 {
		return ntstatus.AccessDenied
	}
	if o.parent == nil || o.tree.maximal&smb2.FileWriteData == 0 {
		return ntstatus.AccessDenied
	}
	s := r.session
	p, toDir, end, err := o.target(ctx, r, name, replace)
	if err != nil {
		return err
	}
	defer func() { p.close() }()
	defer end(true)
	if o.directory && !o.tree.aapl.Load() { // macOS renames what it has open
		if err := s.vacate(ctx, r, o); err != nil {
			return err
		}
	}
	leave, err := s.enter(ctx, r, o, toDir)
	if err != nil {
		return err
	}
	defer leave()
	done, err := o.admit(ctx, r, lock.OpRename, 0, 0)
	if err == ntstatus.SharingViolation {
		err = ntstatus.AccessDenied // [MS-FSA] 2.1.5.15.11: one of its streams is open
	}
	if err != nil {
		return err
	}
	defer done(false)

	from, fromName, rel, err := o.now()
	if err != nil {
		return err
	}
	defer from.Close()
	fromDir, err := export.KeyOf(int(from.Fd()))
	if err != nil {
		return err
	}
	changed, err := s.moveName(ctx, r, fromDir, o.parentKey)
	if err != nil {
		return err
	}
	if toDir != fromDir {
		other, err := s.moveName(ctx, r, toDir, lock.GUID{})
		if err != nil {
			changed(false)
			return err
		}
		defer other(true)
	}
	flags := uint(unix.RENAME_NOREPLACE)
	if replace || p.file != nil {
		flags = 0
	}
	err = s.as(o.vol, func() error { return export.Rename(int(from.Fd()), fromName, int(p.parent.Fd()), p.name, flags) })
	changed(err == nil)
	if err != nil {
		if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY) {
			return ntstatus.ObjectNameCollision
		}
		return err
	}
	newPath := join(pathOf(p), p.name)
	o.moveDouble(ctx, spot{from, fromName, rel}, spot{p.parent, p.name, newPath}, p.file != nil)
	o.mu.Lock()
	if o.parent != nil {
		o.parent.Close()
	}
	o.parent, p.parent = p.parent, nil
	o.name, o.path, o.dirKey = p.name, newPath, toDir
	o.mu.Unlock()
	filter := uint32(smb2.NotifyChangeFileName)
	if o.directory {
		filter = uint32(smb2.NotifyChangeDirName)
	}
	away, here := lock.Renamed(fromDir, toDir)
	o.tree.changed(ctx, lock.Change{Key: o.key, Dir: fromDir, Name: fromName, Action: away, Filter: filter}, rel)
	o.tree.changed(ctx, lock.Change{Key: o.key, Dir: toDir, Name: p.name, Action: here, Filter: filter}, newPath)
	return nil
}

// moveName announces that a name in a directory is renamed, which breaks the leases on the directory but the one with the key parent. done
// ends it.
func (s *session) moveName(ctx context.Context, r *request, dir lock.Key, parent lock.GUID) (done func(changed bool), err error) {
	owner := lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: s.client()}, Session: s.id}
	res, done, err := s.s.locks.Access(ctx, lock.AccessRequest{Key: dir, Owner: owner, ParentKey: parent, Op: lock.OpMoveName}, s.s.hold, r.pend)
	if err != nil {
		return done, err
	}
	if res.Outcome != lock.Granted {
		return done, accessRefused(res.Outcome)
	}
	return done, nil
}

// enter opens the directory that a name comes into, as [MS-FSA] 2.1.5.15.12 has it: to add a file, beside others that read and write but
// do not delete. So who has the directory open for deletion, or lets nobody write, keeps names out.
func (s *session) enter(ctx context.Context, r *request, o *open, dir lock.Key) (leave func(), err error) {
	locks := s.s.locks
	number := locks.Number()
	owner := o.owner
	owner.Handle = number
	res, err := locks.Open(ctx, lock.OpenRequest{Open: number, Key: dir, Owner: owner, Directory: true, Access: lock.Write,
		Share: lock.ShareRead | lock.ShareWrite, User: s.who()}, r.pend)
	if err != nil {
		return nil, err
	}
	if res.Outcome != lock.Granted {
		return nil, openRefused(res.Outcome)
	}
	return func() { locks.Close(context.WithoutCancel(ctx), lock.CloseRequest{Open: number}) }, nil
}

// vacate lets a directory be renamed: nothing in it may be open. Who keeps a handle only because of a lease is asked to let go.
// [MS-FSA] 2.1.4.2.
func (s *session) vacate(ctx context.Context, r *request, dir *open) error {
	inside := s.s.opens.beneath(dir)
	for key := range inside {
		_, done, err := s.s.locks.Access(ctx, lock.AccessRequest{Key: key, Owner: lock.Owner{Client: dir.owner.Client, Session: s.id}, Op: lock.OpRename}, s.s.hold, r.pend)
		if err != nil {
			return err
		}
		done(false)
	}
	if len(inside) > 0 && len(s.s.opens.beneath(dir)) > 0 {
		return ntstatus.AccessDenied
	}
	return nil
}

// beneath are the files in a directory that are open.
func (t *opens) beneath(dir *open) map[lock.Key]bool {
	at, ok := where(dir.vol.root, dir.file)
	if !ok {
		return nil
	}
	t.mu.Lock()
	var all []*open
	for _, o := range t.by {
		if o.vol != nil && o.vol.fsid == dir.vol.fsid && o.key != dir.key {
			all = append(all, o)
		}
	}
	t.mu.Unlock()
	keys := map[lock.Key]bool{}
	for _, o := range all {
		if path, ok := where(dir.vol.root, o.file); ok && strings.HasPrefix(path, at+"/") {
			keys[o.key] = true
		}
	}
	return keys
}

// pathOf is the directory of a place, beneath the root.
func pathOf(p *place) string {
	dir, _ := splitPath(p.path)
	return dir
}

func link(ctx context.Context, r *request, o *open, name string, replace bool) error {
	if o.directory {
		return ntstatus.FileIsADirectory
	}
	if o.stream != nil {
		return ntstatus.InvalidParameter // only files have links
	}
	if o.vol.past || o.tree.maximal&smb2.FileWriteData == 0 {
		return ntstatus.AccessDenied
	}
	s := r.session
	p, dir, end, err := o.target(ctx, r, name, replace)
	if err != nil {
		return err
	}
	defer p.close()
	defer end(true)
	done, err := o.admit(ctx, r, lock.OpLink, 0, 0)
	if err != nil {
		return err
	}
	defer done(false)
	err = s.as(o.vol, func() error {
		if p.file != nil {
			if err := export.Unlink(int(p.parent.Fd()), p.name); err != nil {
				return err
			}
		}
		return export.Link(int(o.file.Fd()), int(p.parent.Fd()), p.name)
	})
	if err != nil {
		return err
	}
	added := s.named(dir, p.name, lock.Added, false, lock.GUID{})
	added.Key = o.key
	o.tree.changed(ctx, added, join(pathOf(p), p.name))
	return nil
}
