package nfs3

import (
	"context"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/oncrpc"
)

// What a change counts as for CHANGE_NOTIFY, [MS-SMB2] 2.2.35.
const (
	notifyFileName = 0x1
	notifyDirName  = 0x2
)

func notifyName(dir bool) uint32 {
	if dir {
		return notifyDirName
	}
	return notifyFileName
}

// errMoved means that a name was given to another file while the counter was asked about the first.
const errMoved Status = 1<<31 + 1

// tries is how often an operation follows such a name.
const tries = 4

// newName refuses what no new entry can be called.
func newName(name string) error {
	if name == "." || name == ".." {
		return ErrExist
	}
	return export.CheckName(name)
}

// inDir changes names in the directory p by do: admitted, between the attributes before and after, durable when it returns.
func (s *Server) inDir(ctx context.Context, c *oncrpc.Call, p place, wcc *WccData, do func() error) error {
	done, err := s.admit(ctx, c, p, p.File, lock.OpChangeDir, 0, 0)
	if err != nil {
		return err
	}
	changed := false
	defer func() { done(changed) }()
	p.Lock()
	defer p.Unlock()
	before, err := p.Stat()
	if err != nil {
		return err
	}
	if !before.IsDir() {
		return ErrNotDir
	}
	wcc.Before = preOp(&before)
	if err := do(); err != nil {
		return err
	}
	changed = true
	wcc.After = postOpOf(p.File)
	return nil
}

// finish makes a directory's new names durable; what failed before it stays so. The attributes afterwards are told in either case.
func finish(p place, wcc *WccData, err error) error {
	if err == nil {
		err = p.durable(&export.Attr{Mode: unix.S_IFDIR})
	}
	if !wcc.After.Follow {
		wcc.After = postOpOf(p.File)
	}
	return err
}

// is reports whether name in the directory still is f.
func (p place) is(name string, f *export.File) bool {
	a, err := export.StatAt(p.Fd(), name)
	return err == nil && a.Ino == f.Key.Ino
}
