package lock

import "testing"

func (f *file) nlm(svid int32, exclusive, try bool) (uint64, Outcome) {
	n := f.num()
	r := &LockRequest{Ticket: n, Try: try, Owner: Owner{Client: Client{Door: NLM, Name: "host"}, PID: svid}, Length: 1, Exclusive: exclusive}
	return n, f.Lock(1, ID{1, n}, r).Outcome
}

// A waiting request that its owner replaces by a weaker one lets those go on who waited behind it.
func TestRepeatedRequestWakes(t *testing.T) {
	f := newFile(t)
	for _, c := range []struct {
		svid           int32
		exclusive, try bool
		want           Outcome
	}{{1, false, true, Granted}, {2, true, false, Blocked}, {3, false, false, Blocked}, {2, false, true, Granted}} {
		_, out := f.nlm(c.svid, c.exclusive, c.try)
		f.expect("lock", out, c.want)
	}
	f.expect("told", f.said(), "cancelled granted")
}

// Who takes without waiting what its own earlier request waits behind others for, has that too.
func TestHolderKeepsNoPlace(t *testing.T) {
	f := newFile(t)
	for _, c := range []struct {
		svid           int32
		exclusive, try bool
		want           Outcome
	}{{1, false, true, Granted}, {2, true, false, Blocked}, {3, false, false, Blocked}, {3, false, true, Granted}} {
		_, out := f.nlm(c.svid, c.exclusive, c.try)
		f.expect("lock", out, c.want)
	}
	// The repeated request of an NLM owner replaces the one that waits.
	f.expect("told", f.said(), "cancelled")

	g := newFile(t)
	g.nlm(1, false, true)
	g.nlm(2, true, false)
	local := Owner{Client: Client{Door: Local}, Handle: 9}
	for _, try := range []bool{false, true} {
		n := g.num()
		g.Lock(1, ID{1, n}, &LockRequest{Ticket: n, Try: try, Owner: local, Length: 1})
	}
	g.expect("told", g.said(), "granted")
}
