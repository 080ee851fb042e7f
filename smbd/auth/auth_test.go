package auth

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"dittofs/gateway/accounts"
	"dittofs/gateway/fuzz"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// one is Users with a single account.
type one struct{ user User }

func (o one) Lookup(name string) (User, bool) {
	return o.user, strings.EqualFold(name, o.user.Name)
}
func (o one) Groups(User) []uint32 { return []uint32{4, 24} }

var (
	alice     = User{Name: "Alice", NTHash: accounts.NTHash("s3cret"), UID: 1000, GID: 100}
	cfg       = Config{ServerName: "files.example.org", Users: one{alice}}
	kerberos  = der(tagOID, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02})
	justNTLM  = [][]byte{derOIDNTLM}
	notFirst  = [][]byte{kerberos, derOIDNTLM}
	goodGuest = func() client {
		return client{user: "alice", domain: "WORKGROUP", password: "s3cret", mechs: justNTLM, optimistic: true}
	}
)

// [MS-NLMP] 4.2.4: User, Domain, Password.
func TestNTLMv2Vectors(t *testing.T) {
	hash := accounts.NTHash("Password")
	if want := unhex(t, "a4f49c406510bdcab6824ee7c30fd852"); !bytes.Equal(hash[:], want) {
		t.Errorf("NTOWFv1 %x, want %x", hash, want)
	}
	if got, want := responseKey(hash, "User", "Domain"), unhex(t, "0c868a403bfd7a93a3001ef22ef02e3f"); !bytes.Equal(got, want) {
		t.Errorf("NTOWFv2 %x, want %x", got, want)
	}
	response := slices.Concat(make([]byte, 16),
		unhex(t, "01 01 000000000000"),           // RespType, HiRespType, Reserved1, Reserved2
		unhex(t, "0000000000000000"),             // TimeStamp
		unhex(t, "aaaaaaaaaaaaaaaa"),             // ChallengeFromClient
		unhex(t, "00000000"),                     // Reserved3
		unhex(t, "0200 0c00"), utf16le("Domain"), // MsvAvNbDomainName
		unhex(t, "0100 0c00"), utf16le("Server"), // MsvAvNbComputerName
		unhex(t, "0000 0000"), // MsvAvEOL
		unhex(t, "00000000"))
	proof, base, err := ntlmv2(hash, "User", "Domain", unhex(t, "0123456789abcdef"), response)
	if err != nil {
		t.Fatal(err)
	}
	if want := unhex(t, "68cd0ab851e51c96aabc927bebef6a1c"); !bytes.Equal(proof[:], want) {
		t.Errorf("NTProofStr %x, want %x", proof, want)
	}
	if want := unhex(t, "8de40ccadbc14a82f15cb0ad0de95ca3"); !bytes.Equal(base[:], want) {
		t.Errorf("SessionBaseKey %x, want %x", base, want)
	}
	m := authenticateMessage{flags: flagKeyExchange | flagSign, sealedKey: unhex(t, "c5dad2544fc9799094ce1ce90bc9d03e")}
	if got, err := m.exportedKey(base[:]); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{0x55}, 16)) {
		t.Errorf("ExportedSessionKey %x, %v", got, err)
	}
}

func TestAccept(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(c *client)
	}{
		{"raw NTLM", func(c *client) { c.mechs = nil }},
		{"SPNEGO, NTLM preferred", func(c *client) {}},
		{"SPNEGO, no optimistic token", func(c *client) { c.optimistic = false }},
		{"SPNEGO, Kerberos preferred", func(c *client) { c.mechs, c.optimistic = notFirst, false }},
		{"SPNEGO, Kerberos preferred with a token", func(c *client) { c.mechs = notFirst }},
		{"SPNEGO, Kerberos preferred, mechListMIC comes later", func(c *client) { c.mechs, c.noMechMIC = notFirst, true }},
		{"no mechListMIC", func(c *client) { c.noMechMIC = true }},
		{"no MIC", func(c *client) { c.noMIC = true }},
		{"no key exchange", func(c *client) { c.noKeyExchange = true }},
		{"another case of the name", func(c *client) { c.user = "ALICE" }},
		{"no domain", func(c *client) { c.domain = "" }},
	} {
		cl := goodGuest()
		c.with(&cl)
		a := NewAcceptor(cfg)
		if u, key, anonymous := a.Result(); u.Name != "" || key != nil || anonymous {
			t.Errorf("%s: a result before the exchange", c.name)
		}
		if err := cl.run(a, nil); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		u, key, anonymous := a.Result()
		if u.Name != "Alice" || u.UID != 1000 || !slices.Equal(u.Groups, []uint32{4, 24}) || !bytes.Equal(key, cl.key) || anonymous {
			t.Errorf("%s: %+v, key %x want %x, anonymous %v", c.name, u, key, cl.key, anonymous)
		}
		if _, _, err := a.Accept(cl.negotiate); err == nil {
			t.Errorf("%s: a token after the end is accepted", c.name)
		}
	}
}

func TestAnonymous(t *testing.T) {
	for _, mechs := range [][][]byte{nil, justNTLM, notFirst} {
		cl := client{mechs: mechs, anonymous: true}
		open := cfg
		open.Anonymous = true
		a := NewAcceptor(open)
		if err := cl.run(a, nil); err != nil {
			t.Fatal(err)
		}
		if u, key, anonymous := a.Result(); u.Name != "" || !anonymous || !bytes.Equal(key, cl.key) {
			t.Errorf("%+v %x %v", u, key, anonymous)
		}
		cl = client{mechs: mechs, anonymous: true}
		expect(t, "anonymous where it is not allowed", AnonymousRefused, cl.run(NewAcceptor(cfg), nil))
	}
}

func expect(t *testing.T, name string, want Reason, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Reason != want {
		t.Errorf("%s: %v, want %v", name, err, want)
	}
}

func TestRefuse(t *testing.T) {
	flip := func(step, from, n int) func(int, []byte) []byte {
		return func(s int, b []byte) []byte {
			if s == step {
				b = bytes.Clone(b)
				b[(len(b)+from)%len(b)] ^= byte(n)
			}
			return b
		}
	}
	raw := func(c *client) { c.mechs = nil }
	for _, c := range []struct {
		name    string
		with    func(c *client)
		between func(int, []byte) []byte
		want    Reason
	}{
		{"wrong password", func(c *client) { c.password = "s3cres" }, nil, WrongPassword},
		{"unknown user", func(c *client) { c.user = "bob" }, nil, UnknownUser},
		{"no name but a response", func(c *client) { c.user = "" }, nil, UnknownUser},
		{"no NTLM offered", func(c *client) { c.mechs, c.optimistic = [][]byte{kerberos}, false }, nil, NoMechanism},
		{"NEGOTIATE changed on the way", raw, flip(1, 14, 0x40), Tampered},
		{"MIC changed on the way", raw, flip(3, offMIC, 1), Tampered},
		{"sealed key changed on the way", raw, flip(3, -1, 1), Tampered},
		{"flags of the answer changed on the way", raw, flip(3, 61, 0x01), Tampered},
		{"mechListMIC changed on the way", func(c *client) {}, flip(3, -5, 1), Tampered},
		{"late mechListMIC changed on the way", func(c *client) { c.mechs, c.noMechMIC = notFirst, true }, flip(4, -5, 1), Tampered},
		{"late mechListMIC missing", func(c *client) { c.mechs, c.noMechMIC = notFirst, true }, func(s int, b []byte) []byte {
			if s == 4 {
				return negTokenResp{state: stateCompleted}.append(nil)
			}
			return b
		}, Tampered},
		{"list of mechanisms changed on the way", func(c *client) { c.mechs = notFirst }, func(s int, b []byte) []byte {
			if s == 1 {
				return initialToken(der(tagContext0, der(tagSequence, derOIDNTLM)))
			}
			return b
		}, Tampered},
		{"without Unicode", raw, flip(1, 12, 1), OldProtocol},
		{"without extended session security", raw, flip(3, 62, 0x08), OldProtocol},
		{"the client gives up", func(c *client) {}, func(s int, b []byte) []byte {
			if s == 3 {
				return negTokenResp{state: stateReject}.append(nil)
			}
			return b
		}, NoMechanism},
		{"an empty token", raw, func(int, []byte) []byte { return nil }, Malformed},
		{"a token too large", raw, func(_ int, b []byte) []byte { return append(b, make([]byte, MaxToken)...) }, Malformed},
		{"the same message twice", raw, func(s int, b []byte) []byte {
			if s == 3 {
				return append([]byte(signature+"\x01\x00\x00\x00"), make([]byte, 64)...)
			}
			return b
		}, Malformed},
	} {
		cl := goodGuest()
		c.with(&cl)
		a := NewAcceptor(cfg)
		err := cl.run(a, c.between)
		expect(t, c.name, c.want, err)
		if u, key, anonymous := a.Result(); u.Name != "" || key != nil || anonymous {
			t.Errorf("%s: refused with a result", c.name)
		}
		if _, _, err := a.Accept(cl.first()); err == nil {
			t.Errorf("%s: goes on after a refusal", c.name)
		}
	}
}

// LM and NTLMv1 answers have 24 bytes. [MS-NLMP] 2.2.2.6.
func TestNTLMv1(t *testing.T) {
	a := NewAcceptor(cfg)
	cl := goodGuest()
	cl.mechs = nil
	if _, _, err := a.Accept(cl.first()); err != nil {
		t.Fatal(err)
	}
	b := append([]byte(signature), 3, 0, 0, 0)
	user := utf16le("alice")
	for i, f := range [][]byte{make([]byte, 24), make([]byte, 24), nil, user, nil, nil} {
		b = appendField(b, f, sizeAuthenticate+[]int{0, 24, 0, 48, 0, 0}[i])
	}
	b = binary.LittleEndian.AppendUint32(b, offered)
	b = slices.Concat(b, make([]byte, 48), user)
	_, _, err := a.Accept(b)
	expect(t, "NTLMv1", OldProtocol, err)
	if want := "auth: NTLMv1 or LM refused: LM or NTLMv1 response"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

func TestHint(t *testing.T) {
	want := unhex(t, "60 48"+ // InitialContextToken
		"06 06 2b0601050502"+ // SPNEGO
		"a0 3e 30 3c"+ // NegTokenInit2
		"a0 0e 30 0c 06 0a 2b06010401823702020a"+ // mechTypes: NTLM
		"a3 2a 30 28 a0 26 1b 24"+hex.EncodeToString([]byte("not_defined_in_RFC4178@please_ignore")))
	if got := Hint(cfg); !bytes.Equal(got, want) {
		t.Errorf("\n got %x\nwant %x", got, want)
	}
}

func TestChallenge(t *testing.T) {
	cl := goodGuest()
	cl.mechs = nil
	reply, finished, err := NewAcceptor(cfg).Accept(cl.first())
	if err != nil || finished || len(reply) < sizeChallenge {
		t.Fatal(reply, finished, err)
	}
	clear(reply[24:32]) // ServerChallenge
	info := reply[56+10:]
	clear(info[len(info)-12 : len(info)-4]) // MsvAvTimestamp
	pair := func(id byte, s string) []byte { return append([]byte{id, 0, byte(2 * len(s)), 0}, utf16le(s)...) }
	want := slices.Concat([]byte(signature), unhex(t, "02000000"),
		unhex(t, "0a00 0a00 38000000"), // TargetName
		unhex(t, "35828ae2"),           // NegotiateFlags
		make([]byte, 16),               // ServerChallenge, Reserved
		unhex(t, "7800 7800 42000000"), // TargetInfo
		unhex(t, "0601000000 0000 0f"), // Version
		utf16le("FILES"),
		pair(avNbDomainName, "FILES"), pair(avNbComputerName, "FILES"),
		pair(avDNSDomainName, "files.example.org"), pair(avDNSComputerName, "files.example.org"),
		unhex(t, "0700 0800"), make([]byte, 8), unhex(t, "00000000"))
	if !bytes.Equal(reply, want) {
		t.Errorf("\n got %x\nwant %x", reply, want)
	}
}

func FuzzSPNEGO(g *testing.F) {
	f := fuzz.On(g)
	cl := goodGuest()
	f.Add(cl.first())
	f.Add(Hint(cfg))
	f.Add(negTokenResp{state: stateIncomplete, mech: oidNTLM, token: []byte("t"), mic: []byte("m")}.append(nil))
	f.Add([]byte{0x60, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := parseNegTokenInit(b); err == nil && len(i.token)+len(i.mic)+len(i.list) > len(b) {
			t.Error("more than there is")
		}
		if r, err := parseNegTokenResp(b, oidNTLM); err == nil {
			if again, err := parseNegTokenResp(r.append(nil), oidNTLM); err != nil || !bytes.Equal(again.token, r.token) || !bytes.Equal(again.mic, r.mic) {
				t.Errorf("%x: %v", b, err)
			}
		}
		NewAcceptor(cfg).Accept(b)
	})
}

func FuzzNTLM(g *testing.F) {
	f := fuzz.On(g)
	cl := goodGuest()
	cl.mechs = nil
	a := NewAcceptor(cfg)
	reply, _, err := a.Accept(cl.first())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cl.authenticate(reply))
	f.Add(cl.negotiate)
	f.Fuzz(func(t *testing.T, b []byte) {
		a := NewAcceptor(cfg)
		if _, _, err := a.Accept(cl.negotiate); err != nil {
			t.Fatal(err)
		}
		if _, done, _ := a.Accept(b); done {
			t.Errorf("%x comes in", b) // the challenge is another each time
		}
	})
}
