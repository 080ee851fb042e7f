package accounts

import (
	"context"
	"errors"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How long an answer of the system's user database counts, and how long it may take.
const (
	accountFor = 5 * time.Minute
	nobodyFor  = 30 * time.Second
	askFor     = 10 * time.Second
	maxKnown   = 100_000
)

// Account is a user of the system.
type Account struct {
	Name     string
	UID, GID uint32
	GIDs     []uint32 // supplementary
}

// Principals finds the local accounts of Kerberos principals: alice@EXAMPLE.ORG is alice, where EXAMPLE.ORG is one of our realms. The
// accounts come from the name service switch (getent), so directories behind sssd, winbind or LDAP count.
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
	a.account, a.ok = lookup(ctx, name[0])
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

// accountName: what cannot be an account's name; digits alone would be taken for a uid.
func accountName(s string) bool {
	if s == "" || len(s) > 255 || s[0] == '-' || strings.ContainsAny(s, ":/\x00\n\r\t ") {
		return false
	}
	_, err := strconv.ParseInt(s, 0, 64)
	return err != nil
}

// lookup asks the name service switch, and where getent is not installed the files in /etc.
func lookup(ctx context.Context, name string) (Account, bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor)
	defer cancel()
	out, err := exec.CommandContext(ctx, "getent", "passwd", "--", name).Output()
	if errors.Is(err, exec.ErrNotFound) {
		return lookupFiles(name)
	}
	f := strings.Split(strings.TrimSpace(string(out)), ":")
	if err != nil || len(f) < 7 {
		return Account{}, false
	}
	uid, err1 := strconv.ParseUint(f[2], 10, 32)
	gid, err2 := strconv.ParseUint(f[3], 10, 32)
	if err1 != nil || err2 != nil {
		return Account{}, false
	}
	a := Account{Name: f[0], UID: uint32(uid), GID: uint32(gid)}
	out, err = exec.CommandContext(ctx, "getent", "initgroups", "--", f[0]).Output()
	if fields := strings.Fields(string(out)); err == nil && len(fields) > 1 {
		a.add(fields[1:])
	}
	return a, true
}

func lookupFiles(name string) (Account, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return Account{}, false
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		return Account{}, false
	}
	a := Account{Name: u.Username, UID: uint32(uid), GID: uint32(gid)}
	if ids, err := u.GroupIds(); err == nil {
		a.add(ids)
	}
	return a, true
}

func (a *Account) add(ids []string) {
	for _, s := range ids {
		if g, err := strconv.ParseUint(s, 10, 32); err == nil && uint32(g) != a.GID {
			a.GIDs = append(a.GIDs, uint32(g))
		}
	}
}
