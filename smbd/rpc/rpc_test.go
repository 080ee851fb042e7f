package rpc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"dittofs/gateway/fuzz"
	"dittofs/smbd/dtyp"
	"dittofs/smbd/wire"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var info = Info{ServerName: "FILES", Shares: func() []Share { return []Share{{Name: "demo", Comment: "a demo"}, {Name: "Ω"}} }}

func open(t testing.TB, name string) *Pipe {
	t.Helper()
	p, ok := NewPipe(name, info)
	if !ok {
		t.Fatalf("no pipe %q", name)
	}
	return p
}

var (
	ndr64    = syntax{uuid: uuid(0x71710533, 0xbeba, 0x4937, "\x83\x19\xb5\xdb\xef\x9c\xcc\x36"), major: 1}
	features = syntax{uuid: uuid(0x6cb71c2c, 0x9812, 0x4540, "\x03\x00\x00\x00\x00\x00\x00\x00"), major: 1}
)

// bind asks for one context for each transfer syntax, as Windows does.
func bind(kind uint8, recv uint16, abstract syntax, transfer ...syntax) []byte {
	b := wire.Append16(nil, 4280)
	b = wire.Append16(b, recv)
	b = wire.Append32(b, 0)
	b = append(b, byte(len(transfer)), 0, 0, 0)
	for i, t := range transfer {
		b = wire.Append16(b, uint16(i))
		b = append(b, 1, 0)
		for _, s := range []syntax{abstract, t} {
			b = append(b, s.uuid[:]...)
			b = wire.Append16(b, s.major)
			b = wire.Append16(b, s.minor)
		}
	}
	return header{kind: kind, flags: flagFirst | flagLast, call: 1}.append(b)
}

func request(id uint32, flags uint8, opnum uint16, stub []byte) []byte {
	b := wire.Append32(nil, uint32(len(stub)))
	b = wire.Append16(b, 0)
	b = wire.Append16(b, opnum)
	return header{kind: ptypeRequest, flags: flags, call: id}.append(append(b, stub...))
}

// stub builds arguments: numbers are 32 bits, strings are what a pointer points to.
func stub(args ...any) []byte {
	var w writer
	for _, a := range args {
		switch a := a.(type) {
		case int:
			w.uint32(uint32(a))
		case string:
			w.chars(a + "\x00")
		}
	}
	return w.b
}

func bound(t testing.TB, name string) *Pipe {
	t.Helper()
	p := open(t, name)
	if _, _, err := p.Transact(bind(ptypeBind, 4280, p.endpoint.syntax, ndr20), 4280); err != nil {
		t.Fatal(err)
	}
	return p
}

// ask returns an answer's arguments, or its fault.
func ask(t testing.TB, p *Pipe, opnum uint16, in []byte) ([]byte, status) {
	t.Helper()
	if err := p.Write(request(7, flagFirst|flagLast, opnum, in)); err != nil {
		t.Fatal(err)
	}
	var out []byte
	for {
		m, more, err := p.Read(1 << 20)
		if err != nil || more || fragLength(m) != len(m) || binary.LittleEndian.Uint32(m[12:]) != 7 {
			t.Fatalf("%x, %v, %v", m, more, err)
		}
		if m[2] == ptypeFault {
			return nil, status(binary.LittleEndian.Uint32(m[24:]))
		}
		if first := m[3]&flagFirst != 0; first != (out == nil) || len(m) > p.fragment {
			t.Fatalf("fragment %x", m[:24])
		}
		out = append(out, m[24:]...)
		if m[3]&flagLast != 0 {
			return out, ok
		}
	}
}

func TestNewPipe(t *testing.T) {
	for name, want := range map[string]bool{"srvsvc": true, `\SRVSVC`: true, `PIPE\wkssvc`: true, `\pipe\srvsvc`: true, "lsarpc": true, "samr": true, "netlogon": false, "": false} {
		if _, got := NewPipe(name, info); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// Windows offers NDR, NDR64 and bind time feature negotiation in one BIND.
func TestBind(t *testing.T) {
	p := open(t, "srvsvc")
	got, more, err := p.Transact(bind(ptypeBind, 2000, p.endpoint.syntax, ndr20, ndr64, features), 1024)
	want := unhex(t, "05 00 0c 03 10000000 7400 0000 01000000"+ // BIND_ACK, call 1
		"d007 b810 01000000"+ // max_xmit_frag, max_recv_frag, assoc_group_id
		"0d00 "+hex.EncodeToString([]byte("\\PIPE\\srvsvc\x00"))+"00"+ // sec_addr
		"03 000000"+ // n_results
		"0000 0000 045d888aeb1cc9119fe808002b104860 0200 0000"+ // accepted: NDR 2.0
		"0200 0200 00000000000000000000000000000000 0000 0000"+
		"0200 0200 00000000000000000000000000000000 0000 0000")
	if err != nil || more || !bytes.Equal(got, want) {
		t.Errorf("%v %v\n got %x\nwant %x", more, err, got, want)
	}
	got, _, _ = p.Transact(bind(ptypeAlter, 2000, open(t, "wkssvc").endpoint.syntax, ndr20), 1024)
	want = unhex(t, "05 00 0f 03 10000000 3800 0000 01000000 d007 b810 01000000 0000 0000 01 000000 0200 0100"+strings.Repeat("00", 20))
	if !bytes.Equal(got, want) {
		t.Errorf("ALTER_CONTEXT to another interface\n got %x\nwant %x", got, want)
	}
	signed := bind(ptypeBind, 2000, p.endpoint.syntax, ndr20)
	signed[10] = 8
	if got, _, _ := p.Transact(signed, 1024); len(got) < 18 || got[2] != ptypeBindNak || got[16] != bindNakAuth {
		t.Errorf("BIND with authentication: %x", got)
	}
}

func TestNetrShareEnum(t *testing.T) {
	p := bound(t, "srvsvc")
	got, st := ask(t, p, 15, stub(1, `\\FILES`, 1, 1, 1, 0, 0, -1, 1, 0))
	want := unhex(t, "01000000 01000000 04000200 03000000 08000200 03000000"+ // Level, union, container, EntriesRead, buffer, max_count
		"0c000200 00000000 10000200"+"14000200 00000000 18000200"+"1c000200 03000080 20000200"+
		"05000000 00000000 05000000 64006500 6d006f00 00000000"+ // demo
		"07000000 00000000 07000000 61002000 64006500 6d006f00 00000000"+ // a demo
		"02000000 00000000 02000000 a9030000"+ // Ω
		"01000000 00000000 01000000 00000000"+ // no comment
		"05000000 00000000 05000000 49005000 43002400 00000000"+
		"0c000000 00000000 0c000000 49005000 43002000 53006500 72007600 69006300 65000000"+
		"03000000 24000200 00000000 00000000") // TotalEntries, ResumeHandle, result
	if st != ok || !bytes.Equal(got, want) {
		t.Errorf("level 1: %x\n got %x\nwant %x", st, got, want)
	}
	got, _ = ask(t, p, 15, stub(0, 0, 0, 1, 0, 0, -1, 0))
	want = unhex(t, "00000000 00000000 04000200 03000000 08000200 03000000 0c000200 10000200 14000200"+
		"05000000 00000000 05000000 64006500 6d006f00 00000000"+
		"02000000 00000000 02000000 a9030000"+
		"05000000 00000000 05000000 49005000 43002400 00000000"+
		"03000000 00000000 00000000")
	if !bytes.Equal(got, want) {
		t.Errorf("level 0\n got %x\nwant %x", got, want)
	}
	// One entry at a time.
	got, _ = ask(t, p, 15, stub(0, 0, 0, 1, 0, 0, 1, 1, 2))
	if tail := got[len(got)-16:]; !bytes.Equal(tail, unhex(t, "01000000 10000200 00000000 00000000")) {
		t.Errorf("the last entry: %x", got)
	}
	got, _ = ask(t, p, 15, stub(0, 0, 0, 1, 0, 0, 1, 1, 1))
	if tail := got[len(got)-16:]; !bytes.Equal(tail, unhex(t, "02000000 10000200 02000000 ea000000")) {
		t.Errorf("two of three: %x", got)
	}
	got, _ = ask(t, p, 15, stub(0, 503, 503, 1, 0, 0, -1, 0))
	if want := unhex(t, "f7010000 f7010000 00000000 00000000 00000000 7c000000"); !bytes.Equal(got, want) {
		t.Errorf("level 503\n got %x\nwant %x", got, want)
	}
}

func TestNetrShareGetInfo(t *testing.T) {
	p := bound(t, "srvsvc")
	for _, c := range []struct {
		name  string
		level int
		want  string
	}{
		{"DEMO", 0, "00000000 04000200 08000200 05000000 00000000 05000000 64006500 6d006f00 00000000 00000000"},
		{"ipc$", 1, "01000000 04000200 08000200 03000080 0c000200 05000000 00000000 05000000 49005000 43002400 00000000" +
			"0c000000 00000000 0c000000 49005000 43002000 53006500 72007600 69006300 65000000 00000000"},
		{"Ω", 2, "02000000 04000200 08000200 00000000 0c000200 00000000 ffffffff 00000000 10000200 00000000" +
			"02000000 00000000 02000000 a9030000 01000000 00000000 01000000 00000000 01000000 00000000 01000000 00000000 00000000"},
		{"demo", 1005, "ed030000 04000200 00000000 00000000"},
		{"nobody", 1, "01000000 00000000 06090000"},
		{"Ω", 502, "f6010000 04000200 08000200 00000000 0c000200 00000000 ffffffff 00000000 10000200 00000000 00000000 00000000" +
			"02000000 00000000 02000000 a9030000 01000000 00000000 01000000 00000000 01000000 00000000 01000000 00000000 00000000"},
		{"demo", 501, "f5010000 04000200 08000200 00000000 0c000200 00000000 05000000 00000000 05000000 64006500 6d006f00 00000000" +
			"07000000 00000000 07000000 61002000 64006500 6d006f00 00000000 00000000"},
		{"demo", 503, "f7010000 00000000 7c000000"},
		{"demo", 9, "09000000 7c000000"},
	} {
		got, st := ask(t, p, 16, stub(0, c.name, c.level))
		if want := unhex(t, c.want); st != ok || !bytes.Equal(got, want) {
			t.Errorf("%s level %d: %x\n got %x\nwant %x", c.name, c.level, st, got, want)
		}
	}
}

func TestServerAndWorkstation(t *testing.T) {
	for _, c := range []struct {
		pipe  string
		opnum uint16
		level int
		want  string
	}{
		{"srvsvc", 21, 100, "64000000 04000200 f4010000 08000200 06000000 00000000 06000000 46004900 4c004500 53000000 00000000"},
		{"srvsvc", 21, 101, "65000000 04000200 f4010000 08000200 06000000 01000000 03900000 0c000200" +
			"06000000 00000000 06000000 46004900 4c004500 53000000 01000000 00000000 01000000 00000000 00000000"},
		{"srvsvc", 21, 102, "66000000 00000000 7c000000"},
		{"wkssvc", 0, 100, "64000000 04000200 f4010000 08000200 0c000200 06000000 01000000" +
			"06000000 00000000 06000000 46004900 4c004500 53000000" +
			"0a000000 00000000 0a000000 57004f00 52004b00 47005200 4f005500 50000000 00000000"},
		{"wkssvc", 0, 102, "66000000 04000200 f4010000 08000200 0c000200 06000000 01000000 10000200 00000000" +
			"06000000 00000000 06000000 46004900 4c004500 53000000" +
			"0a000000 00000000 0a000000 57004f00 52004b00 47005200 4f005500 50000000 01000000 00000000 01000000 00000000 00000000"},
		{"wkssvc", 0, 502, "f6010000 00000000 7c000000"},
	} {
		got, st := ask(t, bound(t, c.pipe), c.opnum, stub(1, `\\x`, c.level))
		if want := unhex(t, c.want); st != ok || !bytes.Equal(got, want) {
			t.Errorf("%s %d level %d: %x\n got %x\nwant %x", c.pipe, c.opnum, c.level, st, got, want)
		}
	}
}

func TestFaults(t *testing.T) {
	p := bound(t, "srvsvc")
	for _, c := range []struct {
		name  string
		opnum uint16
		in    []byte
		want  status
	}{
		{"an operation we do not have", 12, nil, opRangeError},
		{"no arguments", 15, nil, badStubData},
		{"a union that is not its level", 15, stub(0, 1, 0, 1, 0, 0, -1, 0), badStubData},
		{"a string longer than its message", 16, stub(0, 1000, 0, 1000), badStubData},
		{"a string of 4 GiB", 16, stub(0, -1, 0, -1), badStubData},
		{"more characters than room", 16, stub(0, 1, 0, 2, 0, 0), badStubData},
	} {
		if _, st := ask(t, p, c.opnum, c.in); st != c.want {
			t.Errorf("%s: %x, want %x", c.name, st, c.want)
		}
	}
	if _, st := ask(t, open(t, "srvsvc"), 15, nil); st != unknownIf {
		t.Errorf("without BIND: %x", st)
	}
	big := open(t, "srvsvc")
	for i := range 20 {
		var flags uint8
		if i == 0 {
			flags = flagFirst
		}
		if err := big.Write(request(7, flags, 15, make([]byte, 4000))); err != nil {
			t.Fatal(err)
		}
	}
	if m, _, err := big.Read(100); err != nil || m[2] != ptypeFault || len(big.out) > maxQueue {
		t.Errorf("arguments without end: %x, %v", m, err)
	}
}

// A request in fragments of one byte of arguments, written a byte at a time, and an answer read seven bytes at a time.
func TestFragments(t *testing.T) {
	p := bound(t, "srvsvc")
	in := stub(0, "demo", 1)
	want, _ := ask(t, p, 16, in)
	var bytewise []byte
	for i := range in {
		var flags uint8
		if i == 0 {
			flags |= flagFirst
		}
		if i == len(in)-1 {
			flags |= flagLast
		}
		bytewise = append(bytewise, request(7, flags, 16, in[i:i+1])...)
	}
	for i := range bytewise {
		if _, _, err := p.Read(10); !errors.Is(err, ErrEmpty) {
			t.Fatalf("an answer after %d bytes", i)
		}
		if err := p.Write(bytewise[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	var got []byte
	for more := true; more; {
		var m []byte
		var err error
		if m, more, err = p.Read(7); err != nil || more != (p.Available() > 0) {
			t.Fatal(m, more, err)
		}
		got = append(got, m...)
	}
	if !bytes.Equal(got[24:], want) {
		t.Errorf("\n got %x\nwant %x", got[24:], want)
	}

	// An answer that takes many fragments.
	many := info
	many.Shares = func() (s []Share) {
		for i := range 500 {
			s = append(s, Share{Name: fmt.Sprintf("share%03d", i)})
		}
		return s
	}
	p, _ = NewPipe("srvsvc", many)
	p.Transact(bind(ptypeBind, 1, p.endpoint.syntax, ndr20), 4280)
	out, st := ask(t, p, 15, stub(0, 0, 0, 1, 0, 0, -1, 0))
	if n := binary.LittleEndian.Uint32(out[12:]); st != ok || n != 501 || len(out) < 500*30 {
		t.Errorf("%x %d %d", st, n, len(out))
	}
}

func TestDisconnect(t *testing.T) {
	for name, b := range map[string][]byte{
		"not RPC":              []byte("GET / HTTP/1.0\r\n\r\n"),
		"big-endian":           unhex(t, "05000b03 00000000 0010 0000 00000001"),
		"shorter than itself":  unhex(t, "05000b03 10000000 0f00 0000 01000000"),
		"too large":            unhex(t, "05000b03 10000000 ffff 0000 01000000"),
		"BIND without context": header{kind: ptypeBind, call: 1}.append(make([]byte, 12)),
		"BIND cut short":       header{kind: ptypeBind, call: 1}.append(append(make([]byte, 8), 200, 0, 0, 0)),
		"request cut short":    header{kind: ptypeRequest, call: 1}.append(make([]byte, 7)),
		"a response":           header{kind: ptypeResponse, call: 1}.append(nil),
		"authentication":       header{kind: 16, call: 1}.append(nil),
	} {
		p := open(t, "srvsvc")
		if err := p.Write(b); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
		if err := p.Write(bind(ptypeBind, 4280, p.endpoint.syntax, ndr20)); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: goes on: %v", name, err)
		}
		if _, _, err := p.Read(100); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: read: %v", name, err)
		}
	}
	p := bound(t, "srvsvc")
	var err error
	for range maxQueue + 1 {
		err = p.Write(request(7, flagFirst|flagLast, 99, nil))
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("nobody reads: %v", err)
	}
}

func FuzzPipe(g *testing.F) {
	f := fuzz.On(g)
	srv := syntax{srvsvcUUID, 3, 0}
	b := bind(ptypeBind, 4280, srv, ndr20)
	f.Add(append(bytes.Clone(b), request(2, 3, 15, stub(1, `\\F`, 1, 1, 1, 0, 0, -1, 1, 0))...))
	f.Add(append(bytes.Clone(b), request(2, 3, 16, stub(0, "demo", 2))...))
	f.Add(append(bytes.Clone(b), request(2, 3, 21, stub(0, 101))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range []string{"srvsvc", "wkssvc", "lsarpc", "samr"} {
			p := open(t, name)
			p.Write(b)
			for {
				m, _, err := p.Read(1 << 20)
				if err != nil {
					break
				}
				if len(m) != fragLength(m) || len(m) > maxFragment {
					t.Errorf("answer %x", m)
				}
			}
		}
	})
}

func FuzzNDR(g *testing.F) {
	f := fuzz.On(g)
	pipes := []string{"srvsvc", "wkssvc", "lsarpc", "samr"}
	f.Add(uint8(0), stub(1, `\\F`, 1, 1, 1, 0, 0, -1, 1, 0), uint16(15))
	f.Add(uint8(0), stub(0, "demo", 2), uint16(16))
	f.Add(uint8(2), lookupSIDs(handle{}, dtyp.UnixUser(1000), dtyp.Everyone), uint16(76))
	f.Add(uint8(2), lookupNames(handle{}, "alice")[20:], uint16(77))
	f.Fuzz(func(t *testing.T, pipe uint8, b []byte, opnum uint16) {
		p := bound(t, pipes[int(pipe)%len(pipes)])
		ask(t, p, opnum, b[:min(len(b), 4000)])
	})
}
