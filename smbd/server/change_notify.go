package server

import (
	"context"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// CHANGE_NOTIFY, [MS-SMB2] 3.3.5.19 and [MS-FSA] 2.1.5.11.

func changeNotify(ctx context.Context, r *request) (reply, error) {
	var q smb2.ChangeNotifyRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	if q.OutputBufferLength > r.chain.c.maxTransfer {
		return nil, ntstatus.InvalidParameter
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	switch {
	case o.pipe != nil || !o.directory:
		return nil, ntstatus.InvalidParameter
	case o.access&smb2.FileListDirectory == 0:
		return nil, ntstatus.AccessDenied
	}
	if !r.last {
		// Inside a compound nothing can be answered apart, and what follows may be what ends the wait. [MS-SMB2] 3.3.5.2.7, product note.
		return nil, ntstatus.InternalError
	}
	w := o.watched(&q)
	waits := w.wait(q.OutputBufferLength)
	select {
	case n := <-waits.told:
		return n.answer()
	default:
	}
	r.pend()
	select {
	case n := <-waits.told:
		return n.answer()
	case <-ctx.Done():
	}
	w.giveUp(waits)
	select {
	case n := <-waits.told:
		return n.answer() // else it would be lost
	default:
	}
	why := context.Cause(ctx)
	if why == ntstatus.NotifyCleanup {
		return &smb2.ChangeNotifyResponse{}, why
	}
	return nil, why
}

func (n news) answer() (reply, error) {
	if n.status != ntstatus.Success {
		return &smb2.ChangeNotifyResponse{}, n.status
	}
	return &smb2.ChangeNotifyResponse{Buffer: n.changes}, nil
}

// watched is the open's watch. What the first CHANGE_NOTIFY asked for stays until the open is closed.
func (o *open) watched(q *smb2.ChangeNotifyRequest) *watch {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.watch != nil {
		return o.watch
	}
	w := &watch{o: o, share: o.tree.share, dir: o.key, path: o.path, tree: q.Flags&smb2.WatchTree != 0, filter: uint32(q.CompletionFilter),
		limit: q.OutputBufferLength}
	if w.path == "." {
		w.path = ""
	}
	o.watch = w
	o.session.s.watches.add(w)
	return w
}
