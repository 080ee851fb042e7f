package config

import (
	"testing"
	"time"
)

func TestSnapshots(t *testing.T) {
	for s, want := range map[Snapshots]bool{
		"": true, ".snap/%Y.%m.%d-%H.%M.%S": true, "a/b/@GMT-%Y.%m.%d-%H.%M.%S": true, "%Y%m%d%H%M%S": false, "/s/%Y%m%d%H%M%S": false,
		"../%Y%m%d%H%M%S": false, "s/../../%Y%m%d%H%M%S": false, "s/%Y%m%d": false, "s/%Y%Y%m%d%H%M%S": false, "s/%Y%m%d%H%M%S%z": false, "s/1%Y%m%d%H%M%S": false,
	} {
		if err := s.check(); (err == nil) != want {
			t.Errorf("%q: %v", s, err)
		}
	}
	s := Snapshots(".snap/GMT-%Y.%m.%d-%H.%M.%S")
	want := time.Date(2024, 2, 29, 23, 59, 58, 0, time.UTC)
	if got, ok := s.Time("GMT-2024.02.29-23.59.58"); !ok || !got.Equal(want) || s.Dir() != ".snap" {
		t.Errorf("%v, %v", got, ok)
	}
	for _, name := range []string{"", "GMT-2024.02.30-23.59.58", "GMT-2024.02.29-23.59.58x", "GMT-2024.2.29-23.59.58"} {
		if got, ok := s.Time(name); ok {
			t.Errorf("%q: %v", name, got)
		}
	}
}
