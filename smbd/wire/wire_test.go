package wire

import (
	"errors"
	"testing"
	"time"

	"dittofs/gateway/fuzz"
)

// A buffer is taken only where all of it lies in the message, however the sum of offset and length overflows.
func TestBufferAt(t *testing.T) {
	b := make([]byte, 100)
	for _, c := range []struct {
		offset, length uint64
		ok             bool
	}{{0, 100, true}, {100, 0, true}, {99, 1, true}, {99, 2, false}, {101, 0, true}, {1 << 63, 1 << 63, false}, {^uint64(0), 1, false}, {1, ^uint64(0), false}} {
		r := Reader(b)
		got := r.BufferAt(c.offset, c.length)
		if (r.Err() == nil) != c.ok || c.ok && uint64(len(got)) != c.length {
			t.Errorf("%d bytes at %d: %d, %v", c.length, c.offset, len(got), r.Err())
		}
	}
}

func TestFiletime(t *testing.T) {
	for _, v := range []time.Time{time.Unix(0, 0), time.Unix(1700000000, 123456700), time.Date(1601, 1, 1, 0, 0, 0, 100, time.UTC), time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got := FiletimeOf(v).Time(); !got.Equal(v) {
			t.Errorf("%v came back as %v", v, got)
		}
	}
	if f := FiletimeOf(time.Unix(0, 0)); f != 116444736000000000 {
		t.Errorf("1970 is %d", f)
	}
}

func FuzzUTF16(g *testing.F) {
	f := fuzz.On(g)
	f.Add([]byte{'a', 0, 0x3d, 0xd8, 0x00, 0xde})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := String(b)
		if err != nil {
			if len(b)%2 == 0 && !errors.Is(err, ErrUTF16) {
				t.Fatal(err)
			}
			return
		}
		if got := AppendUTF16(nil, s); string(got) != string(b) {
			t.Fatalf("%x came back as %x", b, got)
		}
		if UTF16Len(s) != len(b) && UTF16Len(s)*2 != len(b) {
			t.Fatalf("%q: %d, of %d bytes", s, UTF16Len(s), len(b))
		}
	})
}
