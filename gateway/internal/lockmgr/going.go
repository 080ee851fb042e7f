package lockmgr

import (
	"sync"
	"sync/atomic"

	"dittofs/gateway/lock"
)

// going are the files that are delete pending: who looks for a name asks for each, and nearly always there are none.
type going struct {
	n    atomic.Int64
	keys sync.Map // of lock.Key
}

func (g *going) set(k lock.Key, on bool) {
	if on {
		g.keys.Store(k, nil)
		g.n.Add(1)
	} else {
		g.keys.Delete(k)
		g.n.Add(-1)
	}
}

// Going reports whether a file is delete pending: to whoever looks for its name, it is gone. [MS-FSA] 2.1.5.1.2.
func (m *Manager) Going(k lock.Key) bool {
	if m.going.n.Load() == 0 {
		return false
	}
	_, on := m.going.keys.Load(k)
	return on
}
