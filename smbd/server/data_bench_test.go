package server

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"

	"dittofs/smbd/seal"
	"dittofs/smbd/smb2"
)

// loader sends one request after the other without allocating, so that what is counted is the server's.
type loader struct {
	*peer
	signer seal.Signer
	cipher seal.Cipher
	plain  []byte // a request, with room for the frame's header before it
	out    []byte
	in     []byte
}

// protect makes the session signed or sealed.
func (p *peer) protect(b testing.TB, how string) *loader {
	l := &loader{peer: p}
	h, _ := p.conn.channel(p.h.SessionID)
	one, two := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16)
	var err error
	switch how {
	case "signed":
		if l.signer, err = seal.NewSigner(seal.AESGMAC, one); err == nil {
			h.signer, err = seal.NewSigner(seal.AESGMAC, one)
			h.s.signer, h.s.signingRequired = h.signer, true
		}
	case "sealed":
		if l.cipher, err = seal.NewCipher(seal.AES128GCM, one, two, h.s.id); err == nil {
			h.s.cipher, err = seal.NewCipher(seal.AES128GCM, two, one, h.s.id)
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// request prepares what round sends.
func (l *loader) request(cmd smb2.Command, q body, charge uint16) {
	h := l.h
	h.Command, h.CreditCharge, h.Credits = cmd, charge, charge
	l.plain = q.Append(h.Append(make([]byte, 4)))
	l.plain = append(make([]byte, 0, len(l.plain)), l.plain...)
	l.in = make([]byte, 9<<20)
	l.out = make([]byte, 0, len(l.plain)+128)
}

func (l *loader) send() {
	m := l.plain[4:]
	binary.LittleEndian.PutUint64(m[smb2.OffsetMessageID:], l.id)
	l.id += uint64(binary.LittleEndian.Uint16(m[6:]))
	frame := l.plain
	switch {
	case l.signer != nil:
		l.signer.Sign(m)
	case l.cipher != nil:
		frame = l.cipher.Seal(l.out[:4], m)
	}
	smb2.PutFrame(frame)
	if _, err := l.nc.Write(frame); err != nil {
		l.t.Fatal(err)
	}
}

// receive reads one response and returns its length.
func (l *loader) receive() int {
	if _, err := io.ReadFull(l.nc, l.in[:4]); err != nil {
		l.t.Fatal(err)
	}
	n := int(binary.BigEndian.Uint32(l.in[:4]))
	if _, err := io.ReadFull(l.nc, l.in[:n]); err != nil {
		l.t.Fatal(err)
	}
	if st := binary.LittleEndian.Uint32(l.in[smb2.OffsetStatus:]); l.cipher == nil && st != 0 {
		l.t.Fatalf("status %#x", st)
	}
	return n
}

func benchmarkData(b *testing.B, size int, how string, depth int, write bool) {
	s := serve(b, nil)
	p := s.dial(b, smb2.Dialect311).logon()
	var a smb2.CreateResponse
	p.do(smb2.Create, opening("f", smb2.FileOpenIf), &a)
	charge := uint16((size-1)/65536 + 1)
	p.do(smb2.Echo, &smb2.EchoRequest{}, &smb2.EchoResponse{})
	l := p.protect(b, how)
	for range 20 { // for its credits
		l.request(smb2.Echo, &smb2.EchoRequest{}, 1)
		binary.LittleEndian.PutUint16(l.plain[4+smb2.OffsetCredits:], 512)
		l.send()
		l.receive()
	}
	l.request(smb2.Write, &smb2.WriteRequest{FileID: a.FileID, Data: make([]byte, size)}, charge)
	l.send()
	l.receive()
	if !write {
		l.request(smb2.Read, &smb2.ReadRequest{FileID: a.FileID, Length: uint32(size)}, charge)
	}
	p.nc.SetDeadline(time.Time{})
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for range depth - 1 {
		l.send()
	}
	for b.Loop() {
		l.send()
		l.receive()
	}
	for range depth - 1 {
		l.receive()
	}
	b.StopTimer()
	p.nc.Close()
	p.gone()
}

func BenchmarkRead(b *testing.B)  { benchmarkEach(b, false) }
func BenchmarkWrite(b *testing.B) { benchmarkEach(b, true) }

func benchmarkEach(b *testing.B, write bool) {
	for _, how := range []string{"plain", "signed", "sealed"} {
		for _, size := range []int{4 << 10, 64 << 10, 1 << 20, 8 << 20} {
			b.Run(fmt.Sprintf("%s/%dK", how, size>>10), func(b *testing.B) { benchmarkData(b, size, how, 1, write) })
		}
		b.Run(how+"/4K-deep", func(b *testing.B) { benchmarkData(b, 4<<10, how, 16, write) })
	}
}
