package server

import (
	"context"
	"path"
	"time"

	"dittofs/gateway/daemon"
	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
)

// Deleting on close where the door that promised it is dead, [MS-FSA] 2.1.5.5.

const (
	filterFileName = 0x1 // FILE_NOTIFY_CHANGE_FILE_NAME, [MS-SMB2] 2.2.35
	filterDirName  = 0x2
	filterStream   = 0x200 // FILE_NOTIFY_CHANGE_STREAM_NAME
)

// unlink removes the name of a file, or a stream, that was delete pending when its last open died. While the gateway itself stops, the door is alive and
// presents its open again.
func unlink(ctx context.Context, env daemon.Env, exports *export.Set, locks *seat.Seat, k lock.Key, rel string) {
	if ctx.Err() != nil {
		return
	}
	if file, dir, err := exports.UnlinkStream(k, rel); err == nil {
		locks.Changed(ctx, lock.Change{Key: file, Dir: dir, Name: path.Base(rel) + export.StreamType, Action: lock.RemovedStream, Filter: filterStream})
		env.Log.Info("stream deleted on close, for a client that is gone", "path", rel, "file", k)
		return
	}
	owner := lock.Owner{Client: lock.Client{Door: lock.NFS, Name: "gateway"}}
	dir, isDir, err := exports.UnlinkKey(k, rel, func(dir lock.Key) func(bool) {
		// Leases on the directory go without waiting.
		_, done, err := locks.Access(ctx, lock.AccessRequest{Key: dir, Owner: owner, Op: lock.OpChangeDir}, time.Second, nil)
		if err != nil {
			return func(bool) {}
		}
		return done
	})
	if err != nil {
		env.Log.Warn("delete on close: the name stays", "path", rel, "file", k, "err", err)
		return
	}
	filter := uint32(filterFileName)
	if isDir {
		filter = filterDirName
	}
	locks.Changed(ctx, lock.Change{Key: k, Dir: dir, Name: path.Base(rel), Action: lock.Removed, Filter: filter})
	exports.Forget(k)
	env.Log.Info("deleted on close, for a client that is gone", "path", rel, "file", k)
}
