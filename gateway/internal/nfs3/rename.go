package nfs3

import (
	"context"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// RENAME, RFC 1813 §3.3.14.

// RenameArgs is RENAME3args.
type RenameArgs struct{ From, To DirOpArgs }

// XDR lists the fields.
func (a *RenameArgs) XDR(x *xdr.Stream) {
	a.From.XDR(x)
	a.To.XDR(x)
}

// RenameRes is RENAME3res.
type RenameRes struct {
	Status   Status
	From, To WccData
}

// XDR lists the fields.
func (r *RenameRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	r.From.XDR(x)
	r.To.XDR(x)
}

func (r *RenameRes) status() Status { return r.Status }

func (s *Server) rename(ctx context.Context, c *oncrpc.Call, a *RenameArgs) *RenameRes {
	from, err := s.forChange(ctx, c, a.From.Dir)
	if err != nil {
		return &RenameRes{Status: statusOf(err)}
	}
	defer from.Release()
	to, err := s.forChange(ctx, c, a.To.Dir)
	if err != nil {
		return &RenameRes{Status: statusOf(err), From: WccData{After: postOpOf(from.File)}}
	}
	defer to.Release()
	m := move{s: s, c: c, from: from, to: to, name: a.From.Name, newName: a.To.Name}
	err = m.check()
	if err == nil {
		for range tries {
			if err = m.once(ctx); err != errMoved {
				break
			}
			err = ErrJukebox
		}
	}
	res := &RenameRes{Status: statusOf(err), From: m.fromWcc, To: m.toWcc}
	if !res.From.After.Follow {
		res.From.After = postOpOf(from.File)
	}
	if !res.To.After.Follow {
		res.To.After = postOpOf(to.File)
	}
	return res
}

// move is one RENAME: name in from becomes newName in to.
type move struct {
	s              *Server
	c              *oncrpc.Call
	from, to       place
	name, newName  string
	fromWcc, toWcc WccData
}

func (m *move) check() error {
	if m.from.Export() != m.to.Export() {
		return ErrXDev
	}
	for _, n := range []string{m.name, m.newName} {
		if n == "." || n == ".." {
			return ErrInval
		}
		if err := export.CheckName(n); err != nil {
			return err
		}
	}
	return nil
}

// once renames what the names stand for now. Admitted are, in this order: the file, the file that it replaces, the directories.
func (m *move) once(ctx context.Context) error {
	f, err := m.from.Lookup(m.from.cred, m.name)
	if err != nil {
		return err
	}
	defer f.Release()
	target, err := m.to.Lookup(m.to.cred, m.newName)
	if statusOf(err) == ErrNoEnt {
		target = nil
	} else if err != nil {
		return err
	} else {
		defer target.Release()
		if target.Key == f.Key {
			return nil // two names of one file: nothing happens. RFC 1813 §3.3.14.
		}
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	changed := false
	admit := func(file *export.File, op lock.Op) (func(), error) {
		done, err := m.s.admit(ctx, m.c, m.from, file, op, 0, 0)
		return func() { done(changed) }, err
	}
	done, err := admit(f, lock.OpRename)
	if err != nil {
		return err
	}
	defer done()
	if target != nil {
		done, err := admit(target, lock.OpRemove)
		if err == errGoing {
			err = ErrJukebox // its name is free only when it has gone
		}
		if err != nil {
			return err
		}
		defer done()
	}
	if done, err = admit(m.from.File, lock.OpChangeDir); err != nil {
		return err
	}
	defer done()
	if m.to.Key != m.from.Key {
		done, err := admit(m.to.File, lock.OpChangeDir)
		if err != nil {
			return err
		}
		defer done()
	}
	if err := m.locked(f, target); err != nil {
		return err
	}
	changed = true
	if err = finish(m.from, &m.fromWcc, nil); err == nil && m.to.Key != m.from.Key {
		err = finish(m.to, &m.toWcc, nil)
	}
	if err == nil {
		m.tell(ctx, f, target, notifyName(st.IsDir()))
	}
	return err
}

// locked renames under the directories' critical section.
func (m *move) locked(f, target *export.File) error {
	defer export.Lock2(m.from.File, m.to.File)()
	a, err := m.from.Stat()
	if err != nil {
		return err
	}
	b, err := m.to.Stat()
	if err != nil {
		return err
	}
	m.fromWcc.Before, m.toWcc.Before = preOp(&a), preOp(&b)
	there := false
	if _, err := export.StatAt(m.to.Fd(), m.newName); err == nil {
		there = true
	}
	if !m.from.is(m.name, f) || there != (target != nil) || there && !m.to.is(m.newName, target) {
		return errMoved
	}
	err = export.As(m.from.cred, func() error { return export.Rename(m.from.Fd(), m.name, m.to.Fd(), m.newName, 0) })
	if err == nil {
		m.fromWcc.After, m.toWcc.After = postOpOf(m.from.File), postOpOf(m.to.File)
	}
	return err
}

func (m *move) tell(ctx context.Context, f, target *export.File, filter uint32) {
	if target != nil {
		m.s.tell(ctx, lock.Change{Key: target.Key, Dir: m.to.Key, Name: m.newName, Action: lock.Removed, Filter: filter})
		target.Stat() // if that was its last name, the cache lets go of it
	}
	away, here := lock.Renamed(m.from.Key, m.to.Key)
	m.s.tell(ctx, lock.Change{Key: f.Key, Dir: m.from.Key, Name: m.name, Action: away, Filter: filter})
	m.s.tell(ctx, lock.Change{Key: f.Key, Dir: m.to.Key, Name: m.newName, Action: here, Filter: filter})
}
