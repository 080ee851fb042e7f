package server

import (
	"slices"

	"dittofs/gateway/ipc"
)

// hosts are who must be told of a new state: those that the counter monitors, and the servers that a lock manager of this host had
// registered before the host itself was started anew. While this host runs on, the locks that its own NFS client holds elsewhere are
// alive, whatever becomes of the gateway: those servers are not told.
func (s *Server) hosts(monitored []ipc.Host) []Target {
	var ts []Target
	for _, h := range monitored {
		if t := (Target{h.Name, h.Address}); !slices.Contains(ts, t) {
			ts = append(ts, t)
		}
	}
	for _, r := range s.cfg.Store.Earlier() {
		if t := (Target{Name: r.ID.Name}); !slices.Contains(ts, t) {
			ts = append(ts, t)
		}
	}
	return ts
}
