package ipc

import (
	"testing"
	"testing/synctest"
	"time"
)

// Who asked waits for the clients that were to be told, and not twice for one that is slow.
func TestBreaksAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breaks
		wait := func(n uint64) time.Duration {
			began := time.Now()
			b.wait(n)
			return time.Since(began)
		}
		if d := wait(0); d != 0 {
			t.Errorf("nothing was sent: %v", d)
		}
		first, second := b.arrive(), b.arrive()
		time.AfterFunc(time.Millisecond, second)
		time.AfterFunc(2*time.Millisecond, first)
		if d := wait(2); d != 2*time.Millisecond {
			t.Errorf("two that are told: %v", d)
		}
		time.AfterFunc(3*time.Millisecond, func() { b.arrive()() })
		if d := wait(3); d != 3*time.Millisecond {
			t.Errorf("one on its way: %v", d)
		}
		slow := b.arrive()
		if d := wait(4); d != tellingTime {
			t.Errorf("a slow one: %v", d)
		}
		if d := wait(4); d != 0 {
			t.Errorf("a slow one, again: %v", d)
		}
		slow()
		time.AfterFunc(time.Millisecond, b.arrive())
		if d := wait(5); d != time.Millisecond {
			t.Errorf("after the slow one: %v", d)
		}
	})
}
