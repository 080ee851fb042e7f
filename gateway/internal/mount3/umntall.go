package mount3

import (
	"context"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// UMNTALL, RFC 1813 §5.2.4.

func (s *Server) umntall(ctx context.Context, c *oncrpc.Call, _ *xdr.Void) (*xdr.Void, error) {
	s.mounts.remove(entry(c, ""))
	return &xdr.Void{}, nil
}
