package lockmgr

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"dittofs/gateway/lock"
)

// A change that comes alone is told at once. What changes soon after it is told together, behind what was first, and not before
// a millisecond has gone, unless something comes that is more than a change.
func TestChangesAreToldTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		began := time.Now()
		s := &Seat{changed: map[lock.Key]lock.Change{}, awake: make(chan struct{}, 1), sink: func(e lock.Event) {
			what := "mark"
			if e.Change != nil {
				what = e.Change.Name
			}
			told = append(told, fmt.Sprint(time.Since(began), " ", what))
		}}
		go s.deliver()
		name := func(n string) {
			s.put(lock.Event{Change: &lock.Change{Name: n, Action: lock.Added}}, 0, waits{})
			synctest.Wait()
		}
		modified := func() {
			s.put(lock.Event{Change: &lock.Change{Action: lock.Modified}}, 0, waits{})
			synctest.Wait()
		}
		time.Sleep(10 * time.Millisecond)
		name("a")
		name("b")
		time.Sleep(300 * time.Microsecond)
		name("c")
		time.Sleep(900 * time.Microsecond) // b and c are told after 700
		name("d")
		s.put(lock.Event{Mark: &lock.MarkEvent{}}, 0, waits{})
		synctest.Wait()
		time.Sleep(100 * time.Millisecond)
		modified()
		modified() // in 50 ms, and no name waits for that
		time.Sleep(5 * time.Millisecond)
		name("e")
		time.Sleep(time.Second)
		s.qmu.Lock()
		s.closed = true
		s.qmu.Unlock()
		s.awake <- struct{}{}
		synctest.Wait()
		want := []string{"10ms a", "11ms b", "11ms c", "11.2ms d", "11.2ms mark", "111.2ms ", "116.2ms e", "161.2ms "}
		if !reflect.DeepEqual(told, want) {
			t.Errorf("got  %q\nwant %q", told, want)
		}
	})
}
