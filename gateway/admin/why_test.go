package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"dittofs/gateway/lock"
)

// Each waiter is shown with what those hold whom it waits for; one who only came earlier holds nothing of it.
func TestExplain(t *testing.T) {
	nlm := lock.Owner{Client: lock.Client{Door: lock.NLM, Name: "host\x1b[2J"}, PID: 7, OH: "oh"}
	thread := lock.Owner{Client: lock.Client{Door: lock.Local}, PID: 77, Handle: 5}
	early := lock.Owner{Client: lock.Client{Door: lock.Local}, PID: 78, Handle: 6}
	smb := lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}, Session: 2, Handle: 3}
	since := time.Now().Add(-time.Minute)
	s := lock.Snapshot{Files: []lock.FileState{{Path: "f", Key: lock.Key{FSID: 1, Ino: 2, Gen: 3},
		Ranges: []lock.RangeState{{ID: "r1", Owner: nlm, Length: 10, Exclusive: true, Since: since}, {ID: "r2", Owner: thread, Offset: 5, Since: since}},
		Waiters: []lock.WaiterState{{ID: "w1", Owner: smb, User: "ann", What: "lock 0-9 exclusive", Since: since,
			For: []lock.Owner{nlm, thread.Ident(), early.Ident(), nlm}}}}}}
	ds := []lock.Denial{{At: since, Times: 3, Path: "f", Owner: smb, User: "ann", What: "lock 0-9 exclusive", Outcome: lock.Denied, Waited: 1500 * time.Millisecond,
		Holder: &lock.Holder{Owner: nlm, Exclusive: true, Length: 10}},
		{At: since, Times: 1, Path: "f", Owner: nlm, What: "lock 0-end exclusive", Outcome: lock.Limit, Limit: "ranges"}}
	r := explain(s, ds)
	var got [][]string
	for _, b := range r.Files[0].Waiters[0].Blockers {
		line := []string{b.Owner}
		for _, h := range b.Holds {
			line = append(line, h.ID)
		}
		got = append(got, line)
	}
	if want := [][]string{{nlm.String(), "r1"}, {"local:0:5", "r2"}, {"local:0:6"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("blockers:\n got %v\nwant %v", got, want)
	}
	want := refused{At: since, Times: 3, Path: "f", Key: "0:0:0", Protocol: "smb", Owner: smb.String(), User: "ann", Asked: "lock 0-9 exclusive", Reason: "denied",
		Waited: 1.5, Holder: nlm.String(), Held: "exclusive 0-9"}
	if r.Refused[0] != want {
		t.Errorf("refused:\n got %+v\nwant %+v", r.Refused[0], want)
	}
	var out bytes.Buffer
	if err := printWhy(&out, "f", r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"(user ann) has waited 1m0s for: lock 0-9 exclusive  (w1)", "    range exclusive 0-9 since 1m0s  (r1)",
		"blocked by local:0:6, who came earlier", "limit ranges", "exclusive 0-9\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("a client's name steers the terminal: %q", out.String())
	}
}

func TestBytesText(t *testing.T) {
	for _, c := range []struct {
		door          string
		start, length uint64
		want          string
	}{
		{"nlm", 0, 10, "0-9"}, {"nlm", 5, 0, "5-"}, {"smb", 5, 0, "nothing at 5"}, {"smb", 1 << 63, 1 << 63, "9223372036854775808-18446744073709551615"}, {"smb", 2, ^uint64(0), "2-"},
	} {
		if got := bytesText(c.door, c.start, c.length); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestClientOf(t *testing.T) {
	guid := lock.Client{Door: lock.SMB, GUID: lock.GUID{1, 2}}
	for _, c := range []lock.Client{guid, {Door: lock.NLM, Name: "host:1"}} {
		if got, err := clientOf(c.String()); got != c || err != nil {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	for _, s := range []string{"", "host", "local", "nlm:", "smb:0102", "nfs:192.0.2.1"} {
		if got, err := clientOf(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}
