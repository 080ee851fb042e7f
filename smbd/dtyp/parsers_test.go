package dtyp

import (
	"bytes"
	"encoding/hex"
	"testing"

	"dittofs/gateway/fuzz"
)

func TestSID(t *testing.T) {
	for text, raw := range map[string]string{
		"S-1-1-0":        "010100000000000100000000",
		"S-1-5-32-544":   "01020000000000052000000020020000",
		"S-1-22-1-1000":  "01020000000000160100000" + "0e8030000",
		"S-1-22-2-65534": "01020000000000160200000" + "0feff0000",
		"S-1-5-18":       "010100000000000512000000",
		"S-1-3-0":        "010100000000000300000000",
		"S-1-5-21-1-2-3": "010400000000000515000000010000000200000003000000",
	} {
		s, err := ParseSID(text)
		if err != nil || hex.EncodeToString(s.Append(nil)) != raw || s.String() != text {
			t.Errorf("%s: %v, %x, %v", text, s, s.Append(nil), err)
		}
		var back SID
		b, _ := hex.DecodeString(raw)
		if err := back.Parse(b); err != nil || back != s {
			t.Errorf("%s: %v, %v", raw, back, err)
		}
	}
	if uid, ok := UnixUser(1000).UnixUID(); !ok || uid != 1000 {
		t.Errorf("%d %v", uid, ok)
	}
	if _, ok := UnixGroup(1000).UnixUID(); ok {
		t.Error("a group is a user")
	}
}

func FuzzSecurityDescriptor(g *testing.F) {
	f := fuzz.On(g)
	owner, group := UnixUser(1), UnixGroup(2)
	d := SecurityDescriptor{Owner: &owner, Group: &group, DACL: &ACL{Revision: ACLRevision, ACEs: []ACE{{Type: AccessAllowed, Mask: 0x1f01ff, SID: Everyone}}}}
	f.Add(d.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d SecurityDescriptor
		if d.Parse(b) != nil {
			return
		}
		c := d.Append(nil)
		var again SecurityDescriptor
		if err := again.Parse(c); err != nil {
			t.Fatalf("%v\nfrom %x\nsaid %x", err, b, c)
		}
		if e := again.Append(nil); !bytes.Equal(c, e) {
			t.Fatalf("%x\n%x", c, e)
		}
	})
}
