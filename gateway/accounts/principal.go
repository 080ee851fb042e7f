package accounts

import (
	"context"
	"slices"
	"sync"
	"time"
)

// How long an answer of the system's user database counts.
const (
	accountFor = 5 * time.Minute
	nobodyFor  = 30 * time.Second
	maxKnown   = 100_000
)

// Principals finds the local accounts of Kerberos principals: alice@EXAMPLE.ORG is alice, where EXAMPLE.ORG is one of our realms.
// Answers are kept for a while.
type Principals struct {
	Realms func() []string // ours; others' principals are nobody

	mu    sync.Mutex // guards known
	known map[string]answer
}

type answer struct {
	account Account
	ok      bool
	until   time.Time
}

// Account finds the account of a principal. Only names of one component have one: services and hosts are nobody.
func (p *Principals) Account(ctx context.Context, name []string, realm string) (Account, bool) {
	if !p.Ours(name, realm) {
		return Account{}, false
	}
	now := time.Now()
	p.mu.Lock()
	a, ok := p.known[name[0]]
	p.mu.Unlock()
	if ok && now.Before(a.until) {
		return a.account, a.ok
	}
	account, known, err := ByName(context.WithoutCancel(ctx), name[0])
	a.account, a.ok = account, known && err == nil
	a.until = now.Add(nobodyFor)
	if a.ok {
		a.until = now.Add(accountFor)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) > maxKnown {
		p.known = map[string]answer{}
	}
	p.known[name[0]] = a
	return a.account, a.ok
}

// Ours reports whether a principal could have an account here.
func (p *Principals) Ours(name []string, realm string) bool {
	return len(name) == 1 && slices.Contains(p.Realms(), realm) && accountName(name[0])
}
