package lockmgr_test

import (
	"fmt"
	"testing"
	"time"

	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/lock"
)

// A ring of n owners of three doors, each holding its own file and waiting for the next one's: the last to wait is the victim at once, and
// when it gives up what it holds, all others are served one after the other.
func TestCyclesOfAllLengths(t *testing.T) {
	var slowest time.Duration
	for n := 2; n <= 16; n++ {
		for shift := range 3 {
			m, v, _ := begin(t, t.TempDir(), memory(t), lockmgr.Config{})
			r := &run{Manager: m, t: t, vault: v}
			doors := []*door{r.seat(lock.NLM, "lockd"), r.seat(lock.SMB, "smbd"), r.seat(lock.Local, "fusefs")}
			ask := func(who, at int, ticket uint64) (*door, lock.LockRequest) {
				d := doors[(who+shift)%3]
				q := lock.LockRequest{Key: lock.Key{FSID: 1, Ino: uint64(at%n + 1)}, Exclusive: true, Length: 10, Ticket: ticket}
				switch kind := lock.Door((who+shift)%3 + 1); kind {
				case lock.NLM:
					q.Owner = lock.Owner{Client: lock.Client{Door: kind, Name: fmt.Sprint("host", who)}, OH: "oh"}
				case lock.SMB:
					// One open for each of the two files; they are one owner in the graph.
					q.Owner = lock.Owner{Client: lock.Client{Door: kind, GUID: lock.GUID{byte(who + 1)}}, Handle: uint64(who + 1)}
					q.Open = uint64(2*who + at - who + 1)
					res, err := d.Open(ctx, lock.OpenRequest{Open: q.Open, Key: q.Key, Owner: q.Owner, Access: lock.Read | lock.Write, Share: lock.ShareAll})
					if err != nil || res.Outcome != lock.Granted {
						t.Fatal(res, err)
					}
				case lock.Local:
					q.Owner = lock.Owner{Client: lock.Client{Door: kind}, Handle: uint64(who + 1)}
				}
				return d, q
			}
			held := make([]lock.LockRequest, n)
			for who := range n {
				d, q := ask(who, who, 0)
				held[who] = q
				r.want("its own", d.lock(q), lock.Granted)
			}
			var began time.Time
			for who := range n {
				d, q := ask(who, who+1, uint64(1000+who))
				want := lock.Blocked
				if who == n-1 {
					want = lock.Deadlock
				}
				began = time.Now()
				r.want(fmt.Sprintf("%d of %d waits", who, n), d.lock(q), want)
			}
			slowest = max(slowest, time.Since(began))
			for who := n - 1; who > 0; who-- {
				d := doors[(who+shift)%3]
				if res, err := d.Unlock(ctx, held[who]); err != nil || res.Outcome != lock.Granted {
					t.Fatal(res, err)
				}
				e := <-doors[(who-1+shift)%3].events
				r.want("the next in the ring", e.Answer.Outcome, lock.Granted)
			}
			v.Close()
		}
	}
	t.Logf("the slowest cycle was found in %v", slowest)
}
