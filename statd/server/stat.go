package server

import (
	"context"

	"dittofs/gateway/oncrpc"
	"dittofs/statd/nsm"
)

// stat is SM_STAT: would we monitor this host. We would, and it changes nothing.
func (s *Server) stat(ctx context.Context, c *oncrpc.Call, a *nsm.Name) (*nsm.StatRes, error) {
	return &nsm.StatRes{Result: nsm.Success, State: s.state.Load()}, nil
}
