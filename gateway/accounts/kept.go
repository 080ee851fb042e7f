package accounts

import (
	"context"
	"sync"
	"time"
)

// How long an answer of the name service switch counts, since asking costs a process; and how many are kept.
const (
	accountFor = 5 * time.Minute
	nobodyFor  = 30 * time.Second
	maxKept    = 100_000
)

// kept are the answers to whom we have asked for; the zero value has none. Its mu is a leaf.
type kept[K comparable] struct {
	mu sync.Mutex // guards of
	of map[K]answer
}

type answer struct {
	account Account
	known   bool
	until   time.Time
}

// find is what find said of key, now or a while ago. A name service that does not answer knows nobody, for a short while.
func (k *kept[K]) find(key K, find func(context.Context, K) (Account, bool, error)) (Account, bool, error) {
	now := time.Now()
	k.mu.Lock()
	a, ok := k.of[key]
	k.mu.Unlock()
	if ok && now.Before(a.until) {
		return a.account, a.known, nil
	}
	var err error
	a.account, a.known, err = find(context.Background(), key)
	a.until = now.Add(nobodyFor)
	if a.known {
		a.until = now.Add(accountFor)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.of == nil || len(k.of) >= maxKept {
		k.of = map[K]answer{}
	}
	k.of[key] = a
	return a.account, a.known, err
}
