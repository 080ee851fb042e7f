package nfs3

import (
	"context"

	"dittofs/gateway/oncrpc"
)

// RMDIR, RFC 1813 §3.3.13. Its arguments and results are REMOVE's.

func (s *Server) rmdir(ctx context.Context, c *oncrpc.Call, a *RemoveArgs) *RemoveRes {
	return s.removeName(ctx, c, a, true)
}
