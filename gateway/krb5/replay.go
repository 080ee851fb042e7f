package krb5

import (
	"sync"
	"time"
)

// maxReplays bounds what is remembered: a thousand logons a second for the time that an authenticator is good for.
const maxReplays = 600_000

// replays remembers each authenticator for as long as it would be good.
type replays struct {
	mu    sync.Mutex // guards the fields below
	until map[[32]byte]time.Time
	sweep time.Time
}

func newReplays() *replays { return &replays{until: map[[32]byte]time.Time{}} }

// first reports whether the authenticator has not been seen, and remembers it. When too many are remembered, none is new.
func (r *replays) first(id [32]byte, until, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.After(r.sweep) {
		for k, t := range r.until {
			if now.After(t) {
				delete(r.until, k)
			}
		}
		r.sweep = now.Add(time.Minute)
	}
	if _, ok := r.until[id]; ok || len(r.until) >= maxReplays {
		return false
	}
	r.until[id] = until
	return true
}
