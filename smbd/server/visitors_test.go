package server

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// So many connections are served in all, and from one address; and of those that nobody has logged on over, fewer.
func TestVisitors(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	now := time.Unix(0, 0).Add(time.Hour)
	enter := func(v *visitors, from netip.Addr) bool {
		ok, _ := v.enter(from, now)
		return ok
	}
	v := newVisitors(3, 2)
	if got := []bool{enter(v, a), enter(v, a), enter(v, a), enter(v, b), enter(v, b)}; !slices.Equal(got, []bool{true, true, false, true, false}) {
		t.Errorf("admitted %v", got)
	}
	v.leave(a, true)
	if !enter(v, b) {
		t.Error("a place was free")
	}
	v = newVisitors(10000, 10000)
	for range maxStrangersPerAddress {
		enter(v, a)
	}
	if enter(v, a) {
		t.Error("any number of strangers")
	}
	v.known(a)
	if !enter(v, a) || enter(v, a) {
		t.Error("who has logged on makes room for one")
	}
	if _, tell := v.enter(a, now); tell {
		t.Error("the administrator heard it a moment ago")
	}
	if _, tell := v.enter(a, now.Add(time.Minute)); !tell {
		t.Error("the administrator is not told")
	}
	v.leave(a, false)
	for range maxStrangersPerAddress {
		v.leave(a, true)
	}
	if len(v.by) != 0 || v.total != 0 || v.strangers != 0 {
		t.Errorf("left behind: %+v", v)
	}
}

// The answer to a wrong password comes later each time, and time heals.
func TestFailedLogons(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	now := time.Unix(0, 0).Add(time.Hour)
	v := newVisitors(10, 10)
	var got []time.Duration
	for range 8 {
		got = append(got, v.failed(a, now))
	}
	if want := []time.Duration{0, 0, 0, 0, 0, 500 * time.Millisecond, time.Second, 1500 * time.Millisecond}; !slices.Equal(got, want) {
		t.Errorf("delays %v, want %v", got, want)
	}
	for range 100 {
		v.failed(a, now)
	}
	if d := v.failed(a, now); d != maxDelay {
		t.Errorf("the longest delay is %v", d)
	}
	if d := v.failed(a, now.Add(time.Hour)); d != 0 {
		t.Errorf("after an hour: %v", d)
	}
	for i := range 3 * maxVisitors {
		v.failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if n := len(v.by); n > maxVisitors+1 {
		t.Errorf("%d addresses are remembered", n)
	}
}
