package export

import (
	"context"
	"sync"
	"time"

	"dittofs/gateway/accounts"
)

// Groups is which groups this host says a user is in: AUTH_SYS carries no more than 16, RFC 5531 Appendix A. Answers are kept for a while.
type Groups struct {
	ttl  time.Duration
	find func(ctx context.Context, uid uint32) (groups []uint32, known bool, err error)

	mu   sync.Mutex // guards of
	of   map[uint32]*membership
	seat chan struct{} // held while the name service is asked
}

type membership struct {
	groups []uint32
	known  bool
	until  time.Time
}

// NewGroups asks the name service switch, by getent(1), and keeps an answer for ttl.
func NewGroups(ttl time.Duration) *Groups {
	return &Groups{ttl: ttl, find: initgroups, of: map[uint32]*membership{}, seat: make(chan struct{}, 4)}
}

const (
	groupsTimeout = 5 * time.Second
	groupsRetry   = 30 * time.Second
	groupsMax     = 8192
)

// Whole returns c with all its groups; a user whom the host does not know keeps those that came with the call. now: a fresh
// answer is there, or ErrLater. A nil Groups leaves everybody as he is.
func (g *Groups) Whole(ctx context.Context, c Cred, now bool) (Cred, error) {
	if g == nil || c.UID == 0 {
		return c, nil
	}
	m, fresh := g.kept(c.UID)
	if !fresh && now {
		return c, ErrLater
	}
	if !fresh {
		if asked, err := g.ask(ctx, c.UID, m); err == nil {
			m = asked
		} else if m == nil {
			return c, ErrAway
		}
	}
	if m.known {
		c.Groups = m.groups
	}
	return c, nil
}

func (g *Groups) kept(uid uint32) (m *membership, fresh bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m = g.of[uid]
	return m, m != nil && time.Now().Before(m.until)
}

// ask asks for one user; those who have an old answer go on with it meanwhile.
func (g *Groups) ask(ctx context.Context, uid uint32, old *membership) (*membership, error) {
	if old != nil {
		g.keep(uid, &membership{old.groups, old.known, time.Now().Add(groupsRetry)})
	}
	ctx, cancel := context.WithTimeout(ctx, groupsTimeout)
	defer cancel()
	select {
	case g.seat <- struct{}{}:
		defer func() { <-g.seat }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if m, fresh := g.kept(uid); fresh && m != nil && old == nil {
		return m, nil // somebody asked while we waited
	}
	groups, known, err := g.find(ctx, uid)
	if err != nil {
		return nil, err
	}
	m := &membership{groups, known, time.Now().Add(g.ttl)}
	g.keep(uid, m)
	return m, nil
}

func (g *Groups) keep(uid uint32, m *membership) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.of) >= groupsMax {
		clear(g.of)
	}
	g.of[uid] = m
}

// initgroups is getgrouplist(3) for a uid.
func initgroups(ctx context.Context, uid uint32) (groups []uint32, known bool, err error) {
	a, known, err := accounts.ByID(ctx, uid)
	if err != nil || !known {
		return nil, false, err
	}
	return append([]uint32{a.GID}, a.GIDs...), true, nil
}
