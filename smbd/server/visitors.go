package server

import (
	"net/netip"
	"sync"
	"time"
)

// What clients may do before we know them. Implementation specific.
const (
	maxStrangers           = 1024 // connections on which nobody has logged on yet
	maxStrangersPerAddress = 64
	maxVisitors            = 4096 // addresses that are remembered for their failed logons alone
	freeFailures           = 5    // failed logons that are answered at once
	forgive                = 10 * time.Second
	maxDelay               = 5 * time.Second
)

// visitors are the client addresses: how many connections each has, and how many logons failed lately.
type visitors struct {
	max, perAddress int

	mu        sync.Mutex // guards the fields below
	total     int
	strangers int
	by        map[netip.Addr]*visitor
}

type visitor struct {
	connections, strangers int

	failures float64 // one is forgiven every ten seconds
	at       time.Time
	told     time.Time // when the administrator last heard that connections are refused
}

func newVisitors(max, perAddress int) *visitors {
	return &visitors{max: max, perAddress: perAddress, by: map[netip.Addr]*visitor{}}
}

// forgive lets time pass.
func (v *visitor) forgive(now time.Time) {
	v.failures = max(v.failures-float64(now.Sub(v.at))/float64(forgive), 0)
	v.at = now
}

// of finds an address' entry. When there are too many, those that have nothing to remember go. t.mu is held.
func (t *visitors) of(a netip.Addr, now time.Time) *visitor {
	v := t.by[a]
	if v != nil {
		v.forgive(now)
		return v
	}
	if len(t.by) >= maxVisitors+t.total {
		for b, o := range t.by {
			if o.forgive(now); o.connections == 0 && (o.failures == 0 || len(t.by) >= maxVisitors+t.total) {
				delete(t.by, b)
			}
		}
	}
	v = &visitor{at: now}
	t.by[a] = v
	return v
}

// enter admits a connection, or says whether to tell the administrator that it was refused, once a minute for each address.
func (t *visitors) enter(a netip.Addr, now time.Time) (ok, tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.of(a, now)
	if t.total >= t.max || v.connections >= t.perAddress || t.strangers >= maxStrangers || v.strangers >= maxStrangersPerAddress {
		if tell = now.Sub(v.told) >= time.Minute; tell {
			v.told = now
		}
		return false, tell
	}
	t.total++
	t.strangers++
	v.connections++
	v.strangers++
	return true, false
}

// known says that somebody has logged on over a connection.
func (t *visitors) known(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.strangers--
	t.by[a].strangers--
}

// leave takes a connection away.
func (t *visitors) leave(a netip.Addr, stranger bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.by[a]
	t.total--
	v.connections--
	if stranger {
		t.strangers--
		v.strangers--
	}
	if v.connections == 0 && v.failures == 0 {
		delete(t.by, a)
	}
}

// failed counts a failed logon and says how long its answer is to wait.
func (t *visitors) failed(a netip.Addr, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.of(a, now)
	v.failures++
	if v.failures <= freeFailures {
		return 0
	}
	return min(time.Duration((v.failures-freeFailures)*float64(500*time.Millisecond)).Round(10*time.Millisecond), maxDelay)
}
