package server

import (
	"context"
	"strings"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/smb2"
)

// changed tells a change of a name in t to who watches here, and to the other doors. path is the name's, beneath the share's root.
func (t *tree) changed(ctx context.Context, c lock.Change, path string) {
	c.By = lock.SMB
	s := t.session
	s.s.listings.changed(c)
	s.s.watches.changedAt(c, t.share, path)
	if err := s.s.locks.Changed(context.WithoutCancel(ctx), c); err != nil {
		s.log.Debug("change not told", "path", path, "err", err)
	}
}

// streamChanged tells a change of one of the file's named streams.
func (o *open) streamChanged(ctx context.Context, a lock.Action, name string, filter smb2.CompletionFilter) {
	o.mu.Lock()
	suffix := ":" + name + streamType
	c := lock.Change{Key: o.stream.base, Dir: o.inDirectory(), Name: o.name + suffix, Action: a, Filter: uint32(filter)}
	path := o.path + suffix
	o.mu.Unlock()
	o.tree.changed(ctx, c, path)
}

// changedName is the name in a change as a client sees it.
func changedName(a lock.Action, disk string) string {
	if a < lock.AddedStream {
		return wireName(disk)
	}
	at := strings.LastIndexByte(strings.TrimSuffix(disk, streamType), ':')
	return wireName(disk[:max(at, 0)]) + disk[max(at, 0):]
}

// modified tells that the open's file changed, data or attributes.
func (o *open) modified(ctx context.Context, filter smb2.CompletionFilter, data bool) {
	if o.stream != nil {
		if filter&smb2.NotifyChangeSize != 0 {
			o.streamChanged(ctx, lock.ModifiedStream, o.stream.called(), smb2.NotifyChangeStreamSize|smb2.NotifyChangeStreamWrite)
			return
		}
		data = false
	}
	o.mu.Lock()
	o.touched = o.touched || data
	c := lock.Change{Key: o.fileKey(), Dir: o.inDirectory(), Name: o.name, Action: lock.Modified, Filter: uint32(filter), Data: data}
	path := o.path
	o.mu.Unlock()
	o.tree.changed(ctx, c, path)
}

// changedIn is the directory whose listing tells of what was changed under o, with the lease key of whoever changed it.
func (o *open) changedIn() (dir lock.Key, parent lock.GUID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.touched {
		return lock.Key{}, lock.GUID{}
	}
	return o.inDirectory(), o.parentKey
}

// inDirectory is the directory that o's name is in, zero for the root. o.mu is held.
func (o *open) inDirectory() lock.Key {
	if o.dirKey.IsZero() && o.parent != nil {
		if k, err := export.KeyOf(int(o.parent.Fd())); err == nil {
			o.dirKey = k
		}
	}
	return o.dirKey
}
