package hatch

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"dittofs/gateway/fuzz"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
)

// wireEnd is a connection's receiving end: it reads from bytes.
type wireEnd struct{ io.Reader }

func (wireEnd) Write(b []byte) (int, error)      { return len(b), nil }
func (wireEnd) Close() error                     { return nil }
func (wireEnd) LocalAddr() net.Addr              { return nil }
func (wireEnd) RemoteAddr() net.Addr             { return nil }
func (wireEnd) SetDeadline(time.Time) error      { return nil }
func (wireEnd) SetReadDeadline(time.Time) error  { return nil }
func (wireEnd) SetWriteDeadline(time.Time) error { return nil }

func frame(stream uint32, kind byte, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(append(b, kind, 0), body...)
}

func request(t testing.TB, payload []byte) []byte {
	b, err := proto.Marshal(&ttrpc.Request{Service: "dittofs.ipc.Counter", Method: "Lock", Payload: payload, TimeoutNano: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pass returns what the guard lets through of in, and why it ended.
func pass(in io.Reader) (out []byte, why string) {
	g := newGuard(wireEnd{in}, func(err error) { why = err.Error() }, func() {})
	out, _ = io.ReadAll(g)
	return out, why
}

func TestGuard(t *testing.T) {
	good := frame(1, typeRequest, request(t, []byte{0x08, 1}))
	large := frame(3, typeRequest, request(t, append([]byte{0x0a, 0x80, 0x80, 0x02}, make([]byte, 32<<10)...)))
	cat := func(bs ...[]byte) []byte { return bytes.Join(bs, nil) }
	for name, c := range map[string]struct {
		in, out []byte
		why     string
	}{
		"nothing":             {nil, nil, ""},
		"one":                 {good, good, ""},
		"two":                 {cat(good, large), cat(good, large), ""},
		"an empty request":    {frame(1, typeRequest, nil), frame(1, typeRequest, nil), ""},
		"cut in the header":   {cat(good, large[:5]), good, "frame cut off after 5 bytes"},
		"cut in the body":     {cat(good, large[:5000]), good, "frame cut off after 5000 bytes"},
		"cut after a header":  {good[:10], nil, "frame cut off after 10 bytes"},
		"a response":          {frame(1, 2, nil), nil, "frame of type 2"},
		"data":                {frame(1, 3, nil), nil, "frame of type 3"},
		"HTTP":                {[]byte("GET / HTTP/1.1\r\n\r\n"), nil, "frame of type 84"},
		"4 GiB":               {[]byte{255, 255, 255, 255, 0, 0, 0, 1, 1, 0}, nil, "frame of 4294967295 bytes"},
		"too large":           {binary.BigEndian.AppendUint32(nil, frameMax+1), nil, "frame cut off after 4 bytes"},
		"an even stream":      {frame(2, typeRequest, nil), nil, "stream 2 after 0"},
		"a stream again":      {cat(good, good), good, "stream 1 after 1"},
		"half a field":        {frame(1, typeRequest, []byte{0x0a, 9, 'a'}), nil, "request: unexpected EOF"},
		"a field of our own":  {frame(1, typeRequest, []byte{0x48, 1}), nil, "request: field 9 of type 0"},
		"a name not in UTF-8": {frame(1, typeRequest, []byte{0x0a, 1, 0xff}), nil, "request: a name is not UTF-8"},
		"half a payload":      {frame(1, typeRequest, request(t, []byte{0x0a, 9, 'a'})), nil, "payload: unexpected EOF"},
	} {
		out, why := pass(bytes.NewReader(c.in))
		if !bytes.Equal(out, c.out) || why != c.why {
			t.Errorf("%s: %d bytes of %d passed, want %d; %q, want %q", name, len(out), len(c.in), len(c.out), why, c.why)
		}
	}
}

// What is announced and not sent takes no memory.
func TestGuardGrowsWithBytesReceived(t *testing.T) {
	g := newGuard(wireEnd{io.MultiReader(bytes.NewReader(binary.BigEndian.AppendUint32(nil, frameMax)), strings.NewReader("\x00\x00\x00\x01\x01\x00ab"))}, func(error) {}, func() {})
	io.ReadAll(g)
	if g.frame.Cap() > 64<<10 {
		t.Errorf("%d bytes for 12", g.frame.Cap())
	}
}

// What passes is whole frames, unchanged, from the beginning.
func FuzzGuard(g *testing.F) {
	f := fuzz.On(g)
	f.Add(frame(1, typeRequest, request(f, []byte{0x08, 1})))
	f.Add(append(frame(1, typeRequest, nil), frame(3, typeRequest, []byte{0x18, 1})...))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, why := pass(bytes.NewReader(in))
		if !bytes.HasPrefix(in, out) || why == "" && len(out) != len(in) {
			t.Fatalf("%x became %x, %q", in, out, why)
		}
		for b := out; len(b) > 0; {
			n := headerLen + int(binary.BigEndian.Uint32(b))
			if err := proto.Unmarshal(b[headerLen:n], &ttrpc.Request{}); err != nil {
				t.Fatalf("ttrpc does not read what passed: %v", err)
			}
			b = b[n:]
		}
	})
}
