package server

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// CREATE of a named stream, [MS-FSA] 2.1.5.1.2. Its file is opened with the rights that the stream is to have, or made first; what is
// there decides whether the disposition fits.

// openStreamFile opens the file of a stream, which is there, as openExisting opens a file for itself.
func (c *creation) openStreamFile() (err error) {
	q := c.q
	if c.info, err = statFile(c.at.file, c.at.name); err != nil {
		return err
	}
	if !c.info.isRegular() && !c.info.isDir() {
		return ntstatus.AccessDenied
	}
	if c.tree.apple() {
		c.s.as(c.vol, func() error { c.double, _ = openDouble(c.at.parent, c.at.name, unix.O_RDONLY); return nil })
	}
	in := c.tree.streamed(c.at.file, c.double)
	stored, err := in.find(c.stream.name)
	if err != nil {
		return err
	}
	if stored != "" && !c.tree.share.isThere(in, stored) {
		c.stream.name, stored = stored, ""
	}
	changes := stored == "" || c.truncates()
	switch {
	case stored != "" && q.CreateDisposition == smb2.FileCreate:
		return ntstatus.ObjectNameCollision
	case stored == "" && (q.CreateDisposition == smb2.FileOpen || q.CreateDisposition == smb2.FileOverwrite):
		return ntstatus.ObjectNameNotFound
	case changes && c.tree.maximal&smb2.FileWriteData == 0:
		return ntstatus.AccessDenied
	case !c.info.isDir() && c.info.attributes&smb2.FileAttributeReadonly != 0 && (c.writable() || changes):
		return ntstatus.AccessDenied // [MS-FSA] 2.1.5.1.2.1
	}
	c.action = smb2.FileOpened
	switch {
	case stored == "":
		c.action = smb2.FileCreated
	case q.CreateDisposition == smb2.FileSupersede:
		c.action, c.stream.name = smb2.FileSuperseded, stored
	case c.truncates():
		c.action, c.stream.name = smb2.FileOverwritten, stored
	default:
		c.stream.name = stored
	}
	c.rights = c.s.judge(c.at.file, c.info)
	if c.max {
		c.access |= c.maximal()
	}
	if c.rights != nil {
		need := c.needs()
		if changes || c.access&smb2.Delete != 0 {
			need |= smb2.FileWriteData
		}
		if need&^*c.rights != 0 {
			return ntstatus.AccessDenied
		}
		return c.reopenGranted()
	}
	return c.s.as(c.vol, func() error {
		// A stream is removed by who may write to its file.
		if changes || c.access&smb2.Delete != 0 {
			if err := export.MayAccess(int(c.at.file.Fd()), unix.W_OK); err != nil {
				return err
			}
		}
		all := c.access
		defer func() { c.access = all }()
		c.access &^= smb2.Delete
		return c.reopen()
	})
}

// holdFile keeps the stream's file: it cannot go, nor be opened for deletion where the stream's open does not share that.
func (c *creation) holdFile(ctx context.Context, o *open) error {
	locks := c.s.s.locks
	hold := locks.Number()
	owner := o.owner
	owner.Handle = hold
	res, err := locks.Open(ctx, lock.OpenRequest{Open: hold, Key: o.stream.base, Owner: owner, Directory: c.info.isDir(), Access: lock.Stream,
		Share: counterShare(c.q.ShareAccess) | lock.ShareRead | lock.ShareWrite, Path: o.path, User: c.s.who()}, c.r.pend)
	if err != nil {
		return err
	}
	if res.Outcome != lock.Granted {
		return openRefused(res.Outcome)
	}
	o.hold = hold
	return nil
}

// settleStream makes or empties the stream. Whoever was faster to make or remove it is seen now.
func (c *creation) settleStream(ctx context.Context) error {
	name := c.o.stream.called()
	if c.action != smb2.FileOpened || c.writable() || c.access&smb2.Delete != 0 {
		d, err := c.o.ownDouble(ctx, c.o.resourceFork())
		if err != nil {
			return err
		}
		c.o.double.close()
		c.o.double = d
		if c.o.finder() {
			if err := c.s.as(c.vol, func() error { return takeNetatalk(c.file) }); err != nil {
				return err
			}
		}
	}
	in := c.o.streamed()
	switch c.action {
	case smb2.FileCreated:
		if in.forked(name) {
			c.madeStream = true
			return nil
		}
		err := writeStream(c.file, name, nil, unix.XATTR_CREATE)
		if errors.Is(err, unix.EEXIST) && !c.tree.share.isThere(in, name) {
			return nil // a Mac's, without bytes
		}
		if errors.Is(err, unix.EEXIST) && c.q.CreateDisposition != smb2.FileCreate {
			return errAgain
		}
		c.madeStream = err == nil
		return err
	case smb2.FileOpened:
		if _, err := in.size(name); errors.Is(err, unix.ENODATA) {
			return errAgain
		}
		return nil
	}
	err := c.o.stream.truncate(in, 0)
	if errors.Is(err, unix.ENODATA) {
		return errAgain
	}
	return err
}

// removeStreams removes the attributes of a file's streams, which is overwritten, [MS-FSA] 2.1.5.1.2.1. Implementation specific: one that is open stays.
func (c *creation) removeStreams() error {
	names, err := streamNames(c.file)
	for _, n := range names {
		if err == nil && !c.s.s.streams.open(c.o.key, n) {
			err = export.RemoveXattr(int(c.file.Fd()), export.StreamAttribute(n))
		}
	}
	return err
}
