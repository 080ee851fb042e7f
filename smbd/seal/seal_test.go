package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"

	"dittofs/gateway/fuzz"

	"github.com/pion/dtls/v3/pkg/crypto/ccm"
	mac "github.com/tink-crypto/tink-go/v2/mac/subtle"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func message(id uint64, command uint16, flags uint32, body string) []byte {
	m := make([]byte, headerSize, headerSize+len(body))
	copy(m, "\xfeSMB\x40\x00")
	binary.LittleEndian.PutUint16(m[offCommand:], command)
	binary.LittleEndian.PutUint32(m[offFlags:], flags)
	binary.LittleEndian.PutUint64(m[offMessageID:], id)
	return append(m, body...)
}

// The keys that Microsoft published for SMB 3.0 and 3.1.1 sessions; their encryption key is the client's.
func TestDerive(t *testing.T) {
	var pre Preauth
	copy(pre[:], unhex(t, "0DD13628CC3ED218EF9DF9772D436D0887AB9814BFAE63A80AA845F36909DB79"+
		"28622DDDAD522D9751640A459762C5A9D6BB084CBB3CE6BDADEF5D5BCE3C6C01"))
	for _, c := range []struct {
		name                                 string
		dialect                              uint16
		session, signing, app, encrypt, decr string
	}{
		{"3.0", 0x300, "7CD451825D0450D235424E44BA6E78CC", "0B7E9C5CAC36C0F6EA9AB275298CEDCE",
			"BB23A4575AA26C721AF525AF15A87B4F", "B0F0427F7CEB416D1D9DCC0CD4F99447", "FAD27796665B313EBB578F388632B4F7"},
		{"3.1.1", 0x311, "270E1BA896585EEB7AF3472D3B4C75A7", "73FE7A9A77BEF0BDE49C650D8CCB5F76", "", "", ""},
	} {
		k := Derive(c.dialect, AES128CCM, unhex(t, c.session), &pre)
		for _, p := range []struct {
			name, want string
			got        []byte
		}{{"signing", c.signing, k.Signing}, {"application", c.app, k.Application}, {"encrypt", c.encrypt, k.Encrypt}, {"decrypt", c.decr, k.Decrypt}} {
			if p.want != "" && !bytes.Equal(p.got, unhex(t, p.want)) {
				t.Errorf("%s %s key %X, want %s", c.name, p.name, p.got, p.want)
			}
		}
	}
	k := Derive(0x210, 0, []byte("short"), &pre)
	if string(k.Signing) != "short\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" || k.Encrypt != nil {
		t.Errorf("2.1: %x", k)
	}
	if k := Derive(0x311, AES256GCM, make([]byte, 16), &pre); len(k.Encrypt) != 32 || len(k.Decrypt) != 32 || len(k.Signing) != 16 {
		t.Errorf("AES-256: %d %d %d", len(k.Encrypt), len(k.Decrypt), len(k.Signing))
	}
}

func TestPreauth(t *testing.T) {
	var a, b Preauth
	a.Update([]byte("x"))
	b = a
	a.Update([]byte("y"))
	if a == b || a == (Preauth{}) {
		t.Error("the chain does not move")
	}
	b.Update([]byte("y"))
	if a != b {
		t.Error("the same messages give two hashes")
	}
}

// The libraries that we build on keep to their standards: RFC 4493 example 3, RFC 3610 vector 1, NIST's GCM test case 2.
func TestVectors(t *testing.T) {
	c, err := mac.NewAESCMAC(unhex(t, "2b7e151628aed2a6abf7158809cf4f3c"), 16)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := c.ComputeMAC(unhex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"))
	if want := unhex(t, "dfa66747de9ae63030ca32611497c827"); !bytes.Equal(m, want) {
		t.Errorf("CMAC %x, want %x", m, want)
	}

	b, _ := aes.NewCipher(unhex(t, "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"))
	x, err := ccm.NewCCM(b, 8, 13)
	if err != nil {
		t.Fatal(err)
	}
	got := x.Seal(nil, unhex(t, "00000003020100a0a1a2a3a4a5"), unhex(t, "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e"), unhex(t, "0001020304050607"))
	if want := unhex(t, "588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0"); !bytes.Equal(got, want) {
		t.Errorf("CCM %x, want %x", got, want)
	}

	b, _ = aes.NewCipher(make([]byte, 16))
	g, _ := cipher.NewGCM(b)
	got = g.Seal(nil, make([]byte, 12), make([]byte, 16), nil)
	if want := unhex(t, "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"); !bytes.Equal(got, want) {
		t.Errorf("GCM %x, want %x", got, want)
	}
}

func TestSigner(t *testing.T) {
	key := unhex(t, "000102030405060708090a0b0c0d0e0f")
	for _, a := range []Algorithm{HMACSHA256, AESCMAC, AESGMAC} {
		s, err := NewSigner(a, key)
		if err != nil {
			t.Fatal(err)
		}
		m := message(7, 5, flagResponse, "the body")
		s.Sign(m)
		signed := bytes.Clone(m)
		if m[offFlags] != flagResponse|flagSigned || bytes.Equal(m[offSignature:headerSize], make([]byte, 16)) {
			t.Errorf("%v: not signed: %x", a, m)
		}
		if !s.Verify(m) || !bytes.Equal(m, signed) {
			t.Errorf("%v: its own signature does not verify, or Verify changed the message", a)
		}
		for i := range m {
			m[i] ^= 1
			if s.Verify(m) {
				t.Errorf("%v: byte %d may change", a, i)
			}
			m[i] ^= 1
		}
		if s.Verify(m[:63]) || s.Verify(nil) {
			t.Errorf("%v: a truncated header verifies", a)
		}
		other, _ := NewSigner(a, unhex(t, "ff0102030405060708090a0b0c0d0e0f"))
		if other.Verify(m) {
			t.Errorf("%v: verifies under another key", a)
		}
	}
	if _, err := NewSigner(3, key); err == nil {
		t.Error("an unknown algorithm is accepted")
	}
	if _, err := NewSigner(AESCMAC, key[:8]); err == nil {
		t.Error("a short key is accepted")
	}
}

// A response and a CANCEL sign under nonces of their own. [MS-SMB2] 3.1.4.1.
func TestGMACNonce(t *testing.T) {
	key := unhex(t, "000102030405060708090a0b0c0d0e0f")
	b, _ := aes.NewCipher(key)
	g, _ := cipher.NewGCM(b)
	s, _ := NewSigner(AESGMAC, key)
	for _, c := range []struct {
		m     []byte
		nonce string
	}{
		{message(0x0102030405060708, 5, 0, "q"), "080706050403020100000000"},
		{message(0x0102030405060708, 5, flagResponse, "r"), "080706050403020101000000"},
		{message(1, commandCancel, 0, "c"), "010000000000000002000000"},
	} {
		s.Sign(c.m)
		got := bytes.Clone(c.m[offSignature:headerSize])
		clear(c.m[offSignature:headerSize])
		if want := g.Seal(nil, unhex(t, c.nonce), nil, c.m); !bytes.Equal(got, want) {
			t.Errorf("nonce %s: signature %x, want %x", c.nonce, got, want)
		}
	}
}

func pair(t testing.TB, id CipherID) (server, client Cipher) {
	t.Helper()
	a, b := bytes.Repeat([]byte{1}, id.KeySize()), bytes.Repeat([]byte{2}, id.KeySize())
	server, err := NewCipher(id, a, b, 0x1122)
	if err != nil {
		t.Fatal(err)
	}
	client, err = NewCipher(id, b, a, 0x1122)
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

func TestCipher(t *testing.T) {
	for _, id := range []CipherID{AES128CCM, AES128GCM, AES256CCM, AES256GCM} {
		server, client := pair(t, id)
		for n := range 100 {
			plain := bytes.Repeat([]byte{'p'}, n+1)
			m := server.Seal([]byte("head"), plain)
			if string(m[:4]) != "head" || len(m) != 4+TransformSize+len(plain) {
				t.Fatalf("%v: sealed %x", id, m)
			}
			m = m[4:]
			if s, ok := TransformSession(m); !ok || s != 0x1122 {
				t.Errorf("%v: session %x %v", id, s, ok)
			}
			if got := binary.LittleEndian.Uint64(m[offTransformNonce:]); got != uint64(n+1) {
				t.Errorf("%v: nonce %d of message %d", id, got, n+1)
			}
			kept := bytes.Clone(m)
			got, err := client.Open([]byte("x"), m)
			if err != nil || string(got) != "x"+string(plain) || !bytes.Equal(m, kept) {
				t.Fatalf("%v: opened %q, %v", id, got, err)
			}
			if _, err := server.Open(nil, m); err == nil {
				t.Errorf("%v: a message comes back to its sender", id)
			}
		}
		m := server.Seal(nil, []byte("abc"))
		for i := range m {
			m[i] ^= 1
			if _, err := client.Open(nil, m); err == nil {
				t.Errorf("%v: byte %d may change", id, i)
			}
			m[i] ^= 1
		}
		for i := range m {
			if _, err := client.Open(nil, m[:i]); err == nil {
				t.Errorf("%v: %d bytes of %d open", id, i, len(m))
			}
		}
	}
	if _, err := NewCipher(AES256GCM, make([]byte, 16), make([]byte, 16), 1); err == nil {
		t.Error("a short key is accepted")
	}
}

// Many goroutines share a session's cipher and never a nonce.
func TestNonces(t *testing.T) {
	server, _ := pair(t, AES128GCM)
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				m := server.Seal(nil, []byte("a"))
				mu.Lock()
				seen[string(m[offTransformNonce:offTransformOriginal])] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 1600 {
		t.Errorf("%d nonces for 1600 messages", len(seen))
	}
}

func FuzzOpen(g *testing.F) {
	f := fuzz.On(g)
	server, client := pair(f, AES128GCM)
	f.Add(server.Seal(nil, []byte("hello")))
	f.Add([]byte("\xfdSMB"))
	f.Fuzz(func(t *testing.T, b []byte) {
		kept := bytes.Clone(b)
		client.Open(nil, b)
		if !bytes.Equal(b, kept) {
			t.Error("Open changed the message")
		}
	})
}

func BenchmarkSign(b *testing.B) {
	m := message(1, 8, flagResponse, string(make([]byte, 64<<10)))
	for _, a := range []Algorithm{HMACSHA256, AESCMAC, AESGMAC} {
		s, _ := NewSigner(a, make([]byte, 16))
		b.Run(fmt.Sprint(a), func(b *testing.B) {
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			for b.Loop() {
				s.Sign(m)
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	plain := make([]byte, 64<<10)
	for _, id := range []CipherID{AES128CCM, AES128GCM, AES256GCM} {
		server, client := pair(b, id)
		b.Run(fmt.Sprint(id), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			var m, out []byte
			for b.Loop() {
				m = server.Seal(m[:0], plain)
				out, _ = client.Open(out[:0], m)
			}
		})
	}
}
