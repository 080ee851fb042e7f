package server

import (
	"context"

	"dittofs/gateway/oncrpc"
	"dittofs/statd/nsm"
)

// unmonAll is SM_UNMON_ALL: this registrant wants to hear of nobody any more.
func (s *Server) unmonAll(ctx context.Context, c *oncrpc.Call, a *nsm.MyID) (*nsm.State, error) {
	return s.remove(c, "UNMON_ALL", func(id nsm.MonID) bool { return id.My == *a })
}
