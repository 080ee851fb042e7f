package krb5

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dittofs/gateway/fuzz"

	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/jcmturner/gofork/encoding/asn1"
)

const realm = "EXAMPLE.ORG"

var (
	alice   = types.PrincipalName{NameType: 1, NameString: []string{"alice"}}
	service = types.PrincipalName{NameType: 2, NameString: []string{"nfs", "server.example.org"}}
)

// world is a keytab and what a KDC that shares it would give out.
type world struct {
	path string
	kt   *keytab.Keytab
	*Acceptor
}

func newWorld(t testing.TB, etypes ...int32) *world {
	t.Helper()
	kt := keytab.New()
	for _, e := range etypes {
		if err := kt.AddEntry("nfs/server.example.org", realm, "secret", time.Unix(1, 0), 3, e); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{path: filepath.Join(t.TempDir(), "keytab"), kt: kt}
	w.write(t)
	k, err := Open(w.path)
	if err != nil {
		t.Fatal(err)
	}
	w.Acceptor = NewAcceptor(k, "nfs")
	return w
}

func (w *world) write(t testing.TB) {
	t.Helper()
	b, err := w.kt.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// want is what a test asks its token to be.
type want struct {
	etype   int32
	flags   uint32
	ago     time.Duration
	life    time.Duration
	subkey  bool
	name    types.PrincipalName // in the authenticator
	cksum   *types.Checksum
	session types.EncryptionKey // out: the ticket's key
	sub     types.EncryptionKey // out
}

// token is a client's initial token.
func (w *world) token(t testing.TB, q *want) []byte {
	t.Helper()
	if q.name.NameString == nil {
		q.name = alice
	}
	now := time.Now().UTC()
	if q.life == 0 {
		q.life = time.Hour
	}
	// The library's own NewTicket makes a key of 24 bytes for type 20.
	q.session = fresh(q.etype)
	part := struct {
		Flags     asn1.BitString             `asn1:"explicit,tag:0"`
		Key       types.EncryptionKey        `asn1:"explicit,tag:1"`
		CRealm    string                     `asn1:"generalstring,explicit,tag:2"`
		CName     types.PrincipalName        `asn1:"explicit,tag:3"`
		Transited messages.TransitedEncoding `asn1:"explicit,tag:4"`
		AuthTime  time.Time                  `asn1:"generalized,explicit,tag:5"`
		EndTime   time.Time                  `asn1:"generalized,explicit,tag:7"`
	}{types.NewKrbFlags(), q.session, realm, alice, messages.TransitedEncoding{}, now.Add(-2 * time.Hour).Truncate(time.Second), now.Add(q.life).Truncate(time.Second)}
	b, err := asn1.Marshal(part)
	must(t, err)
	key, _, err := w.kt.GetEncryptionKey(service, realm, 3, q.etype)
	must(t, err)
	cipher, err := encrypt(key, keyusage.KDC_REP_TICKET, asn1tools.AddASNAppTag(b, 3))
	must(t, err)
	tkt := messages.Ticket{TktVNO: 5, Realm: realm, SName: service, EncPart: types.EncryptedData{EType: q.etype, KVNO: 3, Cipher: cipher}}

	auth, err := types.NewAuthenticator(realm, q.name)
	must(t, err)
	at := now.Add(-q.ago)
	auth.CTime, auth.Cusec = at.Truncate(time.Second), at.Nanosecond()/1000
	sum := make([]byte, 24)
	binary.LittleEndian.PutUint32(sum, 16)
	binary.LittleEndian.PutUint32(sum[20:], q.flags)
	auth.Cksum = types.Checksum{CksumType: 0x8003, Checksum: sum}
	if q.cksum != nil {
		auth.Cksum = *q.cksum
	}
	if q.subkey {
		q.sub = fresh(q.etype)
		auth.SubKey = q.sub
	}
	plain, err := auth.Marshal()
	must(t, err)
	cipher, err = encrypt(q.session, keyusage.AP_REQ_AUTHENTICATOR, plain)
	must(t, err)
	req := messages.APReq{PVNO: 5, MsgType: 14, APOptions: types.NewKrbFlags(), Ticket: tkt,
		EncryptedAuthenticator: types.EncryptedData{EType: q.etype, Cipher: cipher}}
	b, err = req.Marshal()
	must(t, err)
	return frame(frameAPReq, b)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var allTypes = []int32{17, 18, 19, 20}

// client turns a context round: the initiator's side of the same keys.
func client(c *Context, etype int32, t *testing.T, reply []byte, q *want) *initiator {
	t.Helper()
	key := q.session
	if q.subkey {
		key = q.sub
	}
	i := &initiator{key: key}
	if reply != nil {
		body, err := unframe(reply, frameAPRep)
		must(t, err)
		var r messages.APRep
		must(t, r.Unmarshal(body))
		plain, err := decrypt(q.session, keyusage.AP_REP_ENCPART, r.EncPart.Cipher)
		must(t, err)
		var p messages.EncAPRepPart
		must(t, p.Unmarshal(plain))
		i.key, i.flags = p.Subkey, acceptorSubkey
	}
	return i
}

type initiator struct {
	key   types.EncryptionKey
	flags byte
}

func (i *initiator) mic(t *testing.T, text []byte) []byte {
	h := []byte{4, 4, i.flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 9}
	sum, err := checksum(i.key, usageInitiatorSign, join(text, h))
	must(t, err)
	return append(h, sum...)
}

func (i *initiator) wrap(t *testing.T, text []byte, rotate int) []byte {
	h := []byte{5, 4, i.flags | sealed, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}
	c, err := encrypt(i.key, usageInitiatorSeal, join(text, h))
	must(t, err)
	if rotate > 0 {
		n := len(c) - rotate%len(c)
		c = join(c[n:], c[:n])
		binary.BigEndian.PutUint16(h[6:], uint16(rotate))
	}
	return append(h, c...)
}

func TestAccept(t *testing.T) {
	w := newWorld(t, allTypes...)
	for _, e := range allTypes {
		for _, q := range []want{{etype: e}, {etype: e, subkey: true}, {etype: e, subkey: true, flags: FlagMutual | FlagInteg}} {
			c, reply, err := w.Accept(w.token(t, &q))
			if err != nil {
				t.Fatalf("type %d: %v", e, err)
			}
			if c.Principal() != "alice@"+realm || c.Flags != q.flags || (reply != nil) != (q.flags&FlagMutual != 0) {
				t.Errorf("type %d: %s, flags %x, reply %x", e, c.Principal(), c.Flags, reply)
			}
			i := client(c, e, t, reply, &q)
			if !bytes.Equal(i.key.KeyValue, c.SessionKey()) {
				t.Fatalf("type %d: two keys", e)
			}
			text := []byte("the text")
			must(t, c.VerifyMIC(text, i.mic(t, text)))
			if err := c.VerifyMIC([]byte("another"), i.mic(t, text)); err != ErrBadMIC {
				t.Errorf("a MIC of another text: %v", err)
			}
			for _, rotate := range []int{0, 28, 1000} {
				got, err := c.Unwrap(i.wrap(t, text, rotate))
				if err != nil || string(got) != string(text) {
					t.Errorf("type %d, rotated %d: %q, %v", e, rotate, got, err)
				}
			}
			m, err := c.MIC(text)
			must(t, err)
			if c.VerifyMIC(text, m) == nil {
				t.Error("our own token came back and was taken")
			}
			sealedText, err := c.Wrap(text)
			must(t, err)
			plain, err := decrypt(i.key, usageAcceptorSeal, sealedText[tokenHeader:])
			if err != nil || !bytes.HasPrefix(plain, text) || !bytes.Equal(plain[len(text):], sealedText[:tokenHeader]) {
				t.Errorf("type %d: sealed %x, %v", e, plain, err)
			}
		}
	}
}

func TestAcceptRefuses(t *testing.T) {
	w := newWorld(t, 18)
	bob := types.PrincipalName{NameType: 1, NameString: []string{"bob"}}
	for name, q := range map[string]want{
		"the clocks":         {etype: 18, ago: 6 * time.Minute},
		"expired":            {etype: 18, life: -6 * time.Minute},
		"of another client":  {etype: 18, name: bob},
		"GSS-API checksum":   {etype: 18, cksum: &types.Checksum{CksumType: 7, Checksum: make([]byte, 24)}},
		"before the start":   {etype: 18, ago: 2 * time.Minute},
		"not a Kerberos tok": {},
	} {
		token := []byte("nonsense")
		if q.etype != 0 {
			token = w.token(t, &q)
		}
		if _, _, err := w.Accept(token); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	token := w.token(t, &want{etype: 18, flags: FlagMutual})
	if _, _, err := w.Accept(token); err != nil {
		t.Error(err)
	}
	if _, _, err := w.Accept(token); err == nil || !strings.Contains(err.Error(), "a replay") {
		t.Errorf("a replay: %v", err)
	}
	w.services = []string{"cifs"}
	if _, _, err := w.Accept(w.token(t, &want{etype: 18})); err == nil || !strings.Contains(err.Error(), "none of 0 keys") {
		t.Errorf("a ticket for another service: %v", err)
	}
}

// A keytab that changes counts at once; one that is gone leaves the keys that were known.
func TestKeytabChanges(t *testing.T) {
	w := newWorld(t, 18)
	must(t, w.kt.AddEntry("nfs/server.example.org", realm, "secret", time.Unix(1, 0), 3, 17))
	q := want{etype: 17}
	token := w.token(t, &q)
	if _, _, err := w.Accept(token); err == nil {
		t.Fatal("a key that the file does not hold")
	}
	w.write(t)
	if _, _, err := w.Accept(token); err != nil {
		t.Error(err)
	}
	must(t, os.Remove(w.path))
	if _, _, err := w.Accept(w.token(t, &want{etype: 17})); err != nil {
		t.Error(err)
	}
	if !w.keys.Serves("nfs") || w.keys.Serves("cifs") {
		t.Error("which services the keys are for")
	}
}

func FuzzAccept(g *testing.F) {
	f := fuzz.On(g)
	w := newWorld(f, 17)
	f.Add(w.token(f, &want{etype: 17, flags: FlagMutual}))
	f.Add([]byte{0x60, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) { w.Accept(b) })
}

func FuzzKeytab(g *testing.F) {
	f := fuzz.On(g)
	f.Costly(100)
	w := newWorld(f, 17)
	b, _ := os.ReadFile(w.path)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := filepath.Join(t.TempDir(), "k")
		os.WriteFile(p, b, 0o600)
		read(p)
	})
}

func FuzzUnwrap(g *testing.F) {
	f := fuzz.On(g)
	c := &Context{key: fresh(17)}
	m, _ := c.Wrap([]byte("text"))
	f.Add(m)
	f.Fuzz(func(t *testing.T, b []byte) {
		c.Unwrap(b)
		c.VerifyMIC(nil, b)
	})
}

func BenchmarkMIC(b *testing.B) {
	c := &Context{key: fresh(18)}
	text := make([]byte, 128)
	b.ReportAllocs()
	for b.Loop() {
		c.MIC(text)
	}
}
