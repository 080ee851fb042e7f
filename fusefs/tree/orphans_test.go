package tree

import (
	"testing"

	"dittofs/gateway/fuzz"

	"golang.org/x/sys/unix"
)

func TestParseOrphans(t *testing.T) {
	for text, want := range map[string]orphan{
		"pos:\t6\nflags:\t02100002\nmnt_id:\t93\nino:\t753838\n": {ino: 753838, flags: unix.O_RDWR},
		"pos:\t0\nflags:\t0100000\nmnt_id:\t93\nino:\t7\n":       {ino: 7},
		"pos:\t0\nflags:\t012000002\nmnt_id:\t93\nino:\t7\n":     {ino: 7}, // O_PATH
	} {
		if got, id := parseFD(text); got != want || id != "93" {
			t.Errorf("%q: %+v on %s, want %+v", text, got, id, want)
		}
	}
	for line, want := range map[string]orphan{
		"7f804cd39000-7f804cd3b000 rw-s 00000000 00:2b 753838                     /sub/a b\n": {ino: 753838, flags: unix.O_RDWR, path: "/sub/a b"},
		"7f804cd39000-7f804cd3b000 rw-p 00000000 00:2b 9 /x\n":                                {ino: 9, path: "/x"},
	} {
		if got, dev := parseMap(line); got != want || dev != "0:43" {
			t.Errorf("%q: %+v on %s, want %+v", line, got, dev, want)
		}
	}
}

func FuzzParseOrphans(g *testing.F) {
	f := fuzz.On(g)
	f.Add("flags:\t02100002\nmnt_id:\t93\nino:\t753838\n")
	f.Add("7f804cd39000-7f804cd3b000 rw-s 00000000 00:2b 753838 /sub/f")
	f.Add("x rw 0 :: 1 /")
	f.Fuzz(func(t *testing.T, s string) {
		parseFD(s)
		parseMap(s)
	})
}
