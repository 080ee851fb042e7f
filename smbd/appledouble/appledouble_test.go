package appledouble

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"dittofs/gateway/fuzz"
)

// mac is a file as macOS writes it: two attributes behind the Finder's information, and a resource fork.
var mac = fields(`
	00051607 00020000          # magic, version
	4d6163204f5320582020202020202020  # filler
	0002                       # entries
	00000009 00000032 00000076 # the Finder's information: offset, length
	00000002 000000a8 00000004 # the resource fork
	5445585474747874 0000000000000000 0000000000000000 0000000000000000
	0000 41545452 00000000     # padding, magic, tag
	000000a8 000000a0 00000007 # size, where values begin, their length
	00000000 00000000 00000000 0000 0002
	000000a0 00000003 0000 08 666f6f3a62617200 00 # foo:bar, with a zero and one to a multiple of 4
	000000a3 00000004 0000 06 636f6c6f7200 000000 # color
	62617a 726564 21 00        # baz, red!, and what is left
	666f726b                   # fork
`)

// fields are the bytes of hexadecimal lines; a # begins what is said of them.
func fields(text string) (b []byte) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		x, err := hex.DecodeString(strings.Join(strings.Fields(line), ""))
		if err != nil {
			panic(err)
		}
		b = append(b, x...)
	}
	return b
}

func TestMac(t *testing.T) {
	f, err := Parse(mac, uint64(len(mac)))
	if err != nil {
		t.Fatal(err)
	}
	if want := (File{Finder: Entry{50, 118}, Fork: Entry{168, 4}}); *f != want {
		t.Fatalf("%+v, want %+v", *f, want)
	}
	if got := string(mac[f.Fork.Offset:f.Fork.End()]); got != "fork" {
		t.Errorf("fork: %q", got)
	}
	list, err := f.Attributes(mac[:f.Finder.End()])
	want := []Attribute{{"foo:bar", []byte("baz")}, {"color", []byte("red!")}}
	if err != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("%q, %v", list, err)
	}
}

// What is stripped keeps its fork where it lies.
func TestStrip(t *testing.T) {
	f, _ := Parse(mac, uint64(len(mac)))
	f.Strip()
	b := append([]byte(nil), mac...)
	copy(b, f.Append(nil))
	again, err := Parse(b, uint64(len(b)))
	if want := (File{Finder: Entry{50, 32}, Fork: Entry{168, 4}, Taken: true}); err != nil || *again != want || !again.Bare() {
		t.Errorf("%+v, %v", again, err)
	}
	if !bytes.Equal(b[50:82], make([]byte, 32)) {
		t.Errorf("the Finder's information: % x", b[50:82])
	}
}

func TestNew(t *testing.T) {
	b := New().Append(nil)
	want := fields(`
		00051607 00020000 4e65746174616c6b2020202020202020 0002
		00000009 00000032 00000020
		00000002 00000052 00000000
		0000000000000000 0000000000000000 0000000000000000 0000000000000000`)
	if !bytes.Equal(b, want) {
		t.Errorf("\n% x\n% x", b, want)
	}
	if f, err := Parse(b, uint64(len(b))); err != nil || f.Fork != New().Fork || !f.Bare() {
		t.Errorf("%+v, %v", f, err)
	}
}

// A fork that begins before there is room for the Finder's information stays there.
func TestEarlyFork(t *testing.T) {
	f := &File{Fork: Entry{38, 4}}
	b := append(f.Append(nil), "fork"...)
	if again, err := Parse(b, uint64(len(b))); err != nil || again.Fork != f.Fork || len(b) != 42 {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestDamaged(t *testing.T) {
	for name, change := range map[string]func(b []byte) []byte{
		"another magic":       func(b []byte) []byte { b[3] = 0; return b },
		"version 1":           func(b []byte) []byte { b[5] = 1; return b },
		"too short":           func(b []byte) []byte { return b[:25] },
		"a table that ends":   func(b []byte) []byte { return b[:49] },
		"many entries":        func(b []byte) []byte { b[24] = 1; return b },
		"Finder past the end": func(b []byte) []byte { b[35] = 1; return b },
		"fork past the end":   func(b []byte) []byte { b[43] = 1; return b },
		"fork in the table":   func(b []byte) []byte { b[45] = 20; return b },
	} {
		b := change(append([]byte(nil), mac...))
		if f, err := Parse(b, uint64(len(b))); err != ErrFormat {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	b := append([]byte(nil), mac[:170]...)
	if f, err := Parse(b, uint64(len(b))); err != nil || f.Fork.Length != 2 {
		t.Errorf("a fork that is cut: %+v, %v", f, err)
	}
}

func FuzzParse(g *testing.F) {
	f := fuzz.On(g)
	f.Add(mac)
	f.Add(New().Append(nil))
	f.Add((&File{Fork: Entry{38, 0}}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Parse(b, uint64(len(b)))
		if err != nil {
			return
		}
		if a.Fork.End() > uint64(len(b)) || a.Finder.End() > uint64(len(b)) {
			t.Fatalf("%+v of %d bytes", a, len(b))
		}
		a.Attributes(b[:a.Finder.End()])
		a.Strip()
		head := a.Append(nil)
		if uint64(len(head)) > uint64(a.Fork.Offset) {
			t.Fatalf("a head of %d bytes before %+v", len(head), a.Fork)
		}
		again, err := Parse(head, a.Fork.End())
		if err != nil || again.Fork != a.Fork || !again.Bare() {
			t.Fatalf("%+v, %+v, %v", a, again, err)
		}
	})
}
