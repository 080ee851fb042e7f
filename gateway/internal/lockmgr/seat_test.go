package lockmgr

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"dittofs/gateway/lock"
)

// A change that comes alone is told at once. What changes soon after it is told together, behind what was first, and not before a
// millisecond has gone, unless something comes that is more than a change. A file that goes on being written is told every 50 ms.
func TestChangesAreToldTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		began := time.Now()
		s := &Seat{changed: map[lock.Key]lock.Change{}, awake: make(chan struct{}, 1), sink: func(e lock.Event) {
			what := "mark"
			if c := e.Change; c != nil && c.Action == lock.Modified {
				what = map[bool]string{true: "written", false: "attributes"}[c.Data]
			} else if c != nil {
				what = c.Name
			}
			told = append(told, fmt.Sprint(time.Since(began), " ", what))
		}}
		go s.deliver()
		name := func(n string) {
			s.put(lock.Event{Change: &lock.Change{Name: n, Action: lock.Added}}, 0, waits{})
			synctest.Wait()
		}
		modified := func(data bool) {
			s.put(lock.Event{Change: &lock.Change{Action: lock.Modified, Data: data}}, 0, waits{})
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
		modified(true)
		modified(true) // in 50 ms, and no name and no attributes wait for that
		time.Sleep(5 * time.Millisecond)
		name("e")
		modified(false)
		time.Sleep(time.Second)
		s.qmu.Lock()
		s.closed = true
		s.qmu.Unlock()
		s.awake <- struct{}{}
		synctest.Wait()
		want := []string{"10ms a", "11ms b", "11ms c", "11.2ms d", "11.2ms mark", "111.2ms written", "116.2ms e", "117.2ms attributes", "161.2ms written"}
		if !reflect.DeepEqual(told, want) {
			t.Errorf("got  %q\nwant %q", told, want)
		}
	})
}
