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

// Renaming a stream, [MS-FSA] 2.1.5.15.11.1: the new name begins with a colon and stays with the file. What
// has that name may be replaced while it is empty and nobody has it open. Implementation specific: it does not become the file's own bytes,
// nor a resource fork, and no resource fork becomes it.
func (o *open) renameStream(ctx context.Context, name string, replace bool) error {
	switch {
	case o.access&smb2.Delete == 0, o.tree.maximal&smb2.FileWriteData == 0:
		return ntstatus.AccessDenied
	case !strings.HasPrefix(name, ":"):
		return ntstatus.SharingViolation // the file itself is held by the stream
	}
	_, to, err := cutStream(name)
	if err != nil {
		return err
	}
	s := o.stream
	from := s.called()
	if to.name == "" || o.forks() || o.tree.apple() && sameName(to.name, afpResource) {
		return ntstatus.NotSupported
	}
	stored, err := o.streamed().find(to.name)
	switch {
	case err != nil:
		return err
	case stored == to.name && stored == from:
		return nil
	case stored == "" || stored == from:
	case !replace:
		return ntstatus.ObjectNameCollision
	default:
		n, err := streamSize(o.file, stored)
		if err != nil {
			return err
		}
		if n > 0 || o.session.s.streams.open(s.base, stored) {
			return ntstatus.InvalidParameter
		}
	}
	err = o.session.as(o.vol, func() error {
		if err := export.MayAccess(int(o.file.Fd()), unix.W_OK); err != nil {
			return err
		}
		return s.rename(o, stored, to.name)
	})
	if err == nil {
		o.streamChanged(ctx, lock.RemovedStream, from, smb2.NotifyChangeStreamName)
		o.streamChanged(ctx, lock.AddedStream, to.name, smb2.NotifyChangeStreamName)
	}
	return err
}

// rename moves the bytes: the new name first, so that they are never gone.
func (s *stream) rename(o *open, stored, to string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := readStream(o.file, s.name)
	if err != nil {
		return err
	}
	if err := writeStream(o.file, to, b, 0); err != nil {
		return err
	}
	for _, old := range []string{s.name, stored} {
		if old == "" || old == to {
			continue
		}
		if err := export.RemoveXattr(int(o.file.Fd()), export.StreamAttribute(old)); err != nil && !errors.Is(err, unix.ENODATA) {
			return err
		}
	}
	s.name = to
	return nil
}
