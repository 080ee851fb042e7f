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
	c = t.changedHere(c, path)
	if err := t.session.s.locks.Changed(context.WithoutCancel(ctx), c); err != nil {
		t.session.log.Debug("change not told", "path", path, "err", err)
	}
}

// changedHere is changed for a caller that tells the other doors himself.
func (t *tree) changedHere(c lock.Change, path string) lock.Change {
	c.By = lock.SMB
	t.session.s.listings.changed(c)
	t.session.s.watches.changedAt(c, t.share, path)
	return c
}

// named is a name in dir that came or went, which takes the leases on the directory, but for the client's own with the key parent,
// [MS-SMB2] 3.3.4.22. They go after the name and before its client hears of it: nobody waits for their holders anyway, and one that is
// granted in between, to who may see the name already, goes for nothing.
func (s *session) named(dir lock.Key, name string, a lock.Action, directory bool, parent lock.GUID) lock.Change {
	filter := smb2.NotifyChangeFileName
	if directory {
		filter = smb2.NotifyChangeDirName
	}
	return lock.Change{Dir: dir, Name: name, Action: a, Filter: uint32(filter), Sudden: true, Client: s.client(), ParentKey: parent}
}

// streamChanged tells a change of one of the file's named streams.
func (o *open) streamChanged(ctx context.Context, a lock.Action, name string, filter smb2.CompletionFilter) {
	o.mu.Lock()
	suffix := ":" + wireStream(name) + streamType
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
