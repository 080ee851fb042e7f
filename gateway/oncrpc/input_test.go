package oncrpc

import (
	"io"
	"net"
	"testing"
)

// A connection has a buffer only while something lies in it.
func TestSilentConnectionHasNoBuffer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	in := newInput(near)
	var b [3]byte
	for range 2 {
		far.Write([]byte("abcdef"))
		for _, want := range []string{"abc", "def"} {
			if _, err := io.ReadFull(in, b[:]); err != nil || string(b[:]) != want {
				t.Fatalf("%q %v, want %q", b, err, want)
			}
			if in.buf == nil {
				t.Error("no buffer")
			}
		}
		done := true
		in.raw.Control(func(fd uintptr) { done = in.fillNow(fd) })
		if done || in.buf != nil {
			t.Errorf("nothing to read: %v, buffer %v", done, in.buf != nil)
		}
	}
	far.Close()
	if err := in.await(); err != io.EOF {
		t.Error(err)
	}
}
