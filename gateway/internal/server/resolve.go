package server

import (
	"context"
	"errors"
	"time"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
)

// patience is how long a lock waits for its tree, which comes back a moment after the gateway or dittofs-fusefs was started anew.
const patience = 5 * time.Second

// resolve is the counter's way to a file by its NFS handle. While the tree is away locks wait, and then are told to come again, as in grace.
func resolve(exports *export.Set) func(context.Context, []byte, *lock.Caller, bool) (lock.Key, string, lock.Outcome) {
	return func(ctx context.Context, fh []byte, by *lock.Caller, named bool) (lock.Key, string, lock.Outcome) {
		k, path, err := exports.Resolve(ctx, fh, by, named)
		if errors.Is(err, export.ErrAway) {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			if err = exports.Await(ctx, fh); err == nil {
				k, path, err = exports.Resolve(ctx, fh, by, named)
			}
		}
		switch {
		case err == nil:
			return k, path, 0
		case errors.Is(err, export.ErrAway):
			return k, "", lock.Grace
		case errors.Is(err, export.ErrStale), errors.Is(err, export.ErrBadHandle):
			return k, "", lock.Stale
		}
		return k, "", lock.Failed // the client may not
	}
}
