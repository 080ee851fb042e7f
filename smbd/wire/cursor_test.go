package wire

import (
	"errors"
	"math"
	"testing"
	"time"

	"dittofs/gateway/fuzz"
)

func TestCursor(t *testing.T) {
	c := Reader([]byte{1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 'a', 0, 'b', 0, 9})
	type all struct {
		a uint8
		b uint16
		c uint32
		d uint64
		s string
		n int
	}
	got := all{c.Uint8(), c.Uint16(), c.Uint32(), c.Uint64(), c.String(4), c.Len()}
	if want := (all{1, 2, 3, 4, "ab", 1}); got != want || c.End() != nil {
		t.Fatalf("read %+v, %v; want %+v", got, c.End(), want)
	}
	if v := c.Uint16(); v != 0 || c.End() != ErrShort || c.Len() != 0 || c.Rest() != nil {
		t.Fatalf("past the end: %d, %v", v, c.End())
	}
	c.Fail(ErrValue)
	if c.Err() != ErrShort {
		t.Fatalf("the first fault gave way to %v", c.Err())
	}
}

func TestBufferAtBytes(t *testing.T) {
	//	0  1  2  3  4
	//	|a |b |c |d |
	msg := []byte("abcd")
	for _, x := range []struct {
		offset, length uint64
		want           string
		err            error
	}{
		{0, 4, "abcd", nil},
		{1, 2, "bc", nil},
		{4, 0, "", nil},
		{math.MaxUint64, 0, "", nil}, // nothing, wherever
		{4, 1, "", ErrShort},
		{0, 5, "", ErrShort},
		{3, math.MaxUint64, "", ErrShort}, // the sum wraps
		{math.MaxUint64, 2, "", ErrShort},
	} {
		c := Reader(msg)
		got := c.BufferAt(x.offset, x.length)
		if string(got) != x.want || c.End() != x.err {
			t.Errorf("BufferAt(%d, %d) = %q, %v; want %q, %v", x.offset, x.length, got, c.End(), x.want, x.err)
		}
		if cap(got) != len(got) {
			t.Errorf("BufferAt(%d, %d) lets an append into the message", x.offset, x.length)
		}
	}
}

func TestStructureSize(t *testing.T) {
	c := Reader([]byte{24, 0})
	c.StructureSize(25)
	if c.End() != ErrValue {
		t.Fatalf("a wrong StructureSize: %v", c.End())
	}
}

func TestPad(t *testing.T) {
	b := Pad([]byte("xabc"), 1, 8)
	if string(b) != "xabc\x00\x00\x00\x00\x00" || len(Pad(b, 1, 8)) != 9 || len(AppendZero(nil, 200)) != 200 {
		t.Fatalf("%q", b)
	}
	c := Reader([]byte{1, 2, 3})
	c.Skip(1)
	c.Align(8)
	if c.End() != nil || c.Len() != 0 {
		t.Fatalf("the message may end within padding: %v", c.End())
	}
}

func TestUTF16(t *testing.T) {
	for _, x := range []struct {
		utf16 string
		utf8  string
		err   error
	}{
		{"a\x00", "a", nil},
		{"\xe9\x00", "é", nil},
		{"\xac\x20", "€", nil},
		{"\x3d\xd8\x00\xde", "😀", nil},
		{"\xfd\xff", "\uFFFD", nil},                       // the replacement character itself
		{"a\x00\xff\xdc", "a\xff", nil},                   // a byte that is not UTF-8
		{"\xed\xdc\xa0\xdc\x80\xdc", "\xed\xa0\x80", nil}, // a surrogate in UTF-8 is no UTF-8
		{"\x00\xd8", "", ErrUTF16},                        // a high surrogate alone
		{"\x00\xd8a\x00", "", ErrUTF16},
		{"\x00\xdc", "", ErrUTF16},         // a low surrogate that is no byte
		{"\xc3\xdc\xa9\xdc", "", ErrUTF16}, // bytes that would be "é" together
		{"a", "", ErrValue},                // half a unit
		{"", "", nil},
	} {
		got, err := String([]byte(x.utf16))
		if got != x.utf8 || !errors.Is(err, x.err) {
			t.Errorf("String(% x) = %q, %v; want %q, %v", x.utf16, got, err, x.utf8, x.err)
		}
		if x.err == nil {
			if back := AppendUTF16(nil, x.utf8); string(back) != x.utf16 || UTF16Len(x.utf8) != len(back) {
				t.Errorf("AppendUTF16(%q) = % x, %d; want % x", x.utf8, back, UTF16Len(x.utf8), x.utf16)
			}
		}
	}
}

// Every name of Linux has an image that leads back to it, and every image that is accepted leads to one name.
func FuzzNames(g *testing.F) {
	f := fuzz.On(g)
	f.Add([]byte("plain"))
	f.Add([]byte("\xff\xfe\xed\xa0\x80\xf0\x9f\x98\x80\xef\xbf\xbd\xc3"))
	f.Add([]byte("\xc3\xdc\xa9\xdc\x00\xd8\x80\xdc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		u := AppendUTF16(nil, string(b))
		if back, err := String(u); back != string(b) || err != nil || len(u) != UTF16Len(string(b)) {
			t.Fatalf("%q → % x → %q, %v", b, u, back, err)
		}
		if s, err := String(b); err == nil && string(AppendUTF16(nil, s)) != string(b) {
			t.Fatalf("% x → %q → % x", b, s, AppendUTF16(nil, s))
		}
	})
}

func TestFiletimeValues(t *testing.T) {
	for _, x := range []struct {
		f Filetime
		t time.Time
	}{
		{116444736000000000, time.Unix(0, 0)},
		{1, time.Date(1601, 1, 1, 0, 0, 0, 100, time.UTC)},
		{133485408001234567, time.Date(2024, 1, 1, 0, 0, 0, 123456700, time.UTC)},
		{116444735999999999, time.Unix(-1, 999999900)},
		{0, time.Time{}},
	} {
		if got := FiletimeOf(x.t); got != x.f {
			t.Errorf("FiletimeOf(%v) = %d, want %d", x.t, got, x.f)
		}
		if got := x.f.Time(); !got.Equal(x.t) {
			t.Errorf("Filetime(%d).Time() = %v, want %v", x.f, got, x.t)
		}
	}
	if FiletimeOf(time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC)) != 0 || FiletimeOf(time.Date(40000, 1, 1, 0, 0, 0, 0, time.UTC)) != math.MaxInt64 {
		t.Error("times outside the range are not clamped")
	}
	if !Filetime(-1).Time().IsZero() {
		t.Error("-1 is a time")
	}
}

func FuzzFiletime(g *testing.F) {
	f := fuzz.On(g)
	f.Add(int64(116444736000000000))
	f.Add(int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, v int64) {
		if v > 0 && v < math.MaxInt64-10_000_000 && FiletimeOf(Filetime(v).Time()) != Filetime(v) {
			t.Fatalf("%d → %v → %d", v, Filetime(v).Time(), FiletimeOf(Filetime(v).Time()))
		}
	})
}
