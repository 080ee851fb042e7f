package lock

import (
	"testing"
	"time"
)

// The administrator takes away one thing by its ID: who waits behind it goes on, the others' things stay, and the door that keeps it is told.
func TestRevoke(t *testing.T) {
	nlm := func(n int32) Owner { return Owner{Client: Client{Door: NLM, Name: "h"}, PID: n} }
	local := Owner{Client: Client{Door: Local}, Handle: 5, PID: 77}
	smb := Owner{Client: Client{Door: SMB, GUID: GUID{1}}, Session: 1, Handle: 9}
	tab := &Table{Key: Key{1, 2, 3}, Verb: &Verb{At: time.Unix(100, 0)}}
	turn := func() { tab.Turn++; tab.Effects = nil }
	turn()
	tab.Lock(1, ID{}, &LockRequest{Owner: nlm(1), Offset: 0, Length: 10, Exclusive: true})
	turn()
	tab.Lock(2, ID{}, &LockRequest{Owner: local, Offset: 20, Length: 10, Exclusive: true})
	turn()
	tab.Open(ID{3, 9}, ID{}, &OpenRequest{Open: 9, Owner: smb, Access: Read, Share: ShareAll})
	turn()
	for range 2 {
		if res := tab.Lock(3, ID{}, &LockRequest{Owner: smb, Open: 9, Offset: 40, Length: 1}); res.Outcome != Granted {
			t.Fatal(res.Outcome)
		}
		turn()
	}
	if res := tab.Lock(3, ID{3, 50}, &LockRequest{Ticket: 50, Owner: smb, Open: 9, Offset: 0, Length: 5}); res.Outcome != Blocked {
		t.Fatal(res.Outcome)
	}
	before := tab.State()
	ids := map[string]bool{}
	for _, r := range before.Ranges {
		ids[r.ID] = true
	}
	if again := tab.State(); again.Ranges[3].ID != before.Ranges[3].ID || len(ids) != 4 || before.Waiters[0].What != "lock 0-4 shared" {
		t.Fatalf("IDs: %v, waiter %q", ids, before.Waiters[0].What)
	}

	turn()
	tab.Revoke(map[string]bool{before.Ranges[0].ID: true, "none": true})
	var told []Event
	for _, e := range tab.Effects {
		if e.Kind == Tell {
			told = append(told, e.Event)
		}
	}
	st := tab.State()
	if len(told) != 1 || told[0].Answer == nil || *told[0].Answer != (Answer{Ticket: 50, Outcome: Granted}) || len(st.Ranges) != 4 || len(st.Waiters) != 0 {
		t.Errorf("NLM's range was taken away; told %+v, left %+v", told, st)
	}

	turn()
	tab.Revoke(map[string]bool{before.Ranges[1].ID: true, before.Ranges[3].ID: true})
	gone := map[Gone]bool{}
	for _, e := range tab.Effects {
		if e.Kind == Tell && e.Event.Gone != nil {
			gone[*e.Event.Gone] = true
		}
	}
	if len(gone) != 2 || !gone[Gone{Key: tab.Key, Range: true, Owner: local, Offset: 20, Length: 10, Exclusive: true}] ||
		!gone[Gone{Key: tab.Key, Open: 9, Range: true, Owner: smb, Offset: 40, Length: 1}] {
		t.Errorf("doors were told %+v", gone)
	}
	if st = tab.State(); len(st.Ranges) != 2 || st.Ranges[0].ID != before.Ranges[2].ID {
		t.Errorf("one of two equal ranges stays: %+v", st.Ranges)
	}

	turn()
	tab.Revoke(map[string]bool{before.Opens[0].ID: true})
	if !tab.Empty() {
		t.Errorf("the open ended with its ranges: %+v", tab.State())
	}
}
