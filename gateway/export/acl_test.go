package export

import (
	"bytes"
	"encoding/hex"
	"os"
	"reflect"
	"testing"

	"dittofs/gateway/fuzz"

	"golang.org/x/sys/unix"
)

func TestACL(t *testing.T) {
	a := ACL{{ACLOwner, 7, 0}, {ACLUser, 5, 1000}, {ACLGroupObj, 4, 0}, {ACLGroup, 6, 50}, {ACLMask, 7, 0}, {ACLOther, 0, 0}}
	raw := "02000000" + "01000700ffffffff" + "02000500e8030000" + "04000400ffffffff" + "0800060032000000" + "10000700ffffffff" + "20000000ffffffff"
	if got := hex.EncodeToString(a.Append(nil)); got != raw {
		t.Errorf("got  %s\nwant %s", got, raw)
	}
	b, _ := hex.DecodeString(raw)
	if got, err := ParseACL(b); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%v, %v", got, err)
	}
	// The kernel takes it and gives it back.
	f, err := os.Create(t.TempDir() + "/f")
	must(t, err)
	defer f.Close()
	must(t, SetXattr(int(f.Fd()), AccessACL, a.Append(nil), 0))
	var buf [256]byte
	n, err := GetXattr(int(f.Fd()), AccessACL, buf[:])
	if must(t, err); !bytes.Equal(buf[:n], b) {
		t.Errorf("the kernel's: %x", buf[:n])
	}
	if st, _ := Stat(int(f.Fd())); st.Mode != unix.S_IFREG|0o770 {
		t.Errorf("mode %o", st.Mode)
	}
	if p, ok := a.Get(ACLMask); p != 7 || !ok {
		t.Error("no mask")
	}
}

func FuzzACL(g *testing.F) {
	f := fuzz.On(g)
	f.Add(ACL{{ACLOwner, 7, 0}, {ACLUser, 5, 1000}}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseACL(b)
		if err != nil {
			return
		}
		if again, err := ParseACL(a.Append(nil)); err != nil || !reflect.DeepEqual(again, a) {
			t.Errorf("%v, %v", again, err)
		}
	})
}
