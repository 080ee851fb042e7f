package server

import (
	"context"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// Application instances, [MS-SMB2] 3.3.5.9.13 and 3.3.5.9.15: an application that was moved to another machine takes its files from the one that is
// lost, which may still be connected.

// app is the instance that an open belongs to.
type app struct {
	id      [16]byte
	version *smb2.AppInstanceVersion
}

// ofApp is the instance that the client names; it comes with a durable request of version 2 only.
func (c *creation) ofApp() *app {
	x := &c.q.Contexts
	if x.AppInstanceID == nil || x.DurableRequestV2 == nil {
		return nil
	}
	return &app{id: *x.AppInstanceID, version: x.AppInstanceVersion}
}

// relieve closes the open that the same instance has from another client. A newer version is not relieved by an older one, or by itself.
func (c *creation) relieve(ctx context.Context, o *open) error {
	if o.app == nil {
		return nil
	}
	for _, x := range c.s.s.opens.ofApp(o) {
		if v, now := x.app.version, o.app.version; v != nil && now != nil && !v.Before(now) {
			return ntstatus.FileForcedClosed
		}
		x.close(context.WithoutCancel(ctx))
	}
	return nil
}

// ofApp are the opens that the instance of o has of the same file from other clients.
func (t *opens) ofApp(o *open) (l []*open) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range t.by {
		if x.app != nil && x.app.id == o.app.id && x.key == o.key && x.tree.share == o.tree.share && x.owner.Client != o.owner.Client {
			l = append(l, x)
		}
	}
	return l
}
