package server

import (
	"testing"
	"time"
)

// One goroutine at a time has the field: who passed it on, or was late, does not go on reading.
func TestField(t *testing.T) {
	next, waiting := make(chan uint64, 1), false
	f := field{next: func(turn uint64) { next <- turn }, waiting: func() bool { return waiting }}
	passed := func(what string, from uint64) {
		t.Helper()
		if got := <-next; got != from+1 || f.keep(from) || !f.keep(got) {
			t.Errorf("%s: turn %d has the field", what, got)
		}
	}
	f.begin(false)
	if !f.keep(0) {
		t.Error("an answered request's goroutine does not go on reading")
	}
	f.begin(false)
	f.pass(0)
	passed("pass", 0)
	f.pass(0) // a second time
	f.moving(1, moveMax+1)
	passed("much to move", 1)
	waiting = true
	f.moving(2, 1)
	passed("others wait", 2)
	f.moving(2, 1)
	f.begin(false)
	f.until = time.Now()
	f.overdue()
	passed("late", 3)
	f.begin(true)
	f.overdue()
	if !f.keep(4) {
		t.Error("a logon passed the field on")
	}
	f.end()
}
