package mount3

import (
	"context"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// UMNT, RFC 1813 §5.2.3.

func (s *Server) umnt(ctx context.Context, c *oncrpc.Call, p *DirPath) (*xdr.Void, error) {
	if *p != "" {
		s.mounts.remove(entry(c, *p))
	}
	return &xdr.Void{}, nil
}
